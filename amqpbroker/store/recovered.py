"""The live entries of a log after its recovery: each queue's copies, and their delivery counts."""

from array import array

from mypy_extensions import mypyc_attr

from amqpbroker.store import record
from amqpbroker.store.live_entries import LiveEntries, LiveEntriesBySegment
from amqpbroker.store.message_id_record import Ids
from amqpbroker.store.record import OFFSET_BITS, OFFSET_MASK

#: The distance between entries is at least one grain (16 bytes), so that one flag per grain is enough.
_GRAIN_BITS = 4


class Copies:
    """A queue's copies in the order of their records: each array has one item for each copy.

    priorities: of the messages, -1 for none. dues_ms: due times (`Store.delayed`), 0 for copies that are not delayed;
    empty if no copy is delayed.
    """

    __slots__ = ("deadlines_ms", "dues_ms", "positions", "priorities", "sequences", "sizes")

    def __init__(self) -> None:
        self.sequences = array("Q")
        self.positions = array("Q")
        self.deadlines_ms = array("Q")
        self.sizes = array("I")
        self.priorities = array("h")
        self.dues_ms = array("Q")

    @property
    def size(self) -> int:
        """Size of all bodies in bytes."""
        return sum(self.sizes)

    def _append(self, sequence: int, position: int, deadline_ms: int, size: int, priority: int) -> None:
        self.sequences.append(sequence)
        self.positions.append(position)
        self.deadlines_ms.append(deadline_ms)
        self.sizes.append(size)
        self.priorities.append(priority)

    def _items(self) -> "zip[tuple[int, int, int, int, int]]":
        return zip(self.sequences, self.positions, self.deadlines_ms, self.sizes, self.priorities, strict=True)

    def discard(self, before: int) -> None:
        """Discard the copies at lower positions."""
        kept = [index for index, position in enumerate(self.positions) if position >= before]
        if len(kept) < len(self.positions):
            self.sequences = array("Q", [self.sequences[index] for index in kept])
            self.positions = array("Q", [self.positions[index] for index in kept])
            self.deadlines_ms = array("Q", [self.deadlines_ms[index] for index in kept])
            self.sizes = array("I", [self.sizes[index] for index in kept])
            self.priorities = array("h", [self.priorities[index] for index in kept])

    def delay(self, dues_ms: dict[int, int]) -> None:
        """Set the due times of the copies. dues_ms: position -> due time of the delayed copies of any queue."""
        found = array("Q", [dues_ms.get(position, 0) for position in self.positions])
        self.dues_ms = found if any(found) else array("Q")

    def set_lead(self, ahead_ms: int) -> None:
        """Convert the deadlines, which are stored by the wall clock, to times of a clock that it is ahead of."""
        if ahead_ms:
            self.deadlines_ms = array("Q", [max(each - ahead_ms, 1) if each else 0 for each in self.deadlines_ms])

    def divided(self, until_ms: int) -> "tuple[Copies, Copies]":
        """Return the copies that are ready at `until_ms` by their due times, and the delayed ones, in the same order.

        The delayed ones have due times.
        """
        ready, delayed = Copies(), Copies()
        if not self.dues_ms:
            return self, delayed
        for due_ms, item in zip(self.dues_ms, self._items(), strict=True):
            if due_ms > until_ms:
                delayed._append(*item)
                delayed.dues_ms.append(due_ms)
            else:
                ready._append(*item)
        return ready, delayed

    def living(self, settled: dict[int, bytearray]) -> "Copies":
        """Return the copies that are not settled, in the order of their sequences.

        If a copy was written twice, only the later record counts: if that is settled, the earlier one is settled too.
        settled: a flag for each grain of a segment; empty if nothing is settled.
        """
        in_order = sorted(set(self.sequences))
        copies = self if array("Q", in_order) == self.sequences else self._sorted()
        if not settled:
            return copies
        kept = Copies()
        for sequence, position, deadline_ms, size, priority in copies._items():
            if not settled[position >> OFFSET_BITS][(position & OFFSET_MASK) >> _GRAIN_BITS]:
                kept._append(sequence, position, deadline_ms, size, priority)
        return kept

    def _sorted(self) -> "Copies":
        latest = {sequence: rest for sequence, *rest in self._items()}
        ordered = Copies()
        for sequence in sorted(latest):
            ordered._append(sequence, *latest[sequence])
        return ordered


@mypyc_attr(allow_interpreted_subclasses=True)
class Recovered(record.Visitor):
    """The contents of a log.

    copies: queue id -> its live copies, oldest first. ids: queue or exchange id -> the message ids that it accepted.
    living: the entries of both, by segment. returned: position -> delivery count of live copies that were delivered
    before. delayed: position -> due time of live copies that were delayed. batches: the number of the last whole batch.
    closed_in_order: the log was closed in order after the last batch. doubted: copies at lower positions may have been
    delivered although `returned` lacks them, since the log was not closed in order before.
    """

    def __init__(self) -> None:
        self.copies: dict[int, Copies] = {}
        self.ids: dict[int, Ids] = {}
        self.living = LiveEntriesBySegment()
        self.returned: dict[int, int] = {}
        self.delayed: dict[int, int] = {}
        self.batches: int = 0
        self.closed_in_order: bool = False
        self.doubted: int = 0
        self._ends: bool = False
        self._settled: dict[int, bytearray] = {}
        self._base: int = 0
        self._shift: int = 0
        self._entries = LiveEntries()

    def start_segment(self, number: int, size: int, shift: int = 0) -> None:
        """Begin or continue to read a segment.

        size: of the segment, in bytes. shift: offset in the segment at which the bytes that are read begin.
        """
        self._base = number << OFFSET_BITS
        self._shift = shift
        self._entries = self.living.of(number)
        flags = self._settled.setdefault(number, bytearray())
        flags.extend(bytes(max(0, (size >> _GRAIN_BITS) + 1 - len(flags))))

    def discard_segments(self, before: int) -> None:
        """Discard everything in segments with lower numbers, which were removed: nothing in them lives."""
        first = before << OFFSET_BITS
        for copies in self.copies.values():
            copies.discard(first)
        for ids in self.ids.values():
            ids.discard(first)
        self.copies = {queue_id: copies for queue_id, copies in self.copies.items() if copies.positions}
        self.ids = {holder_id: ids for holder_id, ids in self.ids.items() if ids.positions}
        self.returned = {position: count for position, count in self.returned.items() if position >= first}
        self.delayed = {position: due_ms for position, due_ms in self.delayed.items() if position >= first}
        for number in [number for number in self._settled if number < before]:
            del self._settled[number]
            self.living.remove(number)

    def read_batch(self, number: int) -> None:
        """Record that the batch with that number is complete and read."""
        self.batches = number
        self.closed_in_order, self._ends = self._ends, False

    def doubt(self, before: int) -> None:
        """Doubt whether copies at lower positions were delivered: the last deliveries may have no record."""
        self.doubted = before

    def entered(
        self,
        offset: int,
        queue_id: int,
        sequence: int,
        deadline_ms: int,
        delivery_count: int,
        size: int,
        part_bytes: int,
        priority: int,
        delivered: bool,
    ) -> None:
        offset += self._shift
        copies = self.copies.get(queue_id)
        if copies is None:
            copies = self.copies[queue_id] = Copies()
        copies.sequences.append(sequence)
        copies.positions.append(self._base + offset)
        copies.deadlines_ms.append(deadline_ms)
        copies.sizes.append(size)
        copies.priorities.append(priority)
        self._entries.add(offset, part_bytes)
        if delivery_count or delivered:
            self.returned[self._base + offset] = delivery_count

    def settled(self, position: int) -> None:
        # A settle record may outlive the segment of the copy that it settles.
        flags = self._settled.get(position >> OFFSET_BITS)
        if flags is not None:
            flags[(position & OFFSET_MASK) >> _GRAIN_BITS] = 1

    def returned_copy(self, position: int, delivery_count: int) -> None:
        if position < record.MARKS:
            self.returned[position] = delivery_count
        else:
            self.doubted = position - record.MARKS
            self._ends = delivery_count > 0

    def delayed_copy(self, position: int, due_ms: int) -> None:
        if due_ms:
            self.delayed[position] = due_ms
        else:
            self.delayed.pop(position, None)

    def took(self, offset: int, holder_id: int, sequence: int, expires_ms: int, key: bytes) -> None:
        offset += self._shift
        ids = self.ids.get(holder_id)
        if ids is None:
            ids = self.ids[holder_id] = Ids()
        ids.add(key, sequence, self._base + offset, expires_ms)
        self._entries.add(offset, record.ID_BYTES + record.ENTRY_BYTES + len(key))

    def finish(self) -> None:
        """Reduce the contents to live copies, after all segments are read."""
        found, self.copies = self.copies, {}
        # Determined once: the flags are as long as the journal, and there may be many queues.
        settled = self._settled if any(1 in flags for flags in self._settled.values()) else {}
        for queue_id, copies in found.items():
            living = copies.living(settled)
            if len(living.positions) < len(copies.positions):
                alive = set(living.positions)
                self.living.settle([position for position in copies.positions if position not in alive])
            if living.positions:
                self.copies[queue_id] = living
        if self.ids:
            self.ids = {holder_id: self._living_ids(ids) for holder_id, ids in self.ids.items()}
        self._settled = {}
        if self.returned:
            self.returned = {position: count for position, count in self.returned.items() if self.living.has(position)}
        if self.delayed:
            self.delayed = {position: due_ms for position, due_ms in self.delayed.items() if self.living.has(position)}
            for copies in self.copies.values():
                copies.delay(self.delayed)

    def _living_ids(self, ids: Ids) -> Ids:
        """Return the ids that are not free again. If an id was written twice, only the later record counts."""
        latest: dict[int, int] = {}
        gone: list[int] = []
        for index, sequence in enumerate(ids.sequences):
            earlier = latest.get(sequence)
            if earlier is not None:
                gone.append(ids.positions[earlier])
            latest[sequence] = index
        kept = Ids()
        for sequence in sorted(latest):
            index = latest[sequence]
            position = ids.positions[index]
            if self._settled[position >> OFFSET_BITS][(position & OFFSET_MASK) >> _GRAIN_BITS]:
                gone.append(position)
            else:
                kept.add(ids.keys[index], sequence, position, ids.expires_ms[index])
        if gone:
            self.living.settle(sorted(gone))
        return kept
