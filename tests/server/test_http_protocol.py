import asyncio
import contextlib
import socket
import time

import pytest

from amqpbroker.server import http_protocol
from amqpbroker.server.http import HttpListener


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@pytest.fixture
async def address(monkeypatch):
    monkeypatch.setattr(http_protocol, "REQUEST_S", 0.3)
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
    return await asyncio.wait_for(reader.readuntil(b"hi"), 5)


async def test_a_request_is_answered_and_the_connection_kept(address):
    async with connected(address) as (reader, writer):
        for _ in range(2):
            assert (await asked(reader, writer)).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.5)
        assert (await asked(reader, writer)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("first", [b"", REQUEST])
@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHo"])
async def test_a_head_that_takes_long_is_not_waited_for(address, first, said):
    """Byte after byte, as the first request or a later one. Only who waits between requests is kept longer."""
    async with connected(address) as (reader, writer):
        if first:
            await asked(reader, writer)
        if first and not said:
            return
        writer.write(said)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                if said:
                    writer.write(b"s")
                with contextlib.suppress(TimeoutError):
                    if await asyncio.wait_for(reader.read(100), 0.05) == b"":
                        break
        assert time.monotonic() - began < 3


async def test_further_connections_are_dropped_until_there_is_room(address):
    async with contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(connected(address)) for _ in range(3)]
        for reader, writer in held:
            await asked(reader, writer)
        async with connected(address) as (reader, writer):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asked(reader, writer)
        held[0][1].close()
        await asyncio.sleep(0.1)
        async with connected(address) as (reader, writer):
            assert await asked(reader, writer)
