"""The session seam: what the broker may ask of a connection."""

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol

from amqpbroker.broker.counters.stats import CONNECTION_COUNTERS, Sample
from amqpbroker.broker.infos import ChannelInfo, ConnectionInfo, ConsumerInfo
from amqpbroker.errors import AmqpError

if TYPE_CHECKING:
    from amqpbroker.broker.users.users import User
    from amqpbroker.broker.vhost import Vhost


class Synced(Protocol):
    """Whoever waits for the store in `Broker.awaiting_sync`."""

    def synced(self) -> None:
        """The store has come further; called once for each time it was put there."""


class Session(metaclass=ABCMeta):
    """One client connection as the domain sees it: an owner of exclusive queues, and something to close."""

    counter_names: ClassVar[tuple[str, ...]] = CONNECTION_COUNTERS

    def __init__(self) -> None:
        self.sample: Sample | None = None

    @property
    @abstractmethod
    def user(self) -> "User":
        """The user who opened it, once it is open."""

    @property
    @abstractmethod
    def vhost(self) -> "Vhost":
        """The vhost where it was opened, once it is open."""

    @abstractmethod
    def counters(self) -> tuple[int, ...]:
        """The present numbers, in the order of `counter_names`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As RabbitMQ names connections: `127.0.0.1:59058 -> 127.0.0.1:5672`."""

    @abstractmethod
    def synced(self) -> None:
        """See Synced."""

    @abstractmethod
    def alarms_changed(self) -> None:
        """An alarm went on or off: see `Broker.alarms`."""

    @abstractmethod
    def force_close(self, error: AmqpError) -> None:
        """Close from the broker's side, with connection.close."""

    @abstractmethod
    def info(self) -> ConnectionInfo:
        """The connection at present."""

    @abstractmethod
    def channel_infos(self) -> list[ChannelInfo]:
        """Its open channels, by number."""

    @abstractmethod
    def consumer_infos(self) -> list[ConsumerInfo]:
        """The consumers on its channels."""
