"""The port of a broker at which the other brokers of its database connect: for clients that they relay, and requests.

The broker sends 16 random bytes. The other one answers with a greeting: two bytes with the length of a JSON list, which
has the protocol, the client's address, the process of the other broker, and an HMAC of these and of the random bytes,
whose key is the secret of the port. The greeting of a relayed connection (relaying.py) also has its TLS parameters, if
TLS ended at the other broker, and the user of a connection from within that broker, which has no password. The broker
answers the greeting with a proof that it knows the secret, too, since passwords follow.
"""

import asyncio
import hmac
import json
import logging
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from amqpbroker.amqp.peer import Encryption, encryption_from
from amqpbroker.broker.users.users import BROKER, User
from amqpbroker.cluster.peers.greetings import Greetings
from amqpbroker.server.listeners import start_listening
from amqpbroker.server.shared_vhosts import PeerListener

log = logging.getLogger(__name__)

#: Random bytes that begin a connection, so that a greeting cannot be used again.
NONCE_BYTES: Final = 16
#: Bytes of the proof.
PROOF_BYTES: Final = 32
#: Longest greeting, in bytes, and the time within which it must arrive. The names of a certificate may be long.
MOST_GREETING_BYTES: Final = 32 * 1024
GREETING_S: Final = 5.0
#: Time for a connection to such a port, and for each answer that begins a request.
CONNECT_S: Final = 2.0
#: Connections that have not sent their greeting yet, shared among the addresses from which they come.
MOST_GREETINGS: Final = 100
BACKLOG: Final = 1024
#: Time after an error in which no connection is accepted.
PAUSE_S: Final = 1.0


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
    """Return the answer to a greeting."""
    return hmac.new(secret.encode(), b"leader" + greeting_bytes, "sha256").digest()


class PassedOn(NamedTuple):
    """A connection of another broker.

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


class PeerPort(PeerListener):
    """Accepts connections of other brokers until `close`. A client without the secret is disconnected."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, secret: str, serve: Mapping[str, Serve]
    ) -> None:
        """sock: bound. serve: by protocol."""
        self._loop = loop
        self._socket = sock
        self._secret = secret
        self._serve = serve
        self._greetings = Greetings(MOST_GREETINGS)
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        start_listening(self._socket, BACKLOG)
        self._listen()

    def _listen(self) -> None:
        self._loop.add_reader(self._socket, self._accept)

    async def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()
        await self._greetings.close()

    def _accept(self) -> None:
        try:
            client, address = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.error("cannot accept connections of other brokers: %s", error.strerror)  # noqa: TRY400 - no bug
            # The connection still waits, so the event loop would call this again at once.
            self._loop.remove_reader(self._socket)
            self._pause = self._loop.call_later(PAUSE_S, self._listen)
            return
        if not self._greetings.accepts(address[0]):
            client.close()
            return
        client.setblocking(False)
        self._greetings.add(self._loop.create_task(self._greet(client)), address[0])

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
        try:
            self._serve[passed_on.protocol](client, passed_on)
        except Exception:
            log.exception("internal error with a connection of another broker")
            client.close()

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
