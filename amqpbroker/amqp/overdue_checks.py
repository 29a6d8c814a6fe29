"""The checks of a channel for overdue acknowledgements; consumer_timeout.py has the rules."""

from collections.abc import Callable
from typing import final

from amqpbroker import errors
from amqpbroker.amqp.channel_context import ChannelContext
from amqpbroker.amqp.consumer_timeout import first_check_ms, next_check_ms, oldest_is_overdue, overdue
from amqpbroker.amqp.consumers import ChannelConsumers
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.clock import Timer
from amqpbroker.errors import AmqpError


@final
class OverdueChecks:
    """Checks the deliveries of one channel when the first of them may be overdue."""

    def __init__(
        self, context: ChannelContext, consumers: ChannelConsumers, fail: Callable[[AmqpError, int, int], None]
    ) -> None:
        """fail: closes the channel; its parameters are the error, the channel's number, and the ids of a method, 0 for
        none.
        """
        self._context = context
        self._config = context.broker.config
        self._clock = context.broker.clock
        self._unacked = consumers.unacked
        self._consumers = consumers
        self._fail = fail
        self._next: Timer | None = None
        self._stopped: bool = False

    def watch(self, queue: Queue, consumer: Consumer | None) -> None:
        """Start the acknowledgement timeout for deliveries of the queue to the consumer, or to basic.get."""
        if self._next is None or self._config.compat.queues_have_timeouts:
            self._schedule(first_check_ms(self._config, queue, consumer))

    def stop(self) -> None:
        """Stop the checks."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()

    def _schedule(self, wait_ms: int | None) -> None:
        """Schedule a check in `wait_ms`, unless an earlier check is scheduled."""
        if wait_ms is None:
            return
        if self._next is not None:
            if self._next.due_ms <= self._clock.now_ms() + wait_ms:
                return
            self._next.cancel()
        self._next = self._clock.after(wait_ms, self._check)

    def _check(self) -> None:
        self._next = None
        config, unacked, number = self._config, self._unacked, self._context.number
        if config.compat.queues_have_timeouts:
            self._take_back_overdue()
        else:
            timeout_ms = oldest_is_overdue(config, self._clock.now_ms(), unacked.entries)
            if timeout_ms:
                self._fail(errors.delivery_timed_out(number, timeout_ms), number, 0)
        if not self._stopped:
            consumers = self._consumers.by_tag.values()
            self._schedule(next_check_ms(config, self._clock.now_ms(), unacked.entries.values(), consumers))

    def _take_back_overdue(self) -> None:
        """Requeue overdue deliveries and notify their consumers by basic.cancel; close the channel if a delivery has no
        consumer.

        A client without the capability consumer_cancel_notify cannot be notified, so its channel is closed too.
        """
        is_notified = True
        for consumer, tags in overdue(self._config, self._clock.now_ms(), self._unacked.entries).items():
            if consumer is None or not self._consumers.notify_cancelled(consumer.tag):
                is_notified = False
            self._unacked.take_back(tags, consumer)
        if not is_notified:
            self._fail(errors.delivery_timed_out(self._context.number, -1), self._context.number, 0)
