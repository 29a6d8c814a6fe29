"""Offsets that a stream remembers for its consumers."""

from typing import Any

from amqpbroker.broker.queues.streams.queue import StreamQueue
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource
from amqpbroker.management.routes.messages import may_read


def offsets(call: Call) -> list[dict[str, Any]]:
    """Return the offsets by consumer tag, each with the time of its last change in milliseconds (Unix)."""
    stream = _existing(call)
    may_read(call)
    found = sorted(stream.tracking().all(), key=lambda stored: stored.consumer)
    return [{"consumer": stored.consumer, "offset": stored.offset, "updated_at": stored.updated_ms} for stored in found]


def remove(call: Call) -> Answer:
    """Remove the offset of a consumer that is not running."""
    stream, tag = _existing(call), call.path["consumer"]
    may_read(call)
    tracking = stream.tracking()
    if tracking.is_running(tag):
        raise failure.ApiError(409, "conflict", f"consumer '{tag}' of stream '{stream.name}' is running: cancel it")
    if not tracking.remove(tag):
        raise failure.not_found()
    return NO_CONTENT


def _existing(call: Call) -> StreamQueue:
    """Return the stream of the path. Raises ApiError 404, also if extensions are off."""
    found = call.vhost.queues.get(call.path["name"])
    if not isinstance(found, StreamQueue) or not call.broker.config.compat.extensions:
        raise failure.not_found()
    return found


RESOURCES = (
    Resource("/queues/{vhost}/{name}/offsets", Access.VHOST, get=offsets),
    Resource("/queues/{vhost}/{name}/offsets/{consumer}", Access.VHOST, delete=remove),
)
