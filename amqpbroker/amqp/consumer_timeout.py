"""Acknowledgement timeout of deliveries: its length, and what happens when it has passed.

Up to RabbitMQ 4.2 the channel checks its oldest delivery periodically, and closes if the delivery is overdue
(rabbit_channel:evaluate_consumer_timeout). From 4.3 on queues of some types requeue overdue deliveries, exact to the
millisecond, and the consumer pauses until it has settled them too (rabbit_fifo, rabbit_channel:handle_queue_actions).
Such an exact timeout is a lock here. Extensions add locks to queues of every type and in every release.
"""

from collections.abc import Container, Iterable
from typing import Final, final

from amqpbroker.broker.queues.arguments.lock_arguments import CANCEL, CLOSE, HEARTBEAT, RETURN
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.config import Config
from amqpbroker.wire.values import INTEGER_KINDS, Table, text

_TIMEOUT: Final = "x-consumer-timeout"
_ACTION: Final = "x-consumer-timeout-action"
_RENEW: Final = "x-consumer-timeout-renew"
_NO_ARGUMENTS: Final[Table] = {}


@final
class LockTerms:
    """The lock of deliveries to one consumer, or by basic.get.

    timeout_ms: at least 1. action: RETURN, CANCEL or CLOSE. by_heartbeat: a lock that runs out is renewed if the client
    was heard.
    """

    __slots__ = ("action", "by_heartbeat", "timeout_ms")

    def __init__(self, timeout_ms: int, action: str, by_heartbeat: bool) -> None:
        self.timeout_ms: int = timeout_ms
        self.action: str = action
        self.by_heartbeat: bool = by_heartbeat


def lock_terms(config: Config, queue: Queue, consumer: Consumer | None) -> LockTerms | None:
    """Return the lock of deliveries of the queue to a consumer, or by basic.get; None for deliveries without a lock."""
    compat, kind = config.compat, queue.kind
    arguments = _arguments(config, queue, consumer)
    settings = queue.settings
    is_extended = bool(arguments or settings.consumer_timeout_action or settings.consumer_timeout_renew)
    if not is_extended:
        if not compat.queues_have_timeouts:
            return None
        if not kind.consumer_timeout and not (_TIMEOUT in queue.arguments and _TIMEOUT in kind.arguments_in(compat)):
            return None
    timeout_ms = _timeout_ms(config, queue, arguments)
    return None if timeout_ms is None else _terms(config, queue, arguments, timeout_ms)


def renewed_terms(config: Config, queue: Queue, consumer: Consumer | None, timeout_ms: int | None) -> LockTerms | None:
    """Return the lock that a renewal gives to a delivery that has none; None if no timeout applies to it.

    timeout_ms: that of the renewal, None for the timeout in force.
    """
    arguments = _arguments(config, queue, consumer)
    if timeout_ms is None:
        timeout_ms = _timeout_ms(config, queue, arguments)
    return None if timeout_ms is None else _terms(config, queue, arguments, timeout_ms)


def oldest_is_overdue(
    config: Config, now_ms: int, unacked: Iterable[tuple[int, Entry]], locked: Container[int]
) -> tuple[Entry, int] | None:
    """Return the oldest delivery without a lock and the timeout in milliseconds that it has exceeded, or None."""
    for tag, entry in unacked:
        if tag not in locked:
            timeout_ms = queue_timeout_ms(config, entry.queue)
            return (entry, timeout_ms) if timeout_ms and now_ms - entry.delivered_ms > timeout_ms else None
    return None


def queue_timeout_ms(config: Config, queue: Queue) -> int:
    """Return the timeout of the queue, or else of the broker, which applies to deleted queues too; 0 for none.

    See rabbit_channel:get_queue_consumer_timeout/2, up to 4.2.
    """
    of_queue_ms = -1 if queue.closed else queue.settings.consumer_timeout_ms
    return of_queue_ms if of_queue_ms >= 0 else config.consumer_timeout_ms


def _arguments(config: Config, queue: Queue, consumer: Consumer | None) -> Table:
    """Return the arguments of basic.consume about the timeout that the kind of queue supports."""
    if consumer is None or not consumer.arguments:
        return _NO_ARGUMENTS
    given = consumer.arguments
    known = queue.kind.consumer_arguments_in(config.compat)
    return {name: given[name] for name in (_TIMEOUT, _ACTION, _RENEW) if name in given and name in known}


def _timeout_ms(config: Config, queue: Queue, arguments: Table) -> int | None:
    """Return the timeout of basic.consume, or else of the queue, or else of the broker; None for no timeout."""
    argument = arguments.get(_TIMEOUT)
    if argument is not None and argument.kind in INTEGER_KINDS:
        timeout_ms: int = argument.value
        return timeout_ms
    if queue.settings.consumer_timeout_ms >= 0:
        return queue.settings.consumer_timeout_ms
    return config.consumer_timeout_ms or None


def _terms(config: Config, queue: Queue, arguments: Table, timeout_ms: int) -> LockTerms:
    action = _text(arguments, _ACTION) or queue.settings.consumer_timeout_action
    if action not in (RETURN, CANCEL, CLOSE):
        action = CANCEL if config.compat.queues_have_timeouts else CLOSE
    renew = _text(arguments, _RENEW) or queue.settings.consumer_timeout_renew
    # A timeout of 0 would return and deliver a message again and again at the same time.
    return LockTerms(max(timeout_ms, 1), action, renew == HEARTBEAT)


def _text(arguments: Table, name: str) -> str:
    given = arguments.get(name)
    return text(given.value) if given is not None and isinstance(given.value, bytes) else ""
