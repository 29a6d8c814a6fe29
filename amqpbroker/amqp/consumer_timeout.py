"""Acknowledgement timeout of deliveries.

Up to RabbitMQ 4.2 the channel checks its oldest delivery periodically, and closes if the delivery is overdue
(rabbit_channel:evaluate_consumer_timeout). From 4.3 on queues of some types requeue overdue deliveries, exact to the
millisecond, and the consumer pauses until it has settled them too (rabbit_fifo, rabbit_channel:handle_queue_actions).
"""

from collections.abc import Iterable, Mapping

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.config import Config
from amqpbroker.wire.values import INTEGER_KINDS

#: Minimum time between two checks, even if the timeout is shorter.
_LEAST_MS = 10


def first_check_ms(config: Config, queue: Queue, consumer: Consumer | None) -> int | None:
    """Return the milliseconds until the first check of deliveries of the queue to a consumer, or to basic.get; None for
    never.
    """
    if not config.compat.queues_have_timeouts:
        return config.channel_tick_interval_ms
    timeout_ms = _timeout_ms(config, queue, consumer)
    return None if timeout_ms is None else max(timeout_ms, _LEAST_MS)


def next_check_ms(config: Config, now_ms: int, entries: Iterable[Entry], consumers: Iterable[Consumer]) -> int | None:
    """Return the milliseconds until the next check; None if no timeout applies at present.

    The check is due with the first outstanding delivery, or with one made to a consumer now.
    """
    if not config.compat.queues_have_timeouts:
        return config.channel_tick_interval_ms
    dues = [_due_ms(config, entry) for entry in entries]
    waits = [due_ms - now_ms for due_ms in dues if due_ms is not None]
    for consumer in consumers:
        timeout_ms = None if consumer.no_ack else _timeout_ms(config, consumer.queue, consumer)
        if timeout_ms is not None:
            waits.append(timeout_ms)
    return max(min(waits), _LEAST_MS) if waits else None


def oldest_is_overdue(config: Config, now_ms: int, unacked: Mapping[int, Entry]) -> int:
    """Return the timeout in milliseconds that the oldest delivery has exceeded; 0 if it has not."""
    for entry in unacked.values():
        timeout_ms = queue_timeout_ms(config, entry.queue)
        return timeout_ms if timeout_ms and now_ms - entry.delivered_ms > timeout_ms else 0
    return 0


def overdue(config: Config, now_ms: int, unacked: Mapping[int, Entry]) -> dict[Consumer | None, list[int]]:
    """Return the tags of overdue deliveries that their queues requeue, by consumer; None for those of basic.get."""
    found: dict[Consumer | None, list[int]] = {}
    for tag, entry in unacked.items():
        due_ms = _due_ms(config, entry)
        if due_ms is not None and now_ms >= due_ms:
            found.setdefault(entry.consumer, []).append(tag)
    return found


def _due_ms(config: Config, entry: Entry) -> int | None:
    timeout_ms = _timeout_ms(config, entry.queue, entry.consumer)
    return None if timeout_ms is None else entry.delivered_ms + timeout_ms


def _timeout_ms(config: Config, queue: Queue, consumer: Consumer | None) -> int | None:
    """Return the timeout of basic.consume, or else of the queue, or else of the broker; None for no timeout."""
    if not queue.kind.consumer_timeout:
        return None
    argument = None if consumer is None else consumer.arguments.get("x-consumer-timeout")
    if argument is not None and argument.kind in INTEGER_KINDS:
        timeout_ms: int = argument.value
        return timeout_ms
    if queue.settings.consumer_timeout_ms >= 0:
        return queue.settings.consumer_timeout_ms
    return config.consumer_timeout_ms or None


def queue_timeout_ms(config: Config, queue: Queue) -> int:
    """Return the timeout of the queue, or else of the broker; 0 for none."""
    of_queue_ms = queue.settings.consumer_timeout_ms
    return of_queue_ms if of_queue_ms >= 0 else config.consumer_timeout_ms
