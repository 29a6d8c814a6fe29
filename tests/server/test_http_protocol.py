import asyncio
import contextlib
import socket

import pytest

from amqpbroker.server import http_protocol
from amqpbroker.server.http import HttpListener
from amqpbroker.server.http_protocol import REQUEST_S

PATIENCE_S = 30


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


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
async def address(monkeypatch):
    monkeypatch.setattr(http_protocol, "MAX_CONNECTIONS", 3)
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    listener = HttpListener(asyncio.get_running_loop(), [sock], lambda: app)
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
async def test_a_head_that_takes_long_is_not_waited_for(address, pass_time, first, said):
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


async def test_further_connections_are_dropped_until_there_is_room(address):
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
