"""Writing again, at the end of the journal, what keeps its oldest segment. Bytes and positions only.

Whoever holds a position keeps it: `Moves` knows where the copy stands now.
"""

import zlib

from amqpbroker.store import record
from amqpbroker.store.journal import OFFSET_BITS, Journal, Segment

#: A segment is worth the writing when at most this share of its entries lives.
LIVING_SHARE = 0.25
#: Octets looked at for one batch.
STEP_BYTES = 1024 * 1024


class Moves:
    """Where copies stand that were written again: first position -> present one."""

    def __init__(self) -> None:
        self._present: dict[int, int] = {}
        self._first: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._present)

    def present(self, position: int) -> int:
        return self._present.get(position, position)

    def first(self, position: int) -> int:
        return self._first.get(position, position)

    def move(self, position: int, to: int) -> None:
        """The copy that stands at `position` now stands at `to`."""
        first = self._first.pop(position, position)
        self._present[first] = to
        self._first[to] = first

    def settle(self, position: int) -> int:
        """The present position of a copy that is settled, which is forgotten."""
        present = self._present.pop(position, position)
        self._first.pop(present, None)
        return present


class _Entries(record.Visitor):
    """The entries of one group."""

    def __init__(self) -> None:
        self.found: list[tuple[int, int, int, int, int]] = []

    def entered(
        self, offset: int, queue_id: int, sequence: int, deadline_ms: int, delivery_count: int, size: int
    ) -> None:
        self.found.append((offset, queue_id, sequence, deadline_ms, delivery_count))

    def settled(self, position: int) -> None:
        pass

    def returned_copy(self, position: int, delivery_count: int) -> None:
        pass


class Compaction:
    """Goes through the oldest segment, a step a batch, while that is worth it."""

    def __init__(self, journal: Journal, moves: Moves, counts: dict[int, int]) -> None:
        """counts: first position -> delivery count of the copies that were delivered before."""
        self._journal = journal
        self._moves = moves
        self._counts = counts
        self._segment: Segment | None = None
        self._at: int = 0

    def is_due(self) -> bool:
        """Whether `step` has something to do."""
        journal = self._journal
        if len(journal.segments) < 3:
            return False
        oldest = journal.segments[min(journal.segments)]
        if oldest is self._segment:
            return self._at < oldest.size
        return 0 < oldest.live <= LIVING_SHARE * (oldest.live + len(oldest.settled))

    def step(self, position: int) -> tuple[list[bytes], list[tuple[int, int]]]:
        """Groups to write from `position` on, and (old, new) positions of what they move.

        What the journal knows to be settled is left behind. Raises OSError, DamagedError.
        """
        journal = self._journal
        oldest = journal.segments[min(journal.segments)]
        if oldest is not self._segment:
            self._segment = oldest
            self._at = record.SEGMENT_HEAD.size
        base = oldest.number << OFFSET_BITS
        gone = set(oldest.settled)
        parts: list[bytes] = []
        moved: list[tuple[int, int]] = []
        seen = 0
        while seen < STEP_BYTES and self._at < oldest.size:
            head = journal.read(base | self._at, record.BATCH_HEAD.size)
            batch = record.read_batch(head, 0, oldest.mark)
            if batch is None:
                raise record.DamagedError(self._at, "no whole batch header")
            start = self._at + record.BATCH_HEAD.size
            data = journal.read(base | start, batch[1])
            for first, stop in record.payloads(data):
                position = self._copy(parts, moved, position, data, first, stop, base + start, gone)
            self._at = start + batch[1]
            seen += batch[1]
        return parts, moved

    def _copy(
        self,
        parts: list[bytes],
        moved: list[tuple[int, int]],
        position: int,
        data: bytes,
        first: int,
        stop: int,
        base: int,
        gone: set[int],
    ) -> int:
        """Write a group's living copies again as a group of their own; returns where the next goes."""
        entries = _Entries()
        record.visit_payload(data, first, stop, entries)
        offset_mask = (1 << OFFSET_BITS) - 1
        living = [entry for entry in entries.found if (base + entry[0]) & offset_mask not in gone]
        if not living:
            return position
        payload: list[bytes] = []
        counts: list[tuple[int, int]] = []
        at = position + record.GROUP_HEAD.size
        for offset, queue_id, sequence, deadline_ms, count in living:
            old = base + offset
            start = offset - record.back(data, offset)
            content = record.content(data, start)
            again = record.publish(content, [(queue_id, sequence, deadline_ms, count)])
            payload.append(again)
            new = at + record.PUBLISH_HEAD.size
            moved.append((old, new))
            known = self._counts.get(self._moves.first(old))
            if known is not None:
                counts.append((new, known))
            at += len(again)
        if counts:
            payload.append(record.returned(counts))
        joined = b"".join(payload)
        parts.append(record.GROUP_HEAD.pack(len(joined), zlib.crc32(joined)))
        parts.append(joined)
        return position + record.GROUP_HEAD.size + len(joined)
