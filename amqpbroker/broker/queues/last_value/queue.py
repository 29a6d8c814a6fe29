"""A queue that keeps only the last message of each key.

A subclass, so that no message of another queue pays for it.
"""

from collections import deque
from collections.abc import Sequence

from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.broker.exchanges.destination import Demand
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.dead_letters.deadletter import DeadLetters
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.last_value.line import LastValueLine
from amqpbroker.broker.queues.last_value.options import LastValue
from amqpbroker.broker.queues.last_value.values import LastValues
from amqpbroker.broker.queues.ledger import REPLACED, Ledger
from amqpbroker.broker.queues.lines.ready_line import ReadyLine
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.outstanding import Outstanding
from amqpbroker.broker.tracking.copy_tracker import CopyTracker
from amqpbroker.message.message import Message
from amqpbroker.store.recovered import Copies
from amqpbroker.store.store import Store


class LastValueLedger(Ledger):
    """A ledger that records which messages are delayed."""

    def __init__(
        self,
        settings: QueueSettings,
        kind: Kind,
        store: Store,
        dead_letters: DeadLetters,
        letter_counts: dict[tuple[str, str, str], int],
        deferred_free: DeferredFree,
        tracker: CopyTracker,
        values: LastValues,
    ) -> None:
        super().__init__(settings, kind, store, dead_letters, letter_counts, deferred_free, tracker)
        self._values: LastValues = values

    def delayed(self, entry: Entry, due_ms: int) -> None:
        super().delayed(entry, due_ms)
        self._values.add_late(self._values.key(entry.message), entry.sequence)

    def undelayed(self, entry: Entry) -> None:
        self._values.remove_late(self._values.key(entry.message), entry.sequence)

    def replace(self, entry: Entry) -> Entry:
        # A superseded message drops out; with the highest sequence number it would count as the newest one.
        return entry if self._values.is_superseded(entry) else super().replace(entry)

    def purged(self, lines: list[deque[Entry]], count: int) -> None:
        super().purged(lines, count)
        self._values.clear_late()
        for cleared in self._values.end_cleared():
            self._deferred_free.add(cleared)


class LastValueOutstanding(Outstanding):
    """Unacknowledged messages, which are recorded in `values`."""

    def __init__(self, counts_holders: bool, values: LastValues) -> None:
        super().__init__(counts_holders)
        self._values: LastValues = values

    def add(self, entry: Entry, consumer: Consumer, now_ms: int) -> None:
        super().add(entry, consumer, now_ms)
        self._values.add_held(entry)

    def add_got(self, entry: Entry, now_ms: int) -> None:
        super().add_got(entry, now_ms)
        self._values.add_held(entry)

    def settle(self, entry: Entry) -> Consumer | None:
        self._values.remove_held(entry)
        return super().settle(entry)

    def settle_all(self, entries: list[Entry]) -> dict[Consumer, None]:
        for entry in entries:
            self._values.remove_held(entry)
        return super().settle_all(entries)


class LastValueDemand(Demand):
    """The demand of messages of which the last one with each key remains."""

    def __init__(self, queue: "LastValueQueue") -> None:
        super().__init__(queue)
        self._queue = queue
        #: Largest number of bytes by which a message so far enlarges the queue, by key.
        self._sizes: dict[bytes, int] = {}

    def add(self, message: Message) -> None:
        key = self._queue.values.key(message)
        schedule = self._queue.schedule
        if key is None or (schedule is not None and schedule.due_ms(message)):
            super().add(message)
            return
        count, size = self._queue.demand(message)
        before = self._sizes.get(key)
        if before is None:
            self.count += count
            before = 0
        self.size += max(0, size - before)
        self._sizes[key] = max(size, before)


class LastValueQueue(LocalQueue):
    """A queue in which a message replaces the ready one with the same key.

    values: the messages that have keys.
    """

    def _prepare(self) -> None:
        assert self.settings.last_value is not None
        self.options: LastValue = self.settings.last_value
        self.values = LastValues(self.options.header)
        #: Places of ready messages that were superseded while they were delivered, before the start.
        self._stale: list[tuple[int, int]] = []

    def _new_ledger(self) -> Ledger:
        vhost = self.vhost
        totals = vhost.totals.dead_letters
        return LastValueLedger(
            self.settings,
            self.kind,
            self.store,
            vhost.dead_letters,
            totals,
            vhost.deferred_free,
            vhost.tracker,
            self.values,
        )

    def _new_line(self, line: ReadyLine) -> ReadyLine:
        made = LastValueLine(line, self.values, self._discard_replaced)
        made.divide(self._pages())
        return made

    def _new_outstanding(self) -> Outstanding:
        return LastValueOutstanding(self.kind.counts_holders, self.values)

    # --- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> bool:
        key = self.values.key(message)
        place = None if key is None else self.values.ready(key)
        if key is None or place is None:
            return super().publish(message)
        if self.schedule is not None:
            due_ms = self.schedule.due_ms(message)
            if due_ms:
                if not self.limit.accepts(self, message):
                    self.refused += 1
                    return False
                return self._delay(self.schedule, message, due_ms)
        sequence, level = place
        entry = Entry(message, self, sequence, self.expiry.deadline_ms(message))
        if not self._accepts(entry, level):
            self.refused += 1
            return False
        store = self.vhost.store
        # To the store, the replacement is one operation. A dead letter follows only after it.
        store.begin()
        try:
            with self.vhost.dead_letters:
                replaced = self._replace_ready(entry, level, in_place=self._stays_in_place(key, entry, level))
        finally:
            store.end()
        if not replaced:
            return super().publish(message)
        self.values.remove_moved(key)
        self.limit.trim()
        self.expiry.expire()
        return True

    def _stays_in_place(self, key: bytes, entry: Entry, level: int) -> bool:
        """Return whether an entry takes the place of the ready one with its sequence number, rather than the tail.

        A delayed message may be newer than the ready one, whose number would make the entry older than that.
        """
        return (
            not self.options.at_tail
            and self.ready.level_of(entry) == level
            and self.values.newest(key) == entry.sequence
        )

    def _replace_ready(self, entry: Entry, level: int, in_place: bool) -> bool:
        """Replace the ready message with the entry's sequence number. Return False if it cannot be read now."""
        if in_place:
            old = self.ready.replace(entry, level)
            if old is None:
                return False
            if old.deadline_ms:
                self.expiry.replaced(old)
            self._leave([old])
            self.ledger.succeed(entry)
        else:
            old = self.ready.remove(entry.sequence, level)
            if old is None:
                return False
            self._discard_replaced([old])
            entry = self.ledger.enter(self, entry.message, entry.deadline_ms)
            self.ready.push(entry)
        if entry.deadline_ms:
            self.expiry.added(entry)
        return True

    def _accepts(self, entry: Entry, level: int) -> bool:
        """Return whether the limits allow the entry instead of the ready one with its sequence number.

        The number of messages remains, so only a limit in bytes can refuse it.
        """
        more = self._growth(entry, level)
        if not more or self.ready.size + self.dispatcher.delayed_size + more <= self.settings.max_length_bytes:
            return True
        if self.settings.overflow == "reject-publish-dlx":
            self.ledger.turn_away(self, entry.message)
        return False

    def _growth(self, entry: Entry, level: int) -> int:
        """Return the number of bytes by which the entry exceeds the ready one with its sequence number, if it does.

        Returns 0 if the number of bytes matters to no limit.
        """
        if self.settings.max_length_bytes < 0 or self.settings.overflow == "drop-head":
            return 0
        line = self.ready
        before = line.size
        old = line.replace(entry, level)
        if old is None:  # It cannot be read now, and remains.
            return entry.message.size
        more = line.size - before
        line.replace(old, level)
        return max(0, more)

    def demand(self, message: Message) -> tuple[int, int]:
        key = self.values.key(message)
        place = None if key is None else self.values.ready(key)
        if place is None or (self.schedule is not None and self.schedule.due_ms(message)):
            return super().demand(message)
        return 0, self._growth(Entry(message, self, place[0], 0), place[1])

    def new_demand(self) -> Demand:
        return LastValueDemand(self)

    def refuses(self, count: int, size: int) -> bool:
        # Even a quorum queue that refuses publishes until it is well below its limit accepts replacements.
        return (self.closed or count > 0 or size > 0) and super().refuses(count, size)

    def publish_moved(self, message: Message) -> None:
        # A message that was moved is older than those that were published here, and newer than those moved before.
        key = self.values.key(message)
        if key is None:
            super().publish_moved(message)
        elif not self.values.newest(key) or self.values.was_moved(key):
            super().publish_moved(message)
            self.values.add_moved(message)
        else:
            self.ledger.never_entered(message)
            dropped = Entry(message, self, 0, 0)
            if self.vhost.tracker.active:
                self.vhost.tracker.entered(dropped, self.name)
            self._leave([dropped])

    # --- replaced messages --------------------------------------------------------------------------------------------

    def _discard_replaced(self, entries: list[Entry]) -> None:
        """Remove messages that newer ones replace, which were ready or were about to be, and are not in the line."""
        for entry in entries:
            if entry.deadline_ms:
                self.expiry.removed()
        self._leave(entries)

    def _leave(self, entries: list[Entry]) -> None:
        self.replaced += len(entries)
        self.vhost.totals.count_replaced(len(entries))
        if self.options.dead_letters:
            self.ledger.dead_letter(entries, REPLACED)
        else:
            self.ledger.discard(entries, REPLACED)

    # --- start and end ------------------------------------------------------------------------------------------------

    def recover(self, copies: Copies) -> None:
        super().recover(copies)
        delayed = set()
        if copies.dues_ms:
            until_ms = self.clock.wall_ms() if self.ready.returns_in_place else 0
            delayed = {
                sequence for sequence, due_ms in zip(copies.sequences, copies.dues_ms, strict=True) if due_ms > until_ms
            }
        # In the order of the positions, each part of the disk is read only once.
        order = sorted(range(len(copies.positions)), key=copies.positions.__getitem__)
        count = self.vhost.config.bounds.page_count
        for start in range(0, len(order), count):
            part = order[start : start + count]
            reading = self.store.load([copies.positions[index] for index in part])
            for index in part:
                message, sequence = reading.message(copies.positions[index]), copies.sequences[index]
                key = self.values.key(message)
                if key is None:
                    continue
                if sequence in delayed:
                    self.values.add_late(key, sequence)
                else:
                    self._add_earlier(key, Entry(message, self, sequence, 0))

    def _add_earlier(self, key: bytes, entry: Entry) -> None:
        """Add a ready message from before the start. Of two with one key, the older one is dropped later."""
        sequence, level = entry.sequence, self.ready.level_of(entry)
        other = self.values.ready(key)
        if other is not None and other[0] > sequence:
            self._stale.append((sequence, level))
            return
        if other is not None:
            self._stale.append(other)
        self.values.add_ready(key, sequence, level)

    def recovered(self) -> None:
        # In the order of their arrival, not in that of the newer ones.
        stale, self._stale = sorted(self._stale), []
        removed = [self.ready.remove(sequence, level) for sequence, level in stale]
        # All together: the letter of one may lead to messages for this queue, with which others would expire.
        self._discard_replaced([entry for entry in removed if entry is not None])
        super().recovered()

    def inherit(self, entries: list[Entry], delayed: Sequence[tuple[int, Entry]] = ()) -> None:
        for entry in sorted(entries, key=lambda each: each.sequence):
            key = self.values.key(entry.message)
            if key is not None:
                self._add_earlier(key, entry)
        super().inherit(entries, delayed)
