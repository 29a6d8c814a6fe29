"""The ready lines of quorum queues: returned messages first, then by the priorities of a release of RabbitMQ."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.pages import Pager
from amqpbroker.broker.queues.lines.priority_line import PriorityLine, recover_by_level
from amqpbroker.broker.queues.lines.ready_line import Placed, ReadyLine, place_at, placed, rank_and_sequence
from amqpbroker.broker.queues.lines.returned_line import ReturnedLine
from amqpbroker.wire.properties import flags_of
from amqpbroker.wire.property_flags import PRIORITY

if TYPE_CHECKING:
    from amqpbroker.store.recovered import Copies


class QuorumLine(ReadyLine):
    """Returned messages first, in the order of their return; then two of high priority (5 and up) for each normal one.

    Every third message is a normal one, but only if that is older than the first of high priority. Source: rabbit_fifo
    (returns) and rabbit_fifo_q (the weight of 2, one counter that every dequeue advances).
    """

    WEIGHT = 2

    def __init__(self, pager: Pager | None = None) -> None:
        super().__init__()
        self.returns_in_place = False
        self.returned = ReturnedLine()
        self.high = FifoLine(pager)
        self.normal: ReadyLine = FifoLine(pager)
        self.turn: int = 0
        self._newest: int = 0

    def push(self, entry: Entry) -> None:
        self._add(entry, self.high if entry.message.priority > 4 else self.normal)

    def requeue_last(self, entry: Entry) -> None:
        # The priority does not matter here (rabbit_fifo:requeue).
        self._add(entry, self.normal)

    def _add(self, entry: Entry, line: ReadyLine) -> None:
        # The sequence numbers in between belong to messages that went directly to consumers, which also advance the
        # counter.
        self._advance(entry.sequence - self._newest - 1)
        self._newest = entry.sequence
        line.push(entry)
        self.count += 1
        self.size += entry.message.size

    def requeue(self, entries: list[Entry]) -> None:
        self.returned.add(entries)
        self.count += len(entries)
        self.size += sum([entry.message.size for entry in entries])

    def _next(self) -> ReadyLine:
        if not self.high.count:
            return self.normal
        if self.turn == self.WEIGHT and self.normal.count and self.normal.head().sequence < self.high.head().sequence:
            return self.normal
        return self.high

    def load_head(self) -> bool:
        if self.returned.count:
            return True
        if not self.high.count:
            return self.normal.load_head()
        return self.high.load_head() and (self.turn != self.WEIGHT or not self.normal.count or self.normal.load_head())

    def head(self) -> Entry:
        return self.returned.first() if self.returned.count else self._next().head()

    def pop(self) -> Entry:
        if self.returned.count:
            entry = self.returned.pop()
        else:
            entry = self._next().pop()
            self._advance(1)
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def _advance(self, turns: int) -> None:
        self.turn = (self.turn + turns) % (self.WEIGHT + 1)

    def divide(self, pager: Pager) -> None:
        self.high.divide(pager)
        self.normal.divide(pager)

    def level_of(self, entry: Entry) -> int:
        return int(entry.message.priority > 4)

    def contains(self, sequence: int, level: int) -> bool:
        return self.returned.contains(sequence) or self.high.contains(sequence) or self.normal.contains(sequence, level)

    def remove(self, sequence: int, level: int) -> Entry | None:
        entry: Entry | None
        if self.returned.contains(sequence):
            entry = self.returned.remove(sequence)
        elif self.high.contains(sequence):
            entry = self.high.remove(sequence)
        else:
            entry = self.normal.remove(sequence, level)
        if entry is not None:
            self.count -= 1
            self.size -= entry.message.size
        return entry

    def replace(self, entry: Entry, level: int) -> Entry | None:
        old: Entry | None
        if self.returned.contains(entry.sequence):
            old = self.returned.replace(entry)
        elif self.high.contains(entry.sequence):
            old = self.high.replace(entry)
        else:
            old = self.normal.replace(entry, level)
        if old is not None:
            self.size += entry.message.size - old.message.size
        return old

    def lookup(self, sequence: int) -> tuple[int, Entry] | None:
        if self.returned.contains(sequence):
            return 0, self.returned.find(sequence)
        return self.high.lookup(sequence) or self.normal.lookup(sequence)

    def following(self, place: int, count: int) -> list[Placed]:
        # First all returned messages, then all of high priority, then the others: without the weight.
        rank, sequence = rank_and_sequence(place)
        if rank == 0 and (entries := self.returned.behind(sequence, count)):
            return placed(0, entries)
        if rank <= 1 and (entries := self.high.behind(sequence if rank == 1 else 0, count)):
            return placed(1, entries)
        before = place_at(2, 0)
        return [(before + each, entry) for each, entry in self.normal.following(max(place - before, 0), count)]

    def deadlines(self) -> list[int]:
        return self.returned.deadlines() + self.high.deadlines_at(1) + self.normal.deadlines()

    def peek(self) -> Entry | None:
        if self.returned.count:
            return self.returned.first()
        high, normal = self.high.peek(), self.normal.peek()
        if (high is None and self.high.count) or (normal is None and self.normal.count):
            return None
        return self._next().peek()

    @property
    def paged_out(self) -> int:
        return self.high.paged_out + self.normal.paged_out

    def clear(self) -> list[deque[Entry]]:
        dropped = [self.returned.clear(), *self.high.clear(), *self.normal.clear()]
        self.count = self.size = self.turn = 0
        return dropped

    def start_after(self, newest: int) -> None:
        # Messages that went to consumers before do not advance the counter.
        self._newest = newest
        self.turn = 0

    def recover(self, copies: "Copies") -> None:
        normal = self.normal
        assert isinstance(normal, FifoLine)
        recover_by_level(copies, lambda priority: priority > 4, lambda high: self.high if high else normal)
        self.start_after(copies.sequences[-1])
        self.count += len(copies.positions)
        self.size += copies.size

    def page_out(self, pager: Pager, keep: bool) -> bool:
        moved = [line.page_out(pager, keep) for line in (self.high, self.normal)]
        return any(moved)

    def __iter__(self) -> Iterator[Entry]:
        yield from self.returned
        turn = self.turn
        highs = iter(self.high)
        high = next(highs, None)
        for normal in self.normal:
            while high is not None and not (turn == self.WEIGHT and normal.sequence < high.sequence):
                yield high
                turn = (turn + 1) % (self.WEIGHT + 1)
                high = next(highs, None)
            yield normal
            turn = (turn + 1) % (self.WEIGHT + 1)
        if high is not None:
            yield high
            yield from highs


class StrictLevels(PriorityLine):
    """Priorities of quorum queues in RabbitMQ 4.3: 0 to 31, and 4 for messages without a priority."""

    MAX_PRIORITY = 31
    DEFAULT_PRIORITY = 4

    def __init__(self, pager: Pager | None = None) -> None:
        super().__init__(self.MAX_PRIORITY, pager)

    def _level(self, entry: Entry) -> int:
        message = entry.message
        if not message.priority and not flags_of(message.properties) & PRIORITY:
            return self.DEFAULT_PRIORITY
        return super()._level(entry)

    def _level_of(self, priority: int) -> int:
        return self.DEFAULT_PRIORITY if priority < 0 else super()._level_of(priority)

    def first_due(self) -> tuple[int, int]:
        """Expiry time and level of the head that expires first among all levels; 0 if none expires."""
        due_ms = due_level = 0
        for level, line in enumerate(self.levels):
            if line.count and line.load_head():
                head_ms = line.head().deadline_ms
                if head_ms and (not due_ms or head_ms < due_ms):
                    due_ms, due_level = head_ms, level
        return due_ms, due_level


class StrictQuorumLine(QuorumLine):
    """Returned messages first, in the order of their return; then strictly by priority (RabbitMQ 4.3).

    The first returned message and the first message of each priority may expire.
    """

    def __init__(self, pager: Pager | None = None) -> None:
        super().__init__(pager)
        self._levels = StrictLevels(pager)
        self.normal = self._levels

    def level_of(self, entry: Entry) -> int:
        return self._levels.level_of(entry)

    def by_priority(self) -> dict[int, int]:
        # Priorities without messages are omitted.
        return {level: line.count for level, line in enumerate(self._levels.levels) if line.count}

    def due_ms(self) -> int:
        due_ms = self._levels.first_due()[0]
        returned_ms = self.returned.first().deadline_ms if self.returned.count else 0
        return min(due_ms, returned_ms) if due_ms and returned_ms else due_ms or returned_ms

    def pop_due(self) -> Entry:
        due_ms, level = self._levels.first_due()
        returned_ms = self.returned.first().deadline_ms if self.returned.count else 0
        if returned_ms and (not due_ms or returned_ms <= due_ms):
            entry = self.returned.pop()
        else:
            entry = self._levels.pop_from(level)
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def push(self, entry: Entry) -> None:
        self.normal.push(entry)
        self.count += 1
        self.size += entry.message.size

    def start_after(self, newest: int) -> None:
        # There is no counter in strict order.
        pass

    def recover(self, copies: "Copies") -> None:
        self.normal.recover(copies)
        self.count += len(copies.positions)
        self.size += copies.size
