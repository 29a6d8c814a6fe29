"""Pages: runs of copies that a line keeps out of memory, and the seam for where they go."""

from abc import ABCMeta, abstractmethod
from array import array
from collections.abc import Sequence

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.config.bounds import Bounds
from amqpbroker.store.spill import Spilled

_NOWHERE = array("Q")


class Page:
    """A run of copies between the two ends of a line.

    entries: those that are in memory: at first all of them. Once the stored ones are not, `positions` and `sequences`
    have an item for each copy: where it is stored, 0 if it is not, and its place in the queue; `entries` has the others
    then, or `spilled` says where these are.
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
        """The place of its first copy in the queue."""
        return self.sequences[0] if self.positions else self.entries[0].sequence

    def unload(self) -> None:
        """Release the stored copies from memory, all of which are safe: from now on they are numbers."""
        entries = self.entries
        self.positions = array("Q", [entry.position for entry in entries])
        first, last = entries[0].sequence, entries[-1].sequence
        if last - first + 1 == len(entries):
            self.sequences = range(first, last + 1)
        else:
            self.sequences = array("Q", [entry.sequence for entry in entries])
        self.entries = [entry for entry in entries if not entry.position]

    def spill(self, spilled: Spilled) -> None:
        """Release the entries from memory, which were written there."""
        self.spilled = spilled
        self.entries = []

    def take_entries(self) -> list[Entry]:
        """Remove the entries that are in memory, and return them."""
        entries, self.entries = self.entries, []
        return entries

    def take_spilled(self) -> Spilled | None:
        """Remove the place of entries that were written, and return it; None if there is none."""
        spilled, self.spilled = self.spilled, None
        return spilled

    def leave_behind(self, count: int, others: list[Entry]) -> None:
        """Remove the first `count` copies. others: the rest of those that are not stored, which are in memory now."""
        self.entries = others
        self.positions = self.positions[count:]
        self.sequences = self.sequences[count:]


class Pager(metaclass=ABCMeta):
    """Storage of a line's pages.

    page_count, page_bytes, least_page_count, least_page_bytes: see `Bounds`.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.page_count: int = bounds.page_count
        self.page_bytes: int = bounds.page_bytes
        self.least_page_count: int = bounds.least_page_count
        self.least_page_bytes: int = bounds.least_page_bytes

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

        Only copies that were read are removed. If some temporarily cannot be read, the queue is notified.
        """

    @abstractmethod
    def load(self, page: Page) -> list[Entry]:
        """Return the page's copies in order, without removing them. Raises OSError, DamagedError."""

    @abstractmethod
    def expect(self, page: Page) -> None:
        """The page will be loaded soon, so that what is stored of it may be read meanwhile."""

    @abstractmethod
    def delete(self, page: Page) -> None:
        """Delete the copies of a page, and what holds them."""

    @abstractmethod
    def delete_entry(self, entry: Entry) -> None:
        """Delete a copy that is in memory."""
