"""From what was gathered to batches for the log. docs/store-format.md."""

from typing import Final

from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import NOT_STORED, Copy, Message
from amqpbroker.store import record
from amqpbroker.store.compaction import Compaction, Moved
from amqpbroker.store.gathering import Gathered, Group
from amqpbroker.store.groups import LONE_ENTRY, Groups
from amqpbroker.store.log import Batch, Log
from amqpbroker.store.moves import Moves
from amqpbroker.store.record import OFFSET_BITS
from amqpbroker.store.stored import content_of

#: Maximum bytes of a group that puts one copy in place of another, in addition to the content frames.
_ROOM: Final = 1024
_EMPTY: Final = Group()


class Writing:
    """A batch to be written. moved: copies that are written again with it.

    octets: those of its groups.
    """

    __slots__ = ("batch", "moved", "octets")

    def __init__(self, batch: Batch, moved: list[Moved], octets: int) -> None:
        self.batch = batch
        self.moved = moved
        self.octets = octets


class Encoder:
    """Makes batches of what was gathered, gives its copies their positions, and tells the log what lives.

    compaction: what it has to write again goes with them.
    """

    def __init__(
        self,
        log: Log,
        moves: Moves,
        counts: dict[int, int],
        compaction: Compaction,
        bounds: Bounds,
    ) -> None:
        """counts: position -> delivery count of the copies that were delivered before."""
        self._log = log
        self._moves = moves
        self._counts = counts
        self._compaction = compaction
        self._batch_bytes: int = bounds.batch_bytes
        self._group_bytes: int = bounds.group_bytes
        self._entries: int = bounds.entries
        self._positions: int = bounds.positions
        #: The batches that are complete, the one that is not, and the records of a group that is not.
        self._made: list[Writing] = []
        self._to = Groups(0)
        self._records: list[bytes] = []
        self._next: int = 0

    def batches(self, gathered: Gathered) -> list[Writing]:
        """The batches that say all this, in their order; none if nothing of it is left to say.

        Raises OSError, DamagedError, and whatever encoding does; then some of it is lost.
        """
        to = self._to
        to.restart(self._log.next_position())
        segment = to.position >> OFFSET_BITS
        if gathered.loose.entered:
            self._add_loose(gathered.loose.entered)
        if gathered.groups:
            self._add_groups(gathered.groups)
        self._add_rest(gathered.loose)
        if self._compaction.is_due():
            self._compact_from(segment)
        if to.octets:
            self._close_batch([])
        made, self._made = self._made, []
        return made

    def _end_batch(self, moved: list[Moved]) -> None:
        """What was added is a batch; what is added from now on goes into another."""
        if self._to.octets:
            self._close_batch(moved)
            self._to.restart(self._log.next_position())

    def _close_batch(self, moved: list[Moved]) -> None:
        """What was added is a batch."""
        to = self._to
        self._made.append(Writing(self._log.batch(to.take()), moved, to.octets))

    def _compact_from(self, segment: int) -> None:
        """Write what keeps the oldest segment again. Only what was written before `segment` can be looked into."""
        left = self._to.octets + sum([writing.octets for writing in self._made])
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
        living.add([copy.new for copy in moved], [copy.octets for copy in moved])
        return moved

    def _add_loose(self, entered: list[Copy]) -> None:
        """`_add` for each message; those in one queue, as most are, take less."""
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
            if to.octets >= self._batch_bytes:
                self._log.living.add(places, sizes)
                places, sizes = [], []
                self._end_batch([])
        self._log.living.add(places, sizes)

    def _add_groups(self, groups: list[Group]) -> None:
        """`_add` for each; those in which one copy takes the place of another, as in most, take less."""
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
                if to.octets < self._batch_bytes:
                    continue
            self._log.living.add(places, sizes)
            places, sizes = [], []
            if copy is None:
                self._add(self._by_message(group.entered), group)
            else:
                self._end_batch([])
        self._log.living.add(places, sizes)

    def _successor(self, group: Group) -> Copy | None:
        """Return the copy that takes the place of another in the group, if that is all there is to it."""
        if len(group.entered) != 1 or len(group.settled) != 1 or group.swept or len(group.returned) > 1:
            return None
        copy = group.entered[0]
        frames, keys = copy.message.frames, copy.message.extra_keys
        if copy.position >= NOT_STORED or keys or frames is None or len(frames) + _ROOM > self._group_bytes:
            return None
        return None if group.returned and group.returned[0] is not copy else copy

    def _add(self, publishes: list[list[Copy]], group: Group) -> None:
        """Append one group, unless nothing of it is left to say: these publishes, and what it settles and returns.

        Of one that is too large what enters comes first: so nothing is ever settled without what takes its place.
        """
        for copies in publishes:
            delivered = [copy for copy in copies if copy.delivered_ms >= 0]
            data = _publish_record(copies, record.DELIVERED if len(delivered) == len(copies) else 0)
            first = self._append(data) + record.PUBLISH_OCTETS
            octets = len(data) // len(copies)
            for i, copy in enumerate(copies):
                copy.position = first + i * record.ENTRY_OCTETS
            self._log.living.add([copy.position for copy in copies], [octets] * len(copies))
            if delivered and len(delivered) < len(copies):
                back = [(copy.position, copy.delivery_count) for copy in delivered]
                # The flag is not set, so that compaction would not know.
                self._counts.update(back)
                self._append(record.returned(back))
        self._add_rest(group)

    def _add_rest(self, group: Group) -> None:
        """Append what the group settles and returns, and end it, unless nothing of it is left to say."""
        if group.settled or group.swept:
            self._add_settled(group)
        if group.returned:
            self._add_returned(group.returned)
        if self._records:
            self._end_group()

    def _add_returned(self, returned: list[Copy]) -> None:
        back = [(copy.position, copy.delivery_count) for copy in returned if copy.position > 0]
        for position, count in back:
            self._counts[position] = count
        if self._moves.count:
            back = [(self._moves.present(position), count) for position, count in back]
        for start in range(0, len(back), self._positions):
            self._append(record.returned(back[start : start + self._positions]))

    def _add_settled(self, group: Group) -> None:
        settled, most = group.settled, self._positions
        for start in range(0, len(settled), most):
            self._append(self._settled(settled[start : start + most]))
        for positions in group.swept:
            for start in range(0, len(positions), most):
                self._append(self._settled(list(positions[start : start + most])))

    def _append(self, data: bytes) -> int:
        """Append a record to the group, or to another if that would have too many octets; returns where it stands."""
        if self._records and self._next + len(data) - self._to.position > self._group_bytes:
            self._end_group()
        if not self._records:
            self._next = self._to.position + record.GROUP_OCTETS
        at = self._next
        self._records.append(data)
        self._next += len(data)
        return at

    def _end_group(self) -> None:
        records, self._records = self._records, []
        self._to.add(records[0] if len(records) == 1 else b"".join(records))
        if self._to.octets >= self._batch_bytes:
            self._end_batch([])

    def _settled(self, positions: list[int]) -> bytes:
        """The record that says so, by where the copies stand by now; nothing else is known of them any more."""
        if self._counts:
            for position in positions:
                self._counts.pop(position, None)
        if self._moves.count:
            positions = [self._moves.settle(position) for position in positions]
        self._log.living.settle(positions)
        return record.settle(positions)

    def _by_message(self, entered: list[Copy]) -> list[list[Copy]]:
        """Return the copies that are still to be written, consecutive copies of one message together."""
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


def _publish_record(copies: list[Copy], flags: int) -> bytes:
    return record.publish(
        content_of(copies[0].message, flags),
        [
            (copy.holder_id, copy.sequence, copy.deadline_ms, min(copy.delivery_count, record.MAX_COUNT))
            for copy in copies
        ],
    )
