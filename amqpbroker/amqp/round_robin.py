"""Round robin of queues under a common limit: a channel-wide prefetch, or the output buffer of a connection."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from amqpbroker.amqp.delivery import ChannelConsumer
from amqpbroker.broker.consumer import Consumer
from amqpbroker.broker.queue import Queue

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


class RoundRobin:
    """Order in which queues may deliver when the limit allows deliveries again.

    A queue that delivers may use up the limit, so the queue comes last the next time. RabbitMQ starts with a random
    one of the waiting queues (rabbit_limiter:notify_queues/1).
    """

    def __init__(self) -> None:
        self._order: dict[str, None] = {}

    def offer(self, consumers: Iterable[ChannelConsumer]) -> None:
        """Make queues deliver to the given consumers, in order. All of these queues belong to one vhost."""
        groups = by_queue(consumers)
        if len(groups) <= 1:
            self._order.clear()
            for queue, group in groups.items():
                queue.offer_all(group)
            return
        queues = self._arrange(groups)
        for name in list(self._order):
            queue = queues[name]
            self._offer(queue, groups[queue])

    def divide(self, channel: "Channel") -> None:
        """Divide the deliveries that the channel-wide prefetch allows among the queues that the channel consumes.

        Each queue may deliver an equal part. If a queue has too few messages for its part, the rest is divided among
        the other queues. In RabbitMQ all queues ask for each delivery at the same time (rabbit_limiter:can_send/3).
        """
        limit = channel.global_prefetch
        groups = by_queue(channel.consumers.values())
        if limit and len(groups) > 1:
            queues = self._arrange(groups)
            waiting = list(self._order)
            while waiting and channel.outstanding < limit:
                part = max((limit - channel.outstanding) // len(waiting), 1)
                delivering = []
                for name in waiting:
                    queue = queues[name]
                    channel.global_prefetch = min(channel.outstanding + part, limit)
                    if self._offer(queue, groups[queue]):
                        delivering.append(name)
                waiting = delivering
            channel.global_prefetch = limit
            if channel.outstanding >= limit:
                return
        # A consumer that took all of its part believes that the limit is reached: offer again to correct that.
        self.offer(channel.consumers.values())

    def _arrange(self, groups: dict[Queue, list[Consumer]]) -> dict[str, Queue]:
        """Put new queues last and forget deleted queues; return the queues by name."""
        queues = {queue.name: queue for queue in groups}
        order = {name: None for name in self._order if name in queues}
        order.update(dict.fromkeys(queues))
        self._order = order
        return queues

    def _offer(self, queue: Queue, group: list[Consumer]) -> bool:
        """Make a queue deliver, and put it last if it did; return whether it did."""
        before = _delivered(group)
        queue.offer_all(group)
        if _delivered(group) == before:
            return False
        del self._order[queue.name]
        self._order[queue.name] = None
        return True


def _delivered(consumers: list[Consumer]) -> int:
    """Sum that grows when a message is delivered to one of the consumers."""
    return sum([consumer.channel.delivery_tag for consumer in consumers if isinstance(consumer, ChannelConsumer)])


def by_queue(consumers: Iterable[ChannelConsumer]) -> dict[Queue, list[Consumer]]:
    """Group consumers by queue."""
    groups: dict[Queue, list[Consumer]] = {}
    for consumer in consumers:
        groups.setdefault(consumer.queue, []).append(consumer)
    return groups
