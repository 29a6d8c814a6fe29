"""A queue as the management API shows it."""

from typing import NamedTuple


class QueueInfo(NamedTuple):
    """The present state of a queue, under RabbitMQ's names; what it was declared as is in the queue itself.

    message_bytes_*: octets of bodies. *_ram: in memory. messages_paged_out: those that are not. message_bytes_ram,
    message_bytes_paged_out, message_bytes_persistent: estimates, exact where all messages are of a size. memory: in
    octets, an estimate. idle_since: milliseconds since the epoch, to within a sample; None while something happens.
    consumer_capacity: which part of the time consumers could take more, 0 to 1; also known as consumer_utilisation.
    single_active_consumer_tag: of a quorum queue's first consumer too, where all of them are active (rabbit_fifo.erl).
    head_message_timestamp: seconds since the epoch, as the publisher said; None if it did not or the head is paged out.
    """

    state: str
    consumers: int
    consumer_capacity: float
    single_active_consumer_tag: str | None
    exclusive_consumer_tag: str | None
    messages: int
    messages_ready: int
    messages_unacknowledged: int
    messages_persistent: int
    messages_ram: int
    messages_ready_ram: int
    messages_unacknowledged_ram: int
    messages_paged_out: int
    message_bytes: int
    message_bytes_ready: int
    message_bytes_unacknowledged: int
    message_bytes_persistent: int
    message_bytes_ram: int
    message_bytes_paged_out: int
    head_message_timestamp: int | None
    memory: int
    idle_since: int | None
