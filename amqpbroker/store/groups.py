"""The groups of a batch as they are encoded, in one buffer."""

from typing import Final

from mypy_extensions import i64

from amqpbroker.message.message import Copy
from amqpbroker.octets import BytesWriter, write_i16_be, write_i32_be, write_i64_be
from amqpbroker.store import record
from amqpbroker.store.checksum import crc32
from amqpbroker.store.stored import frames_of, record_flags

#: Byte strings of this size or more are not copied into the buffer: copying would cost more than a separate part.
_LARGE: Final = 16 * 1024

#: Position of the entry in a group with one message in one queue.
LONE_ENTRY: Final = record.GROUP_BYTES + record.PUBLISH_BYTES

#: The first bytes of a publish record with one entry and no extra keys, without its flags, priority and address.
_LONE: Final = ord("P") << 56 | 1 << 8


class Groups:
    """Groups in order. position: where the next one begins. size_bytes: of the groups before it.

    ahead_ms: lead of the wall clock (`Clock.ahead_ms`), which is added to deadlines that are stored.
    """

    def __init__(self, start: int) -> None:
        self.position: int = start
        self.size_bytes: int = 0
        self.ahead_ms: int = 0
        self._parts: list[bytes] = []
        self._small = BytesWriter()
        self._head = BytesWriter()

    def add(self, payload: bytes) -> None:
        """Add a group of these records."""
        size: i64 = len(payload)
        write_i64_be(self._small, size << 32 | i64(crc32(payload)))
        if size < _LARGE:
            self._small.write(payload)
            self.position += record.GROUP_BYTES + size
            self.size_bytes += record.GROUP_BYTES + size
        else:
            self._append(payload, record.GROUP_BYTES + len(payload))

    def add_lone(self, copy: Copy, behind: bytes = b"") -> int:
        """Add a group of one copy, whose message has no extra keys, and the records `behind` it; set its position.

        Return the size of the publish record in bytes. The result equals that of `record.publish`; most messages are
        stored this way. A message is smaller than 2 GiB, so that its sizes can be written two at a time.
        """
        message = copy.message
        kept = message.frames
        frames = frames_of(message) if kept is None else kept
        flags: i64 = record.DELIVERED if copy.delivered_ms >= 0 else 0
        if message.died or not message.persistent:
            flags |= i64(record_flags(message))
        priority: i64 = message.priority
        length: i64 = len(message.address)
        size: i64 = message.size
        count = min(copy.delivery_count, record.MAX_COUNT) if copy.delivery_count else 0
        head, small = self._head, self._small
        write_i64_be(head, _LONE | flags << 48 | priority << 40 | length >> 8)
        head.append(length & 0xFF)
        write_i32_be(head, len(frames))
        write_i64_be(head, size << 32 | i64(copy.holder_id))
        write_i64_be(head, copy.sequence)
        deadline_ms: i64 = copy.deadline_ms
        if deadline_ms:
            deadline_ms += i64(self.ahead_ms)
        write_i64_be(head, deadline_ms)
        head.append(count >> 8)
        head.append(count & 0xFF)
        write_i16_be(head, 0)
        head.write(message.address)
        before = head.getvalue()
        head.truncate(0)
        payload: i64 = len(before) + len(frames) + len(behind)
        checksum = crc32(frames, crc32(before))
        if behind:
            checksum = crc32(behind, checksum)
        write_i64_be(small, payload << 32 | i64(checksum))
        small.write(before)
        copy.position = self.position + LONE_ENTRY
        size_bytes = record.GROUP_BYTES + payload
        if len(frames) < _LARGE:
            small.write(frames)
            self.position += size_bytes
            self.size_bytes += size_bytes
        else:
            self._append(frames, size_bytes)
        if behind:
            self._small.write(behind)
        return size_bytes - len(behind)

    def extend(self, groups: list[bytes]) -> None:
        """Add groups that are encoded already."""
        for data in groups:
            self._append(data, len(data))

    def take(self) -> list[bytes]:
        """Remove and return all bytes, in order. Call `restart` before adding more."""
        self._close_small()
        parts, self._parts = self._parts, []
        return parts

    def restart(self, start: int, ahead_ms: int) -> None:
        """Begin another batch after the bytes that were taken."""
        self.position = start
        self.ahead_ms = ahead_ms
        self.size_bytes = 0

    def _append(self, data: bytes, size_bytes: int) -> None:
        """Append `data`. size_bytes: its size plus the bytes added to the buffer before it."""
        self.position += size_bytes
        self.size_bytes += size_bytes
        if len(data) < _LARGE:
            self._small.write(data)
        else:
            self._close_small()
            self._parts.append(data)

    def _close_small(self) -> None:
        if len(self._small):
            self._parts.append(self._small.getvalue())
            self._small = BytesWriter()
