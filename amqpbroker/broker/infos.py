"""Connections, channels, consumers and queues as the management API shows them, under RabbitMQ's names."""

from typing import NamedTuple

from amqpbroker.broker.counters.stats import Counted, MessageStats
from amqpbroker.wire.values import Table


class ConnectionInfo(NamedTuple):
    """A connection as the management API shows it, under RabbitMQ's names.

    host, port: the broker's end. channels: number of open channels. connected_at: milliseconds since the epoch.
    timeout: the heartbeat, in seconds. state: running, blocking (an alarm is on), blocked (by the alarm), flow
    (throttled by the disk), closing.
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


class ChannelInfo(NamedTuple):
    """A channel as the management API shows it, under RabbitMQ's names.

    idle_since: milliseconds since the epoch, accurate to one sample interval; None while the channel is in use.
    counted: the object under which `Rates` samples the channel. user_provided_name: the client's name for its
    connection, None if it has none.
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
    counted: Counted
    user_provided_name: str | None = None


class ConsumerInfo(NamedTuple):
    """A consumer as the management API shows it, under RabbitMQ's names.

    channel_name, channel_number, connection_name, peer_host, peer_port, user, user_provided_name: the
    `channel_details`; the last one is the client's name for its connection, None if it has none. activity_status: up,
    single_active or waiting. consumer_timeout: in milliseconds, 0 for none. consumer_timeout_action: None if deliveries
    have no lock, or without extensions.
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
    user_provided_name: str | None = None
    consumer_timeout_action: str | None = None


class QueueInfo(NamedTuple):
    """Present state of a queue, under RabbitMQ's names; the queue itself has the properties of its declaration.

    message_bytes_*: bytes of bodies. *_ram: in memory. messages_paged_out: messages not in memory. message_bytes_ram,
    message_bytes_paged_out, message_bytes_persistent: estimates, exact if all messages have the same size. memory: in
    bytes, an estimate. idle_since: milliseconds since the epoch, accurate to one sample interval; None while the queue
    is in use. consumer_capacity: fraction of the time in which consumers could take more, 0 to 1; also known as
    consumer_utilisation. single_active_consumer_tag: also set to a quorum queue's first consumer if all of its
    consumers are active (rabbit_fifo.erl). head_message_timestamp: seconds since the epoch, as set by the publisher;
    None if not set or if the head is paged out. messages_by_priority: number of ready messages of each priority,
    without returned ones, for a quorum queue in RabbitMQ 4.3. messages_delayed, next_delayed_at, last_delayed_at:
    number of returned messages that are delayed, and the times when the first and the last of these will be ready
    (milliseconds since the epoch). messages and message_bytes_ready include delayed messages. delayed_retry: the delay
    settings of a quorum queue in RabbitMQ 4.3. groups, groups_parked, groups_closed: number of message groups with a
    key, and of those that are stopped. messages_parked: waiting messages of parked groups. segments: files of a stream.
    stored_bytes: their size. first_timestamp: when the oldest message of a stream was stored, in milliseconds since the
    epoch; None if there is none, or in releases of RabbitMQ that do not show it. first_offset, last_offset: of the
    oldest and newest message of a stream, if extensions are on; last_offset is None if there is no message. last_chunk:
    offset of the first message of the last chunk, None as last_offset. offset_lag:
    number of messages that the slowest consumer of a stream has not read, None without consumers.
    The defaults are those of a queue without messages and consumers.
    """

    state: str = "running"
    consumers: int = 0
    consumer_capacity: float = 0.0
    single_active_consumer_tag: str | None = None
    exclusive_consumer_tag: str | None = None
    messages: int = 0
    messages_ready: int = 0
    messages_unacknowledged: int = 0
    messages_persistent: int = 0
    messages_ram: int = 0
    messages_ready_ram: int = 0
    messages_unacknowledged_ram: int = 0
    messages_paged_out: int = 0
    message_bytes: int = 0
    message_bytes_ready: int = 0
    message_bytes_unacknowledged: int = 0
    message_bytes_persistent: int = 0
    message_bytes_ram: int = 0
    message_bytes_paged_out: int = 0
    head_message_timestamp: int | None = None
    memory: int = 0
    idle_since: int | None = None
    messages_by_priority: dict[int, int] | None = None
    messages_delayed: int = 0
    next_delayed_at: int | None = None
    last_delayed_at: int | None = None
    delayed_retry: str | None = None
    groups: int = 0
    groups_parked: int = 0
    groups_closed: int = 0
    messages_parked: int = 0
    segments: int = 0
    stored_bytes: int = 0
    first_timestamp: int | None = None
    first_offset: int | None = None
    last_offset: int | None = None
    last_chunk: int | None = None
    offset_lag: int | None = None
