"""Writing again, at the end of the journal, what keeps its oldest segment. Bytes and positions only."""

from typing import NamedTuple

from amqpbroker.store import record
from amqpbroker.store.checksum import crc32
from amqpbroker.store.journal import Journal, Segment
from amqpbroker.store.moves import Moves
from amqpbroker.store.position import OFFSET_BITS

#: How many segments there may be beyond twice of what lives.
SPARE_SEGMENTS = 2
#: Octets looked at for one batch, at least.
STEP_BYTES = 1024 * 1024
#: What it takes, in octets, to see that nothing in a batch lives.
_SKIP_BYTES = 4096


class Moved(NamedTuple):
    """A copy that is written again. octets: its share of the new record."""

    old: int
    new: int
    octets: int


class Compaction:
    """Copies live entries out of the oldest segment, one step a batch, if worthwhile. docs/store-format.md, "Space".

    failure: the error of a step that could not read; no step is due until it is None again.
    """

    def __init__(self, journal: Journal, moves: Moves, counts: dict[int, int]) -> None:
        """counts: first position -> delivery count of the copies that were delivered before."""
        self._journal = journal
        self._moves = moves
        self._counts = counts
        self.failure: OSError | None = None
        self._segment: Segment | None = None
        #: Where to go on, and where the batch ends that has it.
        self._at: int = 0
        self._stop: int = 0

    def is_due(self) -> bool:
        """Whether `step` has something to do."""
        journal = self._journal
        if self.failure is not None or len(journal.segments) < 3:
            return False
        oldest = journal.segments[min(journal.segments)]
        if oldest is self._segment:
            return self._at < oldest.size
        return journal.octets > 2 * journal.living.octets + SPARE_SEGMENTS * journal.segment_bytes

    def step(self, position: int, written: int) -> tuple[list[bytes], list[Moved]]:
        """Return the groups to write from `position` on, and the entries that they move.

        written: bytes that the batch has already. A step reads twice as many: at most half of them are live, so that
        the journal does not grow faster than it shrinks. Entries that the journal knows to be settled are not moved.
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
        journal = self._journal
        oldest = journal.segments[min(journal.segments)]
        if oldest is not self._segment:
            self._segment = oldest
            self._at = self._stop = record.SEGMENT_HEAD.size
        base = oldest.number << OFFSET_BITS
        left = max(STEP_BYTES, 2 * written)
        while left > 0 and self._at < oldest.size:
            if self._at == self._stop:
                self._begin_batch(oldest)
            start, octets = self._at, self._stop - self._at
            living = journal.living.of(oldest.number).between(start, self._stop)
            if not living:
                left -= min(octets, _SKIP_BYTES)
                self._at = self._stop
                continue
            data = self._groups(base | start, octets, left)
            left -= octets
            self._at = start + len(data)
            living.reverse()
            for _, last in record.payloads(data):
                inside = []
                while living and living[-1] < start + last:
                    inside.append(living.pop() - start)
                if inside:
                    position = self._copy(parts, moved, position, data, inside, base + start)

    def _begin_batch(self, segment: Segment) -> None:
        head = self._journal.read(segment.number << OFFSET_BITS | self._at, record.BATCH_HEAD.size)
        batch = record.read_batch(head, 0, segment.mark)
        if batch is None:
            raise record.DamagedError(self._at, f"no whole batch header in {segment.path}")
        self._at += record.BATCH_HEAD.size
        self._stop = self._at + batch[1]

    def _groups(self, position: int, octets: int, wanted: int) -> bytes:
        """Whole groups of those `octets`: about as many as wanted, or one that has more."""
        data = self._journal.read(position, min(octets, max(STEP_BYTES, wanted)))
        if len(data) == octets:
            return data
        end = record.groups_end(data)
        if not end:
            return self._journal.read(position, min(octets, record.first_group(data)))
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
        """Write the copies whose entries stand there in `data` again, as one group; returns where the next goes."""
        payload: list[bytes] = []
        counts: list[tuple[int, int]] = []
        at = position + record.GROUP_HEAD.size
        while entries:
            start = entries[0] - record.back(data, entries[0])
            again, kept = record.excerpt(data, start, entries)
            for index, entry in enumerate(kept):
                old, new = base + entry, at + record.PUBLISH_HEAD.size + index * record.ENTRY.size
                moved.append(Moved(old, new, len(again) // len(kept)))
                known = self._counts.get(self._moves.first(old))
                if known is not None:
                    counts.append((new, known))
            payload.append(again)
            at += len(again)
            entries = entries[len(kept) :]
        if counts:
            payload.append(record.returned(counts))
        joined = b"".join(payload)
        parts.append(record.GROUP_HEAD.pack(len(joined), crc32(joined)))
        parts.append(joined)
        return position + record.GROUP_HEAD.size + len(joined)
