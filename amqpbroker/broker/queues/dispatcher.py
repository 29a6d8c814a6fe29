"""The waiting messages of a queue, and the consumers that they are offered to."""

from collections.abc import Iterable, Sequence

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.consumers import Consumers
from amqpbroker.broker.queues.delayed_messages import DelayedMessages
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.expiry import Expiry
from amqpbroker.broker.queues.ledger import Ledger
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.ready_line import ReadyLine
from amqpbroker.broker.queues.outstanding import Outstanding
from amqpbroker.clock import Clock
from amqpbroker.config.bounds import Bounds


class Dispatcher:
    """Offers the ready messages of one queue to its consumers, one message at a time.

    Invariant between calls: if a message is ready, no consumer can take it. Therefore a publish tries the consumers
    only if no message is ready, and an ack offers messages only to the consumer that sent it.

    ready: messages that can be delivered. delayed: returned messages that cannot be delivered yet, None until there is
    the first one. no_ack: number of messages that waited and were then delivered without acknowledgement.
    """

    def __init__(
        self,
        clock: Clock,
        ready: ReadyLine,
        consumers: Consumers,
        expiry: Expiry,
        outstanding: Outstanding,
        ledger: Ledger,
        bounds: Bounds,
    ) -> None:
        self._clock: Clock = clock
        self.ready: ReadyLine = ready
        self.consumers: Consumers = consumers
        self.delayed: DelayedMessages | None = None
        self.no_ack: int = 0
        self._expiry: Expiry = expiry
        self._outstanding: Outstanding = outstanding
        self._ledger: Ledger = ledger
        self._round_count: int = bounds.round_count
        self._round_bytes: int = bounds.round_bytes

    # --- messages -----------------------------------------------------------------------------------------------------

    @property
    def delayed_count(self) -> int:
        return 0 if self.delayed is None else self.delayed.count

    @property
    def delayed_size(self) -> int:
        """Bytes of the bodies of delayed messages."""
        return 0 if self.delayed is None else self.delayed.size

    def pop(self) -> Entry:
        """Remove and return the first ready message. Only after `self.ready.load_head`."""
        entry = self.ready.pop()
        if entry.deadline_ms:
            self._expiry.removed()
        return entry

    def pop_oldest(self) -> Entry | None:
        """Remove and return the message that a length limit drops first.

        Return None if there is none, or if it temporarily cannot be read.
        """
        return self.pop() if self.ready.count and self.ready.load_head() else None

    def take_head(self) -> Entry | None:
        """Remove and return the first ready message that has not expired; earlier messages are removed as expired.

        Return None if there is no message, if the message temporarily cannot be read, or if too many earlier ones have
        expired (`Expiry.is_behind`).
        """
        ready = self.ready
        expired = 0
        while ready.count and ready.load_head():
            entry = self.pop()
            if entry.deadline_ms and self._expiry.is_due(entry):
                expired += 1
                if not self._expiry.expired(entry, expired):
                    self._expiry.resume_by(self._resume)
                    return None
                continue
            return entry
        return None

    def remove_delayed(self) -> Entry | None:
        """Remove and return the delayed message that is due first; None if there is none, or it cannot be read now."""
        entry = None if self.delayed is None else self.delayed.remove_first()
        if entry is not None:
            self._ledger.undelayed(entry)
        return entry

    def requeue(self, entries: list[Entry]) -> None:
        """Make returned messages ready, at their positions."""
        for entry in entries:
            if entry.deadline_ms:
                self._expiry.added(entry)
        self.ready.requeue(entries)

    def requeue_last(self, entry: Entry) -> None:
        """Make a returned message ready, behind all others."""
        if entry.deadline_ms:
            self._expiry.added(entry)
        self.ready.requeue_last(entry)

    def clear(self) -> int:
        """Delete all messages. Return their number. Many of them are recorded as gone later (see `DeferredFree`)."""
        count, offered = self.ready.waiting, self.ready.count
        lines = self.ready.clear()
        self.ready.start_after(self._ledger.newest)
        self._expiry.cleared()
        if offered:
            self.emptied()
        delayed = self.delayed
        if delayed is not None:
            count += delayed.count
            lines.append(delayed.clear())
        self._ledger.purged(lines, count)
        return count

    def emptied(self) -> None:
        """Record that the last ready messages were removed without a delivery, since no consumer could take them."""
        self.consumers.all_full()

    def hold_back(self, delayed: DelayedMessages) -> None:
        """Count these delayed messages as waiting."""
        self.delayed = delayed

    def discard(self) -> None:
        """Discard all messages from memory, without changing the store."""
        self.ready = FifoLine()
        self._expiry.stop()
        if self.delayed is not None:
            self.delayed.discard()
            self.delayed = None

    # --- consumers ----------------------------------------------------------------------------------------------------

    def offer(self, consumer: Consumer) -> None:
        """Deliver to a consumer that may be able to take messages (again), for as long as it can."""
        if self.consumers.settled(consumer):
            self.drain()
            return
        if not consumer.ringed or not self.ready.count:
            return
        while self.ready.count and consumer.can_take():
            entry = self.take_head()
            if entry is None:
                break
            self.deliver(consumer, entry)
        if not self.ready.count:
            self.consumers.delivered_last(consumer)
        else:
            self.consumers.found_full(consumer)
        if self._expiry.count:
            # A message that became the head may have expired before, and a dead letter may precede it soon.
            self._expiry.expire()

    def offer_all(self, consumers: Sequence[Consumer]) -> None:
        """Offer messages to several consumers at once, which get them by priority and round robin."""
        self.consumers.revive(consumers)
        self.drain()

    def offer_after_settling(self, consumers: Iterable[Consumer]) -> None:
        """Deliver to these consumers, which have settled messages, and to all others."""
        for consumer in consumers:
            self.consumers.settled(consumer)
        self.drain()

    def offer_rest(self) -> None:
        """Deliver to the consumers that are left, after one was removed: another one may be active now."""
        self.drain()

    def drain(self) -> None:
        """Deliver to the consumers that can take messages, until nothing is ready or no consumer can take any.

        Expired messages are removed before a consumer is chosen, so they do not advance the round robin
        (rabbit_amqqueue_process:fetch).
        """
        if not self._may_deliver():
            return
        while self.ready.count and self.ready.load_head():
            consumer = self.consumers.next()
            if consumer is None:
                break
            self.deliver(consumer, self.pop())
            if self._expiry.count and not self._may_deliver():
                break

    def _may_deliver(self) -> bool:
        """Remove expired messages. Return whether the next one may be delivered; if not, `_resume` is called later."""
        if self._expiry.expire():
            return True
        self._expiry.resume_by(self._resume)
        return False

    def _resume(self) -> None:
        """Offer the ready messages to all consumers, which got none while expired messages waited."""
        self.offer_all(self.consumers.all)

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        """Deliver one message, which is already removed from the ready ones."""
        if consumer.no_ack:
            self.no_ack += 1
            self._ledger.acknowledge(entry)
            consumer.hand(entry.message, entry.acquired_count, entry.delivery_count)
            return
        if entry.position > 0 and not entry.acquired_count:
            self._ledger.returned(entry)
        self._outstanding.add(entry, consumer, self._clock.turn_ms)
        consumer.deliver(entry)


class RoundDispatcher(Dispatcher):
    """Distributes messages to the consumers of a quorum queue in rounds.

    The messages of a round are delivered consumer by consumer, in the order in which the consumers started
    (rabbit_fifo:add_delivery_effects).
    """

    def drain(self) -> None:
        if len(self.consumers.all) <= 1:
            super().drain()
            return
        most, most_bytes = self._round_count, self._round_bytes
        may_deliver = self._may_deliver()
        while may_deliver and self.ready.count:
            dealt: dict[Consumer, list[Entry]] = {}
            count = size = 0
            while self.ready.count and count < most and size < most_bytes and self.ready.load_head():
                consumer = self.consumers.next()
                if consumer is None:
                    break
                entry = self.pop()
                count += 1
                size += entry.message.size
                self._outstanding.reserve(consumer)
                dealt.setdefault(consumer, []).append(entry)
                if self._expiry.count:
                    may_deliver = self._may_deliver()
                    if not may_deliver:
                        break
            if not dealt:
                return
            for consumer in sorted(dealt, key=lambda consumer: consumer.started):
                self._outstanding.unreserve(consumer, len(dealt[consumer]))
                for entry in dealt[consumer]:
                    self.deliver(consumer, entry)
                if consumer.no_ack and consumer.can_take():
                    self.consumers.wake(consumer)
