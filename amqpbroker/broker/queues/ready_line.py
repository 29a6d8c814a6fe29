"""Ready lines: the order in which a queue's waiting messages leave it.

A line is chosen when the queue is declared. `count` and `size` (octets of the bodies) are kept here, so that what is
counted and what is there cannot differ.
"""

from abc import ABCMeta, abstractmethod
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.wire.properties import flags_of
from amqpbroker.wire.property_flags import PRIORITY

if TYPE_CHECKING:
    from amqpbroker.store.journal.recovery import Copies

#: A fifo keeps about so many messages, and so many octets of bodies, at each of its ends; what is in between is dropped
#: from memory, in pages of as much.
PAGE_COUNT = 1024
PAGE_BYTES = 2 * 1024 * 1024

#: When memory is short, fewer messages than so many, with fewer octets, stay where they are.
_WORTH_COUNT = 64
_WORTH_BYTES = 64 * 1024


class Spilled(NamedTuple):
    """Where copies are that were written to make room (see `spill`): the number of a file, the octets in it."""

    number: int
    offset: int
    size: int


_NOWHERE = array("Q")


class Page:
    """A run of copies between the two ends of a line.

    entries: those that are in memory: at first all of them. Once the stored ones are not, `positions` and `sequences`
    have an item for each copy: where it is stored, 0 if it is not, and its place in the queue; `entries` has the others
    then, or `spilled` says where these are.
    """

    __slots__ = ("entries", "positions", "sequences", "spilled")

    def __init__(self, entries: list[Entry]) -> None:
        self.entries: list[Entry] = entries
        self.positions: array[int] = _NOWHERE
        self.sequences: Sequence[int] = _NOWHERE
        self.spilled: Spilled | None = None

    @property
    def is_empty(self) -> bool:
        return not self.positions and not self.entries

    @property
    def first(self) -> int:
        """The place of its first copy in the queue."""
        return self.sequences[0] if self.positions else self.entries[0].sequence


class Pager(metaclass=ABCMeta):
    """Where the pages of a line go, and come back from."""

    @abstractmethod
    def page(self, entries: list[Entry]) -> Page:
        """A page of these, which leaves memory as soon as it may: the stored ones once they are safe."""

    @abstractmethod
    def let_go(self, page: Page) -> bool:
        """Drop from memory what can be read back and, while memory is short, see that the rest can.

        False if that has to be tried again, because stored ones are not safe yet.
        """

    @abstractmethod
    def take(self, page: Page) -> list[Entry]:
        """Remove the page's first copies and return them in order: as many as are worth reading at once.

        Only copies that were read are removed. If some temporarily cannot be read, the queue is notified
        (`Queue.unreadable`).
        """

    @abstractmethod
    def load(self, page: Page) -> list[Entry]:
        """Return the page's copies in order, without removing them. Raises OSError, DamagedError."""

    @abstractmethod
    def expect(self, page: Page) -> None:
        """The page will be loaded soon, so that what is stored of it may be read meanwhile."""

    @abstractmethod
    def drop(self, page: Page) -> None:
        """The page is no more, and neither are its copies."""

    @abstractmethod
    def forget(self, entry: Entry) -> None:
        """The copy lives no more."""


class ReadyLine(metaclass=ABCMeta):
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

    def put_last(self, entry: Entry) -> None:
        """One comes back as the newest, at its end."""
        self.push(entry)

    def ranked(self, entries: list[Entry]) -> list[Entry]:
        """Entries that leave together without coming back, in the order in which they do."""
        return entries

    @abstractmethod
    def load_head(self) -> bool:
        """Load the head into memory; return False if it temporarily cannot be read. Only when `count`."""

    @abstractmethod
    def head(self) -> Entry:
        """Return the head, as `pop` would, without removing it. Only after `load_head`."""

    @abstractmethod
    def pop(self) -> Entry:
        """Take the head. Only after `load_head`."""

    def due_ms(self) -> int:
        """Expiry time of the first message that may expire, 0 for never or if it temporarily cannot be read.

        Only the head may expire. Only when `count`.
        """
        return self.head().deadline_ms if self.load_head() else 0

    def pop_due(self) -> Entry:
        """Take the message whose expiry time `due_ms` returns."""
        return self.pop()

    @abstractmethod
    def peek(self) -> Entry | None:
        """The head, if it is in memory."""

    @property
    @abstractmethod
    def paged_out(self) -> int:
        """How many are not in memory."""

    @abstractmethod
    def clear(self) -> list[deque[Entry]]:
        """Delete all entries, also from the store. Return the entries in memory, for the caller to free."""

    @abstractmethod
    def recover(self, copies: "Copies") -> None:
        """Take in stored copies, in the order of their sequences, before any others. No message is read for it."""

    @abstractmethod
    def page_out(self, pager: Pager, keep: bool) -> bool:
        """Memory is short: move a page from the ends of the line (unless `keep`: from what exceeds them) out of it.

        From now on `pager` has the pages. Returns whether there may be more to move.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[Entry]:
        """All entries, in the order in which they would leave; paged ones are read for the purpose."""


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
    pages. Without, `line` is all of it, until memory is short.
    """

    def __init__(self, pager: Pager | None = None) -> None:
        super().__init__()
        self.line: deque[Entry] = deque()
        self._pager = pager
        self._pages: deque[Page] = deque()
        self._tail: deque[Entry] = deque()
        self._tail_size: int = 0
        #: The page that the pager was last told to expect.
        self._expected: Page | None = None

    def push(self, entry: Entry) -> None:
        self.count += 1
        self.size += entry.message.size
        if self._pager is None:
            self.line.append(entry)
            return
        self._tail.append(entry)
        self._tail_size += entry.message.size
        if len(self._tail) > 2 * PAGE_COUNT or (self._tail_size > 2 * PAGE_BYTES and len(self._tail) > 1):
            if self.line or self._pages:
                self._page_tail(self._pager)
            else:
                self._page_in()

    def requeue(self, entries: list[Entry]) -> None:
        self._open(max([entry.sequence for entry in entries]))
        merge(self.line, entries)
        self.count += len(entries)
        self.size += sum([entry.message.size for entry in entries])

    def load_head(self) -> bool:
        if self.line:
            return True
        return self._page_in()

    def head(self) -> Entry:
        if not self.line:
            # The head is still in the tail, where `peek` finds it.
            self._page_in()
        return self.line[0]

    def pop(self) -> Entry:
        entry = self.line.popleft()
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def peek(self) -> Entry | None:
        if self.line:
            return self.line[0]
        return self._tail[0] if self._tail and not self._pages else None

    @property
    def paged_out(self) -> int:
        return sum([len(page.positions) - len(page.entries) for page in self._pages if page.positions])

    def clear(self) -> list[deque[Entry]]:
        pager = self._pager
        if pager is not None:
            for page in self._pages:
                pager.drop(page)
            for entry in (*self.line, *self._tail):
                pager.forget(entry)
        dropped = [self.line, self._tail]
        self.line = deque()
        self._pages.clear()
        self._expected = None
        self._tail = deque()
        self.count = self.size = self._tail_size = 0
        return dropped

    def __iter__(self) -> Iterator[Entry]:
        yield from self.line
        for page in self._pages:
            assert self._pager is not None
            yield from self._pager.load(page)
        yield from self._tail

    def recover(self, copies: "Copies") -> None:
        self.take_in(copies.positions, copies.sequences, copies.sizes)

    def take_in(self, positions: "array[int]", sequences: "array[int]", sizes: "array[int]") -> None:
        """`recover` copies of which these are the positions, sequences and octets of bodies."""
        self._pages.extend(_paged(positions, sequences, sizes))
        self.count += len(positions)
        self.size += sum(sizes)

    def page_out(self, pager: Pager, keep: bool) -> bool:
        self._pager = pager
        least = _first_page(self.line) if keep else 0
        if _is_worth(self.line, least):
            self._page_head(pager, least)
            return True
        if not keep and _is_worth(self._tail, 0):
            self._page_tail(pager)
            return True
        for page in self._pages:
            if page.entries:
                pager.let_go(page)
                if not page.entries:
                    return True
        return False

    def _page_in(self) -> bool:
        """Move the start of the first page, or the tail if there is no page, to the head; return success."""
        if not self._pages:
            self.line, self._tail = self._tail, self.line
            self._tail_size = 0
            return True
        pager, page = self._pager, self._pages[0]
        assert pager is not None
        entries = pager.take(page)
        self.line.extend(entries)
        behind = 1
        if page.is_empty:
            self._pages.popleft()
            behind = 0
        # A page ahead of the one that is being taken, so that the disk has time.
        if len(self._pages) > behind and self._pages[behind] is not self._expected:
            self._expected = self._pages[behind]
            pager.expect(self._expected)
        return bool(entries)

    def _open(self, sequence: int) -> None:
        """Load all messages before that position in the queue into the head, unless they temporarily cannot be read.

        Paged messages are behind all messages ever delivered, except returned messages that were paged out when memory
        was low.
        """
        line = self.line
        while self._pages and (not line or line[-1].sequence < sequence) and self._pages[0].first < sequence:
            if not self._page_in():
                return
        if not self._pages and self._tail and (not line or line[-1].sequence < sequence):
            line.extend(self._tail)
            self._tail.clear()
            self._tail_size = 0

    def _page_tail(self, pager: Pager) -> None:
        """Make the older part of the tail a page."""
        entries: list[Entry] = []
        size = 0
        while self._tail and len(entries) < PAGE_COUNT and size <= PAGE_BYTES:
            entry = self._tail.popleft()
            size += entry.message.size
            entries.append(entry)
        self._tail_size -= size
        self._pages.append(pager.page(entries))

    def _page_head(self, pager: Pager, least: int) -> None:
        """Make the end of the head a page, but for the first `least` messages."""
        entries: list[Entry] = []
        size = 0
        while len(self.line) > least and len(entries) < PAGE_COUNT and size <= PAGE_BYTES:
            entry = self.line.pop()
            size += entry.message.size
            entries.append(entry)
        # Messages that returned while an earlier page could not be read may be out of order.
        entries.sort(key=lambda entry: entry.sequence)
        self._pages.appendleft(pager.page(entries))


def _is_worth(line: deque[Entry], least: int) -> bool:
    """Whether what is in line beyond the first `least` is worth a page of its own."""
    more = len(line) - least
    return more >= _WORTH_COUNT or (more > 0 and sum([entry.message.size for entry in line]) >= _WORTH_BYTES)


def _first_page(line: deque[Entry]) -> int:
    """How many of the entries fill a page."""
    size = 0
    for count, entry in enumerate(line, 1):
        size += entry.message.size
        if count == PAGE_COUNT or size > PAGE_BYTES:
            return count
    return len(line)


def _paged(positions: "array[int]", sequences: "array[int]", sizes: Sequence[int]) -> list[Page]:
    pages = []
    start = size = 0
    for stop, one in enumerate(sizes, 1):
        size += one
        if stop - start == PAGE_COUNT or size > PAGE_BYTES or stop == len(sizes):
            page = Page([])
            page.positions = positions[start:stop]
            page.sequences = sequences[start:stop]
            pages.append(page)
            start, size = stop, 0
    return pages


class _Copies:
    """One item of each array for each stored copy, in the order of their sequences."""

    def __init__(self) -> None:
        self.positions = array("Q")
        self.sequences = array("Q")
        self.sizes = array("I")


def _recover_by_level(copies: "Copies", level_of: Callable[[int], int], line_of: Callable[[int], FifoLine]) -> None:
    """Distribute the copies among the lines of their levels. level_of: takes a priority, -1 for none."""
    levels: dict[int, _Copies] = {}
    for position, sequence, size, priority in zip(
        copies.positions, copies.sequences, copies.sizes, copies.priorities, strict=True
    ):
        level = level_of(priority)
        part = levels.get(level)
        if part is None:
            part = levels[level] = _Copies()
        part.positions.append(position)
        part.sequences.append(sequence)
        part.sizes.append(size)
    for level, part in levels.items():
        line_of(level).take_in(part.positions, part.sequences, part.sizes)


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
        """Take the head of one level."""
        line = self.levels[level]
        entry = line.pop()
        if not line.count:
            self.mask &= ~(1 << level)
        self.count -= 1
        self.size -= entry.message.size
        return entry

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
        _recover_by_level(copies, self._level_of, self._line)
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


class QuorumLine(ReadyLine):
    """Returned messages first, in the order of their return; then two of high priority (5 and up) to one normal.

    Every third turn is for a normal message, but only if that is older than the first of high priority. Source:
    rabbit_fifo (returns) and rabbit_fifo_q (the weight of 2, one counter that every dequeue moves on).
    """

    WEIGHT = 2

    def __init__(self, pager: Pager | None = None) -> None:
        super().__init__()
        self.returned: deque[Entry] = deque()
        self.high = FifoLine(pager)
        self.normal: ReadyLine = FifoLine(pager)
        self.turn: int = 0
        self._newest: int = 0
        self._pager = pager

    def push(self, entry: Entry) -> None:
        self._add(entry, self.high if entry.message.priority > 4 else self.normal)

    def put_last(self, entry: Entry) -> None:
        # Whatever its priority (rabbit_fifo:requeue).
        self._add(entry, self.normal)

    def _add(self, entry: Entry, line: ReadyLine) -> None:
        # What was numbered in between went straight to consumers, which moves the turn on as well.
        self._advance(entry.sequence - self._newest - 1)
        self._newest = entry.sequence
        line.push(entry)
        self.count += 1
        self.size += entry.message.size

    def requeue(self, entries: list[Entry]) -> None:
        self.returned.extend(entries)
        self.count += len(entries)
        self.size += sum([entry.message.size for entry in entries])

    def _next(self) -> ReadyLine:
        if not self.high.count:
            return self.normal
        if self.turn == self.WEIGHT and self.normal.count and self.normal.head().sequence < self.high.head().sequence:
            return self.normal
        return self.high

    def load_head(self) -> bool:
        if self.returned:
            return True
        if not self.high.count:
            return self.normal.load_head()
        return self.high.load_head() and (self.turn != self.WEIGHT or not self.normal.count or self.normal.load_head())

    def head(self) -> Entry:
        return self.returned[0] if self.returned else self._next().head()

    def pop(self) -> Entry:
        if self.returned:
            entry = self.returned.popleft()
        else:
            entry = self._next().pop()
            self._advance(1)
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def _advance(self, turns: int) -> None:
        self.turn = (self.turn + turns) % (self.WEIGHT + 1)

    def peek(self) -> Entry | None:
        if self.returned:
            return self.returned[0]
        high, normal = self.high.peek(), self.normal.peek()
        if (high is None and self.high.count) or (normal is None and self.normal.count):
            return None
        return self._next().peek()

    @property
    def paged_out(self) -> int:
        return self.high.paged_out + self.normal.paged_out

    def clear(self) -> list[deque[Entry]]:
        if self._pager is not None:
            for entry in self.returned:
                self._pager.forget(entry)
        dropped = [self.returned, *self.high.clear(), *self.normal.clear()]
        self.returned = deque()
        self.count = self.size = self.turn = 0
        return dropped

    def recover(self, copies: "Copies") -> None:
        normal = self.normal
        assert isinstance(normal, FifoLine)
        _recover_by_level(copies, lambda priority: priority > 4, lambda high: self.high if high else normal)
        self._newest = copies.sequences[-1]
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

    def by_priority(self) -> dict[int, int]:
        """Return the number of messages by priority, without returned ones; priorities without messages are omitted."""
        return {level: line.count for level, line in enumerate(self._levels.levels) if line.count}

    def due_ms(self) -> int:
        due_ms = self._levels.first_due()[0]
        returned_ms = self.returned[0].deadline_ms if self.returned else 0
        return min(due_ms, returned_ms) if due_ms and returned_ms else due_ms or returned_ms

    def pop_due(self) -> Entry:
        due_ms, level = self._levels.first_due()
        returned_ms = self.returned[0].deadline_ms if self.returned else 0
        if returned_ms and (not due_ms or returned_ms <= due_ms):
            entry = self.returned.popleft()
        else:
            entry = self._levels.pop_from(level)
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def push(self, entry: Entry) -> None:
        self.normal.push(entry)
        self.count += 1
        self.size += entry.message.size

    def recover(self, copies: "Copies") -> None:
        self.normal.recover(copies)
        self.count += len(copies.positions)
        self.size += copies.size
