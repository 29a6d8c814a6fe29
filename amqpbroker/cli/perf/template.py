"""The bytes of publishes, encoded once: what is sent is a slice of them."""

from dataclasses import dataclass
from typing import Any

from amqpbroker.cli.perf.stamp import MARK_BYTES, STAMP
from amqpbroker.wire import frames, methods
from amqpbroker.wire.properties import encode_properties

#: How much goes to the socket in one write.
CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Kind:
    """What is published. max_priority: the messages have the priorities 0 to that in turn; None: none."""

    exchange: str
    routing_key: str
    size: int
    properties: dict[str, Any]
    mandatory: bool = False
    max_priority: int | None = None
    #: What marks the stamps of this run; empty: no stamps.
    mark: bytes = b""
    #: The body; empty: one is made up.
    body: bytes = b""


class Template:
    """Publishes on one channel, all of `each` octets and with bodies of `size`.

    What `take` returns is overwritten by the next.
    """

    def __init__(self, kind: Kind, frame_max: int, chunk_bytes: int = CHUNK_BYTES, channel: int = 1) -> None:
        body = kind.body or (STAMP.pack(kind.mark, 0) if kind.mark else b"").ljust(kind.size, b"x")
        arguments = {"exchange": kind.exchange, "routing_key": kind.routing_key, "mandatory": kind.mandatory}
        method = frames.frame(frames.METHOD, channel, methods.encode("basic.publish", **arguments))
        variants = []
        for priority in [None] if kind.max_priority is None else range(kind.max_priority + 1):
            properties = kind.properties if priority is None else kind.properties | {"priority": priority}
            variants.append(method + frames.content(channel, encode_properties(properties), body, frame_max))
        self.size = len(body)
        self.each = len(variants[0])
        self.most = max(1, chunk_bytes // self.each)
        header_bytes = frames.OVERHEAD + int.from_bytes(variants[0][len(method) + 3 : len(method) + 7], "big")
        self._stamp_at = len(method) + header_bytes + 7 + MARK_BYTES
        self._turn = len(variants)
        self._next = 0
        self._chunk = bytearray(b"".join(variants) * -(-(self.most + self._turn - 1) // self._turn))
        self._view = memoryview(self._chunk)

    def take(self, count: int) -> memoryview:
        """The next `count` publishes, at most `most`."""
        start = self._next * self.each
        self._next = (self._next + count) % self._turn
        return self._view[start : start + count * self.each]

    def take_stamped(self, count: int, stamps_ns: list[int]) -> memoryview:
        """As `take`; stamps: one for all of them, or one for each."""
        start = self._next * self.each
        if len(stamps_ns) == 1:
            stop = start + count * self.each
            for column, octet in enumerate(stamps_ns[0].to_bytes(8, "big"), start + self._stamp_at):
                self._chunk[column : stop : self.each] = bytes((octet,)) * count
        else:
            for at, stamp_ns in enumerate(stamps_ns):
                offset = start + at * self.each + self._stamp_at
                self._chunk[offset : offset + 8] = stamp_ns.to_bytes(8, "big")
        return self.take(count)
