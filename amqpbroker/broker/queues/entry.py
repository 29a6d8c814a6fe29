"""One queue's copy of a message."""

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from amqpbroker.message.message import Copy, Message

if TYPE_CHECKING:
    from amqpbroker.broker.queues.consumer import Consumer
    from amqpbroker.broker.queues.queue import Queue


#: Number of earlier deliveries if it is not known whether there were any.
DOUBTFUL: Final = -1


# Declared acyclic although it is not: an entry refers to its queue and, through its consumer, to a channel, and both
# hold entries. The garbage collector would traverse millions of entries in vain, because each owner discards its
# entries when it ends:
#
# - a queue that is deleted, and a vhost with it: `LocalQueue.close()`, which purges;
# - a channel, and a connection with all of its channels: `Channel.release()`, an open transaction included;
# - the store, for operations it has not written: `Persistence.close()`;
# - a broker that ends while the process goes on: `Broker.discard()`.
#
# Any other object that holds entries and that an entry refers to must do the same, or both are never freed:
# tests/broker/test_lifetime.py and tests/testing/test_lifetime.py check that, also for the compiled broker.
@mypyc_attr(acyclic=True)
class Entry(Copy):
    """One queue's copy of a message. While it is delivered, it is also the record of the unacknowledged message.

    sequence: its position in the queue, which it returns to when it is requeued. acquired_count: number of earlier
    deliveries, as far as it is known; at least 1 if there were any; DOUBTFUL if there may have been some. consumer: the
    consumer that holds the message, None after basic.get.
    """

    __slots__ = ("acquired_count", "consumer", "queue")

    def __init__(self, message: Message, queue: "Queue", sequence: int, deadline_ms: int) -> None:
        # The same as in `Copy`, without a call for each message.
        self.message = message
        self.holder_id = queue.id
        self.sequence = sequence
        self.deadline_ms = deadline_ms
        self.delivery_count = 0
        self.delivered_ms = -1
        self.position = 0
        self.queue: Queue = queue
        self.acquired_count: int = 0
        self.consumer: Consumer | None = None

    @property
    def redelivered(self) -> bool:
        """True if the message was delivered before, or may have been."""
        return self.acquired_count != 0

    @redelivered.setter
    def redelivered(self, redelivered: bool) -> None:
        """Set whether the message was delivered before, if the number of deliveries is not known."""
        self.acquired_count = int(redelivered)

    def stored_at(self, position: int) -> None:
        """Set the position in the store, which the copy was read from."""
        self.position = position

    def assign(self, consumer: "Consumer | None") -> None:
        """Set the consumer that holds the message from now on, without a delivery."""
        self.consumer = consumer

    def replace_message(self, message: Message) -> None:
        """Set the message that leaves instead of the one that has entered."""
        self.message = message

    def move_deadline(self, delta_ms: int) -> None:
        """Move the expiry time, if there is one."""
        if self.deadline_ms:
            self.deadline_ms += delta_ms

    def count_return(self, failed: bool) -> None:
        """Count a return. failed: it counts against a delivery limit."""
        self.acquired_count = max(self.acquired_count, 0) + 1
        self.delivery_count += failed

    def restore(self, acquired_count: int, delivery_count: int) -> None:
        """Set the counts of a message that was delivered before the entry was made."""
        self.acquired_count = acquired_count
        self.delivery_count = delivery_count
