"""Deliveries and deaths of the copies of a job."""

from amqpbroker.broker.jobs.job import Place
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.ledger import REJECTED
from amqpbroker.message.message import Copy, Message
from amqpbroker.wire.raw_headers import find_header, value_end


def attempts_of(place: Place, copy: Copy, reason: str) -> int:
    """Return the number of deliveries of a copy that leaves its place. reason: of its death, if it dies."""
    # The entry does not count the delivery that ends with the rejection.
    return max(0, place.earlier + entry_count(copy) + (reason == REJECTED))


def entry_count(copy: Copy) -> int:
    """Return the number of deliveries that the entry of a copy counts; 0 for a copy that is no entry."""
    return max(copy.acquired_count, 0) if isinstance(copy, Entry) else 0


def deaths_of(message: Message) -> bytes:
    """Return the encoded value of the x-death header, empty if there is none."""
    properties = message.properties
    at = find_header(properties, b"x-death")
    return properties[at : value_end(properties, at)] if at else b""
