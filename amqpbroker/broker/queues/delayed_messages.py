"""Messages of a queue that are delayed: they are not delivered before they are due."""

import heapq
from array import array
from collections import deque
from collections.abc import Callable, Iterator

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.ledger import Ledger
from amqpbroker.broker.queues.lines.pages import Page, Pager, expiry_times
from amqpbroker.clock import Clock, Timer
from amqpbroker.store.recovered import Copies


class DelayedMessages:
    """Delayed entries, ordered by due time, then by position in the queue. One timer waits for the earliest.

    Delayed entries are neither ready nor unacknowledged. They may have been delivered before or not. The store has
    their due times, so they are still delayed after a restart of the broker. With a pager, the entries that are due
    last are paged out if there are many.

    An entry that was never delivered waits for a delivery time, which is a time of the wall clock: steps of the wall
    clock move it. The delay of a returned entry is a duration, which they do not change.

    count, size: number of entries, and bytes of their bodies.
    """

    __slots__ = (
        "_batch",
        "_clock",
        "_heap",
        "_heap_size",
        "_last_ms",
        "_ledger",
        "_pager",
        "_pages",
        "_release",
        "_timer",
        "count",
        "size",
    )

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        release: Callable[[list[Entry]], None],
        batch: int,
        pager: Pager | None = None,
    ) -> None:
        """release(entries): called with the due entries, in order, at most `batch` in one event loop iteration."""
        self.count: int = 0
        self.size: int = 0
        self._clock = clock
        self._ledger = ledger
        self._release = release
        self._batch = batch
        self._pager = pager
        #: Entries in memory: due time, sequence, entry.
        self._heap: list[tuple[int, int, Entry]] = []
        self._heap_size: int = 0
        #: Paged entries: due time and sequence of the entry of a page that is due first, page.
        self._pages: list[tuple[int, int, _Run]] = []
        self._last_ms: int = 0
        self._timer: Timer | None = None

    @property
    def next_ms(self) -> int | None:
        """Due time of the first entry, by the clock's `now_ms`; None if there is no entry."""
        firsts = [line[0][0] for line in (self._heap, self._pages) if line]
        return min(firsts, default=None)

    @property
    def last_ms(self) -> int | None:
        """Due time of the last entry, by the clock's `now_ms`; None if there is no entry."""
        # An entry that was added later may be due earlier, but the entry that is due last leaves last.
        return self._last_ms if self.count else None

    @property
    def paged_out(self) -> int:
        """Number of entries that are not in memory."""
        pages = [run.page for _, _, run in self._pages]
        return sum([len(page.positions) - len(page.entries) for page in pages if page.positions])

    def add(self, entry: Entry, due_ms: int) -> None:
        """Add an entry that is due at that time, by the wall clock."""
        self._ledger.delayed(entry, due_ms)
        due_ms -= self._clock.ahead_ms
        self._last_ms = max(self._last_ms, due_ms)
        self.count += 1
        self.size += entry.message.size
        self._push(entry, due_ms)
        if self._timer is None or due_ms < self._timer.due_ms:
            self._arm()
        self._page_out()

    def recover(self, copies: Copies) -> None:
        """Add stored copies with due times, in the order of their sequences. No message is read, and none released.

        Only with a pager.
        """
        pager, sizes, ahead_ms = self._pager, copies.sizes, self._clock.ahead_ms
        assert pager is not None
        self.count += len(sizes)
        self.size += copies.size
        order = sorted(range(len(sizes)), key=copies.dues_ms.__getitem__)
        for run in _divided(pager, [sizes[index] for index in order]):
            indices = order[run.start : run.stop]
            last_ms = copies.dues_ms[indices[-1]]
            indices.sort()
            page = Page(
                [],
                array("Q", [copies.positions[index] for index in indices]),
                array("Q", [copies.sequences[index] for index in indices]),
                expiry_times([copies.deadlines_ms[index] for index in indices]),
            )
            dues_ms = array("q", [copies.dues_ms[index] - ahead_ms for index in indices])
            heapq.heappush(self._pages, (*_first_of(page, dues_ms), _Run(page, dues_ms, pager.delivered(page))))
            self._last_ms = max(self._last_ms, last_ms - ahead_ms)
        self._arm()

    def release_due(self) -> None:
        """Release the entries that are due.

        The timer calls this. If an entry temporarily cannot be read, this entry and all entries that are due after it
        wait: the pager notifies the queue, and the queue calls this again.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now_ms = self._clock.now_ms()
        due: list[Entry] = []
        readable = True
        loaded = 0
        while len(due) < self._batch:
            next_ms = self.next_ms
            if next_ms is None or next_ms > now_ms:
                break
            if self._is_paged_next():
                if loaded > self._batch:
                    break
                count = self._load()
                if not count:
                    readable = False
                    break
                loaded += count
                continue
            due.append(self._pop())
        self._page_out()
        if readable:
            self._arm()
        if due:
            self._release(due)

    def remove_first(self) -> Entry | None:
        """Remove and return the entry that is due first. Return None if there is none, or it cannot be read now."""
        while self._is_paged_next():
            if not self._load():
                return None
        if not self._heap:
            return None
        entry = self._pop()
        self._page_out()
        self._arm()
        return entry

    def _pop(self) -> Entry:
        """Remove and return the first entry in memory."""
        entry = heapq.heappop(self._heap)[2]
        self._heap_size -= entry.message.size
        self.count -= 1
        self.size -= entry.message.size
        return entry

    def clear(self) -> deque[Entry]:
        """Delete all entries, those that are paged out also from the store.

        Return the entries in memory, which the caller removes from the store and frees.
        """
        if self._pager is not None and self._pages:
            self._pager.delete_all(deque([run.page for _, _, run in self._pages]))
        dropped = deque([entry for _, _, entry in self._heap])
        self.discard()
        return dropped

    def discard(self) -> None:
        """Discard all entries from memory, without changing the store."""
        self._heap.clear()
        self._pages.clear()
        self.count = self.size = self._heap_size = 0
        self._arm()

    def with_due_times(self) -> Iterator[tuple[int, Entry]]:
        """Iterate over all entries and their due times, by the clock's `now_ms`, in no particular order.

        Paged entries are read temporarily.
        """
        for due_ms, _, entry in self._heap:
            yield due_ms, entry
        for _, _, run in self._pages:
            assert self._pager is not None
            yield from zip(run.dues_ms, self._pager.load(run.page), strict=True)

    def find(self, sequence: int) -> tuple[int, Entry] | None:
        """Return the entry with that sequence, with its due time, and change nothing. None if there is none.

        Other entries are not read. Raises UnreadableError.
        """
        for due, number, entry in self._heap:
            if number == sequence:
                return due, entry
        for _, _, run in self._pages:
            index = run.page.find(sequence)
            if index >= 0:
                return self._read([(run.dues_ms[index], sequence, run, index, None)])[0]
        return None

    def following(self, due_ms: int, sequence: int, count: int) -> list[tuple[int, Entry]]:
        """Return up to `count` entries that are due after that one, with their due times, in the order of release.

        Nothing is changed. Paged entries are read temporarily. Raises UnreadableError.
        """
        behind = (due_ms, sequence)
        found: list[tuple[int, int, _Run | None, int, Entry | None]] = []
        for due, number, entry in self._heap:
            if (due, number) > behind:
                found.append((due, number, None, 0, entry))
        found = heapq.nsmallest(count, found, key=_due_and_sequence)
        for first_ms, first, run in sorted(self._pages, key=_first_due_and_sequence):
            if len(found) == count and (first_ms, first) > _due_and_sequence(found[-1]):
                break
            if max(run.dues_ms) < due_ms:
                continue
            numbers = run.page.numbers()
            for index, due in enumerate(run.dues_ms):
                if (due, numbers[index]) > behind:
                    found.append((due, numbers[index], run, index, None))
            found = heapq.nsmallest(count, found, key=_due_and_sequence)
        return self._read(found)

    def _read(self, found: "list[tuple[int, int, _Run | None, int, Entry | None]]") -> list[tuple[int, Entry]]:
        """Return the entries, of which some are in memory and the others at an index of a run, with their due times."""
        indices: dict[_Run, list[int]] = {}
        for _, _, run, index, _ in found:
            if run is not None:
                indices.setdefault(run, []).append(index)
        read: dict[int, Entry] = {}
        for run, chosen in indices.items():
            assert self._pager is not None
            for index, entry in zip(chosen, self._pager.read(run.page, chosen), strict=True):
                if run.acquired_counts and entry.position:
                    entry.restore(run.acquired_counts[index], entry.delivery_count)
                read[entry.sequence] = entry
        return [(due, read[number] if entry is None else entry) for due, number, _, _, entry in found]

    def _push(self, entry: Entry, due_ms: int) -> None:
        heapq.heappush(self._heap, (due_ms, entry.sequence, entry))
        self._heap_size += entry.message.size

    def _arm(self) -> None:
        next_ms = self.next_ms
        if self._timer is not None:
            if self._timer.due_ms == next_ms:
                return
            self._timer.cancel()
        if next_ms is None:
            self._timer = None
            self._last_ms = 0
            self._clock.unfollow(self._stepped)
        else:
            if self._timer is None:
                self._clock.follow(self._stepped)
            self._timer = self._clock.at(next_ms, self.release_due)

    def _stepped(self, moved_ms: int) -> None:
        """Move the entries that wait for a time of the wall clock."""
        heap: list[tuple[int, int, Entry]] = []
        for due_ms, sequence, entry in self._heap:
            if entry.acquired_count <= 0:
                due_ms -= moved_ms
                entry.move_deadline(-moved_ms)
            heap.append((due_ms, sequence, entry))
        heapq.heapify(heap)
        self._heap = heap
        for _, _, run in self._pages:
            run.step(moved_ms)
        self._pages = [(*_first_of(run.page, run.dues_ms), run) for _, _, run in self._pages]
        heapq.heapify(self._pages)
        dues_ms = [due_ms for due_ms, _, _ in heap]
        self._last_ms = max([*dues_ms, *[max(run.dues_ms) for _, _, run in self._pages]], default=0)
        self._arm()

    # --- pages --------------------------------------------------------------------------------------------------------

    def _page_out(self) -> None:
        """Page out all but the first page of entries to become due, if there are many in memory."""
        pager, count = self._pager, len(self._heap)
        if pager is None:
            return
        if count <= 2 * pager.page_count and (self._heap_size <= 2 * pager.page_bytes or count < 2):
            return
        in_order = sorted(self._heap)
        first, *others = [
            in_order[run.start : run.stop] for run in _divided(pager, [item[2].message.size for item in in_order])
        ]
        self._heap = first
        self._heap_size = sum([entry.message.size for _, _, entry in first])
        for items in others:
            due_ms, sequence, _ = items[0]
            items.sort(key=lambda item: item[1])
            page = pager.page([entry for _, _, entry in items])
            dues_ms = array("q", [item[0] for item in items])
            acquired_counts = array("q", [entry.acquired_count for _, _, entry in items])
            heapq.heappush(self._pages, (due_ms, sequence, _Run(page, dues_ms, acquired_counts)))

    def _is_paged_next(self) -> bool:
        """Return whether the first entry is in a page.

        Entries with equal due times are in the order of their sequences. So pages that are due at the same time are
        loaded one after the other.
        """
        return bool(self._pages) and (not self._heap or self._pages[0][:2] < self._heap[0][:2])

    def _load(self) -> int:
        """Load the start of the first page. Return the number of entries, 0 if none could be read."""
        assert self._pager is not None
        _, _, run = self._pages[0]
        entries = self._pager.take(run.page)
        for index, entry in enumerate(entries):
            if run.acquired_counts:
                entry.restore(run.acquired_counts[index], entry.delivery_count)
            self._push(entry, run.dues_ms[index])
        if len(entries) == len(run.dues_ms):
            heapq.heappop(self._pages)
        elif entries:
            run.discard_first(len(entries))
            heapq.heapreplace(self._pages, (*_first_of(run.page, run.dues_ms), run))
        return len(entries)


class _Run:
    """Page of entries, in the order of their sequences, with their due times.

    acquired_counts: of the entries, which the store does not have; after a restart 0 or 1, for whether there were any.
    """

    __slots__ = ("acquired_counts", "dues_ms", "page")

    def __init__(self, page: Page, dues_ms: "array[int]", acquired_counts: "array[int]") -> None:
        self.page: Page = page
        self.dues_ms = dues_ms
        self.acquired_counts = acquired_counts

    def step(self, moved_ms: int) -> None:
        """Move the entries that were never delivered, and their deadlines; see `DelayedMessages`."""
        timed = [count <= 0 for count in self.acquired_counts]
        self.dues_ms = array("q", [due - moved_ms if at else due for due, at in zip(self.dues_ms, timed, strict=True)])
        self.page.move_deadlines(-moved_ms, timed)

    def discard_first(self, count: int) -> None:
        """Remove the first entries, which the pager has taken from the page."""
        self.dues_ms = self.dues_ms[count:]
        self.acquired_counts = self.acquired_counts[count:]


def _due_and_sequence(item: "tuple[int, int, _Run | None, int, Entry | None]") -> tuple[int, int]:
    return item[0], item[1]


def _first_due_and_sequence(item: tuple[int, int, _Run]) -> tuple[int, int]:
    return item[0], item[1]


def _first_of(page: Page, dues_ms: "array[int]") -> tuple[int, int]:
    """Return due time and sequence of the entry of a page that is due first. dues_ms: due times of its entries."""
    first_ms = min(dues_ms)
    return first_ms, page.numbers()[dues_ms.index(first_ms)]


def _divided(pager: Pager, sizes: list[int]) -> list[range]:
    """Divide entries with bodies of these sizes into ranges of at most one page."""
    ranges = []
    start = size = 0
    for stop, one in enumerate(sizes, 1):
        size += one
        if stop - start == pager.page_count or size > pager.page_bytes or stop == len(sizes):
            ranges.append(range(start, stop))
            start, size = stop, 0
    return ranges
