"""The x-delivery-count header, which quorum queues add to what they deliver again (rabbit_quorum_queue)."""

from amqpbroker.broker.message import Message
from amqpbroker.broker.queue import Queue
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field


def counted(message: Message, queue: Queue, count: int) -> Message:
    """The message as `queue` delivers it after `count` returns: a quorum queue's with `x-delivery-count` (long)."""
    if not count or queue.settings.queue_type != "quorum":
        return message
    properties = decode_properties(message.properties)
    headers = dict(properties.get("headers", {}))
    headers["x-delivery-count"] = Field("l", count)
    properties["headers"] = {name: headers[name] for name in sorted(headers)}
    return Message(message.address, encode_properties(properties), message.body)
