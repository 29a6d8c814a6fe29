"""Waiting, paused and former consumers of queues: none waits or is retained for longer than necessary."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.amqp.delivery import UNLIMITED, ChannelConsumer
from amqpbroker.amqp.round_robin import Line
from tests.simulation.parts import connections, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each waiting consumer that is removed, or need not wait, and each former one without messages."""
    for connection in connections(process):
        for consumer in _members(connection.output.waiting):
            if not consumer.registered or not consumer.starved:
                yield f"{consumer.tag} of {connection.name} is in the line for output, and does not wait for any"
        for channel in connection.channels.values():
            unacked = channel.unacked
            if len(unacked.waiting) and unacked.outstanding < (unacked.global_prefetch or UNLIMITED):
                yield f"{channel.name} has capacity for deliveries, and consumers wait for it"
            for consumer in _members(unacked.waiting):
                if not consumer.registered or not consumer.blocked:
                    yield f"{consumer.tag} of {channel.name} is in the line for the prefetch, and does not wait for it"
            for consumer in channel.consumers.by_tag.values():
                if consumer.paused and consumer not in unacked._taken_back._counts:
                    yield f"{consumer.tag} of {channel.name} is paused, and its client has nothing to settle"
    for queue in queues(process):
        for former in queue.outstanding._former:
            if not former.unacked:
                yield f"{queue.name} remembers the cancelled consumer {former.tag}, which holds nothing"


def _members(waiting: Line) -> Iterator[ChannelConsumer]:
    for group in waiting._groups.values():
        for consumer in group:
            assert isinstance(consumer, ChannelConsumer)
            yield consumer
