"""Round robin of queues under a common limit: a channel-wide prefetch, or the output buffer of a connection.

A consumer that the limit stops joins a waiting list. A queue that delivers may use up the limit, so the queue is served
last the next time, and a queue that never delivered is served first. RabbitMQ starts with a random one of the waiting
queues (rabbit_limiter:notify_queues/1). Only waiting consumers are visited, so the cost of settling a delivery does not
depend on the number of consumers of a channel.
"""

import itertools
from abc import abstractmethod
from heapq import heapify, heappop, heappush
from typing import final

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.queue import Queue

#: Sequence numbers of deliveries by queues and of joins.
_SEQUENCE = itertools.count(1)


class LimitedConsumer(Consumer):
    """A consumer that a limit may stop.

    last_served: sequence number of the last delivery of its queue from a waiting list.
    """

    last_served: int

    @abstractmethod
    def left_waiting_list(self, waiting: "Line") -> None:
        """Handle the removal from the waiting list, which now offers messages to the consumer."""

    @abstractmethod
    def delivered_on_channel(self) -> int:
        """Return the number of deliveries on the consumer's channel."""

    def set_last_served(self, last_served: int) -> None:
        """Set the number by which its queue is ordered in waiting lists that the consumer joins: lower ones are served
        first.
        """
        self.last_served = last_served


@final
class Line:
    """A waiting list of consumers that a limit stopped, grouped by queue.

    The heap has each queue once, with the sequence numbers of its last delivery and of its joining.
    """

    def __init__(self) -> None:
        self._groups: dict[Queue, list[LimitedConsumer]] = {}
        self._heap: list[tuple[int, int, Queue]] = []

    def __len__(self) -> int:
        """Return the number of queues."""
        return len(self._heap)

    def join(self, consumer: LimitedConsumer) -> None:
        """Add a consumer that is not in the list."""
        queue = consumer.queue
        group = self._groups.get(queue)
        if group is None:
            self._groups[queue] = [consumer]
            heappush(self._heap, (consumer.last_served, next(_SEQUENCE), queue))
        else:
            group.append(consumer)

    def leave(self, consumer: LimitedConsumer) -> None:
        """Remove a consumer that is in the list."""
        queue = consumer.queue
        group = self._groups[queue]
        group.remove(consumer)
        if not group:
            del self._groups[queue]
            self._heap = [each for each in self._heap if each[2] is not queue]
            heapify(self._heap)

    def serve(self) -> None:
        """Remove the consumers of the first queue and make it deliver to them. If it does, it is served last the next
        time.

        The list must not be empty.
        """
        group = self._groups.pop(heappop(self._heap)[2])
        for consumer in group:
            consumer.left_waiting_list(self)
        before = _delivered(group)
        earlier = [consumer.last_served for consumer in group]
        last_served = next(_SEQUENCE)
        for consumer in group:
            consumer.set_last_served(last_served)
        group[0].queue.offer_all(group)
        if _delivered(group) == before:
            for i, consumer in enumerate(group):
                consumer.set_last_served(earlier[i])


def _delivered(group: list[LimitedConsumer]) -> int:
    """Return a sum that grows when a message is delivered to one of the consumers."""
    delivered = 0
    for consumer in group:
        delivered += consumer.delivered_on_channel()
    return delivered
