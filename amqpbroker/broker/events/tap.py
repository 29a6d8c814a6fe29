"""The tap: whoever looks on as messages come and go, and as clients are refused."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from amqpbroker.errors import AmqpError
    from amqpbroker.message.message import Message


class Via(NamedTuple):
    """Where something was done: the connection's name, the number of its channel (0 for none), and the user's name."""

    connection: str
    channel: int
    user: str


def over_http(user: str) -> Via:
    """Of the HTTP API, where RabbitMQ has a connection for each request."""
    return Via("HTTP", 1, user)


class TappedDestination(Protocol):
    """A queue, or another destination of messages. It has no name if it only holds messages back."""

    @property
    def name(self) -> str: ...


class TappedVhost(Protocol):
    """A vhost, as far as taps use it."""

    @property
    def name(self) -> str: ...
    def publish_to(self, queue: str, message: "Message") -> None: ...


class Tap(metaclass=ABCMeta):
    """One that looks on. `Broker.tap` sets it; while a vhost has none, nothing is asked for any message.

    It is called in the middle of things, so it may only remember: whatever changes anything in the broker has to wait,
    as for a timer.
    """

    @abstractmethod
    def published(
        self, vhost: TappedVhost, message: "Message", destinations: Sequence[TappedDestination], via: Via
    ) -> None:
        """A client's message is about to go to these, or nowhere; in a transaction if it is committed."""

    @abstractmethod
    def delivered(self, vhost: TappedVhost, message: "Message", queue: str, redelivered: bool, via: Via) -> None:
        """A message goes to a client, as it is sent: to a consumer, or because it asked for one."""

    def refused(self, vhost: TappedVhost, error: "AmqpError", via: Via) -> None:  # noqa: B027 - most do not care
        """A client did something that closes its channel or, by the scope of the error, its connection."""
