"""A consumer under the tag of a cancelled one that holds messages: it has them from now on, for its tag is its name.

If the kind of the queue merges consumers, they count against its prefetch (rabbit_fifo:merge_consumer/5); else each of
their acknowledgements is room for one more, as if it had held them itself (rabbit_queue_consumers:subtract_acks/3).
"""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from amqpbroker.amqp.delivery import ChannelConsumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def held_under(channel: "Channel", queue: Queue, tag: str) -> list[Entry]:
    """What the next consumer of that tag is to take over.

    A merged consumer that has to wait until it is the active one takes over nothing.
    """
    if not any(each.tag == tag and each.queue is queue for each in channel.former):
        return []
    if queue.kind.merges_consumers and queue.settings.single_active_consumer and queue.consumer_count:
        return []
    return [each for each in _outstanding(channel) if _is_of(each, queue, tag)]


def remember(channel: "Channel", consumer: ChannelConsumer) -> None:
    """The consumer is cancelled; the channel knows it while it holds anything."""
    channel.keep_former([each for each in (*channel.former, consumer) if _holds(each)])


def _holds(consumer: ChannelConsumer) -> bool:
    # Messages that a consumer took over without being merged are not in its count.
    return consumer.unacked > 0 or (
        consumer.has_taken_over and any(each.consumer is consumer for each in _outstanding(consumer.channel))
    )


def _outstanding(channel: "Channel") -> Iterator[Entry]:
    """All that the channel's consumers hold, also what an open transaction has settled."""
    transaction = channel.transaction
    return chain(channel.unacked.values(), transaction.settled() if transaction is not None else ())


def _is_of(entry: Entry, queue: Queue, tag: str) -> bool:
    return entry.queue is queue and entry.consumer is not None and entry.consumer.tag == tag
