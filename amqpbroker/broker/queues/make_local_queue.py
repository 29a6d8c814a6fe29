"""Creation of queues on this node."""

from amqpbroker.broker.queues.deduplicating_queue import DeduplicatingQueue
from amqpbroker.broker.queues.host import Host
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.last_value_queue import LastValueQueue
from amqpbroker.broker.queues.local_parts import LocalParts
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.settings import QueueSettings
from amqpbroker.wire.values import Table


def make_local_queue(
    parts: LocalParts,
    kind: Kind,
    vhost: Host,
    name: str,
    settings: QueueSettings,
    durable: bool = False,
    auto_delete: bool = False,
    owner: object | None = None,
    arguments: Table | None = None,
) -> LocalQueue:
    """Return a new local queue with these settings."""
    queue: type[LocalQueue] = LocalQueue
    if settings.deduplication is not None:
        queue = DeduplicatingQueue
    elif settings.last_value is not None:
        queue = LastValueQueue
    return queue(parts, kind, vhost, name, settings, durable, auto_delete, owner, arguments)
