"""The reaction of a channel to overdue acknowledgements; consumer_timeout.py has the rules."""

from collections.abc import Callable
from typing import final

from amqpbroker import errors
from amqpbroker.amqp.channel_context import ChannelContext
from amqpbroker.amqp.consumer_timeout import LockTerms, lock_terms, oldest_is_overdue
from amqpbroker.amqp.consumers import ChannelConsumers
from amqpbroker.amqp.heartbeat import Heartbeat
from amqpbroker.broker.queues.arguments.lock_arguments import CLOSE, RETURN
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.clock import Timer
from amqpbroker.errors import AmqpError


@final
class OverdueChecks:
    """Handles the locks of one channel that run out, and checks its deliveries without locks periodically."""

    def __init__(
        self,
        context: ChannelContext,
        consumers: ChannelConsumers,
        heartbeat: Heartbeat,
        fail: Callable[[AmqpError, int, int], None],
    ) -> None:
        """fail: closes the channel; its parameters are the error, the channel's number, and the ids of a method, 0 for
        none.
        """
        self._context = context
        self._config = context.broker.config
        self._clock = context.broker.clock
        self._unacked = consumers.unacked
        self._locks = consumers.locks
        self._consumers = consumers
        self._heartbeat = heartbeat
        self._fail = fail
        self._tick: Timer | None = None
        self._stopped: bool = False
        #: Consumers that are notified already, while more of the locks that ran out at the same time are handled.
        self._notified: dict[Consumer, None] = {}
        self._locks.start(self._handle_due)

    def watch(self) -> None:
        """Check deliveries without locks from now on, if they time out."""
        if self._tick is None and not self._config.compat.queues_have_timeouts:
            self._tick = self._clock.after(self._config.channel_tick_interval_ms, self._check)

    def watch_got(self, tag: int, entry: Entry) -> None:
        """Lock a delivery by basic.get, if its queue has locks; otherwise do as `watch`."""
        settings = entry.queue.settings
        compat = self._config.compat
        if settings.consumer_timeout_action or settings.consumer_timeout_renew or compat.queues_have_timeouts:
            terms = lock_terms(self._config, entry.queue, None)
            if terms is not None:
                self._locks.add(tag, entry.delivered_ms, terms)
        if self._tick is None:
            self.watch()

    def lock_again(self, entries: dict[int, Entry]) -> None:
        """Lock deliveries that a rollback has made outstanding again; the time since their delivery counts."""
        for tag, entry in entries.items():
            if self._locks.find(tag) is None:
                terms = lock_terms(self._config, entry.queue, entry.consumer)
                if terms is not None:
                    self._locks.add(tag, entry.delivered_ms, terms)

    def stop(self) -> None:
        """Stop the checks."""
        self._stopped = True
        self._notified.clear()
        self._locks.stop()
        if self._tick is not None:
            self._tick.cancel()

    def _check(self) -> None:
        self._tick = None
        unacked, number = self._unacked.entries.items(), self._context.number
        overdue = oldest_is_overdue(self._config, self._clock.now_ms(), unacked, self._locks.by_tag)
        if overdue is not None:
            entry, timeout_ms = overdue
            entry.queue.count_timed_out(1)
            self._fail(errors.delivery_timed_out(number, timeout_ms), number, 0)
        if not self._stopped:
            self.watch()

    def _handle_due(self, due: list[tuple[int, LockTerms]]) -> None:
        """Renew the locks of a client that was heard; for the others do what their terms say.

        Deliveries of deleted queues stay outstanding.
        """
        entries, now_ms = self._unacked.entries, self._clock.now_ms()
        returned: list[int] = []
        cancelled: dict[Consumer | None, list[int]] = {}
        timeout_ms = 0
        for tag, terms in due:
            entry = entries[tag]
            if entry.queue.closed:
                continue  # The message is gone: there is nothing to return.
            if terms.by_heartbeat and self._heartbeat.is_heard:
                self._locks.add(tag, now_ms, terms)
                continue
            entry.queue.count_timed_out(1)
            if terms.action == CLOSE:
                timeout_ms = timeout_ms or terms.timeout_ms
            elif terms.action == RETURN:
                returned.append(tag)
            else:
                cancelled.setdefault(entry.consumer, []).append(tag)
        if not timeout_ms:
            timeout_ms = self._take_back(cancelled, due[0][1].timeout_ms)
            if returned:
                self._requeue(returned)
        if timeout_ms:
            self._fail(errors.delivery_timed_out(self._context.number, timeout_ms), self._context.number, 0)

    def _requeue(self, tags: list[int]) -> None:
        """Requeue overdue deliveries, to other consumers before their own: these have probably stopped working."""
        entries = self._unacked.entries
        holders = {consumer: None for tag in tags if (consumer := entries[tag].consumer) is not None}
        # A consumer that is paused would not stay the single active one.
        late = [each for each in holders if not each.paused and not each.queue.settings.single_active_consumer]
        for consumer in late:
            consumer.pause()
        self._unacked.requeue(tags, "fail")
        for consumer in late:
            consumer.resume()
            consumer.queue.offer(consumer)

    def _take_back(self, overdue: dict[Consumer | None, list[int]], timeout_ms: int) -> int:
        """Requeue overdue deliveries and notify their consumers by basic.cancel.

        Return the timeout to close the channel with if a delivery has no consumer, if its consumer is cancelled, or if
        its client cannot be notified, since it does not have the capability consumer_cancel_notify; otherwise return 0
        (rabbit_channel:handle_queue_actions/2 of 4.3).
        """
        is_notified = True
        if not self._locks.goes_on:
            self._notified.clear()
        for consumer, tags in overdue.items():
            if consumer is None:
                is_notified = False
            elif consumer not in self._notified:
                self._notified[consumer] = None
                is_notified = self._consumers.notify_cancelled(consumer) and is_notified
            self._unacked.take_back(tags, consumer)
        if is_notified:
            return 0
        # RabbitMQ 4.3 does not know the value at this point.
        return -1 if self._config.compat.queues_have_timeouts else timeout_ms
