"""Acknowledgement timeout of deliveries.

Up to RabbitMQ 4.2 the channel checks its oldest delivery periodically, and closes if the delivery is overdue
(rabbit_channel:evaluate_consumer_timeout). From 4.3 on quorum queues requeue overdue deliveries, exact to the
millisecond, and the consumer pauses until it has settled them too (rabbit_fifo, rabbit_channel:handle_queue_actions).
"""

from typing import TYPE_CHECKING

from amqpbroker import errors
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.config import Config
from amqpbroker.wire.values import INTEGER_KINDS

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel

#: Minimum time between two checks, even if the timeout is shorter.
_LEAST_MS = 10


def first_look_ms(channel: "Channel", queue: Queue, consumer: Consumer | None) -> int | None:
    """Milliseconds until the first check of deliveries of the queue to a consumer, or to basic.get; None for never."""
    config = channel.broker.config
    if not config.compat.quorum_consumer_timeout:
        return config.channel_tick_interval_ms
    timeout_ms = _timeout_ms(channel, queue, consumer)
    return None if timeout_ms is None else max(timeout_ms, _LEAST_MS)


def check_timeouts(channel: "Channel") -> int | None:
    """Check deliveries; return the milliseconds until the next check, None if no timeout applies at present."""
    if channel.broker.config.compat.quorum_consumer_timeout:
        _take_back_overdue(channel)
        return _next_look_ms(channel)
    # Only the oldest is looked at.
    for entry in channel.unacked.values():
        timeout_ms = queue_timeout_ms(channel.broker.config, entry.queue)
        if timeout_ms and channel.clock.now_ms() - entry.delivered_ms > timeout_ms:
            channel.connection.fail(errors.delivery_timed_out(channel.number, timeout_ms), channel.number, 0)
        break
    return channel.broker.config.channel_tick_interval_ms


def _take_back_overdue(channel: "Channel") -> None:
    """Requeue overdue deliveries and notify consumers by basic.cancel; close the channel if a delivery has no consumer.

    A client without the capability consumer_cancel_notify cannot be notified, so its channel closes too.
    """
    overdue: dict[Consumer | None, list[int]] = {}
    now_ms = channel.clock.now_ms()
    for tag, entry in channel.unacked.items():
        due_ms = _due_ms(channel, entry)
        if due_ms is not None and now_ms >= due_ms:
            overdue.setdefault(entry.consumer, []).append(tag)
    is_told = True
    for consumer, tags in overdue.items():
        if consumer is None or consumer.tag not in channel.consumers:
            is_told = False
        elif channel.connection.knows("consumer_cancel_notify"):
            channel.send("basic.cancel", consumer_tag=consumer.tag, nowait=True)
        else:
            is_told = False
        channel.take_back(tags, consumer)
    if not is_told:
        channel.connection.fail(errors.delivery_timed_out(channel.number, -1), channel.number, 0)


def _next_look_ms(channel: "Channel") -> int | None:
    """Milliseconds until the first outstanding delivery is due, or one that a consumer would get now."""
    now_ms = channel.clock.now_ms()
    dues = [_due_ms(channel, entry) for entry in channel.unacked.values()]
    waits = [due_ms - now_ms for due_ms in dues if due_ms is not None]
    for consumer in channel.consumers.values():
        timeout_ms = None if consumer.no_ack else _timeout_ms(channel, consumer.queue, consumer)
        if timeout_ms is not None:
            waits.append(timeout_ms)
    return max(min(waits), _LEAST_MS) if waits else None


def _due_ms(channel: "Channel", entry: Entry) -> int | None:
    timeout_ms = _timeout_ms(channel, entry.queue, entry.consumer)
    return None if timeout_ms is None else entry.delivered_ms + timeout_ms


def _timeout_ms(channel: "Channel", queue: Queue, consumer: Consumer | None) -> int | None:
    """Return the timeout of basic.consume, or else of the queue, or else of the broker; None for no timeout."""
    if queue.settings.queue_type != "quorum":
        return None
    argument = None if consumer is None else consumer.arguments.get("x-consumer-timeout")
    if argument is not None and argument.kind in INTEGER_KINDS:
        timeout_ms: int = argument.value
        return timeout_ms
    if queue.settings.consumer_timeout_ms >= 0:
        return queue.settings.consumer_timeout_ms
    return channel.broker.config.consumer_timeout_ms or None


def queue_timeout_ms(config: Config, queue: Queue) -> int:
    """That of the queue, or else of the broker; 0 for none."""
    of_queue_ms = queue.settings.consumer_timeout_ms
    return of_queue_ms if of_queue_ms >= 0 else config.consumer_timeout_ms
