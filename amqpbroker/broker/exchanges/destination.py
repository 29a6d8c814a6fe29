"""The interface of destinations: queues, and other objects that an exchange routes messages to."""

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from amqpbroker.broker.deduplication.foreseen_ids import ForeseenIds
    from amqpbroker.broker.exchanges.exchange import Binding
    from amqpbroker.message.message import Message


@mypyc_attr(allow_interpreted_subclasses=True)
class Demand:
    """Numbers of messages and of bytes by which messages would enlarge a destination, for `Destination.refuses`."""

    def __init__(self, destination: "Destination") -> None:
        self.destination: Destination = destination
        self.count: int = 0
        self.size: int = 0

    def add(self, message: "Message") -> None:
        """Add a message that is published after the earlier ones."""
        count, size = self.destination.demand(message)
        self.count += count
        self.size += size

    def is_refused(self) -> bool:
        """Return whether the destination might refuse any of the messages."""
        return self.destination.refuses(self.count, self.size)


@mypyc_attr(allow_interpreted_subclasses=True)
class Destination(metaclass=ABCMeta):
    """Queue, or another destination of messages (held delayed messages, a direct reply-to consumer).

    closed: the destination is deleted, and nothing is published to it any more. instant: the destination stores no
    messages, so a publish is confirmed as if it had reached no queue.
    """

    instant: bool = False

    def __init__(self, name: str) -> None:
        self.name: str = name
        self.closed: bool = False

    @abstractmethod
    def publish(self, message: "Message") -> bool:
        """Accept the message, or return False if it is refused (reject-publish), which nacks the publish."""

    def publish_moved(self, message: "Message") -> None:
        """Add a message that is moved here from a queue, and that this destination does not refuse."""
        self.publish(message)

    def ends(self) -> "tuple[Destination, ...]":
        """Return the destinations that `publish` passes a message to."""
        return (self,)

    def count_letter(self, message: "Message") -> None:  # noqa: B027 - only queues count them
        """Count a dead letter, which is published next."""

    def demand(self, message: "Message") -> tuple[int, int]:
        """Return the numbers of messages and of bytes by which a message would enlarge it now, for `refuses`."""
        return 1, message.size

    def new_demand(self) -> Demand:
        """Return the demand of a transaction without messages."""
        return Demand(self)

    def will_drop(self, message: "Message", ids: "ForeseenIds") -> bool:
        """Return whether `publish` would drop a message of a transaction as a duplicate; otherwise take its id.

        ids: of the earlier messages of the transaction.
        """
        return False

    def is_duplicate(self, message: "Message") -> bool:
        """Return whether `publish` would drop the message now, because it has accepted one with the same id."""
        return False

    def refuses(self, count: int, size: int) -> bool:
        """Return whether `publish` might refuse any of `count` messages whose bodies have `size` bytes in all."""
        return False


@mypyc_attr(allow_interpreted_subclasses=True)
class BindingDestination(Destination):
    """A destination of bindings: a queue.

    durable: the destination survives a restart. incoming: the bindings to the destination.
    """

    def __init__(self, name: str, durable: bool = False) -> None:
        super().__init__(name)
        self.durable: bool = durable
        self.incoming: dict[Binding, None] = {}
