"""Reading of stored messages from the log, many in one pass."""

from collections.abc import Sequence
from typing import Final

from mypy_extensions import i64

from amqpbroker.message.message import Message
from amqpbroker.octets import read_i16_be, read_i32_be, read_i64_be
from amqpbroker.store import record
from amqpbroker.store.log import Log
from amqpbroker.store.record import OFFSET_BITS
from amqpbroker.store.relocations import Relocations
from amqpbroker.store.store import Reading
from amqpbroker.store.stored import DECODED, decode

#: Maximum number of bytes read at a time, unless one message is larger.
_WINDOW_BYTES: Final = 1 << 20
#: Bytes read after the last wanted head, so that the end of a small message is included.
_BEYOND_BYTES: Final = 8192
#: Bytes to read for one message of unknown size if the next wanted message is far away.
_ALONE_BYTES: Final = 4096
#: Content of this size in bytes or more is read separately.
_LARGE_BYTES: Final = 65536

#: Size of a publish record's head and its first entry, the position of most copies.
_COPY_BYTES: Final = record.PUBLISH_BYTES + record.ENTRY_BYTES

_PUBLISH: Final = ord("P")


class Reader:
    """Reads messages by the positions of their copies. `relocations` has the present positions."""

    def __init__(self, log: Log, relocations: Relocations) -> None:
        self._log = log
        self._relocations = relocations

    def start(self, positions: Sequence[int]) -> "LogReading":
        """Start a pass over these copies, which may be none.

        In ascending order each part of the disk is read only once.
        """
        last = 0
        if positions:
            last = self._relocations.present(positions[-1])
            if last - self._relocations.present(positions[0]) > len(positions) * _LARGE_BYTES:
                last = 0
        return LogReading(self._log, self._relocations, last)

    def expect(self, positions: Sequence[int]) -> None:
        """Announce that the messages of these copies will be read soon, in this order."""
        first, last = self._relocations.present(positions[0]), self._relocations.present(positions[-1])
        if first <= last and first >> OFFSET_BITS == last >> OFFSET_BITS:
            self._log.expect(first, last - first + _BEYOND_BYTES)


class LogReading(Reading):
    """A pass over stored copies. last: the position of the last wanted copy if it is near; 0 if it is far."""

    def __init__(self, log: Log, relocations: Relocations, last: int) -> None:
        self._log = log
        self._relocations: Relocations | None = relocations or None
        self._last: int = last
        self._base: int = 0
        self._data: bytes = b""
        self._address: bytes = b""

    def message(self, position: int) -> Message:
        if self._relocations is not None:
            position = self._relocations.present(position)
        start = position - record.PUBLISH_BYTES
        if start < self._base or start - self._base + _COPY_BYTES > len(self._data):
            self._read(start, _COPY_BYTES)
        entry: i64 = position - self._base
        self.deadline_ms = read_i64_be(self._data, entry + record.DEADLINE_AT)
        index: i64 = i64(read_i16_be(self._data, entry + record.INDEX_AT))
        if index:
            # The message is in several queues, and this copy is not the first.
            start -= (index & 0xFFFF) * record.ENTRY_BYTES
            if start < self._base:
                self._read(start, _COPY_BYTES)
        return self._message(start)

    def _message(self, start: int) -> Message:
        """Return the message of the publish record at `start`, whose head is in the buffer."""
        data = self._data
        at: i64 = start - self._base
        entries: i64 = i64(read_i16_be(data, at + record.COUNT_AT))
        address_at: i64 = at + record.PUBLISH_BYTES + (entries & 0xFFFF) * record.ENTRY_BYTES
        address_size: i64 = i64(read_i16_be(data, at + record.ADDRESS_AT))
        frames_at: i64 = address_at + (address_size & 0xFFFF)
        frames_size: i64 = i64(read_i32_be(data, at + record.FRAMES_AT))
        frames_size &= 0xFFFFFFFF
        extra_keys: i64 = data[at + record.EXTRA_KEYS_AT]
        large = frames_size >= _LARGE_BYTES
        if frames_at + extra_keys * 256 + (0 if large else frames_size) > len(data):
            self._read(start, frames_at - at + extra_keys * 256 + (0 if large else frames_size))
            data = self._data
            address_at -= at
            frames_at -= at
            at = 0
        address = data[address_at:frames_at]
        # Most messages of a queue have the same address, and sharing one object makes deliveries faster.
        if address == self._address:
            address = self._address
        else:
            self._address = address
        keys: list[bytes] = []
        while extra_keys:
            key: i64 = frames_at + 1
            frames_at = key + data[frames_at]
            keys.append(data[key:frames_at])
            extra_keys -= 1
        if large:
            frames = self._log.read(self._base + frames_at, frames_size)
        else:
            frames = data[frames_at : frames_at + frames_size]
        if data[at] != _PUBLISH or len(frames) != frames_size:
            raise record.DamagedError(0, "no publish record")
        size: i64 = i64(read_i32_be(data, at + record.SIZE_AT))
        message = Message(address, None, None, size & 0xFFFFFFFF, frames, frames[1] << 8 | frames[2])
        flags = data[at + record.FLAGS_AT]
        further: tuple[bytes, ...] = ()
        cc_keys = 0
        if keys:
            if flags & record.PIECES:
                further, cc_keys = record.from_pieces(keys)
            else:
                further = tuple(keys)
                cc_keys = data[at + record.CC_KEYS_AT]
        message.restore(
            not flags & record.TRANSIENT, data[at + record.PRIORITY_AT], further, cc_keys, flags & record.DEATHS != 0
        )
        if frames[record.PROPERTY_FLAGS_AT] & DECODED:
            decode(message)
        return message

    def _read(self, position: int, least: int) -> None:
        """Read `least` bytes or more from `position` into the buffer, up to the last wanted copy if it is near.

        Reads less at the end of a segment. Raises OSError, DamagedError.
        """
        ahead = self._last - position
        wanted = min(ahead + _BEYOND_BYTES, _WINDOW_BYTES) if ahead >= 0 else _ALONE_BYTES
        # If this fails, the earlier contents of the buffer remain usable.
        self._data = self._log.read(position, max(least, wanted))
        self._base = position
        if len(self._data) < _COPY_BYTES:
            raise record.DamagedError(0, "a publish record is cut off")
