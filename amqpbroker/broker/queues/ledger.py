"""Entries of a queue: creation, storage, counters and removal."""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.dead_letters.deadletter import DeadLetters, count_letters
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.tracking.copy_tracker import DELETED, NO_TRACKER, PURGED, CopyTracker
from amqpbroker.message.message import Message
from amqpbroker.store.store import UNSTORED, Store

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.destination import Destination
    from amqpbroker.broker.queues.lines.pages import Page
    from amqpbroker.broker.queues.queue import Queue

#: The reasons for which a message is dead-lettered, in RabbitMQ's words, as in x-death.
EXPIRED: Final = "expired"
REJECTED: Final = "rejected"
MAXLEN: Final = "maxlen"
DELIVERY_LIMIT: Final = "delivery_limit"
#: The reason for which a message is dead-lettered that a newer one replaces; RabbitMQ has no such reason.
REPLACED: Final = "replaced"


class Ledger:
    """Entries of one queue: created by `enter`, removed by `leave`, and counted and stored by both.

    stores: the store holds entries of this queue, cached for each publish. entered: number of created entries. passed:
    number of messages delivered to a no-ack consumer without an entry. The sum of both is the number of the next entry.
    before: number of sequence numbers that no new message has: from before the start, and of replaced entries; minus
    the number of messages that share their number with another. recovered: number
    of entries that were there at the start. stored, unstored, loaded: number of entries that were added to the store,
    removed from it, and read back. in_memory: the queue is durable, but the store keeps nothing. unsaved: number of
    entries that the store would have if it kept them, minus such entries from before the start that were removed. left:
    number of removed entries that were neither acknowledged nor delivered without acknowledgement. sees_all: `leave`
    must be called for acknowledged and purged messages that are not stored, too.
    """

    def __init__(
        self,
        settings: QueueSettings,
        kind: Kind,
        store: Store,
        dead_letters: DeadLetters,
        letter_counts: dict[tuple[str, str, str], int],
        deferred_free: DeferredFree,
        tracker: CopyTracker = NO_TRACKER,
    ) -> None:
        """letter_counts: see `BrokerTotals.dead_letters`."""
        self.tracker: CopyTracker = tracker
        self.store: Store = store
        self.stores: bool = store.keeps
        self.entered: int = 0
        self.passed: i64 = 0
        self.before: int = 0
        self.recovered: int = 0
        self.stored: int = 0
        self.unstored: int = 0
        self.loaded: int = 0
        self.in_memory: bool = not store.keeps and store is not UNSTORED
        self.unsaved: int = 0
        self.left: int = 0
        self.sees_all: bool = self.in_memory
        self._settings: QueueSettings = settings
        self._dead_letters: DeadLetters = dead_letters
        self._letter_counts = letter_counts
        self._deferred_free = deferred_free
        self._kind: Kind = kind
        self._stores_all: bool = kind.stores_all
        self._closed: bool = False

    def apply(self, settings: QueueSettings) -> None:
        self._settings = settings

    def close(self) -> None:
        """Stop dead-lettering."""
        self._closed = True

    @property
    def came(self) -> int:
        """The number of messages that became entries since the start."""
        return self.entered - self.before

    @property
    def newest(self) -> int:
        """The highest sequence number so far."""
        return self.entered + self.passed

    @property
    def persistent(self) -> int:
        """The number of entries in the store; if it keeps nothing, of those that it would have otherwise."""
        return self.recovered + self.stored - self.unstored + self.unsaved

    # --- added entries ------------------------------------------------------------------------------------------------

    def enter(self, queue: "Queue", message: Message, deadline_ms: int) -> Entry:
        """Create the queue's entry for a message, and store it if necessary."""
        self.entered += 1
        entry = Entry(message, queue, self.entered + self.passed, deadline_ms)
        if self.stores:
            if message.persistent or self._stores_all:
                self.stored += 1
                self.store.enqueue(entry)
        elif self.in_memory and (message.persistent or self._stores_all):
            self.unsaved += 1
        if self.tracker.active:
            self.tracker.entered(entry, queue.name)
        return entry

    def pass_on(self, queue: "Queue", message: Message) -> None:
        """Count a message that is delivered to a no-ack consumer without an entry."""
        # Short, as the type of `passed` makes it, so that the C compiler inlines it.
        self.passed += 1
        if self.tracker.active:
            self._follow_passed(queue, message)

    def _follow_passed(self, queue: "Queue", message: Message) -> None:
        passed = Entry(message, queue, 0, 0)
        self.tracker.entered(passed, queue.name)
        self.tracker.acknowledged(passed, queue.name)

    def replace(self, entry: Entry) -> Entry:
        """Replace an entry with a new one, which has the highest sequence number; the store records a single change."""
        store, tracker = self.store, self.tracker
        followed = tracker.active
        store.begin()
        try:
            if followed:
                tracker.begin_move(entry, entry.queue.name)
            self.leave(entry)
            again = self.enter(entry.queue, entry.message, entry.deadline_ms)
            again.restore(entry.acquired_count, entry.delivery_count)
            store.returned(again)
            if followed:
                tracker.end_move("")
        finally:
            store.end()
        self.before += 1
        return again

    def succeed(self, entry: Entry) -> None:
        """Count a new entry with the sequence number of one that leaves in the same group, and store it if necessary.

        The store takes the later copy with a number for the present one, so the entry has the place of the other also
        after a restart.
        """
        self.before -= 1
        if self.stores and (entry.message.persistent or self._stores_all):
            self.stored += 1
            self.store.enqueue(entry)
        elif self.in_memory and (entry.message.persistent or self._stores_all):
            self.unsaved += 1
        if self.tracker.active:
            self.tracker.entered(entry, entry.queue.name)

    def returned(self, entry: Entry) -> None:
        """Record in the store that a stored entry was delivered or returned: from then on it is redelivered."""
        self.store.returned(entry)

    def delayed(self, entry: Entry, due_ms: int) -> None:
        """Record that an entry is not ready before `due_ms`, by the wall clock."""
        if entry.position:
            self.store.delayed(entry, due_ms)

    def undelayed(self, entry: Entry) -> None:
        """Record that a delayed entry is about to leave."""

    def start(self, entries: int, newest: int) -> None:
        """Start with this number of entries from before the start. newest: the highest of their sequence numbers."""
        self.entered = self.before = newest
        self.recovered = entries

    def read_back(self, count: int) -> None:
        """Count entries that were read back from the store."""
        self.loaded += count
        self.store.count_loaded(count)

    # --- removed entries ----------------------------------------------------------------------------------------------

    def acknowledge(self, entry: Entry) -> None:
        """Remove a message that is acknowledged, or delivered without acknowledgement, like `leave`.

        While messages are followed, each is removed by this method; otherwise `leave` is the same.
        """
        if not self.tracker.active or not self.tracker.follows(entry.message):
            self.leave(entry)
            return
        self.store.begin()
        try:
            self.tracker.acknowledged(entry, entry.queue.name)
            self.leave(entry)
        finally:
            self.store.end()

    def leave(self, entry: Entry) -> None:
        """Remove a message that is acknowledged, delivered without acknowledgement, or was dropped."""
        if entry.position:
            self.unstored += 1
            self.store.settle(entry)
        elif self.in_memory and (entry.message.persistent or self._stores_all):
            self.unsaved -= 1

    def leave_stored(self, positions: "array[int]", sequences: Sequence[int]) -> None:
        """Remove messages that are in the store and not in memory, like `leave`.

        sequences: of these messages, and of messages that are neither in the store nor in memory.
        """
        self.unstored += len(positions)
        self.store.settle_positions(positions)

    def dead_letter(self, entries: list[Entry], reason: str) -> None:
        """Remove unacknowledged messages. Dead-letter them if the queue has a dead letter exchange."""
        if not entries:
            return
        self.left += len(entries)
        settings = self._settings
        dead_lettered = not self._closed and settings.dead_letters
        count_letters(
            self._letter_counts,
            self._kind.name,
            settings.dead_letter_strategy,
            dead_lettered,
            reason,
            len(entries),
        )
        if dead_lettered:
            # Each message leaves when its letter is sent.
            self._dead_letters.send(entries[0].queue, entries, reason)
            return
        self._discard(entries, reason)

    def turn_away(self, queue: "Queue", message: Message) -> None:
        """Dead-letter a message that the queue refused, and that therefore never became an entry."""
        self.never_entered(message)
        refused = Entry(message, queue, 0, 0)
        if self.tracker.active:
            self.tracker.entered(refused, queue.name)
        self.dead_letter([refused], MAXLEN)

    def never_entered(self, message: Message) -> None:
        """Count a message that is about to leave, and never became an entry."""
        self.left -= 1
        if self.in_memory and (message.persistent or self._stores_all):
            self.unsaved += 1

    def move(self, entry: Entry, message: Message, destinations: Iterable["Destination"]) -> None:
        """Move a message, as `message`, to destinations that do not refuse it. To the store, that is one operation."""
        self.left += 1
        store, tracker = self.store, self.tracker
        followed = tracker.active
        store.begin()
        try:
            if followed:
                tracker.begin_move(entry, entry.queue.name)
            self.leave(entry)
            for destination in destinations:
                destination.publish_moved(message)
            if followed:
                tracker.end_move(DELETED)
        finally:
            store.end()

    def discard(self, entries: list[Entry], reason: str) -> None:
        """Remove messages without dead-lettering them. reason: see `CopyTracker.failed`."""
        self.left += len(entries)
        self._discard(entries, reason)

    def _discard(self, entries: list[Entry], reason: str) -> None:
        """Remove messages that nobody takes."""
        for entry in entries:
            if self.tracker.active and self.tracker.follows(entry.message):
                self.store.begin()
                try:
                    self.tracker.failed(entry, entry.queue.name, reason)
                    self.leave(entry)
                finally:
                    self.store.end()
            else:
                self.leave(entry)

    def purged(self, lines: list[deque[Entry]], count: int) -> None:
        """Count purged messages, and remove and free those in memory, many of them later. lines: these messages."""
        self.left += count
        deferred_free, followed = self._deferred_free, self.tracker.active
        if not (self.stores or self.sees_all or followed):
            for line in lines:
                deferred_free.add(line)
            return
        record = partial(self._discard, reason=DELETED if self._closed else PURGED)
        for line in lines:
            deferred_free.record(line, record, deferred_free.few if followed else deferred_free.most)

    def purged_pages(self, pages: "deque[Page]", delete: Callable[[str, list["Page"]], None], page_count: int) -> None:
        """Remove and free purged messages that are paged out, many of them later.

        delete(reason, pages): removes and frees those of some pages. page_count: number of messages in a page.
        """
        deferred_free = self._deferred_free
        most = deferred_free.few if self.tracker.active else deferred_free.most
        reason = DELETED if self._closed else PURGED
        deferred_free.record(pages, partial(delete, reason), max(1, most // page_count))

    def discard_paged(self, entries: list[Entry], reason: str) -> None:
        """Remove purged messages that were read back; they are counted already."""
        self._discard(entries, reason)
