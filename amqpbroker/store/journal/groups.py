"""The groups of a batch as they are gathered, in one buffer."""

from typing import Final

from mypy_extensions import i64

from amqpbroker.octets import BytesWriter, write_i32_be
from amqpbroker.store.journal import record
from amqpbroker.store.journal.checksum import crc32

#: Octets that are not copied into the buffer: that costs more than a part of its own does.
_LARGE: Final = 16 * 1024


class Groups:
    """Groups in their order. position: where the next one goes, behind the `start` of the first."""

    def __init__(self, start: int) -> None:
        self.start: int = start
        self.position: int = start
        self._parts: list[bytes] = []
        self._small = BytesWriter()
        self._head = BytesWriter()

    def add(self, payload: bytes) -> None:
        """A group of these records."""
        self._put_head(len(payload), crc32(payload))
        self._put(payload)
        self.position += record.GROUP_OCTETS + len(payload)

    def add_lone(
        self,
        address: bytes,
        frames: bytes,
        size: int,
        priority: int,
        flags: int,
        queue_id: int,
        sequence: int,
        deadline_ms: int,
        delivery_count: int,
        behind: bytes = b"",
    ) -> int:
        """A group that is one message in one queue, with no extra keys, and the records `behind` it.

        Returns how many octets it takes without those.
        """
        head = self._head
        record.write_lone_publish(
            head, address, len(frames), size, priority, flags, queue_id, sequence, deadline_ms, delivery_count
        )
        before = head.getvalue()
        head.truncate(0)
        octets = record.GROUP_OCTETS + len(before) + len(frames)
        checksum = crc32(frames, crc32(before))
        if behind:
            checksum = crc32(behind, checksum)
        self._put_head(octets - record.GROUP_OCTETS + len(behind), checksum)
        self._small.write(before)
        self._put(frames)
        self._small.write(behind)
        self.position += octets + len(behind)
        return octets

    def extend(self, groups: list[bytes]) -> None:
        """Groups that are octets already."""
        for data in groups:
            self._put(data)
            self.position += len(data)

    def take(self) -> list[bytes]:
        """All octets, in their order. What is added before `restart` has no place."""
        self._close_small()
        parts, self._parts = self._parts, []
        return parts

    def restart(self, start: int) -> None:
        """Begin another batch, behind what was taken."""
        self.start = self.position = start

    @property
    def octets(self) -> int:
        """How many there are."""
        return self.position - self.start

    def _put_head(self, octets: i64, checksum: i64) -> None:
        write_i32_be(self._small, record.signed32(octets))
        write_i32_be(self._small, record.signed32(checksum))

    def _put(self, data: bytes) -> None:
        if len(data) < _LARGE:
            self._small.write(data)
        else:
            self._close_small()
            self._parts.append(data)

    def _close_small(self) -> None:
        if len(self._small):
            self._parts.append(self._small.getvalue())
            self._small = BytesWriter()
