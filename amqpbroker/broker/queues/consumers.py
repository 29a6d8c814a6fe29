"""Consumers of a queue, and which gets the next message: priorities, round robin, single active consumer.

The ring holds the consumers that are believed to be able to take a message. One that turns out not to be leaves it and
comes back with `wake`, so that a queue with a thousand busy consumers does not ask each of them for every message
(rabbit_queue_consumers keeps blocked consumers apart for the same reason).
"""

from collections import deque
from collections.abc import Sequence

from amqpbroker import errors
from amqpbroker.broker.infos import ConsumerInfo
from amqpbroker.broker.queues.consumer import Consumer


class Consumers:
    """The consumers of one queue.

    single_active: x-single-active-consumer; only `active` is ever in the ring. takeover: a newcomer of higher priority
    replaces the active one once that has nothing outstanding (quorum queues).
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
        """Raises AmqpError 403 if this or another consumer is exclusive and not alone."""
        exclusive = consumer.exclusive and (self.all or self.single_active)
        if exclusive or (self.all and self.all[0].exclusive):
            raise errors.queue_in_exclusive_use(self.queue_name, self.vhost)

    def add(self, consumer: Consumer, started: int = 0) -> None:
        """Add a consumer. started: that of the consumer whose messages it has, if any. Raises AmqpError as `check`."""
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
        """The consumer has less outstanding: it can take again, or hands over. True if another one took over."""
        if self.takeover and self.single_active:
            active = self.active
            self._elect()
            if self.active is not active:
                return True
        if not consumer.ringed and consumer.can_take():
            self.wake(consumer)
        return False

    def revive(self, consumers: Sequence[Consumer]) -> None:
        """All these may be able to take again: they come back in the order in which they were found not to be."""
        if len(consumers) == 1:
            self.wake(consumers[0])
            return
        chosen = set(consumers)
        for consumer in [each for each in self._resting if each in chosen]:
            self.wake(consumer)
        for consumer in consumers:  # one that was full when it came, or settled what filled it, does not rest
            self.wake(consumer)

    def delivered_last(self, consumer: Consumer) -> None:
        """The consumer, which is in the ring, took the last of what waited; who could not comes after it."""
        if len(self._ring) > 1 or self._lower:
            self.all_full()
            self.wake(consumer)

    def found_full(self, consumer: Consumer) -> None:
        """Something waits that this one cannot take."""
        self.rest(consumer)
        self._resting[consumer] = None

    def all_full(self) -> None:
        """What waited is gone without any of them, since none could take it: they are no longer believed to."""
        for level in (self._ring, *self._lower.values()):
            for each in level:
                each.ringed = False
                self._resting[each] = None
        self._ring = deque()
        self._lower.clear()

    def wake(self, consumer: Consumer) -> None:
        """Believe again that the consumer can take a message."""
        if consumer.ringed or not consumer.registered or (self.single_active and consumer is not self.active):
            return
        if self.single_active and self._successor() is not consumer:
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
        """Who is given the next message: highest priority first, round robin within one. None if nobody can take it."""
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

    def rest(self, consumer: Consumer) -> None:
        """Take out of the ring until it wakes."""
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
        best = self.active
        if best is not None and best.paused and not best.unacked:
            best = None
        for consumer in self.all:
            if consumer.paused:
                continue
            if best is None or (consumer.priority > best.priority and (self.takeover or self.active is None)):
                best = consumer
        return best

    def _elect(self) -> None:
        """Let the successor be active once the present one has nothing outstanding; until then it gets nothing."""
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
    """The consumers of a quorum queue: who gets what uses up its prefetch leaves the ring with it, and comes back last.

    Elsewhere it leaves when its turn comes and it cannot take, and so keeps its place if it has settled by then
    (rabbit_fifo:update_or_remove_con against rabbit_queue_consumers:deliver).
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
