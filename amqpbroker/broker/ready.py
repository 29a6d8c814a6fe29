"""Ready lines: the order in which a queue's waiting messages leave it.

A line is chosen when the queue is declared. `count` and `size` (octets of the bodies) are kept here, so that what is
counted and what is there cannot differ.
"""

from abc import ABC, abstractmethod
from array import array
from collections import deque
from collections.abc import Iterator

from amqpbroker.broker.message import Entry

#: A fifo keeps about so many messages, and so many octets of bodies, at each of its ends; what is stored in between is
#: dropped from memory, in pages of as much.
PAGE_COUNT = 1024
PAGE_BYTES = 2 * 1024 * 1024


class Page:
    """A run of stored copies that are not in memory: where each is stored, and its place in the queue."""

    __slots__ = ("positions", "sequences")

    def __init__(self) -> None:
        self.positions = array("Q")
        self.sequences = array("Q")


class Pager(ABC):
    """Where paged copies come back from."""

    @abstractmethod
    def is_safe(self, entry: Entry) -> bool:
        """Whether the copy can be read back, so that memory may forget it."""

    @abstractmethod
    def load(self, page: Page) -> list[Entry]:
        """The page's copies, in its order."""

    @abstractmethod
    def drop(self, page: Page) -> None:
        """The page's copies live no more."""

    @abstractmethod
    def forget(self, entry: Entry) -> None:
        """The copy lives no more."""


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
    def clear(self) -> None:
        """Drop everything; what is stored lives no more."""

    @abstractmethod
    def __iter__(self) -> Iterator[Entry]:
        """All entries, in about the order in which they would leave; paged ones are read for the purpose."""


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
    """First in, first out; what is requeued goes back to its original position (classic queues).

    With a pager, a long line keeps its two ends in memory: `line` is the head, `tail` the end, and between them are
    pages of stored copies and runs of those that are not stored and have to stay.
    """

    def __init__(self, pager: Pager | None = None) -> None:
        super().__init__()
        self.line: deque[Entry] = deque()
        self._pager = pager
        self._pages: deque[Page | list[Entry]] = deque()
        self._tail: deque[Entry] = deque()
        self._tail_size: int = 0

    def push(self, entry: Entry) -> None:
        self.count += 1
        self.size += entry.message.size
        if self._pager is None:
            self.line.append(entry)
            return
        self._tail.append(entry)
        self._tail_size += entry.message.size
        if len(self._tail) > 2 * PAGE_COUNT or (self._tail_size > 2 * PAGE_BYTES and len(self._tail) > 1):
            self._page_out(self._pager)

    def requeue(self, entries: list[Entry]) -> None:
        if not self.line:
            self._page_in()
        merge(self.line, entries)
        self.count += len(entries)
        self.size += sum([entry.message.size for entry in entries])

    def head(self) -> Entry:
        if not self.line:
            self._page_in()
        return self.line[0]

    def pop(self) -> Entry:
        if not self.line:
            self._page_in()
        entry = self.line.popleft()
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def clear(self) -> None:
        pager = self._pager
        if pager is not None:
            for page in self._pages:
                if isinstance(page, Page):
                    pager.drop(page)
                else:
                    self.line.extend(page)
            for entry in (*self.line, *self._tail):
                pager.forget(entry)
        self.line.clear()
        self._pages.clear()
        self._tail.clear()
        self.count = self.size = self._tail_size = 0

    def __iter__(self) -> Iterator[Entry]:
        yield from self.line
        for page in self._pages:
            if isinstance(page, Page):
                assert self._pager is not None
                yield from self._pager.load(page)
            else:
                yield from page
        yield from self._tail

    def add_pages(self, pages: list[Page], size: int) -> None:
        """Stored copies that are not in memory, behind everything else; `size` octets of bodies."""
        self._pages.extend(pages)
        self.count += sum([len(page.positions) for page in pages])
        self.size += size

    def _page_in(self) -> None:
        """Make the first page, or else the tail, the head."""
        if self._pages:
            page = self._pages.popleft()
            if isinstance(page, Page):
                assert self._pager is not None
                self.line.extend(self._pager.load(page))
            else:
                self.line.extend(page)
        else:
            self.line, self._tail = self._tail, self.line
            self._tail_size = 0

    def _page_out(self, pager: Pager) -> None:
        """Let the older half of the tail leave memory, if it is stored; short of that, out of the way."""
        if not self.line and not self._pages:
            self._page_in()
            return
        page = Page()
        held: list[Entry] = []
        safe = pager.is_safe(self._tail[0])
        size = 0
        while len(self._tail) > 1 and len(page.positions) + len(held) < PAGE_COUNT and size <= PAGE_BYTES:
            entry = self._tail[0]
            if pager.is_safe(entry) != safe:
                break
            self._tail.popleft()
            size += entry.message.size
            if safe:
                page.positions.append(entry.position)
                page.sequences.append(entry.sequence)
            else:
                held.append(entry)
        self._tail_size -= size
        self._pages.append(page if safe else held)


#: Stands for a priority that was never used: most of 255 never are.
_UNUSED = FifoLine()


class PriorityLine(ReadyLine):
    """Highest priority first, first in first out within one (rabbit_priority_queue).

    `levels` holds a line a priority, made when it is first used; bit p of `mask` says that line p is not empty.
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

    def head(self) -> Entry:
        return self.levels[self.mask.bit_length() - 1].head()

    def pop(self) -> Entry:
        level = self.mask.bit_length() - 1
        line = self.levels[level]
        entry = line.pop()
        if not line.count:
            self.mask &= ~(1 << level)
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def clear(self) -> None:
        for line in self.levels:
            line.clear()
        self.mask = self.count = self.size = 0

    def __iter__(self) -> Iterator[Entry]:
        for line in reversed(self.levels):
            yield from line


class QuorumLine(ReadyLine):
    """Returned messages first, in the order of their return; then two of high priority (5 and up) to one normal.

    Source: rabbit_fifo (returns) and rabbit_fifo_q (the weight of 2, one counter that every dequeue moves on).
    """

    WEIGHT = 2

    def __init__(self, pager: Pager | None = None) -> None:
        super().__init__()
        self.returned: deque[Entry] = deque()
        self.high = FifoLine(pager)
        self.normal = FifoLine(pager)
        self.turn: int = 0
        self._pager = pager

    def push(self, entry: Entry) -> None:
        (self.high if entry.message.priority > 4 else self.normal).push(entry)
        self.count += 1
        self.size += entry.message.size

    def requeue(self, entries: list[Entry]) -> None:
        self.returned.extend(entries)
        self.count += len(entries)
        self.size += sum([entry.message.size for entry in entries])

    def _next(self) -> FifoLine:
        if not self.high.count or (self.normal.count and self.turn == self.WEIGHT):
            return self.normal
        return self.high

    def head(self) -> Entry:
        return self.returned[0] if self.returned else self._next().head()

    def pop(self) -> Entry:
        if self.returned:
            entry = self.returned.popleft()
        else:
            entry = self._next().pop()
            self.turn = 0 if self.turn == self.WEIGHT else self.turn + 1
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def clear(self) -> None:
        if self._pager is not None:
            for entry in self.returned:
                self._pager.forget(entry)
        self.returned.clear()
        self.high.clear()
        self.normal.clear()
        self.count = self.size = 0

    def __iter__(self) -> Iterator[Entry]:
        yield from self.returned
        yield from self.high
        yield from self.normal
