"""A queue that this node holds: classic and quorum queues.

The two differ in their ready line (where a returned message goes) and in that returns of a quorum queue are counted
against its delivery limit; neither is worth a class of its own.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from amqpbroker.broker.infos import ConsumerInfo, QueueInfo
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.consumers import Consumers
from amqpbroker.broker.queues.deadletter import count_letters
from amqpbroker.broker.queues.delayed_returns import DelayedReturns
from amqpbroker.broker.queues.disuse import Disuse
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.fifo_line import FifoLine
from amqpbroker.broker.queues.host import Host
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.length_limit import LEAVING_BYTES, LengthLimit
from amqpbroker.broker.queues.paging import QueuePages
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.queue_info import queue_info
from amqpbroker.broker.queues.ready_line import ReadyLine
from amqpbroker.broker.queues.rereading import Rereading
from amqpbroker.broker.queues.retry_delay import RetryDelay
from amqpbroker.broker.queues.returns import reclaim, requeue
from amqpbroker.broker.queues.settings import QueueSettings
from amqpbroker.clock import Timer
from amqpbroker.message.message import MESSAGE_OCTETS, Message
from amqpbroker.store.journal.recovery import Copies
from amqpbroker.store.store import UNSTORED, Store
from amqpbroker.wire.values import Table

#: Why a message leaves a queue without being acknowledged, and is dead-lettered. RabbitMQ's words, as in x-death.
EXPIRED = "expired"
REJECTED = "rejected"

#: How many messages, and octets of them, a quorum queue deals out to several consumers before it delivers these.
ROUND: Final = 256
ROUND_BYTES: Final = 1 << 16


class LocalQueue(Queue):
    """Queue that keeps its ready messages in order and counts the unacknowledged ones; consumers hold their entries.

    Invariant between calls: if a message is ready, no consumer can take it. So a publish asks the consumers only when
    no message is ready, and an ack offers messages only to the consumer that sent it.

    store: where its copies are stored. stores: it keeps some, so that a publish need not ask it.
    retry: delay of returned messages, None for no delay. `delayed`: the delayed messages, None until the first one.
    entered: number of copies made. passed: number of messages handed to a no-ack consumer without a copy. The sum of
    both numbers the next copy. unacked_size: bytes of the bodies of unacknowledged messages.
    """

    def __init__(
        self,
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
        self.quorum: bool = kind.counts_returns
        assert kind.consumers is not None
        assert kind.line is not None
        self.consumers: Consumers = kind.consumers(name, vhost.name, settings.single_active_consumer)
        self.store: Store = vhost.store if durable else UNSTORED
        self.stores: bool = self.store.keeps
        pager = QueuePages(self) if self.stores else None
        self.ready: ReadyLine = kind.line(settings.max_priority, vhost.config.compat, pager)
        self._limited: bool = not settings.plain
        self.limit = LengthLimit()
        self.retry: RetryDelay | None = settings.retry if vhost.config.compat.delayed_retry else None
        self.delayed: DelayedReturns | None = None
        self._got: int = 0
        self._former: list[Consumer] = []
        self.unacked_size: int = 0
        self.entered: int = 0
        self.passed: int = 0
        self.expiring: int = 0
        self._expiry: Timer | None = None
        self._rereading: Rereading | None = None
        self.disuse = Disuse()
        self.touch()

    @property
    def ready_count(self) -> int:
        return self.ready.count

    @property
    def delayed_count(self) -> int:
        return 0 if self.delayed is None else self.delayed.count

    @property
    def delayed_size(self) -> int:
        """Bytes of the bodies of delayed messages."""
        return 0 if self.delayed is None else self.delayed.size

    @property
    def consumer_list(self) -> list[Consumer]:
        return self.consumers.all

    @property
    def told_consumer_count(self) -> int:
        """Of a quorum queue with one active consumer those that wait to be it are none (rabbit_fifo)."""
        if self.quorum and self.settings.single_active_consumer and self.consumers.all:
            return 1 + self.holders()
        return len(self.consumers.all) + self.holders()

    def holders(self) -> int:
        """To a quorum queue, whoever holds a message is a consumer, each basic.get one of its own (rabbit_fifo)."""
        if not self.quorum:
            return 0
        return self._got + sum([each.unacked > 0 for each in self._former])

    def counters(self) -> tuple[int, ...]:
        tally = self.tally
        ready, unacked = self.ready.count, self.unacked_count
        came = self.entered - tally.before
        gone = tally.left + tally.no_ack + tally.got_no_ack + self.delayed_count
        acked = came + tally.recovered - ready - unacked - gone
        return (
            came + self.passed + tally.refused - tally.letters,
            acked + tally.returned + unacked - tally.got,
            self.passed + tally.no_ack,
            tally.got,
            tally.got_no_ack,
            tally.got_empty,
            tally.redelivered,
            acked,
            tally.loaded,
            tally.stored,
            ready,
            unacked,
        )

    def info(self) -> QueueInfo:
        return queue_info(self)

    def consumer_info(self, consumer: Consumer) -> ConsumerInfo:
        return self.consumers.info(consumer)

    # --- in ---------------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> bool:
        limited = self._limited
        if limited and not self.limit.takes(self, message):
            self.tally.refused += 1
            return False
        deadline_ms = self._deadline_ms(message) if limited or message.expiration_ms >= 0 else 0
        ready = self.ready
        if not ready.count:
            consumer = self.consumers.next()
            if consumer is not None:
                if consumer.no_ack:
                    self.passed += 1
                    consumer.hand(message, 0, 0)
                    return True
                self._give(consumer, self.enter(message, deadline_ms))
                return True
        ready.push(self.enter(message, deadline_ms))
        if deadline_ms:
            self.expiring += 1
        if limited:
            self.limit.trim(self)
        if deadline_ms:
            self.expire()
        return True

    def enter(self, message: Message, deadline_ms: int) -> Entry:
        """The queue's copy of a message, stored if it is to be."""
        self.entered += 1
        entry = Entry(message, self, self.entered + self.passed, deadline_ms)
        if self.stores and (message.persistent or self.quorum):
            self.tally.stored += 1
            self.store.enqueue(entry)
        return entry

    def refuses(self, count: int, size: int) -> bool:
        if self.closed:
            # RabbitMQ finds nobody to deliver to, and waits for an answer from classic queues only.
            return not self.quorum
        return self.limit.refuses(self, count, size)

    # --- out --------------------------------------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer) -> None:
        self.consumers.add(consumer)
        self.vhost.events.consumer_created(consumer)

    def remove_consumer(self, consumer: Consumer, gives_back: bool = False) -> None:
        if not consumer.registered:
            return
        self._forget(consumer)
        if self.quorum and consumer.unacked:
            self._forget_settled()
            self._former.append(consumer)
        if self.consumers.all:
            if not gives_back:
                self._drain()
        elif self.auto_delete:
            self.vhost.drop_queue(self)
        else:
            self.touch()

    def _forget_settled(self) -> None:
        """Drop former consumers without unacknowledged messages, so that their connections can be freed."""
        self._former = [each for each in self._former if each.unacked]

    def offer(self, consumer: Consumer) -> None:
        if self.consumers.settled(consumer):
            self._drain()
            return
        if not consumer.ringed or not self.ready.count:
            if self._former:
                self._forget_settled()
            return
        while self.ready.count and consumer.can_take():
            entry = self._take_head()
            if entry is None:
                break
            self._give(consumer, entry)
        if not self.ready.count:
            self.consumers.took_last(consumer)
        elif self.quorum or not consumer.unacked:
            self.consumers.found_full(consumer)
        if self.expiring:
            self._arm_expiry()

    def offer_all(self, consumers: Sequence[Consumer]) -> None:
        self.consumers.revive(consumers)
        self._drain()

    def _drain(self) -> None:
        """Deliver to whoever can take, until nothing is ready or nobody can.

        What has expired goes before a consumer is asked, and takes nobody's turn (rabbit_amqqueue_process:fetch).
        """
        self.expire()
        if self.quorum and len(self.consumers.all) > 1:
            self._deal_out()
            return
        while self.ready.count and self.ready.load_head():
            consumer = self.consumers.next()
            if consumer is None:
                break
            self._give(consumer, self.pop())
            if self.expiring:
                self.expire()

    def _deal_out(self) -> None:
        """`_drain`, but each consumer gets its part of a round together, who started first before the others
        (rabbit_fifo:add_delivery_effects)."""
        while self.ready.count:
            dealt: dict[Consumer, list[Entry]] = {}
            count = size = 0
            while self.ready.count and count < ROUND and size < ROUND_BYTES and self.ready.load_head():
                consumer = self.consumers.next()
                if consumer is None:
                    break
                entry = self.pop()
                count += 1
                size += entry.message.size
                consumer.unacked += 1
                dealt.setdefault(consumer, []).append(entry)
                if self.expiring:
                    self.expire()
            if not dealt:
                return
            for consumer in sorted(dealt, key=lambda consumer: consumer.started):
                consumer.unacked -= len(dealt[consumer])
                for entry in dealt[consumer]:
                    self._give(consumer, entry)
                if consumer.no_ack and consumer.can_take():
                    self.consumers.wake(consumer)

    def _give(self, consumer: Consumer, entry: Entry) -> None:
        if consumer.no_ack:
            self.tally.no_ack += 1
            self.forget(entry)
            consumer.hand(entry.message, entry.acquired_count, entry.delivery_count)
            return
        if entry.position > 0 and not entry.acquired_count:
            self.store.returned(entry)
        entry.delivered_ms = self.clock.turn_ms
        self.unacked_count += 1
        self.unacked_size += entry.message.size
        consumer.unacked += 1
        consumer.deliver(entry)

    def _take_head(self) -> Entry | None:
        """Return the first ready message that has not expired; earlier messages leave as expired.

        Return None if there is no message, or if the message temporarily cannot be read.
        """
        ready = self.ready
        while ready.count and ready.load_head():
            entry = self.pop()
            if entry.deadline_ms and entry.deadline_ms <= self.clock.wall_ms():
                self.leave([entry], EXPIRED)
                continue
            return entry
        return None

    def pop(self) -> Entry:
        """Take the head. Only after `self.ready.load_head`."""
        entry = self.ready.pop()
        if entry.deadline_ms:
            self.expiring -= 1
        return entry

    def get(self, no_ack: bool) -> Entry | None:
        self.touch()
        waited = self.ready.count
        tally = self.tally
        entry = self._take_head()
        if entry is None:
            tally.got_empty += 1
        else:
            if entry.acquired_count:
                tally.redelivered += 1
            if no_ack:
                tally.got_no_ack += 1
                self.forget(entry)
            else:
                tally.got += 1
                if entry.position > 0 and not entry.acquired_count:
                    self.store.returned(entry)
                entry.delivered_ms = self.clock.turn_ms
                entry.consumer = None
                self._got += 1
                self.unacked_count += 1
                self.unacked_size += entry.message.size
        if self.quorum and not no_ack:
            # What has expired behind it still counts in the answer (rabbit_fifo, a dequeue that is to be settled).
            self._arm_expiry()
        else:
            self.expire()
        if waited and not self.ready.count:
            self.consumers.all_full()
        return entry

    # --- settled ----------------------------------------------------------------------------------------------------

    def forget(self, entry: Entry) -> None:
        if entry.position:
            self.tally.unstored += 1
            self.store.settle(entry)

    def ack(self, entry: Entry) -> None:
        if entry.position:
            self.forget(entry)
        self.unacked_count -= 1
        self.unacked_size -= entry.message.size
        consumer = entry.consumer
        if consumer is not None:
            consumer.unacked -= 1
            if self.ready.count:
                self.offer(consumer)
            elif not consumer.ringed:
                self.consumers.settled(consumer)
                if self._former:
                    self._forget_settled()
        else:
            self._got -= 1

    def ack_all(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.position:
                self.forget(entry)
        for consumer in self.release(entries):
            if self.ready.count:
                self.offer(consumer)
            elif not consumer.ringed:
                self.consumers.settled(consumer)

    def reject(self, entries: list[Entry]) -> None:
        consumers = self.release(entries)
        self.tally.returned += len(entries)
        # A dead letter that comes back here comes after what its consumer has room for now, whatever its priority.
        with self.vhost.dead_letters:
            self.leave(self.ready.ranked(entries), REJECTED)
            for consumer in consumers:
                self.offer(consumer)

    def requeue(self, entries: list[Entry], failed: bool = True) -> None:
        requeue(self, entries, failed)

    def reclaim(self, entries: list[Entry]) -> None:
        reclaim(self, entries)

    def share(self, consumers: Iterable[Consumer]) -> None:
        """These have settled something: deliver to them and all others."""
        for consumer in consumers:
            self.consumers.settled(consumer)
        self._drain()

    def release(self, entries: list[Entry]) -> dict[Consumer, None]:
        """Count entries out of what is unacknowledged; returns the consumers that had them."""
        consumers: dict[Consumer, None] = {}
        self.unacked_count -= len(entries)
        for entry in entries:
            self.unacked_size -= entry.message.size
            consumer = entry.consumer
            if consumer is not None:
                consumer.unacked -= 1
                consumers[consumer] = None
                entry.consumer = None
            else:
                self._got -= 1
        if self._former:
            self._forget_settled()
        return consumers

    def leave(self, entries: list[Entry], reason: str) -> None:
        """The one door for messages that leave unacknowledged."""
        if not entries:
            return
        self.tally.left += len(entries)
        dead_lettered = not self.closed and self.settings.dead_letter_exchange is not None
        count_letters(
            self.vhost.totals.dead_letters,
            self.kind.name,
            self.settings.dead_letter_strategy,
            dead_lettered,
            reason,
            len(entries),
        )
        if dead_lettered:
            self.vhost.dead_letters.send(self, entries, reason)
            return
        for entry in entries:
            self.forget(entry)

    def purge(self) -> int:
        count = self.ready.count
        for dropped in self.ready.clear():
            self.vhost.disposal.add(dropped)
        self.expiring = 0
        self._arm_expiry()
        if count:
            self.consumers.all_full()
        if self.delayed is not None:
            count += self.delayed.count
            self.vhost.disposal.add(self.delayed.clear())
        self.tally.left += count
        return count

    def move(self, destination: Queue, count: int, size: int) -> int:
        moved = 0
        store = self.vhost.store
        self.expire()
        with self.vhost.dead_letters:
            while moved < count and size > 0 and self.ready.count and self.ready.load_head():
                message = self.ready.head().message
                if destination.closed or destination.refuses(1, message.size):
                    break
                store.begin()
                try:
                    self.forget(self.pop())
                    destination.publish(message)
                finally:
                    store.end()
                moved += 1
                size -= message.size
        self.tally.left += moved
        if moved and not self.ready.count:
            self.consumers.all_full()
        self._arm_expiry()
        return moved

    # --- time -------------------------------------------------------------------------------------------------------

    def _deadline_ms(self, message: Message) -> int:
        ttl_ms = self.settings.message_ttl_ms
        if message.expiration_ms >= 0 and (ttl_ms < 0 or message.expiration_ms < ttl_ms):
            ttl_ms = message.expiration_ms
        return self.clock.wall_ms() + ttl_ms if ttl_ms >= 0 else 0

    def expire(self) -> None:
        """Remove expired messages; only heads are checked, as in rabbit_amqqueue_process:drop_expired_msgs."""
        if not self.expiring:
            return
        now_ms = self.clock.wall_ms()
        expired: list[Entry] = []
        octets = 0
        ready = self.ready
        while ready.count and 0 < ready.due_ms() <= now_ms:
            entry = ready.pop_due()
            self.expiring -= 1
            expired.append(entry)
            octets += entry.message.size + MESSAGE_OCTETS
            if octets > LEAVING_BYTES:
                self.leave(expired, EXPIRED)
                expired, octets = [], 0
        self.leave(expired, EXPIRED)
        self._arm_expiry()

    def _arm_expiry(self) -> None:
        """See that the timer fires no later than the head expires. One that fires too early just sets the next."""
        due_ms = self.ready.due_ms() if self.ready.count else 0
        timer = self._expiry
        if not due_ms or (timer is not None and timer.due_ms <= due_ms):
            return
        if timer is not None:
            timer.cancel()
        self._expiry = self.clock.at_wall(due_ms, self._on_expiry)

    def _on_expiry(self) -> None:
        self._expiry = None
        waited = self.ready.count
        self.expire()
        if waited and not self.ready.count:
            self.consumers.all_full()

    def touch(self) -> None:
        if self.settings.expires_ms >= 0:
            self.disuse.used(self)

    # --- stored and paged out ---------------------------------------------------------------------------------------

    def recover(self, copies: Copies) -> None:
        self.entered = self.tally.before = copies.sequences[-1]
        self.tally.recovered = len(copies.positions)
        self.expiring += len(copies.deadlines_ms) - copies.deadlines_ms.count(0)
        self.ready.recover(copies)

    def recovered(self) -> None:
        self.expire()
        self.limit.trim(self)

    def inherit(self, entries: list[Entry]) -> None:
        """Have the copies that a queue that this one stands for had, and their places, before anything else."""
        entries = sorted(entries, key=lambda entry: entry.sequence)
        for entry in entries:
            self.ready.push(entry)
            if entry.deadline_ms:
                self.expiring += 1
        if entries:
            self.entered = self.tally.before = entries[-1].sequence
            self.tally.recovered = len(entries)
        self.recovered()

    def unreadable(self, error: Exception) -> None:
        if self._rereading is None:
            self._rereading = Rereading()
        self._rereading.failed(self, error)

    def read_again(self) -> None:
        """Resume after a failed read: release due returns, apply the length limit, offer messages to consumers."""
        if self.delayed is not None:
            self.delayed.release_due()
        self.limit.trim(self)
        self.offer_all(self.consumers.all)

    def page_out(self) -> bool:
        """Memory is short: move some of what waits out of it; returns whether there may be more to move.

        While messages are consumed, as many stay as the next consumers will take soon.
        """
        if not self.vhost.store.keeps or not self.ready.count:
            return False
        return self.ready.page_out(QueuePages(self), keep=bool(self.consumers.all))

    def discard(self) -> None:
        self.closed = True
        self._let_go()

    # --- change and end ---------------------------------------------------------------------------------------------

    def apply_settings(self, settings: QueueSettings) -> None:
        self.settings = settings
        self.retry = settings.retry if self.vhost.config.compat.delayed_retry else None
        self._limited = not settings.plain
        self.limit.trim(self)
        self.disuse.stop()
        self.touch()

    def close(self) -> list[Consumer]:
        self.closed = True
        self.purge()
        self._let_go()
        consumers = list(self.consumers.all)
        for consumer in consumers:
            self._forget(consumer)
        return consumers

    def _let_go(self) -> None:
        """Break reference cycles: drop entries, bindings and timers, but keep consumers."""
        self.ready = FifoLine()
        self.disuse.stop()
        if self.delayed is not None:
            self.delayed.discard()
            self.delayed = None
        if self._expiry is not None:
            self._expiry.cancel()
        if self._rereading is not None:
            self._rereading.stop()
        self.incoming.clear()
        self._former.clear()

    def _forget(self, consumer: Consumer) -> None:
        self.consumers.remove(consumer)
        self.vhost.events.consumer_deleted(consumer)
