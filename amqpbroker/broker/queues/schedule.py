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

    def is_early(self, message: Message) -> bool:
        """Return whether a message that is published now is delayed."""
        return delivery_time_ms(message.properties, self.header) > self._clock.wall_ms()

    def delay(self, queue: Queue, message: Message) -> bool:
        """Add a published message to the queue's delayed messages, if its time has not come; return whether it was.

        Its TTL begins at that time. The time is at most ten years ahead. A header that is no time delays nothing.
        """
        delay_ms = delivery_time_ms(message.properties, self.header) - self._clock.wall_ms()
        if delay_ms <= 0:
            return False
        delay_ms = min(delay_ms, MAX_EXPIRY_MS)
        deadline_ms = self._expiry.deadline_ms(message)
        store = self._ledger.store
        store.begin()
        try:
            entry = self._ledger.enter(queue, message, deadline_ms + delay_ms if deadline_ms else 0)
            self._returns.delay([(entry, delay_ms)])
        finally:
            store.end()
        return True
