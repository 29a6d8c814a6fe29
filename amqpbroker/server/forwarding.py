"""Connections of a broker that waits: each is passed on to the leader, with the address of its client.

The waiting broker connects to a port of the leader that is only for this purpose. It first sends a greeting: two bytes
with the length of a JSON object, which has the leader's secret, the protocol and the client's address. Then it passes
on the bytes of both sides as they are, TLS included.
"""

import asyncio
import hmac
import json
import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final

from amqpbroker.server.listeners import shown
from amqpbroker.store.database.leadership import Target

log = logging.getLogger(__name__)

#: Longest greeting, in bytes, and the time within which it must arrive.
MOST_GREETING_BYTES: Final = 1024
GREETING_S: Final = 5.0
#: Time for which a client waits until there is a leader, and for the connection to it.
LEADER_S: Final = 5.0
CONNECT_S: Final = 2.0
#: Interval between two looks for a leader.
LOOK_S: Final = 0.05
#: Time within which the first line of a request must arrive.
HEAD_S: Final = 10.0
#: Bytes that are passed on at once.
PART_BYTES: Final = 65536
#: Connections that have not sent their greeting yet.
MOST_GREETINGS: Final = 100
BACKLOG: Final = 1024


#: Returns the answer to a request, by its first line; nothing to pass the request on.
Answer = Callable[[bytes], bytes]
NO_ANSWERS: Final[Mapping[str, Answer]] = MappingProxyType({})


class Forwarding:
    """Passes connections on. The listening sockets stay open, for the broker that may serve them itself later."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Mapping[str, list[socket.socket]],
        target: Callable[[], Target | None],
        most: int,
        answers: Mapping[str, Answer] = NO_ANSWERS,
    ) -> None:
        """sockets: bound ones, by protocol. target: returns the port of the present leader, None if there is none.

        most: number of connections that may be open at a time. answers: for protocols whose clients send a line first.
        """
        self._loop = loop
        self._sockets = sockets
        self._target = target
        self._most = most
        self._answers = answers
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        for protocol, sockets in self._sockets.items():
            for sock in sockets:
                sock.listen(BACKLOG)
                self._loop.add_reader(sock, self._accept, protocol, sock)

    async def close(self) -> None:
        """Accept no more connections, and end those that are open."""
        for sockets in self._sockets.values():
            for sock in sockets:
                self._loop.remove_reader(sock)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, protocol: str, sock: socket.socket) -> None:
        try:
            client, address = sock.accept()
        except OSError:
            return
        if len(self._tasks) >= self._most:
            client.close()
            return
        client.setblocking(False)
        task = self._loop.create_task(self._forward(protocol, client, address[0], address[1]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, protocol: str, client: socket.socket, host: str, port: int) -> None:
        writers: list[asyncio.StreamWriter] = []
        try:
            reader, writer = await asyncio.open_connection(sock=client)
            writers.append(writer)
            head = b""
            if protocol in self._answers:
                head = await asyncio.wait_for(reader.readuntil(b"\n"), HEAD_S)
                answer = self._answers[protocol](head)
                if answer:
                    # Unread bytes would reset the connection, and the client would lose the answer.
                    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_S)
                    writers.clear()
                    writer.write(answer)
                    writer.close()
                    await asyncio.wait_for(writer.wait_closed(), HEAD_S)
                    return
            target = await self._found()
            if target is None:
                log.warning("no broker leads, so that the connection from %s is closed", shown(host, port))
                return
            there, behind = await asyncio.wait_for(asyncio.open_connection(target.host, target.port), CONNECT_S)
            writers.append(behind)
            behind.write(greeting(target.secret, protocol, host, port) + head)
            await asyncio.gather(_pass(reader, behind), _pass(there, writer))
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.info("a connection from %s to the leader has ended: %s", shown(host, port), error)
        finally:
            for each in writers:
                each.transport.abort()
            if not writers:
                client.close()

    async def _found(self) -> Target | None:
        """Return the leader's port, after waiting for it."""
        end = self._loop.time() + LEADER_S
        while (target := self._target()) is None and self._loop.time() < end:
            await asyncio.sleep(LOOK_S)
        return target


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on the bytes of one direction until its end. Then the other direction ends too."""
    while data := await reader.read(PART_BYTES):
        writer.write(data)
        await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof()


def greeting(secret: str, protocol: str, host: str, port: int) -> bytes:
    text = json.dumps({"secret": secret, "protocol": protocol, "host": host, "port": port}).encode()
    return len(text).to_bytes(2, "big") + text


#: Serves a client's socket; called with the socket and the client's host and port.
Serve = Callable[[socket.socket, str, int], None]


class ForwardedListener:
    """The port of a leader at which waiting brokers connect. A client without the secret is disconnected."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, secret: str, serve: Mapping[str, Serve]
    ) -> None:
        """sock: bound. serve: by protocol."""
        self._loop = loop
        self._socket = sock
        self._secret = secret
        self._serve = serve
        self._greetings: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._socket.listen(BACKLOG)
        self._loop.add_reader(self._socket, self._accept)

    async def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()
        tasks = list(self._greetings)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self) -> None:
        try:
            client, _ = self._socket.accept()
        except OSError:
            return
        if len(self._greetings) >= MOST_GREETINGS:
            client.close()
            return
        client.setblocking(False)
        task = self._loop.create_task(self._greet(client))
        self._greetings.add(task)
        task.add_done_callback(self._greetings.discard)

    async def _greet(self, client: socket.socket) -> None:
        try:
            protocol, host, port = await asyncio.wait_for(self._greeting(client), GREETING_S)
        except (OSError, ValueError, KeyError, TypeError, TimeoutError):
            log.warning("a connection at the port for other brokers is closed: it has no valid greeting")
            client.close()
            return
        except asyncio.CancelledError:
            client.close()
            raise
        self._serve[protocol](client, host, port)

    async def _greeting(self, client: socket.socket) -> tuple[str, str, int]:
        """Return the protocol and the client's address. Raises ValueError, KeyError, TypeError, OSError."""
        size = int.from_bytes(await self._read(client, 2), "big")
        if size > MOST_GREETING_BYTES:
            raise ValueError(size)
        told = json.loads(await self._read(client, size))
        if not hmac.compare_digest(str(told["secret"]).encode(), self._secret.encode()):
            raise ValueError("wrong secret")
        protocol, host, port = told["protocol"], told["host"], told["port"]
        if protocol not in self._serve or not isinstance(host, str) or not isinstance(port, int):
            raise ValueError(protocol)
        return protocol, host, port

    async def _read(self, client: socket.socket, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = await self._loop.sock_recv(client, size - len(found))
            if not part:
                raise ValueError("cut off")
            found += part
        return found
