"""Ready lines: the order in which a queue's waiting messages leave it.

A line is chosen when the queue is declared. `count` and `size` (octets of the bodies) are kept here, so that what is
counted and what is there cannot differ.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator

from amqpbroker.broker.message import Entry


class ReadyLine(ABC):
    """What waits in a queue, head first."""

    def __init__(self) -> None:
        self.count: int = 0
        self.size: int = 0

    @abstractmethod
    def push(self, entry: Entry) -> None:
        """A new message, at its end."""

    @abstractmethod
    def requeue(self, entries: list[Entry]) -> None:
        """Entries come back, in the order of their return."""

    @abstractmethod
    def head(self) -> Entry:
        """What `pop` would give. Only when `count`."""

    @abstractmethod
    def pop(self) -> Entry:
        """Take the head. Only when `count`."""

    @abstractmethod
    def __iter__(self) -> Iterator[Entry]:
        """All entries, in about the order in which they would leave."""


def merge(line: deque[Entry], entries: list[Entry]) -> None:
    """Put entries back into a line that is sorted by sequence, each at its old place.

    Requeued ones were near the head, so the line is opened only as far as the newest of them.
    """
    entries = sorted(entries, key=lambda entry: entry.sequence)
    if not line or line[0].sequence > entries[-1].sequence:
        line.extendleft(reversed(entries))
        return
    last = entries[-1].sequence
    front = list(entries)
    while line and line[0].sequence < last:
        front.append(line.popleft())
    front.sort(key=lambda entry: entry.sequence)
    line.extendleft(reversed(front))


class FifoLine(ReadyLine):
    """First in, first out; what is requeued goes back to its original position (classic queues)."""

    def __init__(self) -> None:
        super().__init__()
        self.line: deque[Entry] = deque()

    def push(self, entry: Entry) -> None:
        self.line.append(entry)
        self.count += 1
        self.size += entry.message.size

    def requeue(self, entries: list[Entry]) -> None:
        merge(self.line, entries)
        self.count += len(entries)
        self.size += sum([entry.message.size for entry in entries])

    def head(self) -> Entry:
        return self.line[0]

    def pop(self) -> Entry:
        entry = self.line.popleft()
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.line)


class PriorityLine(ReadyLine):
    """Highest priority first, first in first out within one (rabbit_priority_queue).

    `levels` holds a line a priority, made when first needed; bit p of `mask` says that line p is not empty.
    """

    def __init__(self, max_priority: int) -> None:
        super().__init__()
        self.max_priority = max_priority
        self.levels: list[deque[Entry]] = [deque() for _ in range(max_priority + 1)]
        self.mask: int = 0

    def _level(self, entry: Entry) -> int:
        priority = entry.message.priority
        return priority if priority < self.max_priority else self.max_priority

    def push(self, entry: Entry) -> None:
        level = self._level(entry)
        self.levels[level].append(entry)
        self.mask |= 1 << level
        self.count += 1
        self.size += entry.message.size

    def requeue(self, entries: list[Entry]) -> None:
        by_level: dict[int, list[Entry]] = {}
        for entry in entries:
            by_level.setdefault(self._level(entry), []).append(entry)
            self.size += entry.message.size
        for level, group in by_level.items():
            merge(self.levels[level], group)
            self.mask |= 1 << level
        self.count += len(entries)

    def head(self) -> Entry:
        return self.levels[self.mask.bit_length() - 1][0]

    def pop(self) -> Entry:
        level = self.mask.bit_length() - 1
        line = self.levels[level]
        entry = line.popleft()
        if not line:
            self.mask &= ~(1 << level)
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def __iter__(self) -> Iterator[Entry]:
        for line in reversed(self.levels):
            yield from line


class QuorumLine(ReadyLine):
    """Returned messages first, in the order of their return; then two of high priority (5 and up) to one normal.

    Source: rabbit_fifo (returns) and rabbit_fifo_q (the weight of 2, one counter that every dequeue moves on).
    """

    WEIGHT = 2

    def __init__(self) -> None:
        super().__init__()
        self.returned: deque[Entry] = deque()
        self.high: deque[Entry] = deque()
        self.normal: deque[Entry] = deque()
        self.turn: int = 0

    def push(self, entry: Entry) -> None:
        (self.high if entry.message.priority > 4 else self.normal).append(entry)
        self.count += 1
        self.size += entry.message.size

    def requeue(self, entries: list[Entry]) -> None:
        self.returned.extend(entries)
        self.count += len(entries)
        self.size += sum([entry.message.size for entry in entries])

    def _next(self) -> deque[Entry]:
        if self.returned:
            return self.returned
        if not self.high or (self.normal and self.turn == self.WEIGHT):
            return self.normal
        return self.high

    def head(self) -> Entry:
        return self._next()[0]

    def pop(self) -> Entry:
        line = self._next()
        if line is not self.returned:
            self.turn = 0 if self.turn == self.WEIGHT else self.turn + 1
        entry = line.popleft()
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def __iter__(self) -> Iterator[Entry]:
        yield from self.returned
        yield from self.high
        yield from self.normal
