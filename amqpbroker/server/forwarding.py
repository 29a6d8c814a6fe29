"""Connections of a broker that waits: each is passed on to the leader, with the address of its client.

The waiting broker connects to a port of the leader that is only for this purpose. The leader sends 16 random bytes. The
waiting broker answers with a greeting: two bytes with the length of a JSON list, which has the protocol, the client's
address, the process of the waiting broker, and an HMAC of these and of the random bytes, whose key is the leader's
secret. Then it passes on the bytes of both sides as they are, TLS included. The greeting of a relayed connection
(relaying.py) also has its TLS parameters, if TLS ended at the broker that relays it, and the user of a connection from
within that broker, which has no password. The leader answers it with a proof that it knows the secret, too, since the
client's password follows.
"""

import asyncio
import hmac
import json
import logging
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from amqpbroker.amqp.peer import Encryption, encryption_from
from amqpbroker.broker.users.users import BROKER, User
from amqpbroker.server.listeners import shown
from amqpbroker.server.protocols import PEER, RELAYED
from amqpbroker.store.database.leadership import Target

log = logging.getLogger(__name__)

#: Random bytes that begin a connection, so that a greeting cannot be used again.
NONCE_BYTES: Final = 16
#: Bytes of a leader's proof.
PROOF_BYTES: Final = 32
#: Longest greeting, in bytes, and the time within which it must arrive. The names of a certificate may be long.
MOST_GREETING_BYTES: Final = 32 * 1024
GREETING_S: Final = 5.0
#: Time for which a client waits until there is a leader, and for the connection to it.
LEADER_S: Final = 5.0
CONNECT_S: Final = 2.0
#: Interval between two looks for a leader.
LOOK_S: Final = 0.05
#: Interval at which connections to earlier leaders are ended, and time for the last bytes of a connection.
OTHERS_S: Final = 0.5
LINGER_S: Final = 5.0
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
        process: str = "",
    ) -> None:
        """sockets: bound ones, by protocol. target: returns the port of the present leader, None if there is none.

        most: number of connections that may be open at a time. answers: for protocols whose clients send a line first.
        process: of this broker.
        """
        self._loop = loop
        self._sockets = sockets
        self._target = target
        self._most = most
        self._answers = answers
        self._process = process
        self._tasks: set[asyncio.Task[None]] = set()
        #: Open connections, and the leader of each.
        self._leaders: dict[asyncio.Task[None], Target] = {}
        self._looking: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._end_others()
        for protocol, sockets in self._sockets.items():
            for sock in sockets:
                sock.listen(BACKLOG)
                self._loop.add_reader(sock, self._accept, protocol, sock)

    def _end_others(self) -> None:
        """End connections to earlier leaders, which may be gone without a word, again and again."""
        target = self._target()
        if target is not None:
            for task, leader in list(self._leaders.items()):
                if leader != target:
                    task.cancel()
        self._looking = self._loop.call_later(OTHERS_S, self._end_others)

    async def close(self) -> None:
        """Accept no more connections, and end those that are open."""
        if self._looking is not None:
            self._looking.cancel()
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
        task = asyncio.current_task()
        assert task is not None
        writers: list[asyncio.StreamWriter] = []
        try:
            reader, writer = await asyncio.open_connection(sock=client)
            writers.append(writer)
            head = b""
            if protocol in self._answers:
                head = await asyncio.wait_for(reader.readuntil(b"\n"), HEAD_S)
                answer = self._answers[protocol](head)
                if answer:
                    await asyncio.wait_for(_reply(reader, writer, answer), HEAD_S)
                    return
            target = await self._found()
            if target is None:
                log.warning("no broker leads, so that the connection from %s is closed", shown(host, port))
                return
            there, behind = await asyncio.wait_for(asyncio.open_connection(target.host, target.port), CONNECT_S)
            writers.append(behind)
            nonce = await asyncio.wait_for(there.readexactly(NONCE_BYTES), CONNECT_S)
            behind.write(greeting(target.secret, nonce, protocol, host, port, self._process) + head)
            self._leaders[task] = target
            sending = self._loop.create_task(_pass(reader, behind))
            try:
                # When the leader has ended the connection, the client is not waited for.
                await _pass(there, writer)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.info("a connection from %s to the leader has ended: %s", shown(host, port), error)
        finally:
            self._leaders.pop(task, None)
            for each in writers:
                # The last bytes are still sent.
                each.close()
                self._loop.call_later(LINGER_S, each.transport.abort)
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


async def _reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
    """Answer a request whose first line was read. Unread bytes would reset the connection, with the answer."""
    while (await reader.readuntil(b"\n")).strip():
        pass
    writer.write(answer)
    await writer.drain()


class TooLongError(ValueError):
    """A greeting that no broker accepts, because of the names in the client's certificate."""


def greeting(
    secret: str,
    nonce: bytes,
    protocol: str,
    host: str,
    port: int,
    process: str = "",
    tls: Encryption | None = None,
    user: User | None = None,
) -> bytes:
    """Return the greeting. user: of a connection from within this process. Raises TooLongError."""
    facts: list[object] = [protocol, host, port, process]
    if tls is not None or user is not None:
        facts.append(None if tls is None else tls.facts())
    if user is not None:
        facts.append([] if user is BROKER else [user.name])
    text = json.dumps([_code(secret, nonce, facts), *facts]).encode()
    if len(text) > MOST_GREETING_BYTES:
        raise TooLongError(f"a greeting of {len(text)} bytes is too long")
    return len(text).to_bytes(2, "big") + text


def _code(secret: str, nonce: bytes, facts: list[object]) -> str:
    return hmac.new(secret.encode(), nonce + json.dumps(facts).encode(), "sha256").hexdigest()


def proof(secret: str, greeting_bytes: bytes) -> bytes:
    """Return a leader's answer to the greeting of a relayed connection, or of a broker that sends a request itself."""
    return hmac.new(secret.encode(), b"leader" + greeting_bytes, "sha256").digest()


class PassedOn(NamedTuple):
    """A connection that another broker passes on.

    protocol, host, port: of the client. process: of that broker. tls: of the client, if TLS ended at that broker.
    inside: name of the user of a connection from within that process, empty for the broker itself; None for a client.
    """

    protocol: str
    host: str
    port: int
    process: str
    tls: Encryption | None = None
    inside: Sequence[str] | None = None


#: Serves a client's socket.
Serve = Callable[[socket.socket, PassedOn], None]


def _further(tls: Any = None, inside: Any = None) -> tuple[Encryption | None, Sequence[str] | None]:
    """Return the TLS parameters and the user of a greeting. Raises ValueError, TypeError."""
    match inside:
        case None | [] | [str()]:
            return None if tls is None else encryption_from(tls), inside
    raise ValueError("not a user")


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
            passed_on = await asyncio.wait_for(self._greeting(client), GREETING_S)
        except asyncio.CancelledError:
            client.close()
            raise
        except Exception:
            log.warning("a connection at the port for other brokers is closed: it has no valid greeting")
            client.close()
            return
        self._serve[passed_on.protocol](client, passed_on)

    async def _greeting(self, client: socket.socket) -> PassedOn:
        """Read the greeting. Raises ValueError, KeyError, TypeError, OSError."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        await self._loop.sock_sendall(client, nonce)
        head = await self._read(client, 2)
        size = int.from_bytes(head, "big")
        if size > MOST_GREETING_BYTES:
            raise ValueError(size)
        text = await self._read(client, size)
        code, *facts = json.loads(text)
        expected = _code(self._secret, nonce, facts)
        if not hmac.compare_digest(str(code).encode(), expected.encode()):
            raise ValueError("wrong secret")
        protocol, host, port, process, *further = facts
        if not (isinstance(host, str) and isinstance(port, int) and isinstance(process, str)):
            raise TypeError(host)
        if protocol not in self._serve:
            raise ValueError(protocol)
        passed_on = PassedOn(protocol, host, port, process, *_further(*further))
        if protocol == RELAYED or process.startswith(PEER):
            await self._loop.sock_sendall(client, proof(self._secret, head + text))
        return passed_on

    async def _read(self, client: socket.socket, size: int) -> bytes:
        found = b""
        while len(found) < size:
            part = await self._loop.sock_recv(client, size - len(found))
            if not part:
                raise ValueError("cut off")
            found += part
        return found
