"""The ready line of classic queues: first in, first out."""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.pages import Page, Pager, expiry_times, find_entry, find_place
from amqpbroker.broker.queues.lines.ready_line import Placed, ReadyLine, deadline_item, placed, rank_and_sequence

if TYPE_CHECKING:
    from amqpbroker.store.recovered import Copies


def merge(line: deque[Entry], entries: list[Entry]) -> None:
    """Insert entries into a line that is sorted by sequence, each at its old place.

    Only the part between them and the nearer end is rebuilt: messages that consumers return were near the head, and
    messages whose delay is over often belong to the end.
    """
    entries = sorted(entries, key=lambda entry: entry.sequence)
    first, last = entries[0].sequence, entries[-1].sequence
    if not line or line[0].sequence > last:
        line.extendleft(reversed(entries))
        return
    if line[-1].sequence - first < last - line[0].sequence:
        back = entries
        while line and line[-1].sequence > first:
            back.append(line.pop())
        back.sort(key=lambda entry: entry.sequence)
        line.extend(back)
        return
    front = entries
    while line and line[0].sequence < last:
        front.append(line.popleft())
    front.sort(key=lambda entry: entry.sequence)
    line.extendleft(reversed(front))


class FifoLine(ReadyLine):
    """First in, first out; a requeued message returns to its original position (classic queues).

    With a pager, a long line has only its two ends in memory: `line` is the head, `tail` the end, and between them are
    pages. Without a pager, `line` is the whole line, until memory is low.
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
        #: A returned message may be in the head although its place is in a page, which could not be read.
        self._disordered: bool = False

    def push(self, entry: Entry) -> None:
        self.count += 1
        self.size += entry.message.size
        pager = self._pager
        if pager is None:
            self.line.append(entry)
            return
        self._tail.append(entry)
        self._tail_size += entry.message.size
        count = len(self._tail)
        if count > 2 * pager.page_count or (self._tail_size > 2 * pager.page_bytes and count > 1):
            if self.line or self._pages:
                self._page_tail(pager)
            else:
                self._page_in()

    def requeue(self, entries: list[Entry]) -> None:
        front = entries
        if self._is_before(max([entry.sequence for entry in entries])):
            front = self._insert(entries)
        if front:
            merge(self.line, front)
            if self._pages and self.line[-1].sequence > self._pages[0].first:
                self._disordered = True
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
        if pager is not None and self._pages:
            pager.delete_all(self._pages)
        dropped = [self.line, self._tail]
        self.line = deque()
        self._pages = deque()
        self._expected = None
        self._disordered = False
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
        self.add_stored(copies.positions, copies.sequences, copies.sizes, copies.deadlines_ms)

    def add_stored(
        self, positions: "array[int]", sequences: "array[int]", sizes: "array[int]", deadlines_ms: "array[int]"
    ) -> None:
        """Recover copies with these positions, sequences, body sizes in bytes and expiry times."""
        assert self._pager is not None
        self._pages.extend(_paged(self._pager, positions, sequences, sizes, deadlines_ms))
        self.count += len(positions)
        self.size += sum(sizes)

    def page_out(self, pager: Pager, keep: bool) -> bool:
        self._pager = pager
        least = _first_page(pager, self.line) if keep else 0
        if _is_worth(pager, self.line, least):
            self._page_head(pager, least)
            return True
        if not keep and _is_worth(pager, self._tail, 0):
            self._page_tail(pager)
            return True
        for page in self._pages:
            if page.entries:
                pager.let_go(page)
                if not page.entries:
                    return True
        return False

    def shorten(self, pager: Pager) -> None:
        """Move messages at the end of the head out of memory, if many have returned to it."""
        line, least = self.line, _first_page(pager, self.line)
        size = sum([entry.message.size for entry in line])
        while len(line) > 2 * pager.page_count or (size > 2 * pager.page_bytes and len(line) > least):
            size -= self._page_head(pager, least)

    # --- any position -------------------------------------------------------------------------------------------------

    def divide(self, pager: Pager) -> None:
        self._pager = pager
        while len(self.line) > 2 * pager.page_count:
            self._page_head(pager, pager.page_count)

    def contains(self, sequence: int, level: int = 0) -> bool:
        if find_entry(self.line, sequence) >= 0 or find_entry(self._tail, sequence) >= 0:
            return True
        if self._page_with(sequence) >= 0:
            return True
        return self._disordered and any(entry.sequence == sequence for entry in self.line)

    def remove(self, sequence: int, level: int = 0) -> Entry | None:
        entry: Entry | None
        index = find_entry(self.line, sequence)
        if index >= 0:
            entry = self.line[index]
            del self.line[index]
        elif (index := find_entry(self._tail, sequence)) >= 0:
            entry = self._tail[index]
            del self._tail[index]
            self._tail_size -= entry.message.size
        elif (index := self._page_with(sequence)) >= 0:
            page = self._pages[index]
            assert self._pager is not None
            entry = self._pager.take_one(page, page.find(sequence))
            if entry is None:
                return None
            if page.is_empty:
                del self._pages[index]
                if page is self._expected:
                    self._expected = None
        else:
            entry = next(each for each in self.line if each.sequence == sequence)
            self.line.remove(entry)
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def replace(self, entry: Entry, level: int = 0) -> Entry | None:
        old: Entry | None
        sequence = entry.sequence
        index = find_entry(self.line, sequence)
        if index >= 0:
            old = self.line[index]
            self.line[index] = entry
        elif (index := find_entry(self._tail, sequence)) >= 0:
            old = self._tail[index]
            self._tail[index] = entry
            self._tail_size += entry.message.size - old.message.size
        elif (index := self._page_with(sequence)) >= 0:
            page = self._pages[index]
            assert self._pager is not None
            old = self._pager.replace_one(page, page.find(sequence), entry)
            if old is None:
                return None
        else:
            old = next(each for each in self.line if each.sequence == sequence)
            self.line[self.line.index(old)] = entry
        self.size += entry.message.size - old.message.size
        return old

    def lookup(self, sequence: int) -> tuple[int, Entry] | None:
        found = self.behind(sequence - 1, 1) if self.contains(sequence) else []
        return (0, found[0]) if found and found[0].sequence == sequence else None

    def following(self, place: int, count: int) -> list[Placed]:
        rank, sequence = rank_and_sequence(place)
        return [] if rank else placed(0, self.behind(sequence, count))

    def behind(self, sequence: int, count: int) -> list[Entry]:
        """Return up to `count` entries with higher sequences, in order, as `following` does.

        Entries that returned while an earlier page could not be read may hide the entries of that page.
        """
        entries = _behind(self.line, sequence, count)
        if entries:
            return entries
        for index in range(max(self._page_before(sequence), 0), len(self._pages)):
            page = self._pages[index]
            start = page.behind(sequence)
            stop = min(start + count, len(page))
            if start < stop:
                assert self._pager is not None
                return self._pager.read(page, range(start, stop))
        return _behind(self._tail, sequence, count)

    def deadlines(self) -> list[int]:
        return self.deadlines_at(0)

    def deadlines_at(self, level: int) -> list[int]:
        """Return an item for each entry that may expire, with that level."""
        items = []
        for part in self.line, self._tail:
            items += [deadline_item(entry.deadline_ms, entry.sequence, level) for entry in part if entry.deadline_ms]
        for page in self._pages:
            items += [deadline_item(deadline_ms, sequence, level) for deadline_ms, sequence in page.expiring()]
        return items

    def _page_with(self, sequence: int) -> int:
        """Return the index of the page that has the copy with that sequence, -1 if there is none."""
        pages = self._pages
        if self._disordered:
            return next((index for index, page in enumerate(pages) if page.find(sequence) >= 0), -1)
        index = self._page_before(sequence)
        return index if index >= 0 and pages[index].find(sequence) >= 0 else -1

    def _page_before(self, sequence: int) -> int:
        """Return the index of the last page whose first copy has at most that sequence, -1 if there is none."""
        pages = self._pages
        low, high = 0, len(pages)
        while low < high:
            middle = (low + high) // 2
            if pages[middle].first <= sequence:
                low = middle + 1
            else:
                high = middle
        return low - 1

    # --- pages --------------------------------------------------------------------------------------------------------

    def _page_in(self) -> bool:
        """Move the start of the first page, or the tail if there is no page, to the head; return success."""
        if not self._pages:
            self.line, self._tail = self._tail, self.line
            self._tail_size = 0
            self._disordered = False
            return True
        pager, page = self._pager, self._pages[0]
        assert pager is not None
        entries = pager.take(page)
        self.line.extend(entries)
        behind = 1
        if page.is_empty:
            self._pages.popleft()
            behind = 0
            if page is self._expected:
                self._expected = None
        # Load a page ahead of the one that is being consumed, so that the disk has time.
        if len(self._pages) > behind and self._pages[behind] is not self._expected:
            self._expected = self._pages[behind]
            pager.expect(self._expected)
        return bool(entries)

    def _is_before(self, sequence: int) -> bool:
        """Return whether there is an earlier message than that behind the head."""
        first = self._pages[0].first if self._pages else self._tail[0].sequence if self._tail else sequence
        return first < sequence

    def _insert(self, entries: list[Entry]) -> list[Entry]:
        """Put entries at their old places behind the head, without reading the messages before them.

        Return the others, whose places are in the head, or in a page that temporarily cannot be read.
        """
        pages, tail, pager = self._pages, self._tail, self._pager
        others: list[Entry] = []
        by_page: dict[int, list[Entry]] = {}
        for entry in entries:
            sequence = entry.sequence
            if not self._is_before(sequence):
                others.append(entry)
            elif tail and tail[0].sequence < sequence:
                tail.insert(find_place(tail, sequence), entry)
                self._tail_size += entry.message.size
            else:
                by_page.setdefault(self._page_before(sequence), []).append(entry)
        # From the last page on, because a page may become several.
        for index in sorted(by_page, reverse=True):
            assert pager is not None
            parts = pager.insert(pages[index], by_page[index])
            if not parts:
                others += by_page[index]
            for part in reversed(parts[1:]):
                pages.insert(index + 1, part)
        return others

    def _page_tail(self, pager: Pager) -> None:
        """Make the older part of the tail a page."""
        entries: list[Entry] = []
        size = 0
        while self._tail and len(entries) < pager.page_count and size <= pager.page_bytes:
            entry = self._tail.popleft()
            size += entry.message.size
            entries.append(entry)
        self._tail_size -= size
        self._pages.append(pager.page(entries))

    def _page_head(self, pager: Pager, least: int) -> int:
        """Make the end of the head a page, except for the first `least` messages. Return the bytes of the bodies."""
        entries: list[Entry] = []
        size = 0
        while len(self.line) > least and len(entries) < pager.page_count and size <= pager.page_bytes:
            entry = self.line.pop()
            size += entry.message.size
            entries.append(entry)
        # Messages that returned while an earlier page could not be read may be out of order.
        entries.sort(key=lambda entry: entry.sequence)
        self._pages.appendleft(pager.page(entries))
        return size


def _behind(line: deque[Entry], sequence: int, count: int) -> list[Entry]:
    """Return up to `count` entries with higher sequences, of a line that is sorted by sequence."""
    if not line or line[-1].sequence <= sequence:
        return []
    start = find_place(line, sequence + 1)
    return list(islice(line, start, start + count))


def _is_worth(pager: Pager, line: deque[Entry], least: int) -> bool:
    """Return whether the entries beyond the first `least` are worth a page of their own."""
    more = len(line) - least
    if more >= pager.least_page_count:
        return True
    return more > 0 and sum([entry.message.size for entry in line]) >= pager.least_page_bytes


def _first_page(pager: Pager, line: deque[Entry]) -> int:
    """Return the number of entries that fill a page."""
    size = 0
    for count, entry in enumerate(line, 1):
        size += entry.message.size
        if count == pager.page_count or size > pager.page_bytes:
            return count
    return len(line)


def _paged(
    pager: Pager,
    positions: "array[int]",
    sequences: "array[int]",
    sizes: Sequence[int],
    deadlines_ms: "array[int]",
) -> list[Page]:
    pages = []
    start = size = 0
    for stop, one in enumerate(sizes, 1):
        size += one
        if stop - start == pager.page_count or size > pager.page_bytes or stop == len(sizes):
            times = expiry_times(deadlines_ms[start:stop])
            pages.append(Page([], positions[start:stop], sequences[start:stop], times))
            start, size = stop, 0
    return pages
