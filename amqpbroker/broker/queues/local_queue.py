"""A queue on this node: classic and quorum queues.

The queue consists of components, each with its own state:

- `Ledger`: creation and removal of messages;
- `Dispatcher`: waiting messages, and the consumers that they are offered to;
- `Expiry`: deadlines of ready messages;
- `Outstanding`: messages that are delivered and not settled;
- `Returns`: messages that are returned by consumers;
- `LengthLimit`: the maximum number and size of waiting messages;
- `Schedule`: messages that are published before they may be delivered.

None of them refers to the queue. `QueuePages` does, because it creates entries, which name their queue: `_let_go`
breaks that reference cycle when the queue is deleted. The kinds differ in the ready line, the consumers, the offering
and the returns.
"""

from collections.abc import Iterable, Sequence

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.infos import ConsumerInfo, QueueInfo
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.consumers import Consumers
from amqpbroker.broker.queues.dispatcher import Dispatcher
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.expiry import Expiry
from amqpbroker.broker.queues.host import Host
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.ledger import REJECTED, Ledger
from amqpbroker.broker.queues.length_limit import LengthLimit
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.queues.lines.paging import QueuePages
from amqpbroker.broker.queues.lines.read_retry import ReadRetry
from amqpbroker.broker.queues.lines.ready_line import Placed, ReadyLine
from amqpbroker.broker.queues.local_parts import LocalParts
from amqpbroker.broker.queues.outstanding import Outstanding
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.queue_expiry import QueueExpiry
from amqpbroker.broker.queues.queue_info import queue_info
from amqpbroker.broker.queues.returns import Returns
from amqpbroker.broker.queues.schedule import Schedule
from amqpbroker.broker.tracking.copy_tracker import PURGED, CopyTracker
from amqpbroker.message.checksum import content_checksum
from amqpbroker.message.message import Message
from amqpbroker.store.recovered import Copies
from amqpbroker.store.store import UNSTORED, Store
from amqpbroker.wire.values import Table


class LocalQueue(Queue):
    """A queue in memory whose durable messages are also in a store.

    store: the store of its entries. ready, consumers: those of the offering, for the methods that every message passes.
    refused: number of messages that a limit refused. got, got_no_ack, got_empty: number of basic.get that returned a
    message to acknowledge, one without acknowledgement, or none.
    """

    def __init__(
        self,
        parts: LocalParts,
        kind: Kind,
        vhost: Host,
        name: str,
        settings: QueueSettings,
        durable: bool = False,
        auto_delete: bool = False,
        owner: object | None = None,
        arguments: Table | None = None,
    ) -> None:
        super().__init__(kind, name, settings, durable, auto_delete, owner, arguments)
        self.vhost: Host = vhost
        self.clock = vhost.clock
        compat, bounds = vhost.config.compat, vhost.config.bounds
        self.store: Store = vhost.store if durable else UNSTORED
        self._tracker: CopyTracker = vhost.tracker
        self._prepare()
        self.ledger: Ledger = self._new_ledger()
        self._sees_all: bool = self.ledger.sees_all
        pager = self._pages() if self.store.keeps else None
        self.ready: ReadyLine = self._new_line(parts.line(settings.max_priority, compat, pager))
        self.consumers: Consumers = parts.consumers(name, vhost.name, settings.single_active_consumer)
        self.outstanding: Outstanding = self._new_outstanding()
        self.expiry = Expiry(
            self.clock, self.ready, self.consumers, self.ledger, settings, bounds.expiries, bounds.leaving_bytes
        )
        self.dispatcher: Dispatcher = parts.dispatcher(
            self.clock, self.ready, self.consumers, self.expiry, self.outstanding, self.ledger, bounds
        )
        self.limit = LengthLimit(settings, self.clock, self.dispatcher, self.expiry, self.ledger, kind.shuts, bounds)
        self.returns: Returns = parts.returns(
            settings,
            compat,
            self.clock,
            bounds.releases,
            pager,
            self.dispatcher,
            self.outstanding,
            self.limit,
            self.ledger,
            vhost.dead_letters,
        )
        self.schedule: Schedule | None = None
        self._apply_schedule(settings)
        if self._changes_anywhere(settings):
            self.ready.divide(pager or self._pages())
        self._limited: bool = not settings.plain
        self._expires_late: bool = kind.expires_late
        self.refused: int = 0
        self.got: int = 0
        self.got_no_ack: int = 0
        self.got_empty: int = 0
        self._read_retry: ReadRetry | None = None
        self._queue_expiry: QueueExpiry | None = None
        self.touch()

    def _prepare(self) -> None:
        """Create what the components of a kind of local queue need."""

    def _new_ledger(self) -> Ledger:
        vhost = self.vhost
        totals = vhost.totals.dead_letters
        return Ledger(
            self.settings, self.kind, self.store, vhost.dead_letters, totals, vhost.deferred_free, vhost.tracker
        )

    def _new_line(self, line: ReadyLine) -> ReadyLine:
        """Return the ready line, made of that of the queue's kind."""
        return line

    def _changes_anywhere(self, settings: QueueSettings) -> bool:
        """Return whether messages enter or leave the line anywhere. Delayed ones enter it at their old places."""
        return settings.expires_anywhere or (settings.delivery_time_header is not None and self.ready.returns_in_place)

    def _new_outstanding(self) -> Outstanding:
        return Outstanding(counts_holders=self.kind.counts_holders)

    @property
    def ready_count(self) -> int:
        ready = self.ready
        return ready.count + ready.blocked

    @property
    def unacked_count(self) -> int:
        return self.outstanding.count

    @property
    def is_behind(self) -> bool:
        return self.expiry.goes_on

    @property
    def delayed_count(self) -> int:
        return self.dispatcher.delayed_count

    def ready_entries(self) -> Iterable[Entry]:
        return self.ready

    def delayed_entries(self) -> Iterable[tuple[int, Entry]]:
        delayed, ahead_ms = self.dispatcher.delayed, self.clock.ahead_ms
        return [] if delayed is None else [(due_ms + ahead_ms, entry) for due_ms, entry in delayed.with_due_times()]

    def delayed_entry(self, sequence: int) -> tuple[int, Entry] | None:
        delayed = self.dispatcher.delayed
        found = None if delayed is None else delayed.find(sequence)
        return None if found is None else (found[0] + self.clock.ahead_ms, found[1])

    def ready_following(self, place: int, count: int) -> list[Placed]:
        return self.ready.following(place, count)

    def delayed_following(self, due_ms: int, sequence: int, count: int) -> list[tuple[int, Entry]]:
        delayed, ahead_ms = self.dispatcher.delayed, self.clock.ahead_ms
        if delayed is None:
            return []
        return [(due + ahead_ms, entry) for due, entry in delayed.following(due_ms - ahead_ms, sequence, count)]

    @property
    def newest(self) -> int:
        return self.ledger.newest

    @property
    def consumer_list(self) -> list[Consumer]:
        return self.consumers.all

    @property
    def reported_consumer_count(self) -> int:
        """Return the consumer count without the consumers that wait to be the single active one of a quorum queue.

        RabbitMQ does not count these (rabbit_fifo).
        """
        if self.kind.counts_holders and self.settings.single_active_consumer and self.consumers.all:
            return 1 + self.outstanding.holders()
        return len(self.consumers.all) + self.outstanding.holders()

    def counters(self) -> tuple[int, ...]:
        ledger, outstanding, no_ack = self.ledger, self.outstanding, self.dispatcher.no_ack
        ready, unacked = self.ready.waiting, outstanding.count
        gone = ledger.left + no_ack + self.got_no_ack + self.delayed_count
        acked = ledger.came + ledger.recovered - ready - unacked - gone
        return (
            ledger.came + ledger.passed + self.refused - self.letters,
            acked + outstanding.returned + unacked - self.got,
            ledger.passed + no_ack,
            self.got,
            self.got_no_ack,
            self.got_empty,
            self.redelivered,
            acked,
            ledger.loaded,
            ledger.stored,
            ready,
            unacked,
        )

    def info(self) -> QueueInfo:
        return queue_info(self)

    def consumer_info(self, consumer: Consumer) -> ConsumerInfo:
        return self.consumers.info(consumer)

    # --- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> bool:
        limited = self._limited
        if limited and not self.limit.accepts(self, message):
            self.refused += 1
            return False
        if limited and self.schedule is not None:
            due_ms = self.schedule.due_ms(message)
            if due_ms:
                return self._delay(self.schedule, message, due_ms)
        deadline_ms = self.expiry.deadline_ms(message) if limited or message.expiration_ms >= 0 else 0
        ready = self.ready
        if not ready.count:
            consumer = self.consumers.next()
            if consumer is not None:
                if consumer.no_ack:
                    self.ledger.pass_on(self, message)
                    consumer.hand(message, 0, 0)
                    return True
                # Same as `Dispatcher.deliver` for a message that is not written yet.
                entry = self.ledger.enter(self, message, deadline_ms)
                self.outstanding.add(entry, consumer, self.clock.turn_ms)
                consumer.deliver(entry)
                return True
        entry = self.ledger.enter(self, message, deadline_ms)
        ready.push(entry)
        if deadline_ms:
            self.expiry.added(entry)
        if limited:
            self.limit.trim()
        if deadline_ms:
            self.expiry.expire()
        return True

    def _delay(self, schedule: Schedule, message: Message, due_ms: int) -> bool:
        schedule.delay(self, message, due_ms)
        self.limit.trim()
        return True

    def refuses(self, count: int, size: int) -> bool:
        if self.closed:
            # RabbitMQ finds no queue process, and waits for an answer from queues of some kinds only.
            return self.kind.nacks_when_deleted
        return self.limit.refuses(count, size)

    # --- delivery -----------------------------------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer, held: Sequence[Entry] = ()) -> None:
        started = 0
        if held:
            self.consumers.check(consumer)
            former = held[0].consumer
            if self.kind.merges_consumers and former is not None:
                started = former.started
            self.outstanding.move(held, consumer, counted=self.kind.merges_consumers)
        self.consumers.add(consumer, started)
        self.vhost.events.consumer_created(consumer)

    def remove_consumer(self, consumer: Consumer, gives_back: bool = False) -> None:
        if not consumer.registered:
            return
        self._unregister(consumer)
        self.outstanding.consumer_removed(consumer)
        if self.consumers.all:
            if not gives_back:
                self.dispatcher.offer_rest()
        elif self.auto_delete:
            self.vhost.remove_queue(self)
        else:
            self.touch()

    def offer(self, consumer: Consumer) -> None:
        self.dispatcher.offer(consumer)

    def offer_all(self, consumers: Sequence[Consumer]) -> None:
        self.dispatcher.offer_all(consumers)

    def get(self, no_ack: bool) -> Entry | None:
        self.touch()
        waited = self.ready.count
        entry = self.dispatcher.take_head()
        if entry is None and self.expiry.goes_on:
            return None
        if entry is None:
            self.got_empty += 1
        else:
            if entry.acquired_count:
                self.redelivered += 1
            if no_ack:
                self.got_no_ack += 1
                self.ledger.acknowledge(entry)
            else:
                self.got += 1
                if entry.position > 0 and not entry.acquired_count:
                    self.ledger.returned(entry)
                self.outstanding.add_got(entry, self.clock.turn_ms)
        if self._expires_late and not no_ack:
            # Expired messages behind it still count in the answer (rabbit_fifo, a dequeue that is to be settled).
            self.expiry.arm()
        else:
            self.expiry.expire()
        if waited and not self.ready.count:
            self.dispatcher.emptied()
        return entry

    # --- settlement ---------------------------------------------------------------------------------------------------

    def create_dead_letter_queue(self) -> bool:
        return self.vhost.create_dead_letter_queue(self)

    def leave(self, entry: Entry) -> None:
        self.ledger.leave(entry)

    def ack(self, entry: Entry) -> None:
        if self._tracker.active:
            self.ledger.acknowledge(entry)
        elif entry.position or self._sees_all:  # saves a call for messages that are not stored
            self.ledger.leave(entry)
        consumer = self.outstanding.settle(entry)
        if consumer is not None:
            if self.ready.count:
                self.dispatcher.offer(consumer)
            elif not consumer.ringed:
                self.consumers.settled(consumer)

    def ack_all(self, entries: list[Entry]) -> None:
        followed = self._tracker.active
        for entry in entries:
            if followed:
                self.ledger.acknowledge(entry)
            elif entry.position or self._sees_all:
                self.ledger.leave(entry)
        for consumer in self.outstanding.settle_all(entries):
            if self.ready.count:
                self.dispatcher.offer(consumer)
            elif not consumer.ringed:
                self.consumers.settled(consumer)

    def reject(self, entries: list[Entry]) -> None:
        consumers = self.outstanding.settle_returned(entries)
        # A dead letter that returns to this queue waits behind the messages that its consumers can take now, regardless
        # of its priority.
        with self.vhost.dead_letters:
            self.ledger.dead_letter(self.ready.ranked(entries), REJECTED)
            for consumer in consumers:
                self.dispatcher.offer(consumer)

    def requeue(self, entries: list[Entry], failed: bool = True) -> None:
        self.returns.requeue(entries, failed)

    def returns_in_place(self, failed: bool) -> bool:
        return self.returns.are_in_place(failed)

    def ranked(self, entries: list[Entry]) -> list[Entry]:
        return self.ready.ranked(entries)

    def reclaim(self, entries: list[Entry]) -> None:
        self.returns.reclaim(entries)

    def purge(self) -> int:
        return self.dispatcher.clear()

    def ready_entry(self, sequence: int) -> Entry | None:
        found = self.ready.lookup(sequence)
        return None if found is None else found[1]

    def remove_ready(self, sequence: int, checksum: int) -> bool:
        found = self.ready.lookup(sequence)
        if found is None or content_checksum(found[1].message) != checksum:
            return False
        waited = self.ready.count
        self.ledger.discard([self._pop_ready(sequence, found[0])], PURGED)
        self._left_ready(waited)
        return True

    def move_ready(self, entry: Entry, message: Message, destinations: Sequence[Destination]) -> bool:
        level = self.ready.level_of(entry)
        if not self.ready.contains(entry.sequence, level):
            return False
        waited = self.ready.count
        self.ledger.move(self._pop_ready(entry.sequence, level), message, destinations)
        self._left_ready(waited)
        return True

    def _pop_ready(self, sequence: int, level: int) -> Entry:
        """Remove and return a ready message at any position. Raises UnreadableError."""
        if self.ready.count and self.ready.load_head() and self.ready.head().sequence == sequence:
            return self.dispatcher.pop()
        entry = self.ready.remove(sequence, level)
        if entry is None:
            raise UnreadableError(f"a message of queue '{self.name}' cannot be read")
        if entry.deadline_ms:
            self.expiry.removed()
        return entry

    def _left_ready(self, waited: int) -> None:
        """Act on ready messages that left without being delivered. waited: number that could be delivered before."""
        if waited and not self.ready.count:
            self.dispatcher.emptied()
        self.expiry.arm()

    def move(self, destination: Queue, count: int, size: int) -> int:
        moved = 0
        if not self.expiry.expire():
            return 0
        with self.vhost.dead_letters:
            while moved < count and size > 0 and self.ready.count and self.ready.load_head():
                message = self.ready.head().message
                if destination.closed or destination.refuses(*destination.demand(message)):
                    break
                self.ledger.move(self.dispatcher.pop(), message, (destination,))
                moved += 1
                size -= message.size
        self._left_ready(moved)
        return moved

    def touch(self) -> None:
        if self.settings.expires_ms >= 0:
            if self._queue_expiry is None:
                self._queue_expiry = QueueExpiry(self.clock)
            self._queue_expiry.used(self.settings.expires_ms, self._unused)

    def _unused(self) -> None:
        if not self.closed and not self.consumers.all:
            self.vhost.remove_queue(self, self.kind.expired_by)

    # --- stored and paged out -----------------------------------------------------------------------------------------

    def recover(self, copies: Copies) -> None:
        self.ledger.start(len(copies.positions), copies.sequences[-1])
        if copies.dues_ms:
            # Overdue messages that return to their old places can be there at once, without being read.
            copies, delayed = copies.divided(self.clock.wall_ms() if self.ready.returns_in_place else 0)
            if delayed.positions:
                self.returns.recover(delayed)
        if copies.positions:
            self.ready.recover(copies)
            self.expiry.recovered(len(copies.deadlines_ms) - copies.deadlines_ms.count(0))
        self.ready.start_after(self.ledger.newest)

    def recovered(self) -> None:
        if self.dispatcher.delayed is not None:
            self.dispatcher.delayed.release_due()
        self.expiry.expire()
        self.limit.trim()

    def inherit(self, entries: list[Entry], delayed: Sequence[tuple[int, Entry]] = ()) -> None:
        entries = sorted(entries, key=lambda entry: entry.sequence)
        newest = max([entry.sequence for entry in (*entries, *[entry for _, entry in delayed])], default=0)
        for entry in entries:
            self.ready.push(entry)
            if entry.deadline_ms:
                self.expiry.added(entry)
        if newest:
            self.ledger.start(len(entries) + len(delayed), newest)
            self.ready.start_after(newest)
        if delayed:
            self.returns.delay([(entry, due_ms) for due_ms, entry in delayed])

    def unreadable(self, error: Exception) -> None:
        """Note that stored messages temporarily cannot be read, and stop delivering them until they can."""
        if self._read_retry is None:
            self._read_retry = ReadRetry(self.clock, self.name, self.vhost.name)
        self._read_retry.failed(error, self.read_again)

    def read_again(self) -> bool:
        """Resume after a failed read: release due returns, apply the length limit, offer messages to consumers.

        Always return True, which counts if no read has failed.
        """
        if self.dispatcher.delayed is not None:
            self.dispatcher.delayed.release_due()
        self.limit.trim()
        self.offer_all(self.consumers.all)
        return True

    def page_out(self) -> bool:
        """Move some waiting messages out of memory, because it is low; return whether there may be more to move.

        While messages are consumed, the messages that the consumers will take soon stay in memory.
        """
        if not self.vhost.store.keeps or not self.ready.waiting:
            return False
        return self.ready.page_out(self._pages(), keep=bool(self.consumers.all))

    def _pages(self) -> QueuePages:
        bounds = self.vhost.config.bounds
        return QueuePages(self, self.ledger, self.store, self.vhost.spill, bounds, self.unreadable)

    # --- settings and deletion ----------------------------------------------------------------------------------------

    def apply_settings(self, settings: QueueSettings) -> None:
        super().apply_settings(settings)
        self._limited = not settings.plain
        self._apply_schedule(settings)
        self.ledger.apply(settings)
        if self._changes_anywhere(settings):
            self.ready.divide(self._pages())
        self.expiry.apply(settings)
        self.returns.apply(settings)
        self.limit.apply(settings)
        if self._queue_expiry is not None:
            self._queue_expiry.stop()
        self.touch()

    def _apply_schedule(self, settings: QueueSettings) -> None:
        header = settings.delivery_time_header
        self.schedule = None
        if header is not None:
            self.schedule = Schedule(header, self.clock, self.ledger, self.expiry, self.returns)

    def close(self) -> list[Consumer]:
        self.closed = True
        self.ledger.close()
        self.returns.close()
        self.purge()
        self._let_go()
        consumers = list(self.consumers.all)
        for consumer in consumers:
            self._unregister(consumer)
        return consumers

    def discard(self) -> None:
        self.closed = True
        self.ledger.close()
        self.returns.close()
        self._let_go()

    def _let_go(self) -> None:
        """Break reference cycles: discard entries, bindings and timers, but retain consumers."""
        self.dispatcher.discard()
        self.limit.stop()
        self.ready = self.dispatcher.ready
        self.returns.discard()
        self.outstanding.discard()
        if self._queue_expiry is not None:
            self._queue_expiry.stop()
        if self._read_retry is not None:
            self._read_retry.stop()
        self.incoming.clear()

    def _unregister(self, consumer: Consumer) -> None:
        self.consumers.remove(consumer)
        self.vhost.events.consumer_deleted(consumer)
