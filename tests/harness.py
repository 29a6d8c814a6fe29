"""A client without a socket: feeds a `Connection` with bytes and parses its answers.

`Wire` has a parameter `cut`, which divides input into pieces, so that every script can be run whole, byte by byte and
with random splits.
"""

import random
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from amqpbroker.amqp.connection import Connection
from amqpbroker.amqp.handover import OnElsewhere
from amqpbroker.amqp.peer import Encryption, Peer
from amqpbroker.broker.broker import Broker
from amqpbroker.client.login import PROTOCOL_HEADER, Login, announced
from amqpbroker.clock import Clock, ManualClock
from amqpbroker.config import Config
from amqpbroker.store.definitions.definitions import VhostDefinition
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, content, frame
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.reader import FrameReader
from amqpbroker.wire.values import longstr

Cut = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def single_bytes(data: bytes) -> Iterator[bytes]:
    for i in range(len(data)):
        yield data[i : i + 1]


def random_cut(seed: int) -> Cut:
    """Return a function that always cuts the same bytes at the same positions."""

    def cut(data: bytes) -> Iterator[bytes]:
        chance = random.Random(f"{seed} {zlib.crc32(data)}")
        while data:
            size = chance.choice((1, 2, 7, 8, 20, 100, 1000))
            yield data[:size]
            data = data[size:]

    return cut


CUTS = {"whole": whole, "single_bytes": single_bytes, "random": random_cut(1)}


class Received(NamedTuple):
    """A method from the broker, with its content if it has one."""

    channel: int
    name: str
    arguments: dict[str, Any]
    properties: dict[str, Any] | None = None
    body: bytes | None = None


def make_broker(clock: Clock | None = None, **settings: Any) -> Broker:
    return Broker(Config(**settings), clock or ManualClock(), MemoryStore())


def lead_elsewhere(broker: Broker, *vhosts: str) -> None:
    """Make a broker know of vhosts that another one leads, beside those that it serves."""
    broker.shares_vhosts = True
    for name in vhosts:
        broker.restore_vhost(VhostDefinition(name))


class LaggingStore(MemoryStore):
    """A store that syncs only on request of the test. counted: bytes of the pending answers."""

    def __init__(self) -> None:
        super().__init__()
        self.counted = 0

    def count_answer(self, size: int) -> None:
        self.counted += size

    def sync(self) -> None:
        pass


#: Bytes of a protocol header.
HEADER_BYTES = 8


class Answers:
    """Parses the broker's bytes into methods with their contents. heartbeats: number of heartbeats so far."""

    def __init__(self) -> None:
        self.heartbeats = 0
        self._reader = FrameReader(0)
        self._partial: Received | None = None
        self._left = 0
        #: The answer to another version, as far as it has arrived.
        self._header = b""

    @property
    def is_between(self) -> bool:
        """Return whether everything that was read is complete: no part of a frame or of a content is left."""
        return self._reader.held == 0 and self._partial is None

    def read(self, data: bytes) -> list[Received]:
        """Return the methods that these bytes complete."""
        if self._header or (self.is_between and data.startswith(b"A")):  # no frame begins so
            header, self._header = self._header + data, b""
            if len(header) >= HEADER_BYTES:
                return [Received(0, "protocol-header", {"header": header})]
            self._header = header
            return []
        self._reader.feed(data)
        got = [self._frame(*frame) for frame in self._reader.frames()]
        return [one for one in got if one is not None]

    def _frame(self, kind: int, channel: int, payload: bytes) -> Received | None:
        if kind == 8:
            self.heartbeats += 1
            return None
        if kind == METHOD:
            assert self._partial is None, "a method within a content"
            method = methods.METHODS[int.from_bytes(payload[:4], "big")]
            got = Received(channel, method.name, methods.decode(method, payload, any_bytes=True))
            if method.name not in ("basic.deliver", "basic.return", "basic.get-ok"):
                return got
            self._partial = got._replace(body=b"")
            self._left = -1
            return None
        assert self._partial is not None
        assert self._partial.channel == channel
        if kind == 2:
            self._left = int.from_bytes(payload[4:12], "big")
            self._partial = self._partial._replace(properties=decode_properties(payload[12:]))
        else:
            assert self._partial.body is not None
            self._left -= len(payload)
            self._partial = self._partial._replace(body=self._partial.body + payload)
        if self._left:
            return None
        got, self._partial = self._partial, None
        return got


class Wire:
    """One client connection.

    `send` and `publish` write; `receive` runs event loop iterations and returns the answers.
    """

    def __init__(
        self,
        broker: Broker,
        cut: Cut = whole,
        host: str = "127.0.0.1",
        tls: Encryption | None = None,
        on_elsewhere: OnElsewhere | None = None,
    ) -> None:
        self.broker = broker
        self.dirty = False
        peer = Peer(host, 40000, "127.0.0.1", 5672, tls)
        self.connection = Connection(broker, peer, self._on_dirty, on_elsewhere)
        self._cut = cut
        self._answers = Answers()

    def _on_dirty(self) -> None:
        self.dirty = True

    # --- output
    # ---------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        for piece in self._cut(data):
            self.connection.feed(piece)

    def send(self, channel: int, name: str, **arguments: Any) -> None:
        self.feed(method(name, channel, **arguments))

    def publish(
        self,
        routing_key: str,
        body: bytes = b"",
        exchange: str = "",
        channel: int = 1,
        mandatory: bool = False,
        **properties: Any,
    ) -> None:
        self.feed(published(routing_key, body, exchange, channel, mandatory, **properties))

    @property
    def is_between(self) -> bool:
        """Return whether everything that was read is complete: no part of a frame or of a content is left."""
        return self._answers.is_between

    # --- input
    # ----------------------------------------------------------------------------------------------------------

    def turn(self) -> bytes:
        """End event loop iterations until nothing more is written; return the bytes."""
        data = b""
        self.broker.sync()
        while self.dirty:
            self.dirty = False
            self.broker.sync()
            data += b"".join(self.connection.collect())
        return data

    def receive(self) -> list[Received]:
        return self.read(self.turn())

    def read(self, data: bytes) -> list[Received]:
        """Return the methods that these bytes, a result of `turn`, complete."""
        return self._answers.read(data)

    @property
    def heartbeats(self) -> int:
        """Number of heartbeats sent by the broker since it was last set."""
        return self._answers.heartbeats

    @heartbeats.setter
    def heartbeats(self, count: int) -> None:
        self._answers.heartbeats = count

    def call(self, channel: int, name: str, **arguments: Any) -> Received:
        """Send a method and return its only answer."""
        self.send(channel, name, **arguments)
        answers = self.receive()
        assert len(answers) == 1, answers
        return answers[0]

    def closed(self) -> tuple[int, str]:
        """Return code and text of the connection.close, which is all that was received."""
        (got,) = self.receive()
        assert (got.channel, got.name) == (0, "connection.close"), got
        return got.arguments["reply_code"], got.arguments["reply_text"]

    # --- whole operations
    # -----------------------------------------------------------------------------------------------

    def log_in(
        self,
        user: str = "guest",
        password: str = "guest",
        vhost: str = "/",
        heartbeat: int = 0,
        frame_max: int = 131072,
        capabilities: tuple[str, ...] = ("consumer_cancel_notify", "authentication_failure_close"),
        connection_name: str | None = None,
    ) -> "Wire":
        """Perform the whole handshake, and open channel 1."""
        properties = announced(capabilities)
        if connection_name is not None:
            properties["connection_name"] = longstr(connection_name)
        login = Login(properties, ("PLAIN",), user, password, lambda _: heartbeat, 2047, frame_max)
        self.feed(PROTOCOL_HEADER)
        (start,) = self.receive()
        self.feed(login.start_ok(start.arguments))
        (tune,) = self.receive()
        assert tune.name == "connection.tune", tune
        self.feed(login.tuned(tune.arguments).frame())
        got = self.call(0, "connection.open", virtual_host=vhost)
        assert got.name == "connection.open-ok", got
        got = self.call(1, "channel.open")
        assert got.name == "channel.open-ok", got
        return self

    def declare(self, queue: str = "", channel: int = 1, **arguments: Any) -> str:
        got = self.call(channel, "queue.declare", queue=queue, **arguments)
        assert got.name == "queue.declare-ok", got
        name: str = got.arguments["queue"]
        return name

    def depth(self, queue: str, channel: int = 1) -> int:
        got = self.call(channel, "queue.declare", queue=queue, passive=True)
        assert got.name == "queue.declare-ok", got
        count: int = got.arguments["message_count"]
        return count

    def consume(self, queue: str, tag: str = "c", channel: int = 1, **arguments: Any) -> list[Received]:
        """Start a consumer; return its immediate deliveries."""
        self.send(channel, "basic.consume", queue=queue, consumer_tag=tag, **arguments)
        got = self.receive()
        assert got, "no answer"
        assert got[0].name == "basic.consume-ok", got
        return got[1:]

    def get(self, queue: str, channel: int = 1, no_ack: bool = True) -> Received:
        return self.call(channel, "basic.get", queue=queue, no_ack=no_ack)


def method(name: str, channel: int = 1, **arguments: Any) -> bytes:
    """Return one method frame."""
    return frame(METHOD, channel, methods.encode(name, **arguments))


def published(
    routing_key: str,
    body: bytes = b"",
    exchange: str = "",
    channel: int = 1,
    mandatory: bool = False,
    frame_max: int = 131072,
    **properties: Any,
) -> bytes:
    """Return the frames of one basic.publish; pass shortstr properties as str or bytes."""
    values = {name: value.encode() if isinstance(value, str) else value for name, value in properties.items()}
    method = methods.encode("basic.publish", exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    return frame(METHOD, channel, method) + content(channel, encode_properties(values), body, frame_max)
