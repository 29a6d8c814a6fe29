"""Limits of a queue's length, and messages that exceed them (x-max-length, x-max-length-bytes, x-overflow)."""

from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.dispatcher import Dispatcher
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.expiry import BEHIND, Expiry
from amqpbroker.broker.queues.ledger import MAXLEN, Ledger
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import MESSAGE_BYTES, Message

#: Fraction of its limit below which a quorum queue accepts publishes again (rabbit_fifo: LOW_LIMIT).
REOPENED_AT = 0.8


class LengthLimit:
    """Refuses publishes or drops ready messages, depending on the queue's settings.

    Unacknowledged messages do not count, but delayed messages do. shut: a quorum queue exceeded its limit, and
    refuses publishes until it is well below.
    """

    def __init__(
        self,
        settings: QueueSettings,
        clock: Clock,
        dispatcher: Dispatcher,
        expiry: Expiry,
        ledger: Ledger,
        shuts: bool,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self.shut: bool = False
        self._clock: Clock = clock
        self._settings: QueueSettings = settings
        self._dispatcher: Dispatcher = dispatcher
        self._expiry: Expiry = expiry
        self._ledger: Ledger = ledger
        self._shuts: bool = shuts
        self._most: int = bounds.departures
        self._leaving_bytes: int = bounds.leaving_bytes
        #: Set while messages over the limits wait for the next event loop iteration.
        self._timer: Timer | None = None

    def apply(self, settings: QueueSettings) -> None:
        """Set new limits, and trim at once."""
        self._settings = settings
        self.trim()

    def stop(self) -> None:
        """Drop no more messages, because the queue has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def accepts(self, queue: Queue, message: Message) -> bool:
        """Return whether the message may be added; otherwise it is refused (rabbit_amqqueue_process:will_overflow)."""
        overflow = self._settings.overflow
        if self._shuts:
            return overflow == "drop-head" or not self.is_shut()
        if overflow == "drop-head" or not self._exceeds(1, message.size):
            return True
        if overflow == "reject-publish-dlx":
            self._ledger.turn_away(queue, message)
        return False

    def refuses(self, count: int, size: int) -> bool:
        """Return whether any of `count` messages of `size` bytes together might be refused."""
        if self._settings.overflow == "drop-head":
            return False
        if not self._shuts:
            return self._exceeds(count, size)
        # Only the first message is certain to be the one that may exceed a limit.
        return self.is_shut() or (count > 1 and self._exceeds(count - 1, size))

    def is_shut(self) -> bool:
        """Return whether a quorum queue refuses publishes.

        It accepts the publish that exceeds a limit, and then refuses all until it is well below the limit
        (rabbit_fifo:evaluate_limit). Must be called before anything is added.
        """
        if self.shut:
            settings, dispatcher = self._settings, self._dispatcher
            count = dispatcher.ready.waiting + dispatcher.delayed_count
            size = dispatcher.ready.size + dispatcher.delayed_size
            if (settings.max_length < 0 or count <= int(settings.max_length * REOPENED_AT)) and (
                settings.max_length_bytes < 0 or size <= int(settings.max_length_bytes * REOPENED_AT)
            ):
                self.shut = False
        return self.shut

    def trim(self) -> None:
        """Drop messages from the head until the limits hold, if the queue drops messages.

        If they are more than one event loop iteration may drop, the others are dropped in the next ones.
        """
        if not self._exceeds(0, 0):
            return
        if self._settings.overflow != "drop-head":
            self.shut = self._shuts
            return
        most = self._most if self._timer is None else BEHIND
        dropped: list[Entry] = []
        size = 0
        while self._exceeds(0, 0):
            if len(dropped) >= most or size > self._leaving_bytes:
                # Before the dead letters are sent: if they return to this queue, it must not drop as many again.
                if self._timer is None:
                    self._timer = self._clock.after(0, self._go_on)
                break
            entry = self._remove_first()
            if entry is None:
                break
            dropped.append(entry)
            size += entry.message.size + MESSAGE_BYTES
        if self._shuts:
            # The last dropped message is dead-lettered first (rabbit_fifo:evaluate_limit).
            dropped.reverse()
        self._ledger.dead_letter(dropped, MAXLEN)
        self._expiry.expire()

    def _go_on(self) -> None:
        self._timer = None
        self.trim()

    def _remove_first(self) -> Entry | None:
        """Remove and return the first message; None if there is none, or it cannot be read now.

        Delayed returns are not dropped, as in RabbitMQ 4.3, unless the queue has delivery times, too.
        """
        dispatcher = self._dispatcher
        if dispatcher.ready.waiting:
            return dispatcher.pop_oldest()
        if self._settings.delivery_time_header is None or dispatcher.delayed is None:
            return None
        return dispatcher.remove_delayed()

    def _exceeds(self, more_count: int, more_size: int) -> bool:
        settings, ready, delayed = self._settings, self._dispatcher.ready, self._dispatcher.delayed
        if delayed is not None:
            more_count += delayed.count
            more_size += delayed.size
        return (0 <= settings.max_length < ready.waiting + more_count) or (
            0 <= settings.max_length_bytes < ready.size + more_size
        )
