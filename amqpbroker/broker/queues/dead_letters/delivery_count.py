"""Headers with the number of earlier deliveries of a message, if the kind of queue counts them (rabbit_fifo_client)."""

from typing import Final

from amqpbroker.broker.queues.queue import Queue
from amqpbroker.compat import Compat
from amqpbroker.message.message import Message
from amqpbroker.octets import BytesWriter, write_i64_be
from amqpbroker.wire.property_edit import set_headers

# Names of headers: length, name, type of the value.
_ACQUIRED_COUNT: Final = b"\x10x-acquired-countl"
_DELIVERY_COUNT: Final = b"\x10x-delivery-countl"


def counted(message: Message, queue: Queue, acquired_count: int, delivery_count: int, compat: Compat) -> Message:
    """Return the message as `queue` delivers it.

    If the kind of queue counts, the counts (as in Entry) are headers (long).

    The headers are x-delivery-count, unless it is 0, and x-acquired-count, the number of all returns, if
    x-delivery-count counts failures only. After a restart of the broker x-acquired-count starts again at the number of
    failures.
    """
    if not queue.counts_returns:
        return message
    counts = BytesWriter()
    if compat.counts_only_failures and acquired_count > 0:
        counts.write(_ACQUIRED_COUNT)
        write_i64_be(counts, max(acquired_count, delivery_count))
    if delivery_count:
        counts.write(_DELIVERY_COUNT)
        write_i64_be(counts, delivery_count)
    if not len(counts):
        return message
    return message.rewritten(message.address, set_headers(message.properties, counts.getvalue()))
