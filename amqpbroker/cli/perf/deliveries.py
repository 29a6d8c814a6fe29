"""Counts the deliveries that a connection reads, at little cost. Each of its channels has one consumer.

Deliveries of one publisher are all alike but for their channel and tag, and a channel numbers them without a gap. So
once one was read frame by frame, its length says where each further one has its channel. If the last of each channel
is a basic.deliver with just the tag which it must have, then so many came, and none of the others need be looked at.
If not, as with deliveries of many lengths and of channels beyond 255, those in the buffer that are whole and have one
body frame or none are read one by one, and the others frame by frame.
"""

import struct

from amqpbroker.cli.perf.connection import BUFFER_BYTES, ReadBuffer
from amqpbroker.cli.perf.template import STAMP, now_ns
from amqpbroker.wire import frames
from amqpbroker.wire.methods import BY_NAME

_DELIVER = BY_NAME["basic.deliver"].ids.to_bytes(4, "big")
_U64 = struct.Struct(">Q")
#: Offsets in a frame: its size, where similar frames begin to be alike; and the body size in a header frame.
_LIKE_AT = 3
_BODY_SIZE_AT = 11
#: The start of a method frame: type, channel, size, ids. Of a header frame: type, channel, size, that of the body.
_METHOD_HEAD = struct.Struct(">BHI4s")
_HEADER_HEAD = struct.Struct(">BHI4xQ")
#: No delivery is shorter.
_LEAST_BYTES = _METHOD_HEAD.size + _HEADER_HEAD.size


class _Piece:
    """A delivery that is being read: the number of its bytes so far, and the positions of its parts."""

    __slots__ = ("header_at", "length", "like", "missing", "size", "stamp_at", "tag")

    def __init__(self, like: bytes, tag: int, length: int) -> None:
        #: Bytes between channel and tag.
        self.like = like
        self.tag = tag
        self.length = length
        self.size = self.missing = 0
        self.header_at = 0
        self.stamp_at = -1


class Deliveries:
    """Reads into `space()`, and counts with `advance()`. mark: beginning of the bodies whose age is measured."""

    def __init__(self, mark: bytes = b"", channels: int = 1, buffer_bytes: int = BUFFER_BYTES) -> None:
        #: Number of whole deliveries of each channel, by its number, and of the bytes of all their bodies.
        self.come = [0] * (channels + 1)
        self.body_bytes = 0
        #: Ages in ns of stamped messages when they were read; the reader of this list empties it.
        self.ages_ns: list[int] = []
        self._mark = mark
        self._read_buffer = ReadBuffer(buffer_bytes)
        self._pieces: dict[int, _Piece] = {}
        self._tags = [0] * (channels + 1)  # the last ones

        # Layout of the next deliveries.
        self._like = b""
        self._each = 0
        self._like_size = 0
        self._like_header_at = 0
        self._stamps: struct.Struct | None = None

    def space(self) -> memoryview:
        return self._read_buffer.space()

    def rest(self) -> bytes:
        """Return the bytes of an incomplete frame."""
        return self._read_buffer.rest()

    def advance(self, size: int) -> list[tuple[int, bytes]]:
        """Count `size` more bytes. Return the methods among them that are not deliveries, with their channel.

        Raises PerfError for what is no frame.
        """
        others: list[tuple[int, bytes]] = []
        read_buffer, pieces = self._read_buffer, self._pieces
        read_buffer.came(size)
        now = now_ns() if self._mark else 0
        may_be_alike = self._each > 0
        if not pieces:
            if may_be_alike:
                may_be_alike = False
                self._count_alike(now)
            if self._count_whole(now):
                return others
        for kind, channel, at, length in read_buffer.frames():
            if kind == frames.METHOD:
                if read_buffer.buffer[at : at + 4] == _DELIVER:
                    self._begin(channel, at, length)
                else:
                    others.append((channel, bytes(read_buffer.view[at : at + length])))
            elif channel in pieces and kind in (frames.HEADER, frames.BODY):
                self._go_on(channel, kind, at, length, now)
            if not pieces:
                if may_be_alike:
                    may_be_alike = False
                    self._count_alike(now)
                if self._count_whole(now):
                    break
        return others

    def _begin(self, channel: int, at: int, length: int) -> None:
        buffer = self._read_buffer.buffer
        tag_at = _tag_at(buffer, at - 7)
        like = bytes(buffer[at - 7 + _LIKE_AT : tag_at])
        (tag,) = _U64.unpack_from(buffer, tag_at)
        self._pieces[channel] = _Piece(like, tag, length + frames.OVERHEAD)

    def _go_on(self, channel: int, kind: int, at: int, length: int, now: int) -> None:
        piece = self._pieces[channel]
        if kind == frames.HEADER:
            piece.header_at = piece.length
            (piece.size,) = _U64.unpack_from(self._read_buffer.view, at - 7 + _BODY_SIZE_AT)
            piece.missing = piece.size
        else:
            if self._mark and piece.missing == piece.size and length >= STAMP.size:
                mark, sent = STAMP.unpack_from(self._read_buffer.view, at)
                if mark == self._mark:
                    piece.stamp_at = piece.length + 7
                    self.ages_ns.append(now - sent)
            piece.missing -= length
        piece.length += length + frames.OVERHEAD
        if piece.missing <= 0:
            del self._pieces[channel]
            self._end(channel, piece)

    def _end(self, channel: int, piece: _Piece) -> None:
        self.come[channel] += 1
        self._tags[channel] = piece.tag
        self.body_bytes += piece.size
        self._expect(piece.like, piece.length, piece.header_at, piece.size, piece.stamp_at)

    def _expect(self, like: bytes, each: int, header_at: int, size: int, stamp_at: int) -> None:
        """Expect that the next deliveries are like this one. stamp_at: position of the stamp, -1 for none."""
        if each != self._each or like != self._like:
            self._like = like
            self._each = each
            self._stamps = None
        self._like_size = size
        self._like_header_at = header_at
        if stamp_at >= 0 and self._stamps is None:
            after = each - stamp_at - STAMP.size
            self._stamps = struct.Struct(f">{stamp_at}x{STAMP.format[1:]}{after}x")

    def _count_alike(self, now: int) -> None:
        """Count the following deliveries that are as long as the last one."""
        read_buffer, each = self._read_buffer, self._each
        at = read_buffer.at
        count = (read_buffer.end - at) // each
        if count < 2:
            return
        stop = at + count * each
        high, low = read_buffer.buffer[at + 1 : stop : each], read_buffer.buffer[at + 2 : stop : each]
        numbers = set(low)
        if high.count(0) != count or max(numbers) >= len(self.come):
            return
        tags = {}
        for number in numbers:
            tags[number] = tag = self._tags[number] + low.count(number)
            if not self._is_like(at + low.rfind(number) * each, tag):
                return
        for number, tag in tags.items():
            self.come[number] += tag - self._tags[number]
            self._tags[number] = tag
        self.body_bytes += count * self._like_size
        read_buffer.at = stop
        if self._stamps is not None:
            mark = self._mark
            rows = self._stamps.iter_unpack(read_buffer.view[at:stop])
            self.ages_ns += [now - sent for found, sent in rows if found == mark]

    def _count_whole(self, now: int) -> bool:
        """Count the following whole deliveries that have one body frame or none.

        Returns whether the rest is the beginning of such a one.
        """
        read_buffer, come, mark = self._read_buffer, self.come, self._mark
        buffer, at, end = read_buffer.buffer, read_buffer.at, read_buffer.end
        method_head, header_head, body_head = (
            _METHOD_HEAD.unpack_from,
            _HEADER_HEAD.unpack_from,
            frames.FRAME_HEAD.unpack_from,
        )
        last_of: dict[int, int] = {}  # the last one of each channel
        last_at = -1
        body_bytes = 0
        is_begun = False
        while end - at >= _LEAST_BYTES:
            kind, channel, length, ids = method_head(buffer, at)
            header_at = at + length + frames.OVERHEAD
            if kind != frames.METHOD or ids != _DELIVER or header_at + _HEADER_HEAD.size > end:
                break
            kind, header_channel, length, size = header_head(buffer, header_at)
            body_at = stop = header_at + length + frames.OVERHEAD
            if kind != frames.HEADER or header_channel != channel:
                break
            if size:
                stop += size + frames.OVERHEAD
                if body_at + 7 <= end and body_head(buffer, body_at) != (frames.BODY, channel, size):
                    break
            if stop > end:
                is_begun = read_buffer.has_space_for(stop - at)
                break
            if buffer[stop - 1] != frames.END:
                break
            come[channel] += 1
            body_bytes += size
            if mark and size >= STAMP.size:
                found, sent = STAMP.unpack_from(buffer, body_at + 7)
                if found == mark:
                    self.ages_ns.append(now - sent)
            last_of[channel] = last_at = at
            at = stop
        read_buffer.at = at
        self.body_bytes += body_bytes
        for channel, method_at in last_of.items():
            (self._tags[channel],) = _U64.unpack_from(buffer, _tag_at(buffer, method_at))
        if last_of:
            self._expect_as(last_at, at)
        return is_begun

    def _expect_as(self, at: int, stop: int) -> None:
        """Expect that the next deliveries are like the one at this position."""
        buffer, mark = self._read_buffer.buffer, self._mark
        header_at = _METHOD_HEAD.unpack_from(buffer, at)[2] + frames.OVERHEAD
        _, _, length, size = _HEADER_HEAD.unpack_from(buffer, at + header_at)
        stamp_at = header_at + length + frames.OVERHEAD + 7
        has_stamp = mark and size >= STAMP.size and buffer[at + stamp_at : at + stamp_at + len(mark)] == mark
        like = bytes(buffer[at + _LIKE_AT : _tag_at(buffer, at)])
        self._expect(like, stop - at, header_at, size, stamp_at if has_stamp else -1)

    def _is_like(self, at: int, tag: int) -> bool:
        buffer, like_at = self._read_buffer.buffer, at + _LIKE_AT
        tag_at = like_at + len(self._like)
        return (
            buffer[at] == frames.METHOD
            and buffer[like_at:tag_at] == self._like
            and _U64.unpack_from(buffer, tag_at)[0] == tag
            and _U64.unpack_from(buffer, at + self._like_header_at + _BODY_SIZE_AT)[0] == self._like_size
            and buffer[at + self._each - 1] == frames.END
        )


def _tag_at(buffer: bytearray, method_at: int) -> int:
    """Return the position of the tag of the delivery whose method frame begins there."""
    return method_at + 12 + buffer[method_at + 11]
