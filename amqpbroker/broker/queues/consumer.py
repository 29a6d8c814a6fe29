"""The consumer seam: what a queue delivers to."""

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from amqpbroker.wire.values import Table

if TYPE_CHECKING:
    from amqpbroker.broker.infos import ConsumerInfo
    from amqpbroker.broker.queues.entry import Entry
    from amqpbroker.broker.queues.queue import Queue
    from amqpbroker.message.message import Message


@mypyc_attr(allow_interpreted_subclasses=True)
class Consumer(metaclass=ABCMeta):
    """One subscription to one queue. `amqp` implements it over a channel.

    priority: x-priority, higher first. no_ack: deliveries count as acknowledged. unacked: deliveries outstanding.
    started: a number that grows with each consumer of the queue. registered: the queue knows the consumer, from
    add_consumer to remove_consumer. ringed: the queue believes that the consumer can take a message. `Consumers`
    maintains these. paused: the consumer gets no messages, and is not chosen as the single active consumer.
    """

    def __init__(
        self,
        queue: "Queue",
        tag: str,
        no_ack: bool = False,
        exclusive: bool = False,
        priority: int = 0,
        arguments: Table | None = None,
    ) -> None:
        self.queue: Queue = queue
        self.tag: str = tag
        self.no_ack: bool = no_ack
        self.exclusive: bool = exclusive
        self.priority: int = priority
        self.arguments: Table = arguments or {}
        self.unacked: int = 0
        self.started: int = 0
        self.registered: bool = False
        self.ringed: bool = False
        self.paused: bool = False

    @abstractmethod
    def can_take(self) -> bool:
        """Whether one more message may be delivered now: prefetch, and room in the connection's output.

        Whoever makes this true again calls `queue.offer(consumer)`.
        """

    @abstractmethod
    def has_one_left(self) -> bool:
        """Whether one more delivery uses up what may be outstanding."""

    def pause(self) -> None:
        """Stop deliveries until `resume`."""
        self.paused = True

    def resume(self) -> None:
        """Allow deliveries again. The caller then calls `queue.offer(consumer)`."""
        self.paused = False

    @abstractmethod
    def deliver(self, entry: "Entry") -> None:
        """Deliver for acknowledgement; whoever settles the entry counts `unacked` down again."""

    @abstractmethod
    def hand(self, message: "Message", acquired_count: int, delivery_count: int) -> None:
        """Deliver to a no-ack consumer; nothing is left to settle. The counts are as in Entry."""

    @abstractmethod
    def info(self, active: bool, activity_status: str) -> "ConsumerInfo":
        """The consumer at present; what the queue thinks of it is given."""

    @abstractmethod
    def cancelled(self) -> None:
        """The queue is gone: the consumer has been removed without being asked (basic.cancel to the client)."""
