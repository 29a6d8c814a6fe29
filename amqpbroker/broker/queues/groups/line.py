"""The ready line of a queue with message groups."""

import heapq
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.group import Group
from amqpbroker.broker.queues.groups.groups import Groups
from amqpbroker.broker.queues.groups.versions import GroupVersions
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.pages import Pager
from amqpbroker.broker.queues.lines.ready_line import Placed, ReadyLine, deadline_item, placed, rank_and_sequence
from amqpbroker.message.message import Message

if TYPE_CHECKING:
    from amqpbroker.store.recovered import Copies


class GroupLine(ReadyLine):
    """A line in which only the first message of a group can be delivered, while the group is free.

    `groups` has the order of the messages. The messages themselves are in a line that removes them at any position;
    a few messages that were delivered before, or read ahead, are beside it.
    """

    def __init__(self, groups: Groups, versions: GroupVersions | None = None) -> None:
        """versions: None if messages have none. `divide` must precede any other call."""
        super().__init__()
        self.groups: Groups = groups
        self.versions: GroupVersions | None = versions
        self._line: FifoLine = FifoLine()
        self._beside: dict[int, Entry] = {}
        self._pager: Pager | None = None

    def _update(self) -> None:
        """Update the counts after a change of the groups."""
        groups = self.groups
        waiting = self._line.count + len(self._beside)
        stopped = len(groups.parked) + groups.closed_waiting
        self.count = waiting - stopped if groups.options.fair else groups.offered
        self.blocked = waiting - self.count

    def push(self, entry: Entry) -> None:
        self._line.push(entry)
        self.size += entry.message.size
        self.groups.add(self.groups.key(entry.message), entry.sequence)
        self._update()

    def requeue(self, entries: list[Entry]) -> None:
        groups = self.groups
        for entry in entries:
            self._beside[entry.sequence] = entry
            self.size += entry.message.size
            groups.add_again(entry.message, entry.sequence)
        self._update()
        pager = self._pager
        if pager is not None and self._is_beside(2 * pager.page_count, 2 * pager.page_bytes):
            self._move_from_beside(pager, pager.page_count, pager.page_bytes)

    def requeue_last(self, entry: Entry) -> None:
        self.requeue([entry])

    def load_head(self) -> bool:
        group = self.groups.next()
        return group is not None and self._load(group.first)

    def head(self) -> Entry:
        group = self.groups.next()
        assert group is not None
        entry = self._beside.get(group.first)
        return self._line.head() if entry is None else entry

    def pop(self) -> Entry:
        group = self.groups.next()
        assert group is not None
        return self._pop_of(group)

    def pop_due(self) -> Entry:
        entry = self.pop()
        # The next message of its group may have expired, too.
        self.left(entry.sequence)
        return entry

    def pop_first_of(self, group: Group) -> Entry | None:
        """Remove and return the first waiting message of a group; None if it has none, or it cannot be read now."""
        return self._pop_of(group) if group.first and self._load(group.first) else None

    def pop_oldest(self) -> Entry | None:
        """Remove and return the message that came first, also if it cannot be delivered now.

        Return None if there is none, or if it temporarily cannot be read.
        """
        line, beside = self._line, self._beside
        sequence = min(beside, default=0)
        if line.count:
            if not line.load_head():
                return None
            first = line.head().sequence
            sequence = first if not sequence else min(first, sequence)
        return self.remove(sequence, 0) if sequence else None

    def _load(self, sequence: int) -> bool:
        """Bring a message to the head of the line, or beside it; return False if it temporarily cannot be read."""
        if sequence in self._beside:
            return True
        line = self._line
        if line.load_head() and line.head().sequence == sequence:
            return True
        entry = line.remove(sequence)
        if entry is None:
            return False
        self._beside[sequence] = entry
        return True

    def _pop_of(self, group: Group) -> Entry:
        entry = self._beside.pop(group.first, None)
        if entry is None:
            entry = self._line.pop()
        self.size -= entry.message.size
        self.groups.withdraw_first(group)
        self._update()
        return entry

    # --- taken messages -----------------------------------------------------------------------------------------------

    def left(self, sequence: int) -> None:
        """Record that a message has left the queue, that was removed from the line or delayed."""
        if self.groups.left(sequence):
            self._update()

    def left_all(self, sequences: Iterable[int]) -> None:
        """Record that several messages have left the queue; see `left`."""
        for sequence in sequences:
            self.groups.left(sequence)
        self._update()

    def delay(self, entry: Entry) -> None:
        """Record that a message is delayed, which was removed from the line or is new."""
        self.groups.delay(self.groups.key(entry.message), entry.sequence)
        self._update()

    def holder(self, message: Message) -> Consumer | None:
        """Return the consumer that has messages of the message's group, if it may get more of them."""
        key = self.groups.key(message)
        group = None if key is None else self.groups.get(key)
        return None if group is None else group.holder

    def groups_changed(self) -> None:
        """Count again, after groups were stopped or opened."""
        self._update()

    # --- any position -------------------------------------------------------------------------------------------------

    def divide(self, pager: Pager) -> None:
        self._pager = pager
        self._line.divide(pager)

    def contains(self, sequence: int, level: int) -> bool:
        return sequence in self._beside or self._line.contains(sequence)

    def may_expire(self, sequence: int, level: int) -> bool:
        # The time of messages in parked groups stands still.
        return sequence not in self.groups.parked and self.contains(sequence, level)

    def remove(self, sequence: int, level: int) -> Entry | None:
        entry = self._beside.pop(sequence, None)
        if entry is None:
            entry = self._line.remove(sequence)
            if entry is None:
                return None
        self.size -= entry.message.size
        self.groups.remove(self.groups.key(entry.message), sequence)
        self._update()
        return entry

    def replace(self, entry: Entry, level: int) -> Entry | None:
        sequence = entry.sequence
        old: Entry | None
        if sequence in self._beside:
            old = self._beside[sequence]
            self._beside[sequence] = entry
        else:
            old = self._line.replace(entry)
            if old is None:
                return None
        self.size += entry.message.size - old.message.size
        return old

    def lookup(self, sequence: int) -> tuple[int, Entry] | None:
        entry = self._beside.get(sequence)
        return self._line.lookup(sequence) if entry is None else (0, entry)

    def following(self, place: int, count: int) -> list[Placed]:
        """Return entries in the order of their arrival, also those that cannot be delivered now."""
        rank, sequence = rank_and_sequence(place)
        if rank:
            return []
        found = self._line.behind(sequence, count)
        beside = heapq.nsmallest(count, [each for each in self._beside if each > sequence])
        if found:
            # The line has further entries behind these.
            beside = beside[: bisect_left(beside, found[-1].sequence)]
        entries = sorted([*found, *[self._beside[each] for each in beside]], key=_sequence)
        return placed(0, entries[:count])

    def deadlines(self) -> list[int]:
        items = self._line.deadlines()
        items += [
            deadline_item(each.deadline_ms, each.sequence, 0) for each in self._beside.values() if each.deadline_ms
        ]
        return items

    # --- memory -------------------------------------------------------------------------------------------------------

    def peek(self) -> Entry | None:
        group = self.groups.next()
        if group is not None and group.first in self._beside:
            return self._beside[group.first]
        return self._line.peek()

    @property
    def paged_out(self) -> int:
        return self._line.paged_out

    def clear(self) -> list[deque[Entry]]:
        dropped = [deque(self._beside.values()), *self._line.clear()]
        self._beside.clear()
        self.groups.clear()
        self.size = 0
        self._update()
        return dropped

    def discard(self) -> None:
        """Discard all messages from memory, without changing the store. The line is not used after that."""
        self._beside.clear()
        self._line = FifoLine()
        self._pager = None

    def recover(self, copies: "Copies") -> None:
        # The queue reads their keys.
        self._line.recover(copies)
        self.size += copies.size

    def page_out(self, pager: Pager, keep: bool) -> bool:
        self._pager = pager
        if not keep and self._is_beside(pager.least_page_count, pager.least_page_bytes):
            self._move_from_beside(pager, 0, 0)
        return self._line.page_out(pager, keep)

    def _is_beside(self, count: int, size: int) -> bool:
        """Return whether more messages than that, or more bytes of bodies, are beside the line."""
        return len(self._beside) > count or self.size - self._line.size > size

    def _move_from_beside(self, pager: Pager, count: int, size: int) -> None:
        """Move messages from beside the line into it, except for the first ones, up to `count` and `size` in bytes."""
        beside, order = self._beside, sorted(self._beside)
        kept = 0
        for sequence in order[:count]:
            size -= beside[sequence].message.size
            if size < 0:
                break
            kept += 1
        if kept < len(order):
            self._line.requeue([beside.pop(sequence) for sequence in order[kept:]])
            self._line.shorten(pager)

    def __iter__(self) -> Iterator[Entry]:
        """Iterate over all entries, also those that cannot be delivered now, in the order of their arrival."""
        beside = [self._beside[sequence] for sequence in sorted(self._beside)]
        return iter(heapq.merge(self._line, beside, key=_sequence))


def _sequence(entry: Entry) -> int:
    return entry.sequence
