"""Deliveries that wait too long for their acknowledgement (rabbit_channel:evaluate_consumer_timeout)."""

from typing import TYPE_CHECKING

from amqpbroker import errors
from amqpbroker.broker.consumer import Consumer
from amqpbroker.broker.message import Entry
from amqpbroker.broker.queue import Queue
from amqpbroker.config import Config
from amqpbroker.wire.values import INTEGER_KINDS

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def check_timeouts(channel: "Channel") -> None:
    """Look once: an overdue delivery closes the channel or, from RabbitMQ 4.3 on, goes back to its quorum queue."""
    if channel.broker.config.compat.quorum_consumer_timeout:
        _take_back_overdue(channel)
        return
    # Only the oldest is looked at.
    for entry in channel.unacked.values():
        timeout_ms = _timeout_ms(channel, entry)
        if timeout_ms and channel.clock.now_ms() - entry.delivered_ms > timeout_ms:
            channel.connection.fail(errors.delivery_timed_out(channel.number, timeout_ms), channel.number, 0)
        break


def _take_back_overdue(channel: "Channel") -> None:
    """A consumer that kept something too long is cancelled; one that cannot be told so loses its channel.

    What basic.get took has no timeout.
    """
    overdue: dict[Consumer, list[int]] = {}
    for tag, entry in channel.unacked.items():
        consumer = entry.consumer
        if consumer is None or consumer.queue.settings.queue_type != "quorum":
            continue
        timeout_ms = _consumer_timeout_ms(consumer)
        if timeout_ms < 0:
            timeout_ms = _timeout_ms(channel, entry)
        if timeout_ms and channel.clock.now_ms() - entry.delivered_ms > timeout_ms:
            if not channel.connection.knows("consumer_cancel_notify"):
                channel.connection.fail(errors.delivery_timed_out(channel.number, timeout_ms), channel.number, 0)
                return
            overdue.setdefault(consumer, []).append(tag)
    for consumer, tags in overdue.items():
        consumer.queue.remove_consumer(consumer)
        consumer.cancelled()
        channel.take_back(tags)


def _timeout_ms(channel: "Channel", entry: Entry) -> int:
    return queue_timeout_ms(channel.broker.config, entry.queue)


def queue_timeout_ms(config: Config, queue: Queue) -> int:
    """That of the queue, or else of the broker; 0 for none."""
    of_queue_ms = queue.settings.consumer_timeout_ms
    return of_queue_ms if of_queue_ms >= 0 else config.consumer_timeout_ms


def _consumer_timeout_ms(consumer: Consumer) -> int:
    """That of basic.consume, -1 if it has none."""
    argument = consumer.arguments.get("x-consumer-timeout")
    return argument.value if argument is not None and argument.kind in INTEGER_KINDS else -1
