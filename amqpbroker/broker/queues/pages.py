"""Pages: runs of copies of a line that are not in memory, and the interface of the pager that moves them."""

from abc import ABCMeta, abstractmethod
from array import array
from collections.abc import Sequence

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.config.bounds import Bounds
from amqpbroker.store.spill import Spilled

_NOWHERE = array("Q")


class Page:
    """A run of copies between the two ends of a line.

    entries: the copies in memory, which are all of them at first. When the stored copies have left memory, `positions`
    and `sequences` have an item for each copy: its position in the store, 0 if it is not stored, and its position in
    the queue. Then `entries` has the other copies, or `spilled` their place in the spill file.
    """

    __slots__ = ("entries", "positions", "sequences", "spilled")

    def __init__(
        self, entries: list[Entry], positions: "array[int]" = _NOWHERE, sequences: Sequence[int] = _NOWHERE
    ) -> None:
        self.entries: list[Entry] = entries
        self.positions: array[int] = positions
        self.sequences: Sequence[int] = sequences
        self.spilled: Spilled | None = None

    @property
    def is_empty(self) -> bool:
        return not self.positions and not self.entries

    @property
    def first(self) -> int:
        """The queue position of its first copy."""
        return self.sequences[0] if self.positions else self.entries[0].sequence

    def unload(self) -> None:
        """Release the stored copies from memory, all of which are durable: only their numbers remain."""
        entries = self.entries
        self.positions = array("Q", [entry.position for entry in entries])
        first, last = entries[0].sequence, entries[-1].sequence
        if last - first + 1 == len(entries):
            self.sequences = range(first, last + 1)
        else:
            self.sequences = array("Q", [entry.sequence for entry in entries])
        self.entries = [entry for entry in entries if not entry.position]

    def spill(self, spilled: Spilled) -> None:
        """Release the entries from memory, which were written to the spill file."""
        self.spilled = spilled
        self.entries = []

    def take_entries(self) -> list[Entry]:
        """Remove and return the entries that are in memory."""
        entries, self.entries = self.entries, []
        return entries

    def take_spilled(self) -> Spilled | None:
        """Remove and return the place of spilled entries; None if there is none."""
        spilled, self.spilled = self.spilled, None
        return spilled

    def leave_behind(self, count: int, others: list[Entry]) -> None:
        """Remove the first `count` copies.

        others: the remaining copies that are not stored, which are in memory now.
        """
        self.entries = others
        self.positions = self.positions[count:]
        self.sequences = self.sequences[count:]


class Pager(metaclass=ABCMeta):
    """Moves the pages of a line out of memory, and back.

    page_count, page_bytes, least_page_count, least_page_bytes: see `Bounds`.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.page_count: int = bounds.page_count
        self.page_bytes: int = bounds.page_bytes
        self.least_page_count: int = bounds.least_page_count
        self.least_page_bytes: int = bounds.least_page_bytes

    @abstractmethod
    def page(self, entries: list[Entry]) -> Page:
        """Return a page of these entries, which leave memory as soon as possible: stored ones when they are durable."""

    @abstractmethod
    def let_go(self, page: Page) -> bool:
        """Release copies from memory that can be read back and, while memory is low, make the others readable.

        Return False if this must be tried again, because stored copies are not durable yet.
        """

    @abstractmethod
    def take(self, page: Page) -> list[Entry]:
        """Remove the page's first copies and return them in order: as many as are worth reading at once.

        Only copies that were read are removed. If some temporarily cannot be read, the queue is notified.
        """

    @abstractmethod
    def load(self, page: Page) -> list[Entry]:
        """Return the page's copies in order, without removing them. Raises OSError, DamagedError."""

    @abstractmethod
    def expect(self, page: Page) -> None:
        """Prepare for the page to be loaded soon: its stored copies may be read meanwhile."""

    @abstractmethod
    def delete(self, page: Page) -> None:
        """Delete the copies of a page, and their storage."""

    @abstractmethod
    def delete_entry(self, entry: Entry) -> None:
        """Delete a copy that is in memory."""
