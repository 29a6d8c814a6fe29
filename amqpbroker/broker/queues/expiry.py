"""Expiry of ready messages: per-message and per-queue TTL."""

from collections.abc import Callable
from typing import Final

from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumers import Consumers
from amqpbroker.broker.queues.deadlines import Deadlines
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.ledger import EXPIRED, Ledger
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.ready_line import ReadyLine, deadline_item
from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.message import MESSAGE_BYTES, Message

#: Number of messages that `expire` removes when expired messages already wait for the next event loop iteration. More
#: than one, so that fewer messages wait after each publish.
BEHIND: Final = 2


class Expiry:
    """Expiry of the messages of one ready line, with one timer.

    Only the head may expire, as in RabbitMQ, and the timer waits for it. If messages expire at any position, the timer
    waits for the earliest deadline (`Deadlines`). A limited number of messages is removed in one event loop iteration.

    count: number of ready messages that may expire. `added` and `removed` are called for each message that has a
    deadline. is_behind: expired messages wait in the line for the next iteration, and consumers wait for that. most:
    number of expired messages that are removed in one iteration.
    """

    def __init__(
        self,
        clock: Clock,
        ready: ReadyLine,
        consumers: Consumers,
        ledger: Ledger,
        settings: QueueSettings,
        most: int = BOUNDS.expiries,
        leaving_bytes: int = BOUNDS.leaving_bytes,
    ) -> None:
        """leaving_bytes: see `Bounds`."""
        self.count: int = 0
        self.is_behind: bool = False
        self.most: int = most
        self._leaving_bytes: int = leaving_bytes
        #: Offers the ready messages to the consumers again, if these have got none since expired ones waited.
        self._resume: Callable[[], None] | None = None
        self._clock = clock
        self._ready: ReadyLine = ready
        self._consumers = consumers
        self._ledger = ledger
        self._ttl_ms: int = settings.message_ttl_ms
        self._deadlines: Deadlines | None = Deadlines(ready) if settings.expires_anywhere else None
        self._timer: Timer | None = None

    def resume_by(self, resume: Callable[[], None]) -> None:
        """Call `resume()` once, when no expired message waits any more."""
        self._resume = resume

    def resume_next(self, resume: Callable[[], None]) -> None:
        """Call `resume()` once, in the next iteration or later, because more messages may have expired."""
        self._resume = resume
        self._arm_by(self._clock.now_ms())

    def apply(self, settings: QueueSettings) -> None:
        """Use a new TTL for messages that are published from now on, and expire messages at the positions they may."""
        self._ttl_ms = settings.message_ttl_ms
        if settings.expires_anywhere == (self._deadlines is not None):
            return
        self._deadlines = Deadlines(self._ready) if settings.expires_anywhere else None
        self._go_on()

    def deadline_ms(self, message: Message) -> int:
        """Return when a message that is published now expires, by the clock's `now_ms`; 0 for never."""
        ttl_ms = self._ttl_ms
        if message.expiration_ms >= 0 and (ttl_ms < 0 or message.expiration_ms < ttl_ms):
            ttl_ms = message.expiration_ms
        return self._clock.now_ms() + ttl_ms if ttl_ms >= 0 else 0

    def is_due(self, entry: Entry) -> bool:
        """Return whether an entry that has a deadline has expired."""
        return entry.deadline_ms <= self._clock.now_ms()

    def added(self, entry: Entry) -> None:
        self.count += 1
        if self._deadlines is not None:
            self._deadlines.add(entry)

    def replaced(self, entry: Entry) -> None:
        """Stop counting an entry that has a deadline, and whose place in the line another entry has taken."""
        if self._deadlines is not None:
            self._deadlines.replaced(entry)
        self.removed()

    def recovered(self, count: int) -> None:
        """Count messages that may expire, which are in the line since the start."""
        self.count += count
        if self._deadlines is not None:
            self._deadlines.rebuild()

    def removed(self) -> None:
        self.count -= 1
        if self._deadlines is not None:
            self._deadlines.shrink(self.count)

    def cleared(self) -> None:
        """Count no messages, because the line is empty."""
        self.count = 0
        if self._deadlines is not None:
            self._deadlines.rebuild()

    def expire(self) -> bool:
        """Remove expired messages, and return whether the first ready message may be delivered.

        If only heads may expire, only heads are checked, as in rabbit_amqqueue_process:drop_expired_msgs. It returns
        False while expired messages wait for the next iteration.
        """
        if not self.count:
            return True
        if self._deadlines is not None:
            self._expire_before(self._deadlines, self._expired_items())
        else:
            self._expire_heads()
        self.arm()
        return not self.is_behind

    @property
    def goes_on(self) -> bool:
        """Return whether the timer is going to remove expired messages in the next iteration."""
        return self.is_behind and self._timer is not None

    def expired(self, entry: Entry, number: int = 0) -> bool:
        """Dead-letter an entry that was already removed from the line. Return whether the next one may be delivered.

        Others with an earlier deadline precede it if messages expire at any position. If some of these have to wait for
        the next iteration, the entry returns to the line.

        number: of the entry among those that were removed in succession, from 1; 0 if their number has no limit.
        """
        deadlines = self._deadlines
        if deadlines is None:
            may_continue = number < self._allowed
            some_wait = not may_continue and self._is_head_due()
            if some_wait:
                self.is_behind = True
            self._ledger.dead_letter([entry], EXPIRED)
            # The next message of a message group becomes the head only now.
            if may_continue or not (some_wait or self._is_head_due()):
                return True
            self.is_behind = True
            self.arm()
            return False
        if not self._expire_before(deadlines, deadlines.item(entry)):
            self.added(entry)
            self._ready.requeue([entry])
            self.arm()
            return False
        self._ledger.dead_letter([entry], EXPIRED)
        return self.expire()

    @property
    def _allowed(self) -> int:
        """The number of expired messages that may be removed at once."""
        return BEHIND if self.is_behind else self.most

    def _is_head_due(self) -> bool:
        """Return whether the first message that may expire has expired, and can be read."""
        return self._ready.count > 0 and 0 < self._ready.due_ms() <= self._clock.now_ms()

    def _expire_heads(self) -> None:
        """Remove expired heads. Messages that exceed the number or the size for one iteration remain."""
        most = self._allowed
        now_ms = self._clock.now_ms()
        expired: list[Entry] = []
        size = 0
        ready = self._ready
        while ready.count and 0 < ready.due_ms() <= now_ms:
            if len(expired) == most or size > self._leaving_bytes:
                # Before the dead letters are sent, as in `_expire_before`.
                self.is_behind = True
                break
            entry = ready.pop_due()
            self.count -= 1
            expired.append(entry)
            size += entry.message.size + MESSAGE_BYTES
        self._ledger.dead_letter(expired, EXPIRED)

    def _expired_items(self) -> int:
        """Return the item that is greater than those of all expired messages."""
        return deadline_item(self._clock.now_ms() + 1, 0, 0)

    def _expire_before(self, deadlines: Deadlines, limit: int) -> bool:
        """Remove messages with a smaller item (`deadline_item`) than `limit`, in the order of their deadlines.

        Messages that exceed the number or the size for one iteration remain. Return whether there are none.
        """
        most = self._allowed
        expired: list[Entry] = []
        size = 0
        while (
            len(expired) < most and size <= self._leaving_bytes and (entry := deadlines.pop_before(limit)) is not None
        ):
            self.count -= 1
            expired.append(entry)
            size += entry.message.size + MESSAGE_BYTES
        deadlines.shrink(self.count)
        some_wait = self.count > 0 and deadlines.reach(limit)
        if some_wait:
            # Before the dead letters are sent: if they return to this queue, it must not expire as many again.
            self.is_behind = True
        self._ledger.dead_letter(expired, EXPIRED)
        return not some_wait

    def arm(self) -> None:
        """Ensure that the timer fires no later than the next message expires.

        A timer that fires too early sets the next one.
        """
        ready, deadlines = self._ready, self._deadlines
        if deadlines is not None:
            due_ms = deadlines.first_ms if ready.waiting else 0
        else:
            due_ms = ready.due_ms() if ready.count else 0
        if due_ms:
            self._arm_by(due_ms)

    def _arm_by(self, due_ms: int) -> None:
        timer = self._timer
        if timer is not None and timer.due_ms <= due_ms:
            return
        if timer is not None:
            timer.cancel()
        self._timer = self._clock.at(due_ms, self._on_timer)

    def stop(self) -> None:
        """Stop expiring messages, and release the ready line."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ready = FifoLine()
        self._deadlines = None
        self._resume = None

    def _on_timer(self) -> None:
        self._timer = None
        self._go_on()
        resume = self._resume
        if resume is not None and not self.is_behind:
            self._resume = None
            resume()

    def _go_on(self) -> None:
        """Begin an iteration: remove expired messages, and tell the consumers if these were the last ones."""
        self.is_behind = False
        waited = self._ready.count
        self.expire()
        if waited and not self._ready.count:
            self._consumers.all_full()
