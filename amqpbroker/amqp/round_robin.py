"""Queues that share a limit take turns: a prefetch for the whole channel, the output of a connection."""

from collections.abc import Iterable

from amqpbroker.amqp.delivery import ChannelConsumer
from amqpbroker.broker.consumer import Consumer
from amqpbroker.broker.queue import Queue


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
        queues = {queue.name: queue for queue in groups}
        order = {name: None for name in self._order if name in queues}
        order.update(dict.fromkeys(queues))
        self._order = order
        for name in list(order):
            queue = queues[name]
            group = groups[queue]
            before = _delivered(group)
            queue.offer_all(group)
            if _delivered(group) > before:
                del order[name]
                order[name] = None


def _delivered(consumers: list[Consumer]) -> int:
    """A number that grows when any of these is given a message."""
    return sum([consumer.channel.delivery_tag for consumer in consumers if isinstance(consumer, ChannelConsumer)])


def by_queue(consumers: Iterable[ChannelConsumer]) -> dict[Queue, list[Consumer]]:
    """Group consumers by the queue that they consume."""
    groups: dict[Queue, list[Consumer]] = {}
    for consumer in consumers:
        groups.setdefault(consumer.queue, []).append(consumer)
    return groups
