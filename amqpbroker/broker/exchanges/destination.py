"""The seam for destinations of messages: queues and others that an exchange routes to."""

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Binding
    from amqpbroker.message.message import Message


@mypyc_attr(allow_interpreted_subclasses=True)
class Destination(metaclass=ABCMeta):
    """Queue, or another destination of messages (held delayed messages, a direct reply-to consumer).

    closed: the destination is deleted; nothing is published to it any more. instant: the destination keeps no messages,
    so a publish is confirmed as if it had reached no queue.
    """

    instant: bool = False

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.closed: bool = False

    @abstractmethod
    def publish(self, message: "Message") -> bool:
        """Take responsibility for the message. False when it is refused (reject-publish), which nacks the publish."""

    def refuses(self, count: int, size: int) -> bool:
        """Whether `publish` might refuse any of so many messages with so many octets of bodies."""
        return False


@mypyc_attr(allow_interpreted_subclasses=True)
class BindingDestination(Destination):
    """Destination that bindings lead to: a queue.

    durable: it outlives the broker. incoming: the bindings that lead to it.
    """

    def __init__(self, name: str, durable: bool = False) -> None:
        super().__init__(name)
        self.durable: bool = durable
        self.incoming: dict[Binding, None] = {}
