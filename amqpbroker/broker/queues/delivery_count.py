"""Headers that tell how often a queue has delivered a message before, if its kind counts (rabbit_fifo_client)."""

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
    """Return the message as `queue` delivers it, with counts as in Entry, as headers (long) if its kind counts.

    The headers are x-delivery-count, unless it is 0, and, if only failures count, x-acquired-count, the number of all
    returns. After a restart of the broker x-acquired-count starts again at the number of failures.
    """
    if not queue.counts_returns:
        return message
    counts = BytesWriter()
    if compat.counts_only_failures and acquired_count:
        counts.write(_ACQUIRED_COUNT)
        write_i64_be(counts, max(acquired_count, delivery_count))
    if delivery_count:
        counts.write(_DELIVERY_COUNT)
        write_i64_be(counts, delivery_count)
    if not len(counts):
        return message
    return message.rewritten(message.address, set_headers(message.properties, counts.getvalue()))
