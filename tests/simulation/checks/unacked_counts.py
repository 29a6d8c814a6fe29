"""Counters of unacknowledged messages, compared with those of the channels."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.amqp.delivery import ChannelConsumer
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.queue import Queue
from tests.simulation.parts import channels, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each counter of a queue, a consumer or a channel that differs from the actual number."""
    of_queue: Counter[Queue] = Counter()
    sizes: Counter[Queue] = Counter()
    of_consumer: Counter[Consumer] = Counter()
    # Messages that these consumers took over do not count, but are subtracted when they are settled.
    uncounted: dict[Consumer, None] = {}
    for channel in channels(process):
        delivered = 0
        for entry in channel.unacked.held():
            of_queue[entry.queue] += 1
            sizes[entry.queue] += entry.message.size
            if entry.consumer is not None:
                of_consumer[entry.consumer] += 1
                delivered += 1
                # Channels have the messages of a deleted queue, and no consumer.
                if _has_uncounted(entry.consumer):
                    uncounted[entry.consumer] = None
        if delivered != channel.unacked.outstanding:
            yield f"{channel.name} counts {channel.unacked.outstanding} deliveries and holds {delivered}"
        for consumer in (*channel.consumers.by_tag.values(), *channel.consumers.former):
            if _has_uncounted(consumer):
                uncounted[consumer] = None
                continue
            of_consumer.setdefault(consumer, 0)
            # While a consumer pauses, its prefetch is 0.
            most = consumer._prefetch_before if consumer.paused else consumer.prefetch
            if consumer.unacked > most and consumer.registered:
                yield f"{consumer.tag} of {channel.name} has {consumer.unacked}, more than {most}"
    is_recording = any(vhost.deferred_free.is_recording for vhost in process.broker.vhosts.values())
    for consumer, count in of_consumer.items():
        # Deliveries that are settled in slices are not held any more.
        may_be_more = is_recording and consumer.unacked > count
        if consumer.unacked != count and consumer not in uncounted and not may_be_more:
            yield f"consumer {consumer.tag} of {consumer.queue.name} counts {consumer.unacked} and has {count}"
    # A request that gets messages holds them between its slices.
    is_getting = any(server._state.tasks for server in process.http_servers())
    for queue in queues(process):
        count, size = queue.outstanding.count, queue.outstanding.size
        # Deliveries may be settled in slices, those of a channel that has ended as well.
        may_be_more = is_getting or queue.vhost.deferred_free.is_recording
        if count != of_queue[queue] and not (may_be_more and count > of_queue[queue]):
            yield f"{queue.name} counts {count} unacknowledged messages; {of_queue[queue]} are"
        if size != sizes[queue] and not (may_be_more and size > sizes[queue]):
            yield f"{queue.name} counts {size} unacknowledged bytes; {sizes[queue]} are"


def _has_uncounted(consumer: Consumer) -> bool:
    """Return whether the consumer has messages that are not in its count."""
    assert isinstance(consumer, ChannelConsumer)
    return consumer.has_taken_over and not consumer.queue.kind.merges_consumers
