"""Expiry of ready messages: per-message and per-queue TTL."""

from amqpbroker.broker.queues.consumers import Consumers
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.fifo_line import FifoLine
from amqpbroker.broker.queues.ledger import EXPIRED, LEAVING_BYTES, Ledger
from amqpbroker.broker.queues.ready_line import ReadyLine
from amqpbroker.broker.queues.settings import QueueSettings
from amqpbroker.clock import Clock, Timer
from amqpbroker.message.message import MESSAGE_BYTES, Message


class Expiry:
    """Deadlines of the messages of one ready line. One timer waits for the head, because only the head may expire.

    count: number of ready messages that may expire. `added` and `removed` are called for each message that has a
    deadline.
    """

    def __init__(
        self, clock: Clock, ready: ReadyLine, consumers: Consumers, ledger: Ledger, settings: QueueSettings
    ) -> None:
        self.count: int = 0
        self._clock = clock
        self._ready: ReadyLine = ready
        self._consumers = consumers
        self._ledger = ledger
        self._ttl_ms: int = settings.message_ttl_ms
        self._timer: Timer | None = None

    def apply(self, settings: QueueSettings) -> None:
        """Use a new TTL for messages that are published from now on."""
        self._ttl_ms = settings.message_ttl_ms

    def deadline_ms(self, message: Message) -> int:
        """Return the expiry time of a message that is published now, 0 for never."""
        ttl_ms = self._ttl_ms
        if message.expiration_ms >= 0 and (ttl_ms < 0 or message.expiration_ms < ttl_ms):
            ttl_ms = message.expiration_ms
        return self._clock.wall_ms() + ttl_ms if ttl_ms >= 0 else 0

    def is_due(self, entry: Entry) -> bool:
        """Return whether an entry that has a deadline has expired."""
        return entry.deadline_ms <= self._clock.wall_ms()

    def added(self, count: int = 1) -> None:
        self.count += count

    def removed(self) -> None:
        self.count -= 1

    def cleared(self) -> None:
        self.count = 0

    def expire(self) -> None:
        """Remove expired messages; only heads are checked, as in rabbit_amqqueue_process:drop_expired_msgs."""
        if not self.count:
            return
        now_ms = self._clock.wall_ms()
        expired: list[Entry] = []
        size = 0
        ready = self._ready
        while ready.count and 0 < ready.due_ms() <= now_ms:
            entry = ready.pop_due()
            self.count -= 1
            expired.append(entry)
            size += entry.message.size + MESSAGE_BYTES
            if size > LEAVING_BYTES:
                self._ledger.dead_letter(expired, EXPIRED)
                expired, size = [], 0
        self._ledger.dead_letter(expired, EXPIRED)
        self.arm()

    def arm(self) -> None:
        """Ensure that the timer fires no later than the head expires.

        A timer that fires too early sets the next one.
        """
        due_ms = self._ready.due_ms() if self._ready.count else 0
        timer = self._timer
        if not due_ms or (timer is not None and timer.due_ms <= due_ms):
            return
        if timer is not None:
            timer.cancel()
        self._timer = self._clock.at_wall(due_ms, self._on_timer)

    def stop(self) -> None:
        """Stop expiring messages, and release the ready line."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ready = FifoLine()

    def _on_timer(self) -> None:
        self._timer = None
        waited = self._ready.count
        self.expire()
        if waited and not self._ready.count:
            self._consumers.all_full()
