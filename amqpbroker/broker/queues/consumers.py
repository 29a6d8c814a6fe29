"""Consumers of a queue, and the choice among them: priorities, round robin, single active consumer.

The ring holds the consumers that are believed to be able to take a message. A consumer that turns out to be blocked
leaves the ring and returns with `wake`, so a queue with a thousand busy consumers does not check each of them for every
message (rabbit_queue_consumers separates blocked consumers for the same reason).
"""

from collections import deque
from collections.abc import Sequence

from amqpbroker import errors
from amqpbroker.broker.infos import ConsumerInfo
from amqpbroker.broker.queues.consumer import Consumer


class Consumers:
    """The consumers of one queue.

    single_active: x-single-active-consumer; only `active` is ever in the ring. takeover: a new consumer of higher
    priority replaces the active one when that has no unacknowledged messages (quorum queues).
    """

    def __init__(self, queue_name: str, vhost: str, single_active: bool = False, takeover: bool = False) -> None:
        self.queue_name = queue_name
        self.vhost = vhost
        self.single_active = single_active
        self.takeover = takeover
        self.all: list[Consumer] = []
        self.active: Consumer | None = None
        self._started: int = 0
        self._ring: deque[Consumer] = deque()
        self._lower: dict[int, deque[Consumer]] = {}
        self._resting: dict[Consumer, None] = {}

    def check(self, consumer: Consumer) -> None:
        """Raise AmqpError 403 if this or another consumer is exclusive and the queue would have two consumers."""
        exclusive = consumer.exclusive and (self.all or self.single_active)
        if exclusive or (self.all and self.all[0].exclusive):
            raise errors.queue_in_exclusive_use(self.queue_name, self.vhost)

    def add(self, consumer: Consumer, started: int = 0) -> None:
        """Add a consumer.

        started: the number of the consumer whose messages it takes over, if any. Raises AmqpError as `check`.
        """
        self.check(consumer)
        self.all.append(consumer)
        self._started += 1
        consumer.started = started or self._started
        consumer.registered = True
        if self.single_active:
            self._elect()
        else:
            self.wake(consumer)

    def remove(self, consumer: Consumer) -> None:
        self.all.remove(consumer)
        consumer.registered = False
        self._resting.pop(consumer, None)
        self.rest(consumer)
        if consumer is self.active:
            self.active = None
        if self.single_active:
            self._elect()

    def info(self, consumer: Consumer) -> ConsumerInfo:
        if not self.single_active:
            return consumer.info(True, "up")
        if consumer is self.active:
            return consumer.info(True, "single_active")
        return consumer.info(False, "waiting")

    def settled(self, consumer: Consumer) -> bool:
        """Update a consumer with fewer unacknowledged messages, which can take messages again or be replaced.

        Return whether another consumer became active.
        """
        if consumer.paused:
            # Outside the ring, its later settlements are reported here, too, even if no message is ready.
            self.rest(consumer)
        if self.single_active and (self.takeover or consumer.paused or self.active is None):
            active = self.active
            self._elect()
            if self.active is not active:
                return True
        if not consumer.ringed and consumer.can_take():
            self.wake(consumer)
        return False

    def revive(self, consumers: Sequence[Consumer]) -> None:
        """Return several consumers to the ring, in the order in which they were found blocked."""
        if len(consumers) == 1:
            self.wake(consumers[0])
            return
        chosen = set(consumers)
        for consumer in [each for each in self._resting if each in chosen]:
            self.wake(consumer)
        for consumer in consumers:  # some were blocked when added, or have settled already
            self.wake(consumer)

    def delivered_last(self, consumer: Consumer) -> None:
        """Move a consumer of the ring that took the last waiting message behind the others. Blocked ones follow it."""
        if len(self._ring) > 1 or self._lower:
            self.all_full()
            self.wake(consumer)

    def found_full(self, consumer: Consumer) -> None:
        """Remove a consumer that cannot take a waiting message."""
        self.rest(consumer)
        self._resting[consumer] = None

    def all_full(self) -> None:
        """Remove all consumers, because the waiting messages have left without any of them being able to take one."""
        for level in (self._ring, *self._lower.values()):
            for each in level:
                each.ringed = False
                self._resting[each] = None
        self._ring = deque()
        self._lower.clear()

    def wake(self, consumer: Consumer) -> None:
        """Return a consumer to the ring, because it may be able to take a message again."""
        if consumer.ringed or consumer.paused or not consumer.registered:
            return
        if self.single_active and (consumer is not self.active or self._successor() is not consumer):
            return
        consumer.ringed = True
        self._resting.pop(consumer, None)
        if self._ring and consumer.priority != self._ring[0].priority:
            if consumer.priority < self._ring[0].priority:
                self._lower.setdefault(consumer.priority, deque()).append(consumer)
                return
            self._lower[self._ring[0].priority] = self._ring
            self._ring = deque()
        self._ring.append(consumer)

    def next(self) -> Consumer | None:
        """Return the consumer for the next message, or None: highest priority first, round robin within one."""
        while True:
            ring = self._ring
            while ring:
                consumer = ring[0]
                if consumer.can_take():
                    if len(ring) > 1:
                        ring.rotate(-1)
                    return consumer
                ring.popleft()
                consumer.ringed = False
                self._resting[consumer] = None
            if not self._lower:
                return None
            self._ring = self._lower.pop(max(self._lower))

    def may_take(self, consumer: Consumer) -> bool:
        """Return whether a consumer may get one more message. An active one that is to be replaced may not."""
        if self.single_active and (consumer is not self.active or self._successor() is not consumer):
            return False
        return consumer.registered and consumer.can_take()

    def rest(self, consumer: Consumer) -> None:
        """Remove the consumer from the ring until it wakes."""
        if not consumer.ringed:
            return
        consumer.ringed = False
        if self._ring and self._ring[0].priority == consumer.priority:
            self._ring.remove(consumer)
            if not self._ring and self._lower:
                self._ring = self._lower.pop(max(self._lower))
            return
        level = self._lower[consumer.priority]
        level.remove(consumer)
        if not level:
            del self._lower[consumer.priority]

    def _successor(self) -> Consumer | None:
        """Return the next single active consumer: the present one, unless it pauses or a higher priority takes over."""
        active = self.active
        if active is not None and active.paused and not active.unacked:
            active = None
        best = active
        for consumer in self.all:
            if consumer.paused:
                continue
            if best is None or (consumer.priority > best.priority and (self.takeover or active is None)):
                best = consumer
        return best

    def _elect(self) -> None:
        """Make the successor active once the present one has no unacknowledged messages. It gets no more until then."""
        successor = self._successor()
        if successor is not self.active:
            if self.active is not None:
                self.rest(self.active)
                if self.active.unacked:
                    return
            self.active = successor
        if self.active is not None:
            self.wake(self.active)


class QuorumConsumers(Consumers):
    """The consumers of a quorum queue. A consumer that reaches its prefetch leaves the ring, and returns as the last.

    In other queues, a consumer leaves only when it is the next one and cannot take a message, so it keeps its place if
    it has settled messages by then (rabbit_fifo:update_or_remove_con against rabbit_queue_consumers:deliver).
    """

    def __init__(self, queue_name: str, vhost: str, single_active: bool = False) -> None:
        super().__init__(queue_name, vhost, single_active, takeover=True)

    def add(self, consumer: Consumer, started: int = 0) -> None:
        super().add(consumer, started)
        if not consumer.can_take():
            self.rest(consumer)

    def delivered_last(self, consumer: Consumer) -> None:
        super().delivered_last(consumer)
        if not consumer.can_take():
            self.rest(consumer)

    def next(self) -> Consumer | None:
        consumer = super().next()
        if consumer is not None and consumer.has_one_left():
            self.rest(consumer)
            if consumer.no_ack:
                self.wake(consumer)
        return consumer


class StreamConsumers(Consumers):
    """The consumers of a stream. An exclusive one is like any other, and is shown as exclusive."""

    def check(self, consumer: Consumer) -> None:
        pass
