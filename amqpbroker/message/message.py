"""A message, and a queue's copy of it."""

from typing import Final

from mypy_extensions import mypyc_attr

from amqpbroker.message.pieces import BytesLike, Pieces
from amqpbroker.wire.frames import content_body, content_properties, with_properties
from amqpbroker.wire.properties import headers_of
from amqpbroker.wire.property_flags import HEADERS
from amqpbroker.wire.values import Table, text

#: The flag of headers in the first byte of properties.
_HEADERS: Final = HEADERS >> 8

#: Maximum size of a routing key in bytes.
KEY_BYTES: Final = 255

#: Memory of a message and its entry besides the body, in bytes; close to the measurements of `tests.bench.memory`.
MESSAGE_BYTES: Final = 500


#: `Copy.position` of a copy that is to be written soon, and of a copy that is not stored. A position lower than PENDING
#: is the number of the group with which the copy is to be written.
PENDING: Final = -1
NOT_STORED: Final = 0


# Acyclic: a message refers to bytes and to decoded headers, which are trees of plain values.
@mypyc_attr(acyclic=True)
class Message:
    """A published message. Immutable, and shared by all queues that hold it.

    address: exchange and routing key as two AMQP shortstrs, in the bytes of basic.publish and basic.deliver.
    properties: property flags and property list as in the content header (AMQP 0-9-1 section 4.2.6.1). body: the whole
    body. size: its length in bytes. persistent: delivery mode 2. priority: 0 if none was given. expiration_ms:
    per-message TTL, -1 for none. headers: the headers property, or None if there is none. undecoded: the headers have
    not been decoded yet. extra_keys: further routing keys, from the CC and BCC headers. cc_keys: number of `extra_keys`
    from CC (they come first). died: its headers have the broker's own record of its dead-letterings (see `Deaths`), not
    one that a client sent. frames, frames_channel: the content frames (header, one body frame) for one channel number,
    as received or last delivered. A message received as frames is kept as frames: properties and body are extracted on
    first use.
    """

    __slots__ = (
        "_body",
        "_headers",
        "_pieces",
        "_properties",
        "address",
        "cc_keys",
        "died",
        "expiration_ms",
        "extra_keys",
        "frames",
        "frames_channel",
        "persistent",
        "priority",
        "size",
        "undecoded",
    )

    def __init__(
        self,
        address: bytes,
        properties: bytes | None,
        body: bytes | Pieces | None,
        size: int = 0,
        frames: bytes | None = None,
        frames_channel: int = 0,
    ) -> None:
        """Pass either `properties` and `body`, or `frames` with its channel and the body's size."""
        self.address: bytes = address
        self._properties: bytes | None = properties
        self._body: bytes | None = None
        self._pieces: Pieces | None = None
        self.size: int = size
        if isinstance(body, bytes):
            self._body = body
            self.size = len(body)
        elif body is not None:
            self._pieces = body
            self.size = body.size
        self.frames: bytes | None = frames
        self.frames_channel: int = frames_channel
        self.persistent: bool = False
        self.priority: int = 0
        self.expiration_ms: int = -1
        self._headers: Table | None = None
        self.undecoded: bool = False
        self.extra_keys: tuple[bytes, ...] = ()
        self.cc_keys: int = 0
        self.died: bool = False

    def set_frames(self, frames: bytes, channel: int) -> None:
        """Set the content frames, which are now for the channel with that number."""
        self.frames = frames
        self.frames_channel = channel

    @property
    def properties(self) -> bytes:
        if self._properties is not None:
            return self._properties
        assert self.frames is not None
        return content_properties(self.frames)

    @property
    def body(self) -> bytes:
        if self._body is not None:
            return self._body
        if self._pieces is not None:
            self._body = self._pieces.join()
            self._pieces = None
            return self._body
        assert self.frames is not None
        return content_body(self.frames, self.size)

    @property
    def headers(self) -> Table | None:
        if self.undecoded:
            self.undecoded = False
            self._headers = headers_of(self.properties)
        return self._headers

    @headers.setter
    def headers(self, headers: Table | None) -> None:
        self.undecoded = False
        self._headers = headers

    def body_parts(self) -> list[BytesLike]:
        """Return the body as a list of parts, without copying."""
        if self._body is not None:
            return [self._body]
        if self._pieces is not None:
            return self._pieces.parts
        assert self.frames is not None
        return [memoryview(self.frames)[len(self.frames) - 1 - self.size : -1]]

    def replace_properties(self, properties: bytes) -> None:
        """Replace the properties. Allowed only while the publish is being handled."""
        if self.frames is None:
            self._properties = properties
        else:
            self.frames = with_properties(self.frames, properties)

    def restore(self, persistent: bool, priority: int, extra_keys: tuple[bytes, ...], cc_keys: int, died: bool) -> None:
        """Set the attributes that the frames do not contain, for a message from the store or from a spill file."""
        self.persistent = persistent
        self.priority = priority
        self.extra_keys = extra_keys
        self.cc_keys = cc_keys
        self.died = died

    def set_extra_keys(self, keys: tuple[bytes, ...], cc_keys: int) -> None:
        """Set the further routing keys. cc_keys: number of keys of CC, which come before those of BCC."""
        self.extra_keys = keys
        self.cc_keys = cc_keys

    def mark_dead(self) -> None:
        """Turn the message into a dead letter: it does not expire, and has a record of its deaths."""
        self.expiration_ms = -1
        self.died = True

    def rewritten(self, address: bytes, properties: bytes) -> "Message":
        """Return a copy with another address and other properties."""
        if self.frames is not None:
            frames = with_properties(self.frames, properties)
            message = Message(address, None, None, self.size, frames, self.frames_channel)
        else:
            message = Message(address, properties, self._body if self._pieces is None else self._pieces)
        message.persistent = self.persistent
        message.priority = self.priority
        message.expiration_ms = self.expiration_ms
        message.undecoded = properties[0] & _HEADERS != 0
        message.extra_keys = self.extra_keys
        message.cc_keys = self.cc_keys
        message.died = self.died
        return message

    @property
    def exchange(self) -> str:
        return text(self.address[1 : 1 + self.address[0]])

    @property
    def routing_key(self) -> bytes:
        return self.address[2 + self.address[0] :]

    @property
    def routing_keys(self) -> tuple[bytes, ...]:
        """Routing keys for finding a route: the routing key, then the CC and BCC keys."""
        return (self.routing_key, *self.extra_keys)


def encode_address(exchange: str, routing_key: bytes) -> bytes:
    """Return the `Message.address` of an exchange and a routing key."""
    name = exchange.encode("utf-8", "surrogateescape")
    return b"%c%b%c%b" % (len(name), name, len(routing_key), routing_key)


# Acyclic: a copy refers only to its message, which is acyclic. See `Entry` for the rules of that subclass.
@mypyc_attr(acyclic=True)
class Copy:
    """A queue's copy of a message.

    holder_id: the queue's id in the store. sequence: position among the queue's copies. deadline_ms: when the copy
    expires or is due; milliseconds since the epoch, 0 for never. delivery_count: number of returns that count against a
    delivery limit. delivered_ms: time of the last delivery (`Clock.turn_ms`), -1 for never; set by the holder.
    position: position in the store, or a value for copies that are not stored; set by the store.
    """

    __slots__ = ("deadline_ms", "delivered_ms", "delivery_count", "holder_id", "message", "position", "sequence")

    def __init__(self, message: Message, holder_id: int, sequence: int, deadline_ms: int) -> None:
        self.message: Message = message
        self.holder_id: int = holder_id
        self.sequence: int = sequence
        self.deadline_ms: int = deadline_ms
        self.delivery_count: int = 0
        self.delivered_ms: int = -1
        self.position: int = 0
