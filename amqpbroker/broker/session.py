"""The session seam: what the broker may ask of a connection."""

from abc import ABCMeta, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol

from amqpbroker.broker.stats import CONNECTION_COUNTERS, Counted, MessageStats
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Table

if TYPE_CHECKING:
    from amqpbroker.broker.rates import Sample
    from amqpbroker.broker.users import User
    from amqpbroker.broker.vhost import Vhost


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """A connection as the management API shows it, under RabbitMQ's names.

    host, port: the broker's end. channels: how many are open. connected_at: milliseconds since the epoch. timeout: the
    heartbeat, in seconds. state: running, blocking (an alarm is on), blocked (by it), flow (by the disk), closing.
    """

    name: str
    user_provided_name: str | None
    user: str
    user_who_performed_action: str
    vhost: str
    host: str
    port: int
    peer_host: str
    peer_port: int
    state: str
    channels: int
    auth_mechanism: str
    client_properties: Table
    connected_at: int
    channel_max: int
    frame_max: int
    timeout: int
    recv_oct: int
    recv_cnt: int
    send_oct: int
    send_cnt: int
    send_pend: int
    ssl: bool
    ssl_protocol: str | None = None
    ssl_key_exchange: str | None = None
    ssl_cipher: str | None = None
    ssl_hash: str | None = None
    peer_cert_subject: str | None = None
    peer_cert_issuer: str | None = None
    peer_cert_validity: str | None = None
    protocol: str = "AMQP 0-9-1"
    type: str = "network"


@dataclass(frozen=True, slots=True)
class ChannelInfo:
    """A channel as the management API shows it, under RabbitMQ's names.

    idle_since: milliseconds since the epoch, to within a sample; None while something happens. counted: what `Rates`
    knows the channel as.
    """

    name: str
    number: int
    connection: str
    peer_host: str
    peer_port: int
    user: str
    user_who_performed_action: str
    vhost: str
    state: str
    confirm: bool
    transactional: bool
    consumer_count: int
    prefetch_count: int
    global_prefetch_count: int
    messages_unacknowledged: int
    messages_unconfirmed: int
    messages_uncommitted: int
    acks_uncommitted: int
    message_stats: MessageStats
    idle_since: int | None
    counted: Counted = field(repr=False)


@dataclass(frozen=True, slots=True)
class ConsumerInfo:
    """A consumer as the management API shows it, under RabbitMQ's names.

    channel_name, channel_number, connection_name, peer_host, peer_port, user: its `channel_details`. activity_status:
    up, single_active, or waiting to be that. consumer_timeout: in milliseconds, 0 for none.
    """

    queue: str
    vhost: str
    consumer_tag: str
    ack_required: bool
    exclusive: bool
    prefetch_count: int
    active: bool
    activity_status: str
    arguments: Table
    consumer_timeout: int
    connection_name: str
    channel_name: str
    channel_number: int
    peer_host: str
    peer_port: int
    user: str


class Synced(Protocol):
    """Whoever waits for the store in `Broker.awaiting_sync`."""

    def synced(self) -> None:
        """The store has come further; called once for each time it was put there."""


class Session(metaclass=ABCMeta):
    """One client connection as the domain sees it: an owner of exclusive queues, and something to close.

    user, vhost: who opened it and where, once it is open.
    """

    counter_names: ClassVar[tuple[str, ...]] = CONNECTION_COUNTERS
    user: "User"
    vhost: "Vhost"

    def __init__(self) -> None:
        self.sample: Sample | None = None

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
