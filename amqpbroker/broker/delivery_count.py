"""The headers with which quorum queues tell how often they have delivered a message before (rabbit_fifo_client)."""

from amqpbroker.broker.message import Message
from amqpbroker.broker.queue import Queue
from amqpbroker.compat import Compat
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field


def counted(message: Message, queue: Queue, acquired_count: int, delivery_count: int, compat: Compat) -> Message:
    """Return the message as `queue` delivers it, with counts as in Entry. A quorum queue adds them as headers (long).

    The headers are x-delivery-count, unless it is 0, and, if only failures count, x-acquired-count, the number of all
    returns. After a restart of the broker x-acquired-count starts again at the number of failures.
    """
    if queue.settings.queue_type != "quorum":
        return message
    counts = {"x-delivery-count": delivery_count} if delivery_count else {}
    if compat.counts_only_failures and acquired_count:
        counts["x-acquired-count"] = max(acquired_count, delivery_count)
    if not counts:
        return message
    properties = decode_properties(message.properties)
    headers = {**properties.get("headers", {}), **{name: Field("l", count) for name, count in counts.items()}}
    properties["headers"] = {name: headers[name] for name in sorted(headers)}
    return Message(message.address, encode_properties(properties), message.body)
