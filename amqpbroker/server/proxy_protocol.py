"""Reads the PROXY header from a client's socket, and leaves the bytes that follow it."""

import asyncio
import socket
from contextlib import suppress
from typing import Final

from amqpbroker.wire.proxy_header import ProxyHeader, ProxyHeaderError, missing, parse

#: Time within which the header must arrive, as in RabbitMQ (rabbit_networking:handshake/2).
HEADER_S: Final = 3.0


class NothingSentError(Exception):
    """The client has sent nothing, as the health check of a load balancer does."""


async def read_header(loop: asyncio.AbstractEventLoop, client: socket.socket) -> ProxyHeader | None:
    """Read the header, and not a byte more; return what it says, None if the proxy itself is the client.

    client: does not block. Raises ProxyHeaderError, NothingSentError.
    """
    data = b""
    with suppress(OSError):
        async with asyncio.timeout(HEADER_S):
            while size := missing(data):
                part = await loop.sock_recv(client, size)
                if not part:
                    break
                data += part
    if not data:
        raise NothingSentError
    if missing(data):
        raise ProxyHeaderError(f"only {len(data)} bytes of it came within {HEADER_S:g} s")
    return parse(data)
