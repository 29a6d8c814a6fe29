"""Stored messages back out of the journal, many in one pass."""

import struct
from collections.abc import Iterator, Sequence

from amqpbroker.broker.message import Message
from amqpbroker.broker.stored import DECODED, FLAGS_AT, decode
from amqpbroker.store import record
from amqpbroker.store.journal import OFFSET_BITS, Journal
from amqpbroker.store.moves import Moves

#: The most that is read at a time, unless one message is longer.
_WINDOW_BYTES = 1 << 20
#: What is read beyond the last head that is known to be wanted, so that the end of a small message is there too.
_BEYOND_BYTES = 8192
#: Content of so many octets is read by itself.
_LARGE_BYTES = 65536

_HEAD = record.PUBLISH_HEAD
_ENTRY = record.ENTRY
#: A publish record's head and its first entry: what stands where most copies are.
_COPY = struct.Struct(_HEAD.format + _ENTRY.format.lstrip(">"))
_HEAD_OCTETS, _ENTRY_OCTETS, _COPY_OCTETS = _HEAD.size, _ENTRY.size, _COPY.size


class Reader:
    """Reads messages by the positions of their copies. `moves` tells where these stand by now."""

    def __init__(self, journal: Journal, moves: Moves) -> None:
        self._journal = journal
        self._moves = moves

    def messages(self, positions: Sequence[int]) -> Iterator[tuple[Message, int]]:
        """Each copy's message, and the copy's deadline in ms.

        In the order of positions each part of the disk is read once. Raises OSError, DamagedError.
        """
        if self._moves:
            positions = [self._moves.present(position) for position in positions]
        last = positions[-1]
        if last - positions[0] > len(positions) * _LARGE_BYTES:
            last = 0
        base, data = 0, b""
        same_address = b""
        unpack = _COPY.unpack_from
        for position in positions:
            at = position - base - _HEAD_OCTETS
            if at < 0 or at + _COPY_OCTETS > len(data):
                base, at = position - _HEAD_OCTETS, 0
                data = self._read(base, _COPY_OCTETS, last)
            (
                kind,
                flags,
                priority,
                extra,
                cc_keys,
                count,
                address_size,
                frames_size,
                size,
                _,
                _,
                deadline_ms,
                _,
                index,
            ) = unpack(data, at)
            if index:
                at -= index * _ENTRY.size
                if at < 0:
                    base, at = base + at, 0
                    data = self._read(base, _HEAD.size, last)
                kind, flags, priority, extra, cc_keys, count, address_size, frames_size, size = _HEAD.unpack_from(
                    data, at
                )
            start = at + _HEAD_OCTETS + count * _ENTRY_OCTETS
            stop = start + address_size
            large = frames_size >= _LARGE_BYTES
            least = stop + extra * 256 + (0 if large else frames_size)
            if least > len(data):
                base, start, stop = base + at, start - at, stop - at
                data = self._read(base, least - at, last)
            address = data[start:stop]
            # Most messages of a queue have one address, and deliveries are quicker while that is one object.
            if address == same_address:
                address = same_address
            else:
                same_address = address
            keys = []
            if extra:
                for _ in range(extra):
                    start, stop = stop + 1, stop + 1 + data[stop]
                    keys.append(data[start:stop])
            frames = self._journal.read(base + stop, frames_size) if large else data[stop : stop + frames_size]
            if kind != record.PUBLISH or len(frames) != frames_size:
                raise record.DamagedError(0, "no publish record")
            message = Message(address, None, None, size, frames, frames[1] << 8 | frames[2])
            message.persistent = not flags & record.TRANSIENT
            message.priority = priority
            if keys:
                message.extra_keys = tuple(keys)
                message.cc_keys = cc_keys
            if frames[FLAGS_AT] & DECODED:
                decode(message, flags & record.DEATHS != 0)
            yield message, deadline_ms

    def expect(self, positions: Sequence[int]) -> None:
        """The messages of these copies will be read soon, in this order."""
        first, last = self._moves.present(positions[0]), self._moves.present(positions[-1])
        if first <= last and first >> OFFSET_BITS == last >> OFFSET_BITS:
            self._journal.expect(first, last - first + _BEYOND_BYTES)

    def _read(self, position: int, least: int, last: int) -> bytes:
        """What is stored from there on: `least` octets or more, up to the last position wanted if that is near.

        Less at the end of a segment. Raises OSError.
        """
        ahead = last - position
        wanted = min(ahead + _BEYOND_BYTES, _WINDOW_BYTES) if ahead >= 0 else _BEYOND_BYTES
        return self._journal.read(position, max(least, wanted))
