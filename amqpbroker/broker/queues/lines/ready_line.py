"""The interface of ready lines: the order in which a queue's waiting messages leave it.

A line is chosen when the queue is declared. `count` and `size` (bytes of the bodies) are maintained here, so that they
always match the content.
"""

from abc import ABCMeta, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.pages import Pager

if TYPE_CHECKING:
    from amqpbroker.store.recovered import Copies


#: Number of records of removed entries that may remain, in addition to as many as there are entries.
SLACK: Final = 64


def deadline_item(deadline_ms: int, sequence: int, level: int) -> int:
    """Return a deadline and the place of its entry as one integer. Integers are in the order of the deadlines."""
    return deadline_ms << 64 | sequence << 8 | level


def time_of(item: int) -> int:
    """Return the deadline of an item."""
    return item >> 64


def place_of(item: int) -> tuple[int, int]:
    """Return the sequence and the level of an item."""
    return item >> 8 & (1 << 56) - 1, item & 255


def place_at(rank: int, sequence: int) -> int:
    """Return the place of an entry as one integer. Integers are in the order of `ReadyLine.following`.

    rank: of the part of the line that has the entry, 0 for the part that leaves first.
    """
    return rank << 56 | sequence


def rank_and_sequence(place: int) -> tuple[int, int]:
    """Return the rank and the sequence of a place."""
    return place >> 56, place & (1 << 56) - 1


#: An entry that was read, with its place.
Placed = tuple[int, Entry]


def placed(rank: int, entries: list[Entry]) -> list[Placed]:
    """Return entries of one part of a line with their places."""
    return [(place_at(rank, entry.sequence), entry) for entry in entries]


class ReadyLine(metaclass=ABCMeta):
    """The waiting messages of a queue, head first.

    count: number of messages that can be delivered now. blocked: number of the others. size: bytes of all bodies.

    returns_in_place: `requeue` adds each message at its old place, not before all others.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self.blocked: int = 0
        self.size: int = 0
        self.returns_in_place: bool = True

    @property
    def waiting(self) -> int:
        """The number of all messages."""
        return self.count + self.blocked

    @abstractmethod
    def push(self, entry: Entry) -> None:
        """Add a new message at the end."""

    @abstractmethod
    def requeue(self, entries: list[Entry]) -> None:
        """Add returned entries, in the order of their return."""

    def requeue_last(self, entry: Entry) -> None:
        """Add a returned entry as the newest one, at the end."""
        self.push(entry)

    def ranked(self, entries: list[Entry]) -> list[Entry]:
        """Sort entries that leave together for good into the order in which they leave."""
        return entries

    @abstractmethod
    def load_head(self) -> bool:
        """Load the head into memory; return False if it temporarily cannot be read. Only if `count` is not 0."""

    @abstractmethod
    def head(self) -> Entry:
        """Return the head, as `pop` would, without removing it. Only after `load_head`."""

    @abstractmethod
    def pop(self) -> Entry:
        """Remove and return the head. Only after `load_head`."""

    def due_ms(self) -> int:
        """Return the expiry time of the first message that may expire, 0 for never or if it temporarily cannot be read.

        Only the head may expire. Only if `count` is not 0.
        """
        return self.head().deadline_ms if self.load_head() else 0

    def pop_due(self) -> Entry:
        """Remove and return the message whose expiry time `due_ms` returns."""
        return self.pop()

    # --- any position -------------------------------------------------------------------------------------------------

    @abstractmethod
    def divide(self, pager: Pager) -> None:
        """Keep the line in pieces from now on, so that `remove` is fast in a long line. `pager` has the pages."""

    def level_of(self, entry: Entry) -> int:
        """Return the level, below 256, that the methods of this section find the entry at."""
        return 0

    @abstractmethod
    def contains(self, sequence: int, level: int) -> bool:
        """Return whether there is an entry with that sequence. Reads no message."""

    def may_expire(self, sequence: int, level: int) -> bool:
        """Return whether there is an entry with that sequence whose time does not stand still. Reads no message."""
        return self.contains(sequence, level)

    @abstractmethod
    def remove(self, sequence: int, level: int) -> Entry | None:
        """Remove and return the entry with that sequence, which must exist.

        Return None if it temporarily cannot be read: the pager notifies the queue, and nothing changes.
        """

    @abstractmethod
    def replace(self, entry: Entry, level: int) -> Entry | None:
        """Put an entry in the place of the one with the same sequence, which must exist, and return that one.

        level: of the entry that is replaced; the new entry must have the same. Return None if the old entry temporarily
        cannot be read: the pager notifies the queue, and nothing changes.
        """

    @abstractmethod
    def lookup(self, sequence: int) -> tuple[int, Entry] | None:
        """Return the level and the entry with that sequence, or None if there is none.

        An entry in a page is read temporarily. Raises UnreadableError.
        """

    @abstractmethod
    def following(self, place: int, count: int) -> list[Placed]:
        """Return up to `count` entries behind a place (0: the first ones) with their places, and change nothing.

        They are in the order in which they leave, as far as that is known. There may be fewer than `count`, but none
        only if no entry is behind the place. Entries in a page are read temporarily. Raises UnreadableError.
        """

    @abstractmethod
    def deadlines(self) -> list[int]:
        """Return an item (`deadline_item`) for each entry that may expire, in no particular order. Reads no message."""

    # --- memory -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def peek(self) -> Entry | None:
        """Return the head, if it is in memory."""

    @property
    @abstractmethod
    def paged_out(self) -> int:
        """The number of entries that are not in memory."""

    def by_priority(self) -> dict[int, int] | None:
        """Return the number of messages by priority, without returned ones; None if the line is not in that order."""
        return None

    @abstractmethod
    def clear(self) -> list[deque[Entry]]:
        """Delete all entries, those in pages also from the store.

        Return the other ones, which the caller removes from the store and frees.
        """

    def start_after(self, newest: int) -> None:  # noqa: B027 - most lines need nothing
        """Set the queue's highest sequence number so far, and start anew otherwise."""

    @abstractmethod
    def recover(self, copies: "Copies") -> None:
        """Recover stored copies, in the order of their sequences, before any others. No message is read."""

    @abstractmethod
    def page_out(self, pager: Pager, keep: bool) -> bool:
        """Move a page from the ends of the line (with `keep`: from the part beyond them) out of memory, which is low.

        From now on `pager` has the pages. Return whether there may be more to move.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[Entry]:
        """Iterate over all entries, in the order in which they would leave; paged ones are read temporarily."""
