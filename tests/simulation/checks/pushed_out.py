"""Messages that a restart drops from queues with a length limit, because unacknowledged ones are requeued.

Only a queue that drops its head may lose messages: no more than necessary, and none that it dead-letters.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from amqpbroker.broker.queues.local_queue import LocalQueue
from tests.simulation.parts import queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: See `restart`.
Dump = dict[tuple[Any, ...], dict[str, Any]]


def crowded(process: "BrokerProcess") -> list[LocalQueue]:
    """Return the queues that may drop messages at a restart."""
    return [queue for queue in queues(process) if queue.unacked_count > 0 and _drops(queue)]


def is_unknown(queue: LocalQueue) -> bool:
    """Return whether the fate of messages that a crowded queue drops is unknown."""
    if queue.settings.dead_letter_exchange is None:
        return False
    heir = _heir(queue)
    return heir is None or heir.settings.dead_letter_exchange is not None or _drops(heir)


def faults(before: Dump, after: Dump, queue: LocalQueue, process: "BrokerProcess") -> Iterator[str]:
    """Yield errors in the messages that a crowded queue has dropped, and remove them from both dumps.

    process: the broker that has started.
    """
    key = _key(queue)
    dropped = {each: len(before[each]["body"]) for each in before if each[:3] == key and each not in after}
    if not dropped:
        return
    sizes = [len(after[each]["body"]) for each in after if each[:3] == key]
    settings = queue.settings
    is_full = 0 <= settings.max_length <= len(sizes)
    if not is_full and not 0 <= settings.max_length_bytes < sum(sizes) + max(dropped.values()):
        yield f"{queue.name} has dropped {len(dropped)} messages, and {len(sizes)} are left"
    heir = _heir(queue)
    letters = set()
    if heir is not None:
        # A quorum queue may have transient messages, too, whose dead letters are not stored.
        there = process.broker.vhosts[heir.vhost.name].queues[heir.name]
        assert isinstance(there, LocalQueue)
        letters = {entry.message.body for entry in there.ready_entries()}
    for each in dropped:
        body = before.pop(each)["body"]
        if heir is None:
            continue
        if body not in letters:
            yield f"{' '.join(map(str, each))} is neither there nor a dead letter"
        for new in [one for one in after if one[:3] == _key(heir) and one not in before and after[one]["body"] == body]:
            del after[new]


def _drops(queue: LocalQueue) -> bool:
    settings = queue.settings
    return settings.overflow == "drop-head" and (settings.max_length >= 0 or settings.max_length_bytes >= 0)


def _heir(queue: LocalQueue) -> LocalQueue | None:
    """Return the queue that gets its dead letters, None if there is none, or no single one."""
    settings = queue.settings
    if settings.dead_letter_exchange != "" or settings.dead_letter_routing_key is None:
        return None
    heir = queue.vhost.queues.get(settings.dead_letter_routing_key.decode())
    return heir if isinstance(heir, LocalQueue) and heir.durable else None


def _key(queue: LocalQueue) -> tuple[str, str, str]:
    return "message", queue.vhost.name, queue.name
