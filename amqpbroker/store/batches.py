"""Encoding of gathered operations as batches for the log. See docs/store-format.md."""

from typing import Final

from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import NOT_STORED, Copy, Message
from amqpbroker.store import record
from amqpbroker.store.compaction import Compaction, Moved
from amqpbroker.store.groups import LONE_ENTRY, Groups
from amqpbroker.store.log import Batch, Log
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.pending_writes import Gathered, Group
from amqpbroker.store.record import OFFSET_BITS
from amqpbroker.store.relocations import Relocations
from amqpbroker.store.stored import content_of

#: Maximum size in bytes of a group that replaces one copy by another, in addition to the content frames.
_ROOM: Final = 1024
_EMPTY: Final = Group()


class Writing:
    """A batch to be written, None if only streams are. moved: copies that compaction rewrites with it.

    size_bytes: of its groups. is_last: of its gathering. may_overlap: it may be written beside others of which that
    also holds.
    """

    __slots__ = ("batch", "is_last", "may_overlap", "moved", "size_bytes")

    def __init__(self, batch: Batch | None, moved: list[Moved], size_bytes: int) -> None:
        self.batch = batch
        self.moved = moved
        self.size_bytes = size_bytes
        self.is_last: bool = False
        self.may_overlap: bool = False

    def end_gathering(self, may_overlap: bool) -> None:
        """Mark it as the last of its gathering."""
        self.is_last = True
        self.may_overlap = may_overlap


class Encoder:
    """Encodes gathered operations as batches, assigns positions to copies, and tells the log which entries live.

    compaction: adds the copies to be rewritten to the batches.
    """

    def __init__(
        self,
        log: Log,
        relocations: Relocations,
        counts: dict[int, int],
        dues: dict[int, int],
        compaction: Compaction,
        bounds: Bounds,
    ) -> None:
        """counts: position -> delivery count of the copies that were delivered before. dues: position -> due time of
        the copies that were delayed.
        """
        self._log = log
        self._relocations = relocations
        self._counts = counts
        self._dues = dues
        self._compaction = compaction
        self._batch_bytes: int = bounds.batch_bytes
        self._group_bytes: int = bounds.group_bytes
        self._entries: int = bounds.entries
        self._positions: int = bounds.positions
        #: The complete batches, the groups of the incomplete batch, and the records of the incomplete group.
        self._made: list[Writing] = []
        self._to = Groups(0)
        self._records: list[bytes] = []
        self._next: int = 0

    def batches(self, gathered: Gathered, ahead_ms: int = 0) -> list[Writing]:
        """Return the batches for these operations, in order; none if all operations have become unnecessary.

        ahead_ms: lead of the wall clock (`Clock.ahead_ms`), because deadlines are stored as times of the wall clock.
        Raises OSError, DamagedError, and any error of the encoding; some operations are lost then.
        """
        to = self._to
        to.restart(self._log.next_position(), ahead_ms)
        segment = to.position >> OFFSET_BITS
        if gathered.loose.entered:
            self._add_loose(gathered.loose.entered)
        if gathered.groups:
            self._add_groups(gathered.groups)
        self._add_rest(gathered.loose)
        if self._compaction.is_due():
            self._compact_from(segment)
        if to.size_bytes:
            self._close_batch([])
        made, self._made = self._made, []
        return made

    def _end_batch(self, moved: list[Moved]) -> None:
        """Complete the batch; further groups go into another batch."""
        if self._to.size_bytes:
            self._close_batch(moved)
            self._to.restart(self._log.next_position(), self._to.ahead_ms)

    def _close_batch(self, moved: list[Moved]) -> None:
        """Complete the batch."""
        to = self._to
        self._made.append(Writing(self._log.batch(to.take()), moved, to.size_bytes))

    def _compact_from(self, segment: int) -> None:
        """Rewrite live copies of the oldest segment.

        Only segments before `segment` are complete on disk and can be read.
        """
        left = self._to.size_bytes + sum([writing.size_bytes for writing in self._made])
        while self._compaction.is_due() and self._log.oldest < segment:
            self._end_batch(self._compact(min(left, self._batch_bytes)))
            left -= self._batch_bytes
            if left <= 0:
                break

    def _compact(self, written: int) -> list[Moved]:
        groups, moved = self._compaction.step(self._to.position, written)
        self._to.extend(groups)
        living = self._log.living
        living.settle([copy.old for copy in moved])
        living.add([copy.new for copy in moved], [copy.size_bytes for copy in moved])
        return moved

    def _add_loose(self, entered: list[Copy]) -> None:
        """Append each copy as in `_add`, with a faster path for copies in a single queue, the most frequent case."""
        to = self._to
        places: list[int] = []
        sizes: list[int] = []
        count = len(entered)
        most = self._entries
        index = 0
        while index < count:
            copy = entered[index]
            index += 1
            if copy.position == NOT_STORED:
                continue
            message = copy.message
            if message.extra_keys or (index < count and entered[index].message is message):
                copies = [copy]
                while index < count and entered[index].message is message and len(copies) < most:
                    if entered[index].position != NOT_STORED:
                        copies.append(entered[index])
                    index += 1
                if len(copies) > 1 or message.extra_keys:
                    self._log.living.add(places, sizes)
                    places, sizes = [], []
                    self._add([copies], _EMPTY)
                    continue
            sizes.append(to.add_lone(copy))
            places.append(copy.position)
            if to.size_bytes >= self._batch_bytes:
                self._log.living.add(places, sizes)
                places, sizes = [], []
                self._end_batch([])
        self._log.living.add(places, sizes)

    def _add_groups(self, groups: list[Group]) -> None:
        """Append each group as in `_add`, with a faster path for groups that replace one copy, the common case."""
        to = self._to
        places: list[int] = []
        sizes: list[int] = []
        for group in groups:
            copy = self._successor(group)
            if copy is not None:
                behind = self._settled(group.settled)
                if group.returned:
                    place = to.position + LONE_ENTRY
                    self._counts[place] = copy.delivery_count
                    behind += record.returned([(place, copy.delivery_count)])
                sizes.append(to.add_lone(copy, behind))
                places.append(copy.position)
                if to.size_bytes < self._batch_bytes:
                    continue
            self._log.living.add(places, sizes)
            places, sizes = [], []
            if copy is None:
                self._add(self._by_message(group.entered), group)
            else:
                self._end_batch([])
        self._log.living.add(places, sizes)

    def _successor(self, group: Group) -> Copy | None:
        """Return the copy that replaces another one, if the group has no other operations."""
        if len(group.entered) != 1 or len(group.settled) != 1 or len(group.returned) > 1:
            return None
        if group.swept or group.delayed or group.ids:
            return None
        copy = group.entered[0]
        frames, keys = copy.message.frames, copy.message.extra_keys
        if copy.position >= NOT_STORED or keys or frames is None or len(frames) + _ROOM > self._group_bytes:
            return None
        return None if group.returned and group.returned[0] is not copy else copy

    def _add(self, publishes: list[list[Copy]], group: Group) -> None:
        """Append one group with these publish records, and with its other operations, unless it is empty by now.

        A group that is too large is divided, publish records first: a copy is never settled before its replacement is
        stored.
        """
        for copies in publishes:
            delivered = [copy for copy in copies if copy.delivered_ms >= 0]
            data = _publish_record(copies, record.DELIVERED if len(delivered) == len(copies) else 0, self._to.ahead_ms)
            first = self._append(data) + record.PUBLISH_BYTES
            part_bytes = len(data) // len(copies)
            for i, copy in enumerate(copies):
                copy.position = first + i * record.ENTRY_BYTES
            self._log.living.add([copy.position for copy in copies], [part_bytes] * len(copies))
            if delivered and len(delivered) < len(copies):
                back = [(copy.position, copy.delivery_count) for copy in delivered]
                # The record lacks the flag for delivered copies, so compaction needs the count.
                self._counts.update(back)
                self._append(record.returned(back))
        self._add_rest(group)

    def _add_rest(self, group: Group) -> None:
        """Append the group's ids and what it settles, returns and delays, and end it, unless it is empty by now."""
        if group.ids:
            self._add_ids(group.ids)
        if group.settled or group.swept:
            self._add_settled(group)
        if group.returned:
            self._add_returned(group.returned)
        if group.delayed:
            self._add_delayed(group.delayed)
        if self._records:
            self._end_group()

    def _add_ids(self, ids: list[MessageIdRecord]) -> None:
        for taken in ids:
            if taken.position == NOT_STORED:
                continue
            data = record.took(taken.holder_id, taken.sequence, taken.expires_ms, taken.key)
            taken.stored_at(self._append(data) + record.ID_BYTES)
            self._log.living.add([taken.position], [len(data)])

    def _add_returned(self, returned: list[Copy]) -> None:
        back: list[tuple[int, int]] = []
        for copy in returned:
            position, count = copy.position, copy.delivery_count
            if position > 0 and (position in self._counts or self._is_living(position)):
                self._counts[position] = count
                back.append((self._relocations.present(position) if self._relocations.count else position, count))
        for start in range(0, len(back), self._positions):
            self._append(record.returned(back[start : start + self._positions]))

    def _add_delayed(self, delayed: dict[Copy | int, int]) -> None:
        late: list[tuple[int, int]] = []
        for copy, due_ms in delayed.items():
            position = copy if isinstance(copy, int) else copy.position
            if position <= 0 or not self._is_living(position):
                continue
            if due_ms:
                self._dues[position] = due_ms
            else:
                self._dues.pop(position, None)
            late.append((self._relocations.present(position) if self._relocations.count else position, due_ms))
        for start in range(0, len(late), self._positions):
            self._append(record.delayed(late[start : start + self._positions]))

    def _is_living(self, position: int) -> bool:
        """Return whether a copy is not settled. It may have been, as another object, after it was paged out."""
        return self._log.living.has(self._relocations.present(position) if self._relocations.count else position)

    def _add_settled(self, group: Group) -> None:
        settled, most = group.settled, self._positions
        for start in range(0, len(settled), most):
            self._append(self._settled(settled[start : start + most]))
        for positions in group.swept:
            for start in range(0, len(positions), most):
                self._append(self._settled(list(positions[start : start + most])))

    def _append(self, data: bytes) -> int:
        """Append a record to the group, or to a new one if the group would become too large; return the record's
        position.
        """
        if self._records and self._next + len(data) - self._to.position > self._group_bytes:
            self._end_group()
        if not self._records:
            self._next = self._to.position + record.GROUP_BYTES
        at = self._next
        self._records.append(data)
        self._next += len(data)
        return at

    def _end_group(self) -> None:
        records, self._records = self._records, []
        self._to.add(records[0] if len(records) == 1 else b"".join(records))
        if self._to.size_bytes >= self._batch_bytes:
            self._end_batch([])

    def _settled(self, positions: list[int]) -> bytes:
        """Return a settle record for the present positions of the copies, and forget their other data."""
        for numbers in (self._counts, self._dues):
            if numbers:
                for position in positions:
                    numbers.pop(position, None)
                if not numbers:
                    # A dict that was emptied keeps its memory otherwise.
                    numbers.clear()
        if self._relocations.count:
            positions = [self._relocations.settle(position) for position in positions]
        self._log.living.settle(positions)
        return record.settle(positions)

    def _by_message(self, entered: list[Copy]) -> list[list[Copy]]:
        """Return the copies that are still to be written, grouped by message if they are consecutive."""
        runs: list[list[Copy]] = []
        last: Message | None = None
        for entry in entered:
            if entry.position >= NOT_STORED:
                continue
            if entry.message is last and len(runs[-1]) < self._entries:
                runs[-1].append(entry)
            else:
                last = entry.message
                runs.append([entry])
        return runs


def _publish_record(copies: list[Copy], flags: int, ahead_ms: int) -> bytes:
    return record.publish(
        content_of(copies[0].message, flags),
        [
            (
                copy.holder_id,
                copy.sequence,
                copy.deadline_ms + ahead_ms if copy.deadline_ms else 0,
                min(copy.delivery_count, record.MAX_COUNT),
            )
            for copy in copies
        ],
    )
