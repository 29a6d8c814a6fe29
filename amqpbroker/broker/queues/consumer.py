"""The consumer interface, which a queue delivers to."""

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
    add_consumer to remove_consumer. ringed: the queue believes that the consumer can take a message. `Outstanding`
    counts unacked, `Consumers` maintains the others. paused: the consumer gets no messages, and is not chosen as the
    single active consumer.
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
        """Return whether prefetch and output buffer allow one more delivery now.

        A caller that makes this true again calls `queue.offer(consumer)`.
        """

    @abstractmethod
    def has_one_left(self) -> bool:
        """Return whether one more delivery reaches the prefetch."""

    def pause(self) -> None:
        """Stop deliveries until `resume`."""
        self.paused = True

    def resume(self) -> None:
        """Allow deliveries again. The caller then calls `queue.offer(consumer)`."""
        self.paused = False

    def settings_changed(self) -> None:  # noqa: B027 - few kinds of consumers depend on settings
        """Called when the settings of the queue have changed, because of a policy."""

    @abstractmethod
    def deliver(self, entry: "Entry") -> None:
        """Deliver a message for acknowledgement. `Outstanding` has counted the delivery."""

    def deliver_frames(self, entry: "Entry", address: bytes, frames: bytes, size: int) -> bool:
        """Deliver a message that is stored as content frames, without an object of it; return whether this was done.

        If not, the caller makes the message and calls `deliver`. address, size: as in Message.
        """
        return False

    @abstractmethod
    def hand(self, message: "Message", acquired_count: int, delivery_count: int) -> None:
        """Deliver a message to a no-ack consumer, which settles it. The counts are as in Entry."""

    @abstractmethod
    def info(self, active: bool, activity_status: str) -> "ConsumerInfo":
        """Describe the consumer. The queue supplies `active` and `activity_status`."""

    @abstractmethod
    def cancelled(self) -> None:
        """Notify the client (basic.cancel) that the consumer was removed, because the queue is deleted."""
