"""Round robin of queues under a common limit: a channel-wide prefetch, or the output buffer of a connection.

A consumer that the limit stops joins a line. A queue that delivers may use up the limit, so the queue comes last the
next time, and a queue that never did comes first. RabbitMQ starts with a random one of the waiting queues
(rabbit_limiter:notify_queues/1). Only consumers in the line are looked at, so that settling a delivery costs the same
however many consumers a channel has.
"""

import itertools
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.queue import Queue

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel
    from amqpbroker.amqp.connection import Connection
    from amqpbroker.amqp.delivery import ChannelConsumer


#: Numbers of the times when queues delivered, and when they joined a line.
_TURNS = itertools.count(1)


class Line:
    """Consumers that a limit stopped. Consumers of one queue wait together.

    The heap has each of the queues once, with the number of the last time that it delivered, and of its joining.
    """

    def __init__(self) -> None:
        self._groups: dict[Queue, list[ChannelConsumer]] = {}
        self._heap: list[tuple[int, int, Queue]] = []

    def __len__(self) -> int:
        """Number of queues."""
        return len(self._heap)

    def join(self, consumer: "ChannelConsumer") -> None:
        """Add a consumer that is not in the line."""
        queue = consumer.queue
        group = self._groups.get(queue)
        if group is None:
            self._groups[queue] = [consumer]
            heappush(self._heap, (consumer.turn, next(_TURNS), queue))
        else:
            group.append(consumer)

    def leave(self, consumer: "ChannelConsumer") -> None:
        """Remove a consumer that is in the line."""
        queue = consumer.queue
        group = self._groups[queue]
        group.remove(consumer)
        if not group:
            del self._groups[queue]
            self._heap = [each for each in self._heap if each[2] is not queue]
            heapify(self._heap)

    def first(self) -> "list[ChannelConsumer]":
        """Remove the consumers of the first queue, and return them. The line is not empty."""
        return self._groups.pop(heappop(self._heap)[2])


def divide(channel: "Channel") -> None:
    """Divide the deliveries that the channel-wide prefetch allows among the queues that it stopped.

    Each queue may deliver an equal part. If a queue has too few messages for its part, the rest is divided among
    the other queues. In RabbitMQ all queues ask for each delivery at the same time (rabbit_limiter:can_send/3).
    """
    line, limit = channel.line, channel.global_prefetch
    while len(line) and (not limit or channel.outstanding < limit):
        waiting = len(line)
        part = max((limit - channel.outstanding) // waiting, 1)
        # A queue that is stopped by its part joins again, and is served once more if the others leave something.
        for _ in range(waiting):
            if limit:
                channel.global_prefetch = min(channel.outstanding + part, limit)
            group = line.first()
            for consumer in group:
                consumer.blocked = False
            _offer(group)
            if not len(line) or (limit and channel.outstanding >= limit):
                break
        channel.global_prefetch = limit


def feed(connection: "Connection") -> None:
    """Deliver to the consumers that the output buffer of the connection stopped, until it is full again."""
    line = connection.line
    while len(line) and connection.room > 0:
        group = line.first()
        for consumer in group:
            consumer.starved = False
        _offer(group)


def _offer(group: "list[ChannelConsumer]") -> None:
    """Make the queue of these consumers deliver to them, and put it last if it did."""
    before = _delivered(group)
    turns = [consumer.turn for consumer in group]
    turn = next(_TURNS)
    for consumer in group:
        consumer.turn = turn
    group[0].queue.offer_all(group)
    if _delivered(group) == before:
        for i, consumer in enumerate(group):
            consumer.turn = turns[i]


def _delivered(group: "list[ChannelConsumer]") -> int:
    """Sum that grows when a message is delivered to one of the consumers."""
    delivered = 0
    for consumer in group:
        delivered += consumer.channel.delivery_tag
    return delivered
