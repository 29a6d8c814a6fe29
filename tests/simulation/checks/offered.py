"""The invariant of queues: if a message is ready, no consumer can take it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.amqp.delivery import ChannelConsumer
from amqpbroker.broker.queues.groups.dispatcher import GroupDispatcher
from amqpbroker.broker.queues.local_queue import LocalQueue
from tests.simulation.parts import is_reading_again, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each queue that has a message for a consumer, and does not deliver it."""
    for queue in queues(process):
        if not queue.ready.count or is_reading_again(queue) or queue.ready.peek() is None:
            continue  # what cannot be read now is tried again
        if queue.expiry.is_behind and queue.expiry._timer is not None:
            continue  # consumers wait until more expired messages are removed, in the next iteration
        if _is_superseding(queue):
            continue  # the same for messages with old versions
        consumers = queue.consumers
        able = [consumers.active] if consumers.single_active else consumers.all
        if consumers.single_active and consumers.active is None and consumers._successor() is not None:
            yield f"{queue.name} has {queue.ready.count} messages, and no consumer is active"
        if consumers.single_active and consumers._successor() is not consumers.active:
            continue  # the active one is to be replaced
        for consumer in able:
            if isinstance(consumer, ChannelConsumer) and _can_take(consumer):
                yield f"{queue.name} has {queue.ready.count} messages, and {consumer.tag} gets none"


def _is_superseding(queue: LocalQueue) -> bool:
    """Return whether consumers wait for the next iteration, in which more messages with old versions are removed."""
    stale_versions = queue.dispatcher.stale_versions if isinstance(queue.dispatcher, GroupDispatcher) else None
    return stale_versions is not None and stale_versions.is_behind and stale_versions._timer is not None


def _can_take(consumer: ChannelConsumer) -> bool:
    """Return the result of `ChannelConsumer.can_take`, without its side effects."""
    unacked = consumer._channel_unacked
    limit = unacked.global_prefetch
    if limit and (consumer.blocked or unacked.outstanding >= limit) and consumer._channel_limits:
        return False
    return consumer.unacked < consumer.prefetch and consumer.output.space > 0 and not consumer.paused
