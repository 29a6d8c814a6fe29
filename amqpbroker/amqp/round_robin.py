"""Queues that share a limit take turns: a prefetch for the whole channel, the output of a connection."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from amqpbroker.amqp.delivery import ChannelConsumer
from amqpbroker.broker.consumer import Consumer
from amqpbroker.broker.queue import Queue

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


class RoundRobin:
    """The order in which queues may deliver when something is left of a limit again.

    A queue that delivers may use up the limit, so it comes last the next time. RabbitMQ starts with a random one of the
    queues that wait (rabbit_limiter:notify_queues/1).
    """

    def __init__(self) -> None:
        self._order: dict[str, None] = {}

    def offer(self, consumers: Iterable[ChannelConsumer]) -> None:
        """Have the queues of these consumers, which are all of one vhost, deliver to them."""
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
        """Have the queues that a channel consumes divide the deliveries that its limit for all of them allows.

        Each queue may deliver an equal part. The part that a queue has no messages for is divided again. In RabbitMQ
        all queues ask for each delivery at the same time (rabbit_limiter:can_send/3).
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
        # No consumer may go on believing that the limit is reached, as one does that took all of its part.
        self.offer(channel.consumers.values())

    def _arrange(self, groups: dict[Queue, list[Consumer]]) -> dict[str, Queue]:
        """Put new queues last and forget those that are gone; return the queues by their names."""
        queues = {queue.name: queue for queue in groups}
        order = {name: None for name in self._order if name in queues}
        order.update(dict.fromkeys(queues))
        self._order = order
        return queues

    def _offer(self, queue: Queue, group: list[Consumer]) -> bool:
        """Have a queue deliver; return whether it did, in which case it comes last from now on."""
        before = _delivered(group)
        queue.offer_all(group)
        if _delivered(group) == before:
            return False
        del self._order[queue.name]
        self._order[queue.name] = None
        return True


def _delivered(consumers: list[Consumer]) -> int:
    """A number that grows when any of these is given a message."""
    return sum([consumer.channel.delivery_tag for consumer in consumers if isinstance(consumer, ChannelConsumer)])


def by_queue(consumers: Iterable[ChannelConsumer]) -> dict[Queue, list[Consumer]]:
    """Group consumers by the queue that they consume."""
    groups: dict[Queue, list[Consumer]] = {}
    for consumer in consumers:
        groups.setdefault(consumer.queue, []).append(consumer)
    return groups
