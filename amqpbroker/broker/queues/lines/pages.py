"""Pages: runs of copies of a line that are not in memory, and the interface of the pager that moves them."""

from abc import ABCMeta, abstractmethod
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.config.bounds import Bounds
from amqpbroker.store.spill import Spilled

_NOWHERE = array("Q")


class Page:
    """A run of copies between the two ends of a line.

    entries: the copies in memory, which are all of them at first. When the stored copies have left memory, `positions`
    and `sequences` have an item for each copy: its position in the store, 0 if it is not stored or was added later and
    is not durable yet, and its position in the queue. `deadlines_ms` has their expiry times if any of them may
    expire. Then `entries` has the copies without a position, or `spilled` their place in the spill file, which may also
    have `removed` ones (their sequences).
    """

    __slots__ = ("deadlines_ms", "entries", "positions", "removed", "sequences", "spilled")

    def __init__(
        self,
        entries: list[Entry],
        positions: "array[int]" = _NOWHERE,
        sequences: Sequence[int] = _NOWHERE,
        deadlines_ms: "array[int]" = _NOWHERE,
    ) -> None:
        self.entries: list[Entry] = entries
        self.positions: array[int] = positions
        self.sequences: Sequence[int] = sequences
        self.deadlines_ms: array[int] = deadlines_ms
        self.spilled: Spilled | None = None
        self.removed: frozenset[int] = frozenset()

    def __len__(self) -> int:
        """Return the number of copies."""
        return len(self.positions) or len(self.entries)

    @property
    def is_empty(self) -> bool:
        return not self.positions and not self.entries

    @property
    def first(self) -> int:
        """The queue position of its first copy."""
        return self.sequences[0] if self.positions else self.entries[0].sequence

    def deadline_ms(self, index: int) -> int:
        """Return the expiry time of a copy that is not in memory, 0 for never."""
        return self.deadlines_ms[index] if self.deadlines_ms else 0

    def move_deadlines(self, delta_ms: int, chosen: Sequence[bool]) -> None:
        """Move the expiry times of the chosen copies. chosen: a flag for each copy."""
        for index, time_ms in enumerate(self.deadlines_ms):
            if time_ms and chosen[index]:
                self.deadlines_ms[index] = time_ms + delta_ms
        indices = [index for index, position in enumerate(self.positions) if not position]
        for entry, index in zip(self.entries, indices or range(len(self.entries)), strict=True):
            if chosen[index]:
                entry.move_deadline(delta_ms)

    def unload(self) -> None:
        """Release the stored copies from memory, all of which are durable: only their numbers remain."""
        entries = self.entries
        self.positions = array("Q", [entry.position for entry in entries])
        first, last = entries[0].sequence, entries[-1].sequence
        if last - first + 1 == len(entries):
            self.sequences = range(first, last + 1)
        else:
            self.sequences = array("Q", [entry.sequence for entry in entries])
        self.deadlines_ms = expiry_times([entry.deadline_ms for entry in entries])
        self.entries = [entry for entry in entries if not entry.position]

    def spill(self, spilled: Spilled) -> None:
        """Release the entries from memory, which were written to the spill file."""
        self.spilled = spilled
        self.entries = []

    def take_entries(self) -> list[Entry]:
        """Remove and return the entries that are in memory."""
        entries, self.entries = self.entries, []
        return entries

    def restore(self, others: list[Entry]) -> None:
        """Set the copies that are not stored, which are in memory again."""
        self.entries = others

    def take_spilled(self) -> Spilled | None:
        """Remove and return the place of spilled entries; None if there is none."""
        spilled, self.spilled = self.spilled, None
        self.removed = frozenset()
        return spilled

    def leave_behind(self, count: int, others: list[Entry]) -> None:
        """Remove the first `count` copies.

        others: the remaining copies that are not stored, which are in memory now.
        """
        self.entries = others
        self.positions = self.positions[count:]
        self.sequences = self.sequences[count:]
        self.deadlines_ms = self.deadlines_ms[count:]

    def numbers(self) -> Sequence[int]:
        """Return the queue positions of its copies, in order."""
        return self.sequences if self.positions else [entry.sequence for entry in self.entries]

    # --- single copies ------------------------------------------------------------------------------------------------

    def find(self, sequence: int) -> int:
        """Return the index of the copy with that sequence, -1 if there is none."""
        if self.positions:
            sequences = self.sequences
            index = bisect_left(sequences, sequence)
            return index if index < len(sequences) and sequences[index] == sequence else -1
        return find_entry(self.entries, sequence)

    def behind(self, sequence: int) -> int:
        """Return the index of the first copy with a higher sequence; the number of copies if there is none."""
        if self.positions:
            return bisect_right(self.sequences, sequence)
        return find_place(self.entries, sequence + 1)

    def replace(self, index: int, entry: Entry) -> None:
        """Put an entry in the place of the copy at `index`, which has the same sequence. No entry may be spilled."""
        if not self.positions:
            self.entries[index] = entry
            return
        other = self.positions[:index].count(0)
        if self.positions[index]:
            # Until `unload_stored`, the copy counts as one that is not stored.
            self.positions[index] = 0
            self.entries.insert(other, entry)
        else:
            self.entries[other] = entry
        if entry.deadline_ms or self.deadlines_ms:
            if not self.deadlines_ms:
                self.deadlines_ms = array("Q", bytes(8 * len(self.positions)))
            self.deadlines_ms[index] = entry.deadline_ms

    def insert(self, entry: Entry) -> None:
        """Add an entry at its place. No entry may be spilled."""
        sequence = entry.sequence
        if not self.positions:
            self.entries.insert(find_place(self.entries, sequence), entry)
            return
        index = bisect_left(self.sequences, sequence)
        # Until `unload_stored`, the copy counts as one that is not stored.
        self.entries.insert(self.positions[:index].count(0), entry)
        if entry.deadline_ms and not self.deadlines_ms:
            self.deadlines_ms = array("Q", bytes(8 * len(self.positions)))
        if self.deadlines_ms:
            self.deadlines_ms.insert(index, entry.deadline_ms)
        self.positions.insert(index, 0)
        sequences = array("Q", self.sequences)
        sequences.insert(index, sequence)
        self.sequences = sequences

    def split(self) -> "Page":
        """Move the second half of the copies to a new page, and return it. No entry may be spilled."""
        half = len(self) // 2
        if not self.positions:
            later = Page(self.entries[half:])
            del self.entries[half:]
            return later
        other = self.positions[:half].count(0)
        later = Page(self.entries[other:], self.positions[half:], self.sequences[half:], self.deadlines_ms[half:])
        self.entries = self.entries[:other]
        self.positions = self.positions[:half]
        self.sequences = self.sequences[:half]
        self.deadlines_ms = self.deadlines_ms[:half]
        return later

    def unload_stored(self) -> None:
        """Release stored copies from memory that replaced others or were inserted, all of which are durable."""
        others = []
        for entry in self.entries:
            if entry.position:
                self.positions[self.find(entry.sequence)] = entry.position
            else:
                others.append(entry)
        self.entries = others

    def remove(self, index: int) -> None:
        """Remove the copy at `index`; a spilled one is skipped when the others are read."""
        if not self.positions:
            del self.entries[index]
            return
        if not self.positions[index]:
            if self.spilled is None:
                del self.entries[self.positions[:index].count(0)]
            else:
                self.removed |= {self.sequences[index]}
        if index == 0:
            # Still a range if it was one: messages that expire together leave from the start.
            self.sequences = self.sequences[1:]
        else:
            sequences = array("Q", self.sequences)
            del sequences[index]
            self.sequences = sequences
        del self.positions[index]
        if self.deadlines_ms:
            del self.deadlines_ms[index]

    def expiring(self) -> list[tuple[int, int]]:
        """Return the expiry time and the sequence of each copy that may expire."""
        if self.positions:
            # There are no expiry times if no copy expires.
            return [each for each in zip(self.deadlines_ms, self.sequences, strict=False) if each[0]]
        return [(entry.deadline_ms, entry.sequence) for entry in self.entries if entry.deadline_ms]


def expiry_times(deadlines_ms: Sequence[int]) -> "array[int]":
    """Return these expiry times for a page, which has none if all are 0."""
    return array("Q", deadlines_ms) if any(deadlines_ms) else _NOWHERE


def find_entry(entries: Sequence[Entry], sequence: int) -> int:
    """Return the index of the entry with that sequence, in entries that are sorted by sequence; -1 if it is absent."""
    index = find_place(entries, sequence)
    return index if index < len(entries) and entries[index].sequence == sequence else -1


def find_place(entries: Sequence[Entry], sequence: int) -> int:
    """Return the number of entries before that sequence, in entries that are sorted by sequence."""
    low, high = 0, len(entries)
    while low < high:
        middle = (low + high) // 2
        if entries[middle].sequence < sequence:
            low = middle + 1
        else:
            high = middle
    return low


class UnreadableError(Exception):
    """Copies of a page temporarily cannot be read."""


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
    def delivered(self, page: Page) -> "array[int]":
        """Return 1 for each copy of the page that was delivered before, and 0 for others. All of them are stored."""

    @abstractmethod
    def take(self, page: Page) -> list[Entry]:
        """Remove the page's first copies and return them in order: as many as are worth reading at once.

        Only copies that were read are removed. If some temporarily cannot be read, the queue is notified.
        """

    @abstractmethod
    def take_one(self, page: Page, index: int) -> Entry | None:
        """Remove and return the copy at that index of the page.

        Return None if it temporarily cannot be read: nothing changes, and the queue is notified.
        """

    @abstractmethod
    def replace_one(self, page: Page, index: int, entry: Entry) -> Entry | None:
        """Put an entry in the place of the copy at that index of the page, with the same sequence; return the copy.

        Return None if the copy temporarily cannot be read: nothing changes, and the queue is notified.
        """

    @abstractmethod
    def insert(self, page: Page, entries: list[Entry]) -> list[Page]:
        """Add entries to the page at their places; they leave memory as in `page`.

        Return the page, and those that follow it if it was split because it was too large; or no page if copies of the
        page temporarily cannot be read: nothing changes, and the queue is notified.
        """

    @abstractmethod
    def load(self, page: Page) -> list[Entry]:
        """Return the page's copies in order, without removing them. Raises OSError, DamagedError."""

    @abstractmethod
    def read(self, page: Page, indices: Sequence[int]) -> list[Entry]:
        """Return the copies at these indices of the page, in that order, and change nothing. Raises UnreadableError."""

    @abstractmethod
    def expect(self, page: Page) -> None:
        """Prepare for the page to be loaded soon: its stored copies may be read meanwhile."""

    @abstractmethod
    def delete_all(self, pages: "deque[Page]") -> None:
        """Delete the copies of purged pages, and their storage; many of them later (see `DeferredFree`)."""
