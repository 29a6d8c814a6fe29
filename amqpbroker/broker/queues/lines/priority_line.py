"""The ready line of queues with x-max-priority: highest priority first."""

from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.pages import Pager
from amqpbroker.broker.queues.lines.ready_line import Placed, ReadyLine, placed, rank_and_sequence

if TYPE_CHECKING:
    from amqpbroker.store.recovered import Copies


class _Copies:
    """One item of each array for each stored copy, in the order of their sequences."""

    def __init__(self) -> None:
        self.positions = array("Q")
        self.sequences = array("Q")
        self.sizes = array("I")
        self.deadlines_ms = array("Q")


def recover_by_level(copies: "Copies", level_of: Callable[[int], int], line_of: Callable[[int], FifoLine]) -> None:
    """Distribute the copies among the lines of their levels. level_of: takes a priority, -1 for none."""
    levels: dict[int, _Copies] = {}
    for position, sequence, size, deadline_ms, priority in zip(
        copies.positions, copies.sequences, copies.sizes, copies.deadlines_ms, copies.priorities, strict=True
    ):
        level = level_of(priority)
        part = levels.get(level)
        if part is None:
            part = levels[level] = _Copies()
        part.positions.append(position)
        part.sequences.append(sequence)
        part.sizes.append(size)
        part.deadlines_ms.append(deadline_ms)
    for level, part in levels.items():
        line_of(level).add_stored(part.positions, part.sequences, part.sizes, part.deadlines_ms)


#: Placeholder for a priority that was never used: most of 255 never are.
_UNUSED = FifoLine()


class PriorityLine(ReadyLine):
    """Highest priority first, first in first out within one (rabbit_priority_queue).

    `levels` holds a line for each priority, created when it is first used. Bit p of `mask` is set if line p is not
    empty.
    """

    def __init__(self, max_priority: int, pager: Pager | None = None) -> None:
        super().__init__()
        self.max_priority = max_priority
        self.levels: list[FifoLine] = [_UNUSED] * (max_priority + 1)
        self.mask: int = 0
        self._pager = pager

    def _level(self, entry: Entry) -> int:
        priority = entry.message.priority
        return priority if priority < self.max_priority else self.max_priority

    def _level_of(self, priority: int) -> int:
        """Return the level of entries with this priority, -1 for none."""
        return min(max(priority, 0), self.max_priority)

    def _line(self, level: int) -> FifoLine:
        line = self.levels[level]
        if line is _UNUSED:
            line = self.levels[level] = FifoLine(self._pager)
        return line

    def push(self, entry: Entry) -> None:
        level = self._level(entry)
        self._line(level).push(entry)
        self.mask |= 1 << level
        self.count += 1
        self.size += entry.message.size

    def requeue(self, entries: list[Entry]) -> None:
        by_level: dict[int, list[Entry]] = {}
        for entry in entries:
            by_level.setdefault(self._level(entry), []).append(entry)
            self.size += entry.message.size
        for level, group in by_level.items():
            self._line(level).requeue(group)
            self.mask |= 1 << level
        self.count += len(entries)

    def ranked(self, entries: list[Entry]) -> list[Entry]:
        return sorted(entries, key=self._level, reverse=True)

    def load_head(self) -> bool:
        return self.levels[self.mask.bit_length() - 1].load_head()

    def head(self) -> Entry:
        return self.levels[self.mask.bit_length() - 1].head()

    def pop(self) -> Entry:
        return self.pop_from(self.mask.bit_length() - 1)

    def pop_from(self, level: int) -> Entry:
        """Remove and return the head of one level."""
        line = self.levels[level]
        entry = line.pop()
        self._removed(level, entry)
        return entry

    def _removed(self, level: int, entry: Entry) -> None:
        """Count an entry that was removed from one level."""
        if not self.levels[level].count:
            self.mask &= ~(1 << level)
        self.count -= 1
        self.size -= entry.message.size

    def divide(self, pager: Pager) -> None:
        self._pager = pager
        for line in self.levels:
            if line is not _UNUSED:
                line.divide(pager)

    def level_of(self, entry: Entry) -> int:
        return self._level(entry)

    def contains(self, sequence: int, level: int) -> bool:
        return self.levels[level].contains(sequence)

    def remove(self, sequence: int, level: int) -> Entry | None:
        line = self.levels[level]
        entry = line.remove(sequence)
        if entry is not None:
            self._removed(level, entry)
        return entry

    def replace(self, entry: Entry, level: int) -> Entry | None:
        old = self.levels[level].replace(entry)
        if old is not None:
            self.size += entry.message.size - old.message.size
        return old

    def lookup(self, sequence: int) -> tuple[int, Entry] | None:
        for level, line in enumerate(self.levels):
            if line.count and (found := line.lookup(sequence)) is not None:
                return level, found[1]
        return None

    def following(self, place: int, count: int) -> list[Placed]:
        first, sequence = rank_and_sequence(place)
        for rank in range(first, self.max_priority + 1):
            line = self.levels[self.max_priority - rank]
            if line.count and (entries := line.behind(sequence, count)):
                return placed(rank, entries)
            sequence = 0
        return []

    def deadlines(self) -> list[int]:
        items: list[int] = []
        for level, line in enumerate(self.levels):
            items += line.deadlines_at(level)
        return items

    def peek(self) -> Entry | None:
        return self.levels[self.mask.bit_length() - 1].peek() if self.count else None

    @property
    def paged_out(self) -> int:
        return sum([line.paged_out for line in self.levels if line.count])

    def clear(self) -> list[deque[Entry]]:
        dropped: list[deque[Entry]] = []
        for line in self.levels:
            dropped += line.clear()
        self.mask = self.count = self.size = 0
        return dropped

    def recover(self, copies: "Copies") -> None:
        recover_by_level(copies, self._level_of, self._line)
        self.mask = sum([1 << level for level, line in enumerate(self.levels) if line.count])
        self.count += len(copies.positions)
        self.size += copies.size

    def page_out(self, pager: Pager, keep: bool) -> bool:
        self._pager = pager
        moved = [line.page_out(pager, keep) for line in self.levels if line.count]
        return any(moved)

    def __iter__(self) -> Iterator[Entry]:
        for line in reversed(self.levels):
            yield from line
