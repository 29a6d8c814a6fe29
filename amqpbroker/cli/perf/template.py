"""Publishes as bytes, ready to be sent: messages that are all alike, and their timestamps."""

import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amqpbroker.cli.perf.schedule import Schedule, Step
from amqpbroker.cli.perf.variety import Variety
from amqpbroker.wire import frames, methods
from amqpbroker.wire.properties import encode_properties

#: Stamp: the mark of the run, then the time by the monotonic clock, in ns.
STAMP = struct.Struct(">8sQ")
MARK_BYTES = 8

now_ns = time.monotonic_ns


#: Maximum bytes of one write to the socket.
CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class Kind:
    """Kind of published messages. max_priority: highest of the priorities, which are used in rotation; None: none."""

    exchange: str
    routing_key: str
    size: int
    properties: dict[str, Any]
    mandatory: bool = False
    max_priority: int | None = None
    #: Mark of the stamps of this run; empty: no stamps.
    mark: bytes = b""
    #: The body; empty: one is made up.
    body: bytes = b""
    #: Differences between the messages; None: they are all alike.
    variety: Variety | None = None


class EncodedPublishes(ABC):
    """Publishes without end, whole and in order. The next call overwrites the result of the last."""

    #: Number of messages that the next call may return at most, and bytes of the bodies of the last ones.
    most: int
    last_bytes: int

    @abstractmethod
    def next_publishes(self, count: int) -> memoryview:
        """Return the next `count` publishes, at most `most`."""

    @abstractmethod
    def next_stamped(self, count: int, stamps_ns: list[int]) -> memoryview:
        """Return the same with timestamps: one for all of them, or one for each."""

    @abstractmethod
    def unsent(self, left: int) -> tuple[int, int]:
        """Count the messages of the last call that are not sent whole, and the bytes of their bodies.

        left: bytes of the last call that are not sent.
        """


class Template(EncodedPublishes):
    """Publishes on one channel, each of `each` bytes with a body of `size` bytes."""

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
        self.last_bytes = 0
        header_bytes = frames.OVERHEAD + int.from_bytes(variants[0][len(method) + 3 : len(method) + 7], "big")
        self._stamp_at = len(method) + header_bytes + 7 + MARK_BYTES
        self._turn = len(variants)
        self._next = 0
        self._chunk = bytearray(b"".join(variants) * -(-(self.most + self._turn - 1) // self._turn))
        self._view = memoryview(self._chunk)

    def next_publishes(self, count: int) -> memoryview:
        start = self._next * self.each
        self.last_bytes = count * self.size
        self._next = (self._next + count) % self._turn
        return self._view[start : start + count * self.each]

    def next_stamped(self, count: int, stamps_ns: list[int]) -> memoryview:
        start = self._next * self.each
        if len(stamps_ns) == 1:
            stop = start + count * self.each
            for column, byte in enumerate(stamps_ns[0].to_bytes(8, "big"), start + self._stamp_at):
                self._chunk[column : stop : self.each] = bytes((byte,)) * count
        else:
            for at, stamp_ns in enumerate(stamps_ns):
                offset = start + at * self.each + self._stamp_at
                self._chunk[offset : offset + 8] = stamp_ns.to_bytes(8, "big")
        return self.next_publishes(count)

    def unsent(self, left: int) -> tuple[int, int]:
        count = -(-left // self.each)
        return count, count * self.size


class Templates:
    """Encoded publishes for each step of the sizes, or the only ones there are."""

    def __init__(self, templates: Sequence[EncodedPublishes], sizes: Sequence[Step] = ()) -> None:
        self._templates = templates
        self._schedule = Schedule(sizes) if sizes else None

    def at(self, elapsed_s: float) -> EncodedPublishes:
        """Return the template for a time in seconds since the start."""
        if self._schedule is None:
            return self._templates[0]
        return self._templates[self._schedule.at(elapsed_s)[1]]
