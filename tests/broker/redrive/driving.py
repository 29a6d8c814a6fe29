"""Parts of tests of redrives: queues with dead letters, and tasks on a clock that is moved by hand."""

from collections.abc import Callable
from typing import Any

from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.redrive.options import RedriveOptions
from amqpbroker.broker.redrive.redrive import Redrive
from amqpbroker.broker.users.permissions import Grant, Permissions
from amqpbroker.broker.vhost import Vhost
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import clock_of, declare, get


def allowed(write: str = ".*", read: str = ".*") -> Permissions:
    permissions = Permissions("guest", "/")
    permissions.grant(Grant(".*", write, read))
    return permissions


def started(queue: Queue, permissions: Callable[[], Permissions | None] = allowed, **options: Any) -> Redrive:
    """Start a redrive, which does nothing before the clock moves."""
    assert isinstance(queue, LocalQueue)
    vhost = queue.vhost
    assert isinstance(vhost, Vhost)
    return vhost.redrives.start(vhost, queue, RedriveOptions(**options), permissions, "guest")


def redrive(queue: Queue, **options: Any) -> Redrive:
    """Redrive a queue until nothing happens at the present time."""
    task = started(queue, **options)
    assert isinstance(queue, LocalQueue)
    queue.vhost.clock.advance(0)  # type: ignore[attr-defined]
    return task


def work_with_dlq(vhost: Vhost, dlq: dict[str, Any] | None = None, **arguments: Any) -> tuple[LocalQueue, LocalQueue]:
    """Return a queue "work" and its dead letter queue "dlq"."""
    graves = declare(vhost, "dlq", **(dlq or {}))
    arguments = {"dead_letter_exchange": "", "dead_letter_routing_key": "dlq", **arguments}
    return declare(vhost, "work", **arguments), graves


def message(body: bytes, key: str = "work", exchange: str = "", expiration_ms: int = -1, **headers: Any) -> Message:
    """Return a message with these headers, each a Field or text."""
    properties: dict[str, Any] = {}
    if headers:
        properties["headers"] = {
            name: value if isinstance(value, Field) else longstr(value) for name, value in sorted(headers.items())
        }
    if expiration_ms >= 0:
        properties["expiration"] = b"%d" % expiration_ms
    made = Message(encode_address(exchange, key.encode()), encode_properties(properties), body)
    made.undecoded = True
    made.expiration_ms = expiration_ms
    return made


def kill(queue: LocalQueue, *messages: Message | bytes) -> None:
    """Publish messages, and reject each."""
    for each in messages:
        assert queue.publish(message(each, queue.name) if isinstance(each, bytes) else each)
        queue.reject([get(queue)])


def advance(vhost: Vhost, ms: int) -> None:
    clock_of(vhost).advance(ms)
