"""Choice of the class of a queue on this node."""

from typing import Any

from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.deduplicating_queue import DeduplicatingQueue
from amqpbroker.broker.queues.groups.queue import GroupQueue, group_parts
from amqpbroker.broker.queues.host import Host
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.last_value.queue import LastValueQueue
from amqpbroker.broker.queues.local_parts import LocalParts
from amqpbroker.broker.queues.local_queue import LocalQueue


def make_local_queue(
    parts: LocalParts, kind: Kind, vhost: Host, name: str, settings: QueueSettings, *rest: Any
) -> LocalQueue:
    """Return a new local queue with these settings. rest: the other parameters of `LocalQueue`."""
    queue: type[LocalQueue] = LocalQueue
    if settings.deduplication is not None:
        queue = DeduplicatingQueue
    elif settings.last_value is not None:
        queue = LastValueQueue
    elif settings.groups is not None:
        queue, parts = GroupQueue, group_parts(parts)
    return queue(parts, kind, vhost, name, settings, *rest)
