import asyncio
import contextlib
import socket
import ssl
import threading
from pathlib import Path

import pytest
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from amqpbroker.clock import SystemClock
from amqpbroker.config import Tls
from amqpbroker.config.bounds import Bounds
from amqpbroker.server.answers import WRITE_S
from amqpbroker.server.handshake_listener import HandshakeListener
from amqpbroker.server.http import STOP_S, HttpListener
from amqpbroker.server.http_protocol import READ_BYTES, REQUEST_S, REST_S
from amqpbroker.server.resting import GIVE_WAY_S
from amqpbroker.server.tls import TlsContexts
from tests.certificates import Authority

PATIENCE_S = 30

LARGE = b"x" * 20_000_000


async def app(scope, receive, send):
    """Answer hi; /large: a lot of data; /slow: after the whole body; /parts: with the size of the first part."""
    body = b"hi"
    if scope["path"] == "/parts":
        await asyncio.sleep(0.1)
        body = b"%d hi" % len((await receive())["body"])
    if scope["path"] == "/slow":
        while (await receive()).get("more_body"):
            pass
    if scope["path"] == "/large":
        body = LARGE
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def pass_time(monkeypatch):
    """`pass_time(seconds)` has the time of the event loop go on by so much at once."""
    loop = asyncio.get_running_loop()
    passed, time = 0.0, loop.time

    def pass_time(seconds):
        nonlocal passed
        passed += seconds

    monkeypatch.setattr(loop, "time", lambda: time() + passed)
    return pass_time


@pytest.fixture
async def address(pass_time):
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    listener = HttpListener(asyncio.get_running_loop(), [sock], lambda: app, bounds=Bounds(http_connections=3))
    listener.start()
    yield sock.getsockname()
    await listener.stop()


@contextlib.asynccontextmanager
async def connected(address):
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.close()


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def asked(reader, writer):
    writer.write(REQUEST)
    return await asyncio.wait_for(reader.readuntil(b"hi"), PATIENCE_S)


async def test_a_request_is_answered_and_the_connection_kept(address, pass_time):
    async with connected(address) as (reader, writer):
        for _ in range(2):
            assert (await asked(reader, writer)).startswith(b"HTTP/1.1 200")
        pass_time(1.5 * REQUEST_S)
        await asyncio.sleep(0.01)
        assert (await asked(reader, writer)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("first", [b"", REQUEST])
@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHo"])
async def test_slow_request_head_times_out(address, pass_time, first, said):
    """Byte after byte, as the first request or a later one. Only who waits between requests is kept longer."""
    async with connected(address) as (reader, writer):
        if first:
            await asked(reader, writer)
        if first and not said:
            return
        writer.write(said)
        dropped = asyncio.ensure_future(reader.read())
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                await asyncio.wait([dropped], timeout=0.01)
                if dropped.done():
                    break
                pass_time(REQUEST_S / 10)
                if said:
                    writer.write(b"s")
            assert dropped.done()
            assert await dropped == b""


async def test_connections_above_the_limit_are_dropped(address):
    async with contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(connected(address)) for _ in range(3)]
        for reader, writer in held:
            await asked(reader, writer)
        async with connected(address) as (reader, writer):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asked(reader, writer)
        held[0][1].close()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                    async with connected(address) as (reader, writer):
                        assert await asked(reader, writer)
                        break
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("said", [b"", REQUEST, b"GET / HTTP/1.1\r\nHo", b"unread body"])
async def test_connection_that_waits_for_a_request_gives_way_to_a_new_client(address, pass_time, said):
    async with contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(connected(address)) for _ in range(3)]
        for reader, writer in held:
            if said == b"unread body":
                writer.write(post("/", 5_000_000) + said)
                await asyncio.wait_for(reader.readuntil(b"hi"), PATIENCE_S)
            elif said == REQUEST:
                await asked(reader, writer)
            else:
                writer.write(said)
            await asyncio.sleep(0.01)
        pass_time(GIVE_WAY_S)
        for _ in range(2):
            async with connected(address) as (reader, writer):
                assert await asked(reader, writer)
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(held[0][0].read(), PATIENCE_S) == b""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(held[2][0].read(), 0.05)


async def test_connection_with_a_request_does_not_give_way(address, pass_time):
    async with contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(connected(address)) for _ in range(3)]
        for _, writer in held:
            writer.write(post("/slow", 4) + b"par")
        await asyncio.sleep(0.05)
        pass_time(GIVE_WAY_S)
        async with connected(address) as (reader, writer):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asked(reader, writer)
        for reader, writer in held:
            writer.write(b"t")
            assert await asyncio.wait_for(reader.readuntil(b"hi"), PATIENCE_S)


async def test_listener_stops_while_its_server_is_made():
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    making, made = threading.Event(), threading.Event()

    def build():
        making.set()
        assert made.wait(PATIENCE_S)
        return app

    listener = HttpListener(asyncio.get_running_loop(), [sock], build)
    listener.start()
    async with connected(sock.getsockname()):
        await asyncio.to_thread(making.wait, PATIENCE_S)
        stopped = asyncio.create_task(listener.stop())
        await asyncio.sleep(0)
        made.set()
        async with asyncio.timeout(STOP_S):
            await stopped
    assert sock.fileno() == -1


async def test_many_clients_connect_while_the_broker_is_busy(address):
    """Check the backlog: if it is full, the kernel ignores a client, which tries again a second later."""
    if int(Path("/proc/sys/net/core/somaxconn").read_text()) < 500:
        pytest.skip("the kernel allows no longer backlog")
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(socket.create_connection(address, timeout=0.9))


async def test_an_answer_to_a_connection_that_has_just_ended_is_discarded(pass_time, caplog):
    written = []

    async def close_and_answer(scope, receive, send):
        (connection,) = listener._server.server_state.connections
        connection.transport.abort()
        # As uvloop's transport, which is closed at once.
        connection.transport.write = written.append
        await app(scope, receive, send)

    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    listener = HttpListener(asyncio.get_running_loop(), [sock], lambda: close_and_answer)
    listener.start()
    async with connected(sock.getsockname()) as (reader, writer):
        writer.write(REQUEST)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    await listener.stop()
    assert written == []
    assert caplog.records == []


# --- unread answers ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
async def large(request, authority, pass_time):
    """Yield the reader of a connection that has requested a large answer and has received its head."""
    loop = asyncio.get_running_loop()
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    issued = authority.issue("server")
    context = TlsContexts(Tls(certfile=issued.certfile, keyfile=issued.keyfile), "x").context

    def tls(sock, make):
        return HandshakeListener(loop, SystemClock(), sock, context, 60_000, make, lambda shaking: False)

    listener = HttpListener(loop, [sock], lambda: app, tls if request.param else None)
    listener.start()
    trusted = ssl.create_default_context(cafile=authority.cafile) if request.param else None
    reader, writer = await asyncio.open_connection("localhost", sock.getsockname()[1], ssl=trusted)
    writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    reader.listener = listener
    yield reader
    writer.close()
    await listener.stop()


async def test_client_that_does_not_read_an_answer_is_dropped(large, pass_time):
    await asyncio.sleep(0.3)  # until neither side accepts more data
    pass_time(WRITE_S)
    await asyncio.sleep(0.3)
    # With a plain close, the kernel would keep up to 4 MB until the client has read these.
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(large.readexactly(len(LARGE)), PATIENCE_S)


async def test_unread_bytes_of_an_answer_count_in_every_buffer(large):
    await asyncio.sleep(0.3)
    assert len(LARGE) / 2 < large.listener._answers._waiting_bytes < len(LARGE)
    received = await asyncio.wait_for(large.readexactly(len(LARGE) * 9 // 10), PATIENCE_S)
    await asyncio.sleep(0.3)
    assert large.listener._answers._waiting_bytes <= len(LARGE) - len(received)


async def test_http_listener_stops_without_waiting_for_unread_answers(large, caplog):
    await asyncio.sleep(0.3)
    await large.listener.stop()
    assert all(record.exc_info is None for record in caplog.records)
    assert len(asyncio.all_tasks()) <= 2


async def test_slow_reader_receives_the_whole_http_answer(large, pass_time):
    for _ in range(10):
        assert await asyncio.wait_for(large.readexactly(len(LARGE) // 10), PATIENCE_S)
        pass_time(WRITE_S / 3)
        await asyncio.sleep(0.01)


# --- unwanted bodies --------------------------------------------------------------------------------------------------


def post(path, size, *headers):
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {size}", *headers, "", "")
    return "\r\n".join(lines).encode()


async def test_unexpected_request_body_is_discarded(address):
    async with connected(address) as (reader, writer):
        for _ in range(2):
            writer.write(post("/", 5_000_000) + bytes(5_000_000))
            await writer.drain()
            assert (await asyncio.wait_for(reader.readuntil(b"hi"), PATIENCE_S)).startswith(b"HTTP/1.1 200")


async def test_little_of_a_request_body_is_read_before_the_application_asks(address):
    async with connected(address) as (reader, writer):
        writer.write(post("/parts", 5_000_000) + bytes(5_000_000))
        answer = await asyncio.wait_for(reader.readuntil(b"hi"), PATIENCE_S)
        assert int(answer.split()[-2]) <= HIGH_WATER_LIMIT + READ_BYTES


async def test_request_body_that_does_not_end_times_out(address, pass_time):
    async with connected(address) as (reader, writer):
        writer.write(post("/", 5_000_000) + b"some")
        await asyncio.wait_for(reader.readuntil(b"hi"), PATIENCE_S)
        for _ in range(4):
            pass_time(REST_S / 4)
            await asyncio.sleep(0.01)
            with contextlib.suppress(ConnectionError):
                writer.write(b"more")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""


@pytest.mark.parametrize("close", ["Connection: close", "connection: Keep-Alive, Close"])
async def test_request_with_connection_close_is_answered_despite_its_unread_body(address, close):
    """A connection that is closed with unread data is reset, and the answer is lost."""
    async with connected(address) as (reader, writer):
        writer.write(post("/", 8_000_000, close))
        for _ in range(80):
            writer.write(bytes(100_000))
            await asyncio.sleep(0.001)
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert answer.endswith(b"hi")


async def test_request_with_expect_100_continue_is_answered_without_its_body(address):
    async with connected(address) as (reader, writer):
        writer.write(post("/", 8_000_000, "Expect: 100-continue", "Connection: close"))
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"hi")


async def test_unsupported_upgrade_header_is_ignored_without_a_log_line(address, caplog):
    async with connected(address) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"hi"), PATIENCE_S)).startswith(b"HTTP/1.1 200")
    assert caplog.records == []


# --- invalid HTTP -----------------------------------------------------------------------------------------------------

BAD_CHUNK = b"Transfer-Encoding: chunked\r\n\r\nnope\r\n"


@pytest.mark.parametrize(
    "lines", [("Transfer-Encoding: chunked", "Content-Length: 4"), ("transfer-encoding: Chunked",)]
)
async def test_request_with_two_lengths_is_refused_and_its_connection_closed(address, caplog, lines):
    async with connected(address) as (reader, writer):
        writer.write(post("/slow", 4, *lines) + b"4\r\nbody\r\n0\r\n\r\n" + REQUEST)
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
    assert b"connection: close" in answer.lower()
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + BAD_CHUNK,
        b"POST /slow HTTP/1.1\r\nHost: localhost\r\n" + BAD_CHUNK,
        b"GET /large HTTP/1.1\r\nHost: localhost\r\n" + BAD_CHUNK,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + BAD_CHUNK,
        REQUEST + b"no request",
        REQUEST + b"no request\r\n\r\n" + REQUEST,
        REQUEST + b"GET / HTTP/1.1\r\nHost: localhost\r\n" + BAD_CHUNK,
        b"no request\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x" * 100_000,
        b"\x16\x03\x01\x00\xa5",
    ],
)
@pytest.mark.parametrize("apart", [False, True])
async def test_malformed_http_logs_at_most_one_line(address, caplog, sent, apart):
    async with connected(address) as (reader, writer):
        for part in (sent[:-8], sent[-8:]) if apart else (sent,):
            writer.write(part)
            await asyncio.sleep(0.01)
        with contextlib.suppress(OSError):
            writer.write_eof()
            await asyncio.wait_for(reader.read(), PATIENCE_S)
    async with connected(address) as (reader, writer):
        assert await asked(reader, writer)
    assert len(caplog.records) <= 1
    assert all(record.exc_info is None for record in caplog.records)
