"""The tap: an interface for observers of published and delivered messages and of errors sent to clients."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from amqpbroker.errors import AmqpError
    from amqpbroker.message.message import Message


class Via(NamedTuple):
    """Origin of an operation: the connection's name, the channel number (0 for none), and the user's name."""

    connection: str
    channel: int
    user: str


def over_http(user: str) -> Via:
    """Return the origin for the HTTP API, where RabbitMQ has a connection for each request."""
    return Via("HTTP", 1, user)


class TappedDestination(Protocol):
    """A queue or another destination of messages. An exchange that holds messages back has no name here."""

    @property
    def name(self) -> str: ...


class TappedVhost(Protocol):
    """The attributes of a vhost that taps use."""

    @property
    def name(self) -> str: ...
    def publish_to(self, queue: str, message: "Message") -> None: ...


class Tap(metaclass=ABCMeta):
    """An observer, set by `Broker.tap`. A vhost without one does no work for taps.

    It is called in the middle of operations, so it may only record: it must defer everything that changes the broker,
    for example to a timer.
    """

    @abstractmethod
    def published(
        self, vhost: TappedVhost, message: "Message", destinations: Sequence[TappedDestination], via: Via
    ) -> None:
        """Called before a client's message is routed to these destinations, or to none.

        In a transaction, it is called at the commit.
        """

    @abstractmethod
    def delivered(self, vhost: TappedVhost, message: "Message", queue: str, redelivered: bool, via: Via) -> None:
        """Called when a message is sent to a client, for a consumer or for basic.get."""

    def refused(self, vhost: TappedVhost, error: "AmqpError", via: Via) -> None:  # noqa: B027 - most do not care
        """Called when an error closes a client's channel or, if the error has that scope, its connection."""
