"""Frames of a connection, as they are on the wire, for faults."""

from collections.abc import Iterator
from typing import Any

from amqpbroker.wire import methods
from amqpbroker.wire.frames import HEARTBEAT, METHOD, OVERHEAD, frame
from amqpbroker.wire.reader import FrameReader
from amqpbroker.wire.values import MalformedError

#: Kinds beside those of AMQP: the protocol header, and bytes that are not parsed.
GREETING = -1
OPAQUE = -2

_GREETING_BYTES = 8
_HEAD_BYTES = 7
#: More bytes than a connection receives.
_ENDLESS = 1 << 62

_FROM_EITHER = {
    *(
        "connection.close",
        "connection.close-ok",
        "channel.close",
        "channel.close-ok",
        "channel.flow",
        "channel.flow-ok",
    ),
    *("basic.ack", "basic.nack", "basic.cancel", "basic.cancel-ok"),
}
_ANSWERS_OF_CLIENTS = {"connection.start-ok", "connection.secure-ok", "connection.tune-ok"}
_UNASKED_OF_BROKERS = {
    *("connection.start", "connection.secure", "connection.tune", "connection.blocked", "connection.unblocked"),
    *("basic.return", "basic.deliver", "basic.get-empty"),
}


def comes_from(name: str, *, client: bool) -> bool:
    """Return whether clients send this method, or, with client=False, whether brokers do."""
    if name in _FROM_EITHER:
        return True
    answers = name.endswith("-ok") and name not in _ANSWERS_OF_CLIENTS
    return client is not (answers or name in _UNASKED_OF_BROKERS)


class Frame:
    """One frame. data: all its bytes. name: its method, such as "basic.publish"; empty for frames without a method."""

    __slots__ = ("channel", "data", "kind", "name")

    def __init__(self, kind: int, channel: int, data: bytes) -> None:
        self.kind = kind
        self.channel = channel
        self.data = data
        self.name = ""
        if kind == METHOD and len(data) >= _HEAD_BYTES + 5:
            method = methods.METHODS.get(int.from_bytes(data[7:11], "big"))
            self.name = method.name if method is not None else ""

    @property
    def counts(self) -> bool:
        """True unless it is a heartbeat, whose time is arbitrary, or no frame."""
        return self.kind not in (GREETING, OPAQUE, HEARTBEAT)

    @property
    def payload(self) -> bytes:
        return self.data[_HEAD_BYTES:-1]

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of its method; none if they are malformed, which the connection reports."""
        try:
            return methods.decode(methods.BY_NAME[self.name], self.payload, any_bytes=True)
        except MalformedError:
            return {}


class Splitter:
    """Splits bytes that arrive in any pieces into frames.

    greets: the protocol header comes first. passing: number of bytes at the beginning that belong to a frame whose head
    was handled before. largest: a larger payload is not a frame's. After the first bytes that are not a frame, all
    bytes are opaque: the connection is about to end.
    """

    def __init__(self, greets: bool, passing: int, largest: int) -> None:
        self._greets = greets
        self._passing = passing
        self._largest = largest
        self._reader = FrameReader(largest + OVERHEAD)

    def add(self, data: bytes) -> None:
        self._reader.feed(data)

    def split(self) -> Iterator[Frame]:
        """Yield the complete frames. The iteration may be abandoned after any of them, and begun again."""
        while (frame := self.next()) is not None:
            yield frame

    def next(self) -> Frame | None:
        reader = self._reader
        if self._passing and reader.held:
            data = reader.take(self._passing)
            self._passing -= len(data)
            return Frame(OPAQUE, 0, data)
        if self._greets:
            if reader.held < _GREETING_BYTES:
                return None
            self._greets = False
            return Frame(GREETING, 0, reader.take(_GREETING_BYTES))
        head = reader.head()
        if head is None:
            return None
        if head[2] > self._largest:  # the connection refuses it before the payload arrives
            return self._opaque()
        try:
            found = next(reader.frames(), None)
        except MalformedError:
            return self._opaque()
        return None if found is None else Frame(found[0], found[1], frame(*found))

    def rest(self) -> bytes:
        """Remove and return all bytes."""
        return self._reader.take(self._reader.held)

    def _opaque(self) -> Frame | None:
        self._passing = _ENDLESS
        return self.next()
