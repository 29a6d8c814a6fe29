"""The seam for ready lines: the order in which a queue's waiting messages leave it.

A line is chosen when the queue is declared. `count` and `size` (octets of the bodies) are kept here, so that what is
counted and what is there cannot differ.
"""

from abc import ABCMeta, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.pages import Pager

if TYPE_CHECKING:
    from amqpbroker.store.recovered import Copies


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

    def requeue_last(self, entry: Entry) -> None:
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

    def by_priority(self) -> dict[int, int] | None:
        """Return the number of messages by priority, without returned ones; None if the line is not in that order."""
        return None

    @abstractmethod
    def clear(self) -> list[deque[Entry]]:
        """Delete all entries, also from the store. Return the entries in memory, for the caller to free."""

    def start_after(self, newest: int) -> None:  # noqa: B027 - most lines need nothing
        """Note that this is the queue's highest sequence number so far, and start anew otherwise."""

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
