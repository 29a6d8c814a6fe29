"""Compaction of the oldest segment: its live copies are rewritten at the end of the log. Bytes and positions only."""

from typing import NamedTuple

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.store import record
from amqpbroker.store.checksum import crc32
from amqpbroker.store.log import Log
from amqpbroker.store.record import OFFSET_MASK
from amqpbroker.store.relocations import Relocations

#: Number of segments allowed beyond twice the size of live data.
SPARE_SEGMENTS = 2
#: Cost, in bytes read, of finding that a batch has no live entries.
_SKIP_BYTES = 4096


class Moved(NamedTuple):
    """A copy or an id that is rewritten. size_bytes: its part of the new record."""

    old: int
    new: int
    size_bytes: int


class Compaction:
    """Copies live entries out of the oldest segment, one step for each batch, if worthwhile. See docs/store-format.md,
    "Space".

    failure: the error of a step that could not read; no step is due until it is None again.
    """

    def __init__(
        self,
        log: Log,
        relocations: Relocations,
        counts: dict[int, int],
        dues: dict[int, int],
        step_bytes: int = BOUNDS.compaction_bytes,
    ) -> None:
        """counts: first position -> delivery count of the copies that were delivered before. dues: first position ->
        due time of the copies that were delayed. step_bytes: minimum number of bytes examined for one batch.
        """
        self._step_bytes: int = step_bytes
        self._log = log
        self._relocations = relocations
        self._counts = counts
        self._dues = dues
        self.failure: OSError | None = None
        self._doubted: int = 0
        #: The segment being compacted, the next position in it, and the end of the current batch.
        self._segment: int = 0
        self._at: int = 0
        self._stop: int = 0

    def doubt(self, before: int) -> None:
        """Write copies whose first positions are lower as delivered: they may have been."""
        self._doubted = before

    def resume(self) -> None:
        """Allow steps again after a failure."""
        self.failure = None

    def is_due(self) -> bool:
        """Return whether `step` has work to do."""
        if self.failure is not None:
            return False
        log = self._log
        oldest = log.oldest
        if log.newest - oldest < 2:
            return False
        if oldest == self._segment:
            return self._at < log.batches_in(oldest).stop
        return log.size > 2 * log.living.size_bytes + SPARE_SEGMENTS * log.segment_bytes

    def step(self, position: int, written: int) -> tuple[list[bytes], list[Moved]]:
        """Return the groups to write from `position` on, and the entries that they move.

        written: bytes that the batch has already. A step reads twice as many: at most half of them are live, so that
        the log does not grow faster than it shrinks. Entries that the log knows to be settled are not moved.
        A part that cannot be read is left for a later step (`failure`). Raises DamagedError.
        """
        parts: list[bytes] = []
        moved: list[Moved] = []
        try:
            self._step(parts, moved, position, written)
        except OSError as error:
            self.failure = error
        return parts, moved

    def _step(self, parts: list[bytes], moved: list[Moved], position: int, written: int) -> None:
        """Read one step into `parts` and `moved`. Raises DamagedError, or OSError, which keeps earlier groups."""
        log = self._log
        oldest = log.oldest
        span = log.batches_in(oldest)
        if oldest != self._segment:
            self._segment = oldest
            self._at = self._stop = span.start
        left = max(self._step_bytes, 2 * written)
        while left > 0 and self._at < span.stop:
            if self._at == self._stop:
                self._at, self._stop = log.groups(self._at)
            start, size_bytes = self._at, self._stop - self._at
            offset = start & OFFSET_MASK
            living = log.living.of(oldest).between(offset, offset + size_bytes)
            if not living:
                left -= min(size_bytes, _SKIP_BYTES)
                self._at = self._stop
                continue
            data = self._groups(start, size_bytes, left)
            left -= size_bytes
            self._at = start + len(data)
            living.reverse()
            for _, last in record.payloads(data):
                inside = []
                while living and living[-1] < offset + last:
                    inside.append(living.pop() - offset)
                if inside:
                    position = self._copy(parts, moved, position, data, inside, start)

    def _groups(self, position: int, size_bytes: int, wanted: int) -> bytes:
        """Return whole groups from a range of that size: about `wanted` bytes, or one larger group."""
        data = self._log.read(position, min(size_bytes, max(self._step_bytes, wanted)))
        if len(data) == size_bytes:
            return data
        end = record.groups_end(data)
        if not end:
            return self._log.read(position, min(size_bytes, record.first_group(data)))
        return data[:end]

    def _copy(
        self,
        parts: list[bytes],
        moved: list[Moved],
        position: int,
        data: bytes,
        entries: list[int],
        base: int,
    ) -> int:
        """Rewrite the copies and ids whose entries are in `data` as one group; return the position after it."""
        payload: list[bytes] = []
        counts: list[tuple[int, int]] = []
        dues: list[tuple[int, int]] = []
        at = position + record.GROUP_HEAD.size
        while entries:
            if record.is_id(data, entries[0]):
                taken = record.id_record(data, entries[0])
                moved.append(Moved(base + entries[0], at + record.ID_BYTES, len(taken)))
                payload.append(taken)
                at += len(taken)
                entries = entries[1:]
                continue
            start = entries[0] - record.back(data, entries[0])
            again, kept = record.excerpt(data, start, entries)
            for index, entry in enumerate(kept):
                old, new = base + entry, at + record.PUBLISH_HEAD.size + index * record.ENTRY.size
                moved.append(Moved(old, new, len(again) // len(kept)))
                first = self._relocations.first(old)
                known = self._counts.get(first, 0 if first < self._doubted else None)
                if known is not None:
                    counts.append((new, known))
                due_ms = self._dues.get(first)
                if due_ms is not None:
                    dues.append((new, due_ms))
            payload.append(again)
            at += len(again)
            entries = entries[len(kept) :]
        if counts:
            payload.append(record.returned(counts))
        if dues:
            payload.append(record.delayed(dues))
        joined = b"".join(payload)
        parts.append(record.GROUP_HEAD.pack(len(joined), crc32(joined)))
        parts.append(joined)
        return position + record.GROUP_HEAD.size + len(joined)
