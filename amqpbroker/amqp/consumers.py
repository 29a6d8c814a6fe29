"""The consumers of a channel, including cancelled ones that still hold messages.

A new consumer with the tag of a cancelled one takes over its messages. If the queue type merges consumers, these
messages count against the prefetch of the new consumer (rabbit_fifo:merge_consumer/5). Otherwise each acknowledgement
of such a message allows another delivery, as if the new consumer had received it itself
(rabbit_queue_consumers:subtract_acks/3).
"""

from functools import partial
from typing import final

from amqpbroker.amqp.answers import Answers
from amqpbroker.amqp.channel_context import ChannelContext
from amqpbroker.amqp.connection_log import Step
from amqpbroker.amqp.delivery import ChannelConsumer, ConsumerOwner
from amqpbroker.amqp.locks import Locks
from amqpbroker.amqp.unacked import Unacked
from amqpbroker.broker.infos import ConsumerInfo
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue


@final
class ChannelConsumers(ConsumerOwner):
    """Consumers of one channel.

    by_tag: active consumers. prefetch: for consumers started from now on; 0 means no limit. former: cancelled consumers
    that hold messages.
    """

    def __init__(self, context: ChannelContext, unacked: Unacked, locks: Locks, answers: Answers) -> None:
        super().__init__(context, unacked, locks)
        self.by_tag: dict[str, ChannelConsumer] = {}
        self.prefetch: int = 0
        self.former: list[ChannelConsumer] = []
        self._answers = answers
        self._left: list[Queue] = []

    def limit(self, prefetch: int) -> None:
        """Set the prefetch of each consumer that is started from now on, for basic.qos."""
        self.prefetch = prefetch

    def limit_running(self, prefetch: int) -> None:
        """Set the prefetch of each consumer that runs, and deliver the messages that it allows.

        A consumer whose queue requires a prefetch keeps its own one instead of none.
        """
        by_queue: dict[Queue, list[ChannelConsumer]] = {}
        for consumer in self.by_tag.values():
            if not prefetch and consumer.queue.kind.needs_credit:
                continue
            consumer.limit(prefetch)
            by_queue.setdefault(consumer.queue, []).append(consumer)
        for queue, consumers in by_queue.items():
            queue.offer_all(consumers)

    def add(self, consumer: ChannelConsumer) -> None:
        """Add a consumer that its queue has accepted."""
        self.by_tag[consumer.tag] = consumer

    def cancel(self, tag: str) -> bool:
        """Remove the consumer with this tag from its queue; return False if there is none."""
        consumer = self.by_tag.pop(tag, None)
        if consumer is None:
            return False
        consumer.queue.remove_consumer(consumer)
        consumer.leave_waiting_lists()
        self.former = [each for each in (*self.former, consumer) if self._holds(each)]
        return True

    def cancelled(self, consumer: ChannelConsumer) -> None:
        consumer.leave_waiting_lists()
        self.notify_cancelled(consumer)
        self.by_tag.pop(consumer.tag, None)

    def notify_cancelled(self, consumer: Consumer) -> bool:
        """Send basic.cancel; return False if the consumer is cancelled, or the client does not know the method."""
        # Another consumer may have the tag of a cancelled one.
        is_active = self.by_tag.get(consumer.tag) is consumer
        if not is_active or not self.context.client.knows("consumer_cancel_notify"):
            return False
        self._answers.send("basic.cancel", consumer_tag=consumer.tag, nowait=True)
        return True

    # --- takeover ---------------------------------------------------------------------------------------------------

    def held_under(self, queue: Queue, tag: str) -> list[Entry]:
        """Return the deliveries that the next consumer with the tag takes over.

        A merged consumer that has to wait until it is the active one takes over nothing.
        """
        if not any(each.tag == tag and each.queue is queue for each in self.former):
            return []
        if queue.kind.merges_consumers and queue.settings.single_active_consumer and queue.consumer_count:
            return []
        return [each for each in self.unacked.held() if _is_of(each, queue, tag)]

    def _holds(self, consumer: ChannelConsumer) -> bool:
        # Messages that a consumer took over without being merged are not counted in `unacked`.
        return consumer.unacked > 0 or (
            consumer.has_taken_over and any(each.consumer is consumer for each in self.unacked.held())
        )

    # --- end --------------------------------------------------------------------------------------------------------

    def stop(self) -> list[Step]:
        """Discard all consumers, and return the steps that remove them from their queues."""
        consumers = list(self.by_tag.values())
        self.by_tag.clear()
        self._left = list({consumer.queue: None for consumer in consumers})
        removals: list[Step] = [partial(consumer.queue.remove_consumer, consumer, True) for consumer in consumers]
        return removals + [consumer.leave_waiting_lists for consumer in consumers]

    def release(self) -> list[Step]:
        """Return the steps that make the queues of the stopped consumers deliver to others."""
        offers: list[Step] = [partial(queue.offer_all, []) for queue in self._left]
        return [*offers, self.former.clear]

    def infos(self) -> list[ConsumerInfo]:
        """Return descriptions of the active consumers, for the management API."""
        return [consumer.queue.consumer_info(consumer) for consumer in self.by_tag.values()]


def _is_of(entry: Entry, queue: Queue, tag: str) -> bool:
    return entry.queue is queue and entry.consumer is not None and entry.consumer.tag == tag
