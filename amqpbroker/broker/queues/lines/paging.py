"""Pages of a queue outside of memory: stored messages and, while memory is low, others."""

import logging
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from amqpbroker.broker.queues.entry import DOUBTFUL, Entry
from amqpbroker.broker.queues.ledger import Ledger
from amqpbroker.broker.queues.lines.pages import Page, Pager, UnreadableError
from amqpbroker.broker.queues.lines.spilled import decoded, encoded
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.config.bounds import Bounds
from amqpbroker.store.record import DamagedError
from amqpbroker.store.spill import Spill
from amqpbroker.store.store import DOUBTED, Reading, Store

log = logging.getLogger(__name__)


class QueuePages(Pager):
    """Pages of one queue.

    queue: the queue of entries that are read back. spill: holds messages that are not stored while memory is low.
    bounds: limits of its pages. unreadable(error): called if copies temporarily cannot be read.
    """

    def __init__(
        self,
        queue: Queue,
        ledger: Ledger,
        store: Store,
        spill: Spill,
        bounds: Bounds,
        unreadable: Callable[[Exception], None],
    ) -> None:
        super().__init__(bounds)
        self._read_count: int = bounds.read_count
        self._queue: Queue = queue
        self._ledger: Ledger = ledger
        self._store: Store = store
        self._spill: Spill = spill
        self._unreadable = unreadable

    def page(self, entries: list[Entry]) -> Page:
        page = Page(entries)
        if not self.let_go(page):
            self._store.when_safe(partial(self.let_go, page))
        return page

    def let_go(self, page: Page) -> bool:
        entries = page.entries
        spill = self._spill
        wanted = spill.wanted
        if not page.positions:
            stored = False
            for entry in reversed(entries):
                if entry.position:
                    stored = True
                    if not self._is_readable(entry):
                        return False
            if not entries or not (stored or wanted):
                return True
            page.unload()
        elif page.entries:
            for entry in page.entries:
                if entry.position and not self._is_readable(entry):
                    return False
            page.unload_stored()
        if page.entries and wanted:
            spilled = spill.write(encoded(page.entries))
            if spilled is not None:
                page.spill(spilled)
        return True

    def delivered(self, page: Page) -> "array[int]":
        return array("B", [self._store.delivery_count(position) >= 0 for position in page.positions])

    def _is_readable(self, entry: Entry) -> bool:
        """Return whether a stored entry can be read back as it is, because the store has written all of it."""
        store = self._store
        return store.is_safe(entry) and (
            entry.acquired_count <= 0 or store.delivery_count(entry.position) == entry.delivery_count
        )

    def take(self, page: Page) -> list[Entry]:
        if not page.positions:
            return page.take_entries()
        entries: list[Entry] = []
        others: list[Entry] = []
        try:
            others = self._others(page)
            self._read(page, others, entries, self._read_count)
        except (OSError, DamagedError) as error:
            self._unreadable(error)
        count = len(entries)
        if count:
            stored = count - page.positions[:count].count(0)
            self._ledger.read_back(stored)
            self._free(page)
            page.leave_behind(count, others[count - stored :])
        return entries

    def take_one(self, page: Page, index: int) -> Entry | None:
        if not page.positions:
            entry = page.entries[index]
            page.remove(index)
            return entry
        position = page.positions[index]
        try:
            if position:
                entry = self._entry(self._store.load([position]), page, index)
            else:
                entry = self._others(page)[page.positions[:index].count(0)]
        except (OSError, DamagedError) as error:
            self._unreadable(error)
            return None
        page.remove(index)
        if position:
            self._ledger.read_back(1)
        if (page.entries or page.spilled is not None) and not page.positions.count(0):
            self._free(page)
        return entry

    def replace_one(self, page: Page, index: int, entry: Entry) -> Entry | None:
        if not page.positions:
            old = page.entries[index]
            page.replace(index, entry)
            return old
        position = page.positions[index]
        try:
            # Spilled copies return to memory, because those of a page are either all in memory or all spilled.
            others = self._others(page)
            if position:
                old = self._entry(self._store.load([position]), page, index)
            else:
                old = others[page.positions[:index].count(0)]
        except (OSError, DamagedError) as error:
            self._unreadable(error)
            return None
        if position:
            self._ledger.read_back(1)
        self._free(page)
        page.restore(others)
        page.replace(index, entry)
        self._store.when_safe(partial(self.let_go, page))
        return old

    def insert(self, page: Page, entries: list[Entry]) -> list[Page]:
        if page.positions:
            try:
                # See `replace_one`.
                others = self._others(page)
            except (OSError, DamagedError) as error:
                self._unreadable(error)
                return []
            self._free(page)
            page.restore(others)
        for entry in entries:
            page.insert(entry)
        parts = self._parts(page)
        for part in parts:
            if (part.positions or part is not page) and not self.let_go(part):
                self._store.when_safe(partial(self.let_go, part))
        return parts

    def _parts(self, page: Page) -> list[Page]:
        """Split a page that is too large. Return its parts."""
        if len(page) <= 2 * self.page_count:
            return [page]
        later = page.split()
        return [*self._parts(page), *self._parts(later)]

    def load(self, page: Page) -> list[Entry]:
        if not page.positions:
            return page.entries
        entries: list[Entry] = []
        self._read(page, self._others(page), entries, len(page.positions))
        return entries

    def read(self, page: Page, indices: Sequence[int]) -> list[Entry]:
        if not page.positions:
            return [page.entries[index] for index in indices]
        try:
            return self._read_at(page, indices)
        except (OSError, DamagedError) as error:
            raise UnreadableError(str(error)) from error

    def _read_at(self, page: Page, indices: Sequence[int]) -> list[Entry]:
        """Read copies of a page that is not in memory. Raises OSError, DamagedError."""
        positions = page.positions
        stored = [positions[index] for index in indices if positions[index]]
        others = self._others(page) if len(stored) < len(indices) else []
        reading = self._store.load(stored)
        entries = []
        for index in indices:
            if positions[index]:
                entries.append(self._entry(reading, page, index))
            else:
                entries.append(others[positions[:index].count(0)])
        return entries

    def _others(self, page: Page) -> list[Entry]:
        """Return the page's copies that are not stored. Raises OSError, DamagedError."""
        if page.spilled is None:
            return page.entries
        others = decoded(self._spill.read(page.spilled), self._queue)
        return [entry for entry in others if entry.sequence not in page.removed] if page.removed else others

    def _read(self, page: Page, others: list[Entry], entries: list[Entry], count: int) -> None:
        """Append the page's first `count` copies to `entries`. others: copies that are not stored.

        Raises OSError, DamagedError.
        """
        other = 0
        positions = page.positions[:count]
        reading = self._store.load([position for position in positions if position])
        for index, position in enumerate(positions):
            if not position:
                entries.append(others[other])
                other += 1
                continue
            entries.append(self._entry(reading, page, index))

    def _entry(self, reading: Reading, page: Page, index: int) -> Entry:
        """Read one stored copy of a page. Raises OSError, DamagedError."""
        position = page.positions[index]
        # The deadline in the store is a time of the wall clock.
        entry = Entry(reading.message(position), self._queue, page.sequences[index], page.deadline_ms(index))
        entry.stored_at(position)
        delivery_count = self._store.delivery_count(position)
        if delivery_count >= 0:
            entry.restore(1, delivery_count)
        elif delivery_count == DOUBTED:
            entry.restore(DOUBTFUL, 0)
        return entry

    def expect(self, page: Page) -> None:
        stored = [position for position in page.positions if position]
        if stored:
            self._store.expect(stored)

    def _free(self, page: Page) -> None:
        """Free the page's part of the spill file and its entries in memory."""
        spilled = page.take_spilled()
        if spilled is not None:
            self._spill.free(spilled)
        page.take_entries()

    def delete_all(self, pages: "deque[Page]") -> None:
        self._ledger.purged_pages(pages, self._delete_all, self.page_count)

    def _delete_all(self, reason: str, pages: list[Page]) -> None:
        followed = self._ledger.tracker.active
        for page in pages:
            if not (followed and self._discard(page, reason)):
                self._delete(page)

    def _discard(self, page: Page, reason: str) -> bool:
        """Read and discard the copies of a page, whose fates are reported. Return whether they can be read."""
        try:
            entries = list(self.load(page))
        except (OSError, DamagedError) as error:
            log.error("followed messages of a deleted or purged queue cannot be read: %s", error)  # noqa: TRY400
            return False
        self._ledger.discard_paged(entries, reason)
        self._free(page)
        return True

    def _delete(self, page: Page) -> None:
        ledger = self._ledger
        for entry in page.entries:
            ledger.leave(entry)
        ledger.leave_stored(array("Q", [position for position in page.positions if position]), page.sequences)
        self._free(page)
