"""Counts deliveries in what a connection with one consumer reads, at little cost.

Deliveries of one publisher are all alike but for their tag, and a channel numbers them without a gap. So once one was
read frame by frame, its length says where the last whole one of what was read begins. If that is a basic.deliver with
just the tag which it must have, then so many came, and none of them need be looked at. If not, all are read frame by
frame.
"""

import struct

from amqpbroker.cli.perf.failure import PerfError, too_large
from amqpbroker.cli.perf.stamp import STAMP, now_ns
from amqpbroker.wire import frames
from amqpbroker.wire.methods import BY_NAME

BUFFER_BYTES = 1 << 18

_DELIVER = BY_NAME["basic.deliver"].ids.to_bytes(4, "big")
_U64 = struct.Struct(">Q")
_BODY_SIZE_AT = 11


class Deliveries:
    """Read into `space()`, then say how much with `advance()`. mark: what messages whose age is wanted begin with."""

    def __init__(self, mark: bytes = b"", buffer_bytes: int = BUFFER_BYTES) -> None:
        #: What came: whole deliveries, and the octets of their bodies.
        self.count = 0
        self.octets = 0
        #: How old stamped messages were when they were read, in ns; whoever takes them empties it.
        self.ages_ns: list[int] = []
        self._mark = mark
        self._buffer = bytearray(buffer_bytes)
        self._view = memoryview(self._buffer)
        self._kept = 0

        # The delivery that is being read: octets so far, of its head and body; -1 for none.
        self._length = -1
        self._size = 0
        self._missing = 0
        self._head = b""
        self._tag = 0
        self._header_at = 0
        self._stamp_at = 0

        # What the next ones look like.
        self._like_head = b""
        self._each = 0
        self._like_size = 0
        self._like_header_at = 0
        self._stamps: struct.Struct | None = None

    def space(self) -> memoryview:
        return self._view[self._kept :]

    def rest(self) -> bytes:
        """What was read of a frame that is not whole."""
        return bytes(self._view[: self._kept])

    def advance(self, size: int) -> list[tuple[int, bytes]]:
        """Account for `size` octets more. Returns the methods among them that are no delivery, with their channel."""
        others: list[tuple[int, bytes]] = []
        view = self._view
        end = self._kept + size
        at = 0
        alike = self._each > 0
        now = now_ns() if self._mark else 0
        while True:
            if alike and self._length < 0:
                count = (end - at) // self._each
                alike = count > 1 and self._are_alike(at, count)
                if alike:
                    self._take(at, count, now)
                    at += count * self._each
                    alike = False
            if end - at < frames.OVERHEAD:
                break
            kind, channel, length = frames.FRAME_HEAD.unpack_from(view, at)
            stop = at + length + frames.OVERHEAD
            if stop > end:
                if stop - at > len(view):
                    raise too_large(length)
                break
            if view[stop - 1] != frames.END:
                raise PerfError("the broker sent a frame without its end octet")
            if kind == frames.METHOD:
                if self._buffer[at + 7 : at + 11] == _DELIVER:
                    self._begin(at)
                else:
                    others.append((channel, bytes(view[at + 7 : stop - 1])))
            elif self._length >= 0 and kind in (frames.HEADER, frames.BODY):
                self._go_on(kind, at, length, now)
            at = stop
        self._kept = end - at
        if at and self._kept:
            view[: self._kept] = view[at:end]
        return others

    def _begin(self, at: int) -> None:
        tag_at = at + 12 + self._buffer[at + 11]
        self._head = bytes(self._view[at:tag_at])
        (self._tag,) = _U64.unpack_from(self._view, tag_at)
        self._length = 0
        self._add(at)

    def _add(self, at: int) -> None:
        self._length += int.from_bytes(self._view[at + 3 : at + 7], "big") + frames.OVERHEAD

    def _go_on(self, kind: int, at: int, length: int, now: int) -> None:
        if kind == frames.HEADER:
            self._header_at = self._length
            (self._size,) = _U64.unpack_from(self._view, at + _BODY_SIZE_AT)
            self._missing = self._size
            self._stamp_at = -1
        else:
            if self._missing == self._size and self._mark and length >= STAMP.size:
                mark, sent = STAMP.unpack_from(self._view, at + 7)
                if mark == self._mark:
                    self._stamp_at = self._length + 7
                    self.ages_ns.append(now - sent)
            self._missing -= length
        self._add(at)
        if self._missing <= 0:
            self._end()

    def _end(self) -> None:
        self.count += 1
        self.octets += self._size
        if self._length != self._each or self._head != self._like_head:
            self._like_head = self._head
            self._each = self._length
            self._stamps = None
        self._like_size = self._size
        self._like_header_at = self._header_at
        if self._stamp_at >= 0 and self._stamps is None:
            after = self._each - self._stamp_at - STAMP.size
            self._stamps = struct.Struct(f">{self._stamp_at}x{STAMP.format[1:]}{after}x")
        self._length = -1

    def _are_alike(self, at: int, count: int) -> bool:
        """Whether `count` deliveries of the known length begin at `at`, by the first and the last of them."""
        last = at + (count - 1) * self._each
        return self._is_like(at, self._tag + 1) and self._is_like(last, self._tag + count)

    def _is_like(self, at: int, tag: int) -> bool:
        head = self._like_head
        tag_at = at + len(head)
        return (
            self._buffer[at:tag_at] == head
            and _U64.unpack_from(self._view, tag_at)[0] == tag
            and _U64.unpack_from(self._view, at + self._like_header_at + _BODY_SIZE_AT)[0] == self._like_size
            and self._view[at + self._each - 1] == frames.END
        )

    def _take(self, at: int, count: int, now: int) -> None:
        self.count += count
        self.octets += count * self._like_size
        self._tag += count
        if self._stamps is not None:
            mark = self._mark
            run = self._view[at : at + count * self._each]
            self.ages_ns += [now - sent for found, sent in self._stamps.iter_unpack(run) if found == mark]
