"""A queue that drops duplicates of messages.

A subclass, so that no message of another queue pays for it.
"""

from array import array
from collections import deque
from collections.abc import Sequence

from amqpbroker.broker.deduplication.foreseen_ids import AcceptedIds, ForeseenIds
from amqpbroker.broker.deduplication.options import Deduplication
from amqpbroker.broker.deduplication.queued_ids import QueuedIds
from amqpbroker.broker.deduplication.window import Window
from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.dead_letters.deadletter import DeadLetters
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.ledger import Ledger
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.tracking.copy_tracker import CopyTracker
from amqpbroker.message.message import Message
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.recovered import Copies
from amqpbroker.store.store import Store


class IdLedger(Ledger):
    """A ledger that takes the id of each message that enters, and frees it when the message leaves."""

    def __init__(
        self,
        settings: QueueSettings,
        kind: Kind,
        store: Store,
        dead_letters: DeadLetters,
        letter_counts: dict[tuple[str, str, str], int],
        deferred_free: DeferredFree,
        tracker: CopyTracker,
        ids: QueuedIds,
    ) -> None:
        super().__init__(settings, kind, store, dead_letters, letter_counts, deferred_free, tracker)
        self.sees_all = True
        self._ids: QueuedIds = ids

    def enter(self, queue: Queue, message: Message, deadline_ms: int) -> Entry:
        self.store.begin()
        try:
            entry = super().enter(queue, message, deadline_ms)
            self._ids.entered(message, queue.id, entry.sequence, message.persistent or self._stores_all)
        finally:
            self.store.end()
        return entry

    def leave(self, entry: Entry) -> None:
        super().leave(entry)
        self._ids.left(entry.sequence)

    def leave_stored(self, positions: "array[int]", sequences: Sequence[int]) -> None:
        super().leave_stored(positions, sequences)
        for sequence in sequences:
            self._ids.left(sequence)

    def purged(self, lines: list[deque[Entry]], count: int) -> None:
        super().purged(lines, count)
        if self._deferred_free.is_recording:
            self._ids.begin_purge()
            self._deferred_free.when_recorded(self._ids.end_purge)


class DeduplicatingQueue(LocalQueue):
    """A queue that drops each message whose id it has accepted before.

    The id is remembered in a window of time, or while its message is in the queue.
    """

    def _prepare(self) -> None:
        assert self.settings.deduplication is not None
        self.options: Deduplication = self.settings.deduplication
        self.window: Window | None = None
        self.queued_ids: QueuedIds | None = None
        self._present: set[int] = set()
        self._is_letter: bool = False
        if not self.options.while_queued:
            self.window = Window(self.options, self.clock, self.store, self.vhost.config.bounds)

    def _new_ledger(self) -> Ledger:
        if not self.options.while_queued:
            return super()._new_ledger()
        vhost = self.vhost
        self.queued_ids = QueuedIds(self.options, self.store)
        return IdLedger(
            self.settings,
            self.kind,
            self.store,
            vhost.dead_letters,
            vhost.totals.dead_letters,
            vhost.deferred_free,
            vhost.tracker,
            self.queued_ids,
        )

    # --- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> bool:
        is_letter, self._is_letter = self._is_letter, False
        window = self.window
        key = self._key(message)
        if key is None:
            return super().publish(message)
        if self._has(key):
            self.deduplicated += 1
            self.vhost.totals.count_deduplicated_by_queue()
            self.letters -= is_letter
            return True
        if window is None:
            return super().publish(message)  # the ledger takes the id
        store = self.vhost.store
        store.begin()
        try:
            accepted = super().publish(message)
            if accepted:
                window.remember(key, message, self.id, message.persistent or self.kind.stores_all)
        finally:
            store.end()
        return accepted

    def publish_moved(self, message: Message) -> None:
        super().publish(message)

    def count_letter(self, message: Message) -> None:
        super().count_letter(message)
        self._is_letter = True

    def is_duplicate(self, message: Message) -> bool:
        key = self._key(message)
        return key is not None and self._has(key)

    def will_drop(self, message: Message, ids: ForeseenIds) -> bool:
        key = self._key(message)
        self._finish_purges()
        accepted: AcceptedIds | None = self.queued_ids if self.window is None else self.window
        assert accepted is not None
        return key is not None and not ids.add(accepted, key)

    def _key(self, message: Message) -> bytes | None:
        if self.window is not None:
            return self.window.key(message)
        assert self.queued_ids is not None
        return self.queued_ids.key(message)

    def _has(self, key: bytes) -> bool:
        if self.window is not None:
            return self.window.has(key)
        assert self.queued_ids is not None
        if self.queued_ids.purges and self.queued_ids.has(key):
            self._finish_purges()
        return self.queued_ids.has(key)

    def _finish_purges(self) -> None:
        """Free the ids of all purged messages now, because a message comes with the id of one that may be purged."""
        if self.queued_ids is not None and self.queued_ids.purges:
            self.vhost.deferred_free.finish()

    # --- start and end ------------------------------------------------------------------------------------------------

    def recover(self, copies: Copies) -> None:
        super().recover(copies)
        if self.queued_ids is not None:
            self._present = set(copies.sequences)

    def recover_ids(self, ids: list[MessageIdRecord]) -> list[MessageIdRecord]:
        """See `IdKeeper`."""
        if self.queued_ids is not None:
            return self.queued_ids.recover(ids, self._present)
        assert self.window is not None
        return self.window.recover_ids(ids)

    def stored_count(self) -> int:
        """See `IdKeeper`."""
        ids = self.queued_ids if self.window is None else self.window
        assert ids is not None
        return ids.stored_count()

    def recovered(self) -> None:
        self._present = set()
        super().recovered()

    def inherit(self, entries: list[Entry], delayed: Sequence[tuple[int, Entry]] = ()) -> None:
        if self.queued_ids is not None:
            for entry in (*entries, *[entry for _, entry in delayed]):
                self.queued_ids.entered(entry.message, self.id, entry.sequence, True)
        super().inherit(entries, delayed)

    def inherit_window(self, other: "DeduplicatingQueue") -> None:
        """Take over the remembered ids of the queue that this one replaces."""
        if self.window is not None and other.window is not None:
            self.window.inherit(other.window, self.id)

    def close(self) -> list[Consumer]:
        consumers = super().close()
        if self.queued_ids is not None:
            self.queued_ids.close(self.vhost.deferred_free)
        if self.window is not None:
            self.window.close(self.vhost.deferred_free)
        return consumers

    def discard(self) -> None:
        super().discard()
        if self.queued_ids is not None:
            self.queued_ids.discard()
        if self.window is not None:
            self.window.discard()
