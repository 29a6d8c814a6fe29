"""Round robin of queues under a common limit: a channel-wide prefetch, or the output buffer of a connection.

A consumer that the limit stops joins a line. A queue that delivers may use up the limit, so the queue comes last the
next time, and a queue that never did comes first. RabbitMQ starts with a random one of the waiting queues
(rabbit_limiter:notify_queues/1). Only consumers in the line are looked at, so that settling a delivery costs the same
however many consumers a channel has.
"""

import itertools
from abc import abstractmethod
from heapq import heapify, heappop, heappush
from typing import final

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.queue import Queue

#: Numbers of the times when queues delivered, and when they joined a line.
_TURNS = itertools.count(1)


class LineMember(Consumer):
    """A consumer that a limit may stop. turn: number of the last time that its queue delivered from a line."""

    turn: int

    @abstractmethod
    def left_line(self, line: "Line") -> None:
        """The line has removed the consumer, and offers it messages now."""

    @abstractmethod
    def delivered_on_channel(self) -> int:
        """Return how many deliveries the consumer's channel has made."""

    def set_turn(self, turn: int) -> None:
        """Set the number by which its queue is ordered in lines that the consumer joins: lower ones come first."""
        self.turn = turn


@final
class Line:
    """Consumers that a limit stopped. Consumers of one queue wait together.

    The heap has each of the queues once, with the number of the last time that it delivered, and of its joining.
    """

    def __init__(self) -> None:
        self._groups: dict[Queue, list[LineMember]] = {}
        self._heap: list[tuple[int, int, Queue]] = []

    def __len__(self) -> int:
        """Number of queues."""
        return len(self._heap)

    def join(self, consumer: LineMember) -> None:
        """Add a consumer that is not in the line."""
        queue = consumer.queue
        group = self._groups.get(queue)
        if group is None:
            self._groups[queue] = [consumer]
            heappush(self._heap, (consumer.turn, next(_TURNS), queue))
        else:
            group.append(consumer)

    def leave(self, consumer: LineMember) -> None:
        """Remove a consumer that is in the line."""
        queue = consumer.queue
        group = self._groups[queue]
        group.remove(consumer)
        if not group:
            del self._groups[queue]
            self._heap = [each for each in self._heap if each[2] is not queue]
            heapify(self._heap)

    def serve(self) -> None:
        """Remove the consumers of the first queue, have it deliver to them, and put it last if it did.

        The line is not empty.
        """
        group = self._groups.pop(heappop(self._heap)[2])
        for consumer in group:
            consumer.left_line(self)
        before = _delivered(group)
        turns = [consumer.turn for consumer in group]
        turn = next(_TURNS)
        for consumer in group:
            consumer.set_turn(turn)
        group[0].queue.offer_all(group)
        if _delivered(group) == before:
            for i, consumer in enumerate(group):
                consumer.set_turn(turns[i])


def _delivered(group: list[LineMember]) -> int:
    """Sum that grows when a message is delivered to one of the consumers."""
    delivered = 0
    for consumer in group:
        delivered += consumer.delivered_on_channel()
    return delivered
