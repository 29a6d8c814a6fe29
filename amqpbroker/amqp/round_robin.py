"""Round robin of queues under a common limit: a channel-wide prefetch, or the output buffer of a connection.

A queue that delivers may use up the limit, so the queue comes last the next time, and a queue that never did comes
first. RabbitMQ starts with a random one of the waiting queues (rabbit_limiter:notify_queues/1).
"""

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from amqpbroker.amqp.delivery import ChannelConsumer
from amqpbroker.broker.consumer import Consumer
from amqpbroker.broker.queue import Queue

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


#: Numbers of the times when queues delivered.
_TURNS = itertools.count(1)


def offer(consumers: Iterable[ChannelConsumer]) -> None:
    """Make queues deliver to the given consumers, in order. All of these queues belong to one vhost."""
    groups = waiting_by_queue(consumers)
    for queue in _in_order(groups):
        _offer(queue, groups[queue])


def divide(channel: "Channel") -> None:
    """Divide the deliveries that the channel-wide prefetch allows among the queues that the channel consumes.

    Each queue may deliver an equal part. If a queue has too few messages for its part, the rest is divided among
    the other queues. In RabbitMQ all queues ask for each delivery at the same time (rabbit_limiter:can_send/3).
    """
    limit = channel.global_prefetch
    groups = waiting_by_queue(channel.consumers.values())
    if limit and len(groups) > 1:
        waiting = _in_order(groups)
        while waiting and channel.outstanding < limit:
            part = max((limit - channel.outstanding) // len(waiting), 1)
            delivering = []
            for queue in waiting:
                channel.global_prefetch = min(channel.outstanding + part, limit)
                if _offer(queue, groups[queue]):
                    delivering.append(queue)
            waiting = delivering
        channel.global_prefetch = limit
        if channel.outstanding >= limit:
            return
    # A consumer that took all of its part believes that the limit is reached: offer again to correct that.
    offer(channel.consumers.values())


def _in_order(groups: dict[Queue, list[Consumer]]) -> list[Queue]:
    return sorted(groups, key=lambda queue: _turn(groups[queue]))


def _offer(queue: Queue, group: list[Consumer]) -> bool:
    """Make a queue deliver, and put it last if it did; return whether it did."""
    before = _delivered(group)
    queue.offer_all(group)
    if _delivered(group) == before:
        return False
    turn = next(_TURNS)
    for consumer in group:
        if isinstance(consumer, ChannelConsumer):
            consumer.turn = turn
    return True


def _turn(consumers: list[Consumer]) -> int:
    """Number of the last time that a queue delivered to one of the consumers when it was offered to; 0 if never."""
    return max([consumer.turn for consumer in consumers if isinstance(consumer, ChannelConsumer)])


def _delivered(consumers: list[Consumer]) -> int:
    """Sum that grows when a message is delivered to one of the consumers."""
    return sum([consumer.channel.delivery_tag for consumer in consumers if isinstance(consumer, ChannelConsumer)])


def waiting_by_queue(consumers: Iterable[ChannelConsumer]) -> dict[Queue, list[Consumer]]:
    """Group consumers by queue, without those that wait for a message: they can take one at once."""
    return by_queue([each for each in consumers if not each.ringed or each.queue.ready_count])


def by_queue(consumers: Iterable[ChannelConsumer]) -> dict[Queue, list[Consumer]]:
    """Group consumers by queue."""
    groups: dict[Queue, list[Consumer]] = {}
    for consumer in consumers:
        groups.setdefault(consumer.queue, []).append(consumer)
    return groups
