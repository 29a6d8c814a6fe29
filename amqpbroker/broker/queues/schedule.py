"""Messages that are published to a queue before the time at which they may be delivered."""

from typing import final

from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS
from amqpbroker.broker.queues.expiry import Expiry
from amqpbroker.broker.queues.ledger import Ledger
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.returns import Returns
from amqpbroker.clock import Clock
from amqpbroker.message.delivery_time import delivery_time_ms
from amqpbroker.message.message import Message


@final
class Schedule:
    """Delays the messages of one queue until the time in a header of theirs (policy key `delivery-time-header`).

    header: name of the header.
    """

    def __init__(self, header: bytes, clock: Clock, ledger: Ledger, expiry: Expiry, returns: Returns) -> None:
        self.header = header
        self._clock = clock
        self._ledger = ledger
        self._expiry = expiry
        self._returns = returns

    def due_ms(self, message: Message) -> int:
        """Return when a message that is published now may be delivered, by the wall clock; 0 for now.

        It is at most ten years ahead. A header that is no time delays nothing.
        """
        now_ms = self._clock.now_ms() + self._clock.ahead_ms
        due_ms = min(delivery_time_ms(message.properties, self.header), now_ms + MAX_EXPIRY_MS)
        return due_ms if due_ms > now_ms else 0

    def delay(self, queue: Queue, message: Message, due_ms: int) -> None:
        """Add a published message to the queue's delayed messages until `due_ms`, when its TTL begins."""
        # Read before the deadline is computed, so that the message never expires too early.
        now_ms = self._clock.now_ms() + self._clock.ahead_ms
        deadline_ms = self._expiry.deadline_ms(message)
        if deadline_ms:
            deadline_ms += due_ms - now_ms
        store = self._ledger.store
        store.begin()
        try:
            self._returns.delay([(self._ledger.enter(queue, message, deadline_ms), due_ms)])
        finally:
            store.end()
