"""The place before all messages of a queue with message groups."""

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.expiry import Expiry
from amqpbroker.broker.queues.groups.ledger import GroupLedger
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.message.message import Message


class HeadOfQueue(Destination):
    """The place before all messages of a queue, to which its dead letters come back, the last one first.

    entries: those that have come, which are not ready yet.
    """

    def __init__(self, queue: Queue, ledger: GroupLedger, expiry: Expiry) -> None:
        super().__init__(queue.name)
        self.entries: list[Entry] = []
        self._queue = queue
        self._ledger = ledger
        self._expiry = expiry

    def publish(self, message: Message) -> bool:
        self.entries.append(self._ledger.enter_first(self._queue, message, self._expiry.deadline_ms(message)))
        return True
