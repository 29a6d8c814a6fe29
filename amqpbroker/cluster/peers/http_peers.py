"""Requests of HTTP to other brokers, over the port for connections that brokers pass on to each other."""

import asyncio
import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any, Final, final

import h11

from amqpbroker.cluster.leadership.leadership import Leader, Target
from amqpbroker.cluster.peers.peer_port import CONNECT_S, NONCE_BYTES, PROOF_BYTES, greeting, proof
from amqpbroker.cluster.requests.peers import NotSentError, Peer, PeerAnswer, PeerRequest, Peers
from amqpbroker.server.protocols import PEER

#: Most bytes that are read at once.
READ_BYTES: Final = 65536
#: Time limit for each further part of an answer.
PART_S: Final = 60.0

#: Methods whose requests have a body, even an empty one.
_WITH_BODY: Final = ("PUT", "POST")


@final
class HttpPeers(Peers):
    """The brokers that share one database. Each request has a connection of its own.

    The port of a broker accepts only connections that know its secret. So a broker believes another one who the sender
    of a request is.
    """

    def __init__(
        self,
        here: Leader,
        serving: Callable[[str], Leader | None],
        writer: Callable[[], Leader | None],
        others: Callable[[], Iterable[Leader]],
        catch_up: Callable[[], Awaitable[None]],
    ) -> None:
        """serving, writer, others, catch_up: see Peers; they return brokers with their ports."""
        self.here = _peer(here)
        self._serving = serving
        self._writer = writer
        self._others = others
        self._catch_up = catch_up

    def serving(self, vhost: str) -> Peer | None:
        found = self._serving(vhost)
        return None if found is None else _peer(found)

    def writer(self) -> Peer | None:
        found = self._writer()
        return None if found is None else _peer(found)

    def others(self) -> list[Peer]:
        return [_peer(broker) for broker in self._others() if broker.process != self.here.process]

    async def request(self, peer: Peer, request: PeerRequest, limit_s: float) -> PeerAnswer:
        target = next((broker.target for broker in self._others() if broker.process == peer.process), None)
        if target is None or not target.port:
            raise NotSentError(f"the port of broker '{peer.name}' is not known")
        reader, writer, nonce = await _connect(target)
        try:
            host, port = request.client
            greeted = greeting(target.secret, nonce, PEER, host, port, self.here.process)
            writer.write(greeted)
            await _check(reader, proof(target.secret, greeted))
            exchange = _Exchange(reader)
            async with asyncio.timeout(limit_s):
                writer.write(exchange.encoded(request))
                await writer.drain()
                status, headers = await exchange.head()
        except TimeoutError as error:
            writer.transport.abort()
            raise TimeoutError(str(error) or f"no answer in {limit_s:g} s") from None
        except BaseException:
            writer.transport.abort()
            raise
        return PeerAnswer(status, headers, exchange.parts(writer))

    async def catch_up(self) -> None:
        await self._catch_up()


async def _check(reader: asyncio.StreamReader, expected: bytes) -> None:
    """Check that a broker is what listens there, before it gets the request. Raises NotSentError."""
    try:
        async with asyncio.timeout(CONNECT_S):
            given = await reader.readexactly(PROOF_BYTES)
    except EOFError as error:
        raise NotSentError("it has closed the connection") from error
    except OSError as error:
        raise NotSentError(str(error) or "no answer in time") from error
    if not hmac.compare_digest(given, expected):
        raise NotSentError("another process listens there, which does not know the secret of the broker")


def _peer(broker: Leader) -> Peer:
    return Peer(broker.name, broker.process)


async def _connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """Connect to the port of a broker; return the random bytes that it has sent, too. Raises NotSentError."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(target.host, target.port)
            return reader, writer, await reader.readexactly(NONCE_BYTES)
    except (OSError, EOFError) as error:
        if writer is not None:
            writer.transport.abort()
        raise NotSentError(str(error) or "no connection in time") from error
    except BaseException:
        if writer is not None:
            writer.transport.abort()
        raise


class _Exchange:
    """One request and its answer. Methods that read raise OSError if the connection ends, or for invalid HTTP."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._connection = h11.Connection(h11.CLIENT)

    def encoded(self, request: PeerRequest) -> bytes:
        """Return the bytes of the request."""
        found = [*request.headers, ("connection", "close")]
        if request.body or request.method in _WITH_BODY:
            found.append(("content-length", str(len(request.body))))
        if all(name.lower() != "host" for name, _ in found):
            found.append(("host", "peer"))
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in found]
        sent: Any = self._connection.send
        head = sent(h11.Request(method=request.method, target=request.target, headers=headers))
        body = sent(h11.Data(data=request.body)) if request.body else b""
        return bytes(head + body + sent(h11.EndOfMessage()))

    async def head(self) -> tuple[int, list[tuple[str, str]]]:
        """Return the status and the headers of the answer."""
        event = await self._next()
        while isinstance(event, h11.InformationalResponse):
            event = await self._next()
        if not isinstance(event, h11.Response):
            raise ConnectionError("no answer")
        return event.status_code, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]

    async def parts(self, writer: asyncio.StreamWriter) -> AsyncGenerator[bytes, None]:
        """Yield the body. writer: of the connection, which is closed at the end."""
        try:
            while True:
                async with asyncio.timeout(PART_S):
                    event = await self._next()
                if not isinstance(event, h11.Data):
                    return
                yield bytes(event.data)
        finally:
            writer.close()

    async def _next(self) -> Any:
        try:
            while (event := self._connection.next_event()) is h11.NEED_DATA:
                self._connection.receive_data(await self._reader.read(READ_BYTES))
        except h11.RemoteProtocolError as error:
            raise ConnectionError(f"the answer is broken off or invalid: {error}") from None
        return event
