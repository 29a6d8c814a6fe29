"""The session interface: the operations that the broker uses on a connection."""

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Protocol

from amqpbroker.broker.counters.stats import CONNECTION_COUNTERS, Sample
from amqpbroker.broker.infos import ChannelInfo, ConnectionInfo, ConsumerInfo
from amqpbroker.errors import AmqpError

if TYPE_CHECKING:
    from amqpbroker.broker.queues.entry import Entry
    from amqpbroker.broker.queues.queue import Queue
    from amqpbroker.broker.users.users import User
    from amqpbroker.broker.vhost import Vhost


class Synced(Protocol):
    """An object that waits for the store: see `Storage.await_sync`."""

    def synced(self) -> None:
        """Called once for each time that the object was added, when the store has made progress."""


class Session(metaclass=ABCMeta):
    """One client connection as the domain sees it: it owns exclusive queues, and the broker can close it."""

    counter_names: ClassVar[tuple[str, ...]] = CONNECTION_COUNTERS

    def __init__(self) -> None:
        self.sample: Sample | None = None

    @property
    @abstractmethod
    def user(self) -> "User":
        """The user who opened the connection, once it is open."""

    @property
    @abstractmethod
    def vhost(self) -> "Vhost":
        """The vhost of the connection, once it is open."""

    @abstractmethod
    def counters(self) -> tuple[int, ...]:
        """Return the current counters, in the order of `counter_names`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name in RabbitMQ's form: `127.0.0.1:59058 -> 127.0.0.1:5672`."""

    @abstractmethod
    def synced(self) -> None:
        """See Synced."""

    @abstractmethod
    def alarms_changed(self) -> None:
        """Called when an alarm was set or cleared: see `Broker.alarms`."""

    @abstractmethod
    def force_close(self, error: AmqpError) -> None:
        """Close the connection from the broker's side, with connection.close."""

    @abstractmethod
    def renew_lock(self, channel: int, tag: int, timeout_ms: int | None) -> bool:
        """Renew the lock of a delivery on an open channel, or of all for tag 0; return False if there is none.

        timeout_ms: from now on; None for the delivery's timeout again; 0 returns the message to its queue.
        """

    @abstractmethod
    def held(self, queue: "Queue") -> "list[Entry]":
        """Return the messages of a queue that clients hold on its channels, in no particular order."""

    @abstractmethod
    def find_held(self, queue: "Queue", sequence: int) -> "Entry | None":
        """Return the message of a queue with that sequence number, if a client holds it on one of its channels."""

    @abstractmethod
    def info(self) -> ConnectionInfo:
        """Describe the connection."""

    @abstractmethod
    def channel_infos(self) -> list[ChannelInfo]:
        """Describe the open channels, in the order of their numbers."""

    @abstractmethod
    def consumer_infos(self) -> list[ConsumerInfo]:
        """Describe the consumers on the channels."""
