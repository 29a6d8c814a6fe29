"""Messages that are returned to a queue unacknowledged: their position, and their next delivery."""

from amqpbroker.broker.queues.arguments.retry_delay import RetryDelay
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.dead_letters.deadletter import DeadLetters
from amqpbroker.broker.queues.delayed_messages import DelayedMessages
from amqpbroker.broker.queues.dispatcher import Dispatcher
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.ledger import DELIVERY_LIMIT, Ledger
from amqpbroker.broker.queues.length_limit import LengthLimit
from amqpbroker.broker.queues.lines.pages import Pager
from amqpbroker.broker.queues.outstanding import Outstanding
from amqpbroker.broker.tracking.copy_tracker import DELETED
from amqpbroker.clock import Clock
from amqpbroker.compat import Compat
from amqpbroker.store.recovered import Copies


class Returns:
    """Adds returned messages to one queue again, at once or after a delay.

    retry: delay of returned messages, None for no delay.
    """

    def __init__(
        self,
        settings: QueueSettings,
        compat: Compat,
        clock: Clock,
        releases: int,
        pager: Pager | None,
        dispatcher: Dispatcher,
        outstanding: Outstanding,
        limit: LengthLimit,
        ledger: Ledger,
        dead_letters: DeadLetters,
    ) -> None:
        """releases, pager: see DelayedMessages."""
        self.retry: RetryDelay | None = None
        self._compat: Compat = compat
        self._clock: Clock = clock
        self._releases: int = releases
        self._pager: Pager | None = pager
        self._dispatcher: Dispatcher = dispatcher
        self._outstanding: Outstanding = outstanding
        self._limit: LengthLimit = limit
        self._ledger: Ledger = ledger
        self._dead_letters: DeadLetters = dead_letters
        self._settings: QueueSettings = settings
        self._closed: bool = False
        self.apply(settings)

    def apply(self, settings: QueueSettings) -> None:
        """Use new settings for messages that are returned from now on."""
        self._settings = settings
        self.retry = settings.retry

    def close(self) -> None:
        """Drop messages that are returned from now on, because the queue is deleted."""
        self._closed = True

    def discard(self) -> None:
        """Release the pager."""
        self._pager = None

    def requeue(self, entries: list[Entry], failed: bool) -> None:
        """Handle messages that a client returns. See Queue.requeue."""
        self._requeue(entries, failed)

    def are_in_place(self, failed: bool) -> bool:
        """Return whether messages that `requeue` handles become ready at their old places at once."""
        return self.retry is None or not self.retry.delays(failed)

    def reclaim(self, entries: list[Entry]) -> None:
        """Handle messages of a channel that has ended. See Queue.reclaim."""
        self._requeue(entries, True)

    def _requeue(self, entries: list[Entry], failed: bool) -> None:
        consumers = self._outstanding.settle_returned(entries)
        if self._closed:
            self._ledger.discard(entries, DELETED)
            return
        retry = self.retry
        now_ms = 0 if retry is None else self._clock.now_ms() + self._clock.ahead_ms
        back = []
        late = []
        exhausted = []
        for entry in entries:
            self._count(entry, failed)
            if self._is_exhausted(entry):
                exhausted.append(entry)
                continue
            if entry.position:
                self._ledger.returned(entry)
            if retry is not None:
                delay_ms = retry.delay_ms(failed, entry.delivery_count)
                if delay_ms:
                    late.append((entry, now_ms + delay_ms))
                    continue
            back.append(entry)
        if self._limit.shut and (back or late):
            self._limit.is_shut()
        if late:
            self.delay(late)
        if back:
            self._dispatcher.requeue(back)
        self._move_on(consumers, exhausted)

    def _count(self, entry: Entry, failed: bool) -> None:
        entry.count_return(failed or not self._compat.counts_only_failures)

    def _is_exhausted(self, entry: Entry) -> bool:
        """Return whether a message has been returned too often to be delivered again."""
        return 0 <= self._settings.delivery_limit < entry.delivery_count

    def delay(self, late: list[tuple[Entry, int]]) -> None:
        """Delay entries that are neither ready nor unacknowledged.

        late: (entry, due time) of each, in milliseconds since the epoch by the wall clock.

        When they are due, they become ready as returned messages do, even if they were never delivered.
        """
        delayed = self._delayed()
        for entry, due_ms in late:
            delayed.add(entry, due_ms)

    def recover(self, copies: Copies) -> None:
        """Delay stored copies that have due times; see DelayedMessages."""
        self._delayed().recover(copies)

    def _delayed(self) -> DelayedMessages:
        delayed = self._dispatcher.delayed
        if delayed is None:
            delayed = DelayedMessages(self._clock, self._ledger, self._rejoin, self._releases, self._pager)
            self._dispatcher.hold_back(delayed)
        return delayed

    def _rejoin(self, entries: list[Entry]) -> None:
        """Make delayed entries ready that are due."""
        self._dispatcher.requeue(entries)
        self._move_on({}, [])

    def _move_on(self, consumers: dict[Consumer, None], exhausted: list[Entry]) -> None:
        """Drop exhausted messages and messages over the limit, then deliver messages to consumers.

        A dead letter of an exhausted message that returns to this queue waits behind the messages that its consumers
        can take now, as for rejected messages.
        """
        if exhausted:
            with self._dead_letters:
                self._ledger.dead_letter(self._dispatcher.ready.ranked(exhausted), DELIVERY_LIMIT)
                self._deliver(consumers)
        else:
            self._deliver(consumers)

    def _deliver(self, consumers: dict[Consumer, None]) -> None:
        """Drop messages over the limit, then deliver messages to consumers."""
        self._limit.trim()
        self._dispatcher.offer_after_settling(consumers)


class QuorumReturns(Returns):
    """Returns of a quorum queue: without a delivery limit, messages may go to its end."""

    def are_in_place(self, failed: bool) -> bool:
        return not self._go_last() and super().are_in_place(failed)

    def _go_last(self) -> bool:
        return self._settings.delivery_limit < 0 and not self._closed and self._compat.unlimited_returns_go_last

    def requeue(self, entries: list[Entry], failed: bool) -> None:
        if self._go_last():
            # A message that is returned forever must not block the others: each goes to the end (rabbit_fifo:requeue).
            for entry in entries:
                self._requeue_last(entry, failed)
        else:
            self._requeue(entries, failed)

    def _requeue_last(self, entry: Entry, failed: bool) -> None:
        if self.retry is not None and self.retry.delays(failed):
            self._requeue([entry], failed)
            return
        consumers = self._outstanding.settle_returned([entry])
        self._count(entry, failed)
        if self._limit.shut:
            self._limit.is_shut()
        self._dispatcher.requeue_last(self._ledger.replace(entry))
        self._move_on(consumers, [])

    def _move_on(self, consumers: dict[Consumer, None], exhausted: list[Entry]) -> None:
        """Deliver messages that these and other consumers can take, then drop exhausted ones (rabbit_fifo:checkout).

        Their dead letters precede those of earlier deaths (evaluate_limit).
        """
        with self._dead_letters as letters:
            self._ledger.dead_letter(exhausted, DELIVERY_LIMIT)
            self._dispatcher.offer_after_settling(consumers)
            before = letters.waiting
            self._limit.trim()
            letters.postpone(before)
