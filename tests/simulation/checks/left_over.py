"""Objects, timers and files of a broker at rest: only those that a new broker on the same disk has."""

import gc
import sys
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from anyio._backends._asyncio import _task_states

from amqpbroker.broker.exchanges.deduplicated import MessageIdFilter
from amqpbroker.broker.queues.deduplicating_queue import DeduplicatingQueue
from amqpbroker.broker.queues.expiry import Expiry
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.clock import SystemClock
from amqpbroker.compiled import is_compiled
from tests.simulation import patience
from tests.simulation.broker_process import BrokerProcess
from tests.simulation.checks.rest import WITHIN_NS, busy
from tests.simulation.checks.restart import booted, copied
from tests.simulation.parts import held_messages, queues, streams
from tests.simulation.scheduler import MS, SECOND
from tests.soak.census import census
from tests.soak.rest import balanced, grown, remembered

if TYPE_CHECKING:
    from tests.simulation.world import World

#: A census takes a fifth of the time of a world. It is made in one of this number of worlds.
ONE_OF = 16
#: End of the names of containers in a census.
CONTAINER = "[]"
#: Time for the new broker to complete its start.
REST_NS = 60 * SECOND

#: Rounds of samples after which histories of deleted objects are discarded, with one that has begun before.
ROUNDS = 2

#: Kinds of objects of clients and shovels, of which nothing may be left anywhere.
OF_CLIENTS = ("ClientTransport", "Connection", "Channel", "ChannelConsumer", "Transaction", "Entry", "Link", "Work")

#: Numbers that may be larger than in a new broker, as patterns of attributes: totals since the start, assigned numbers,
#: times, and sums over settings, which equal queues may share. The names of kinds of objects are here as well.
#: Containers are not among them, whatever the patterns say: those that may be larger are in `LARGER`.
SINCE_START = (
    "Churn.queue_created",
    # A queue with a delayed retry creates it with the first delayed message.
    "DelayedMessages*",
    # A queue refers to its policies in force, where a new queue refers to equal ones of others.
    "Effective*",
    "*._started",
    # Numbers of messages that headers exchanges have routed.
    "Condition.met",
    "HeaderIndex._number",
    "_Header.seen",
    "DirectReplies._created_s",
    # Read for the first answer that needs them.
    "StreamQueue._first_*",
    "StreamQueue.acknowledged",
    "StreamQueue.delivered",
    "StreamQueue.published",
    "StreamQueue.timed_out",
    # The number of chunks is needed, and known after a restart, for the newest segment only.
    "StreamSegment.chunks",
    "StreamSegment.indexed",
    "DeadLetters.runs",
    # The number of the last run in which messages returned to closed groups, and their number in it.
    "GroupDispatcher._run",
    "GroupDispatcher._returned",
    # The lead of the wall clock when the last batch was written.
    "Groups.ahead_ms",
    # A priority line creates a line for each priority at its first use.
    "FifoLine*",
    # One is reused for the next.
    "Group",
    # The time of the last departures, and how many there were then.
    "DeferredFree._used*",
    "HeldMessages._sequence",
    "HeldMessages._new_bytes",
    "HeldMessages._*_ms",
    "*Ledger.*",
    "LocalQueue.*",
    "DeduplicatingQueue.*",
    "LastValueQueue.*",
    "GroupQueue.*",
    "MessageIdFilter.dropped",
    # An id whose message was settled in the same batch is not written.
    "Window._sequence",
    "MessageIdRecord.*",
    "Dispatcher.no_ack",
    "*Dispatcher.no_ack",
    "Service.recovered",
    "SystemClock.*",
    # Counted by the check of the journal's files.
    "Journal.segments",
    "LiveEntries*",
    "*Outstanding.returned",
    # The last redrives of a queue are remembered.
    "Redrive*",
    "Pace*",
    # Low memory gives a line another one.
    "QueuePages*",
    # A position in the journal, not a number of objects.
    "Persistence._doubted",
    "QuorumLine._newest",
    # The notes of a queue are numbered, and so are the messages that came back before all others.
    "StoppedGroupRecords._newest",
    "DeadLetterIndex._newest",
    "GroupLedger._lowest",
    "QuorumLine.turn",
    "QueueSettings.*",
    # Created with the first message that cannot be read.
    "ReadRetry*",
    # Counters that were used have samples.
    "History*",
    "Rates.*",
    "Sample*",
    # An HTTP application makes them for its first request.
    "ExceptionMiddleware",
    "ServerErrorMiddleware",
)

#: Containers that may be larger than in a new broker, as patterns of attributes.
LARGER = (
    # Counted by the check of the journal's files. With short segments, a few large records exceed their bound.
    "LiveEntries._*",
    # The newest segment has its file, and exists in a new broker, with its first batch.
    "Journal.segments",
    "LiveEntriesBySegment._segments",
    # See "Effective*".
    "Effective.definition",
    # Each ledger refers to the broker's counts of dead letters, by kind of queue and reason.
    "*Ledger._letter_counts",
    # The queues to which the last dead letter went, replaced by those of the next one.
    "GroupLedger._takers",
    # The last redrives of a queue are remembered, with their options and filters.
    "Redrives._tasks",
    "Redrive.options",
    "RedriveFilter.headers",
    # See "ExceptionMiddleware".
    "ExceptionMiddleware._*_handlers",
    # Made with the first message after a change of the bindings.
    "ConsistentHashType._ends",
    "ConsistentHashType._targets",
    "ModulusHashType._targets",
    # The last of several bindings is still counted, and the tuple of all is created with the first message. A target
    # that is left in either is a queue or an exchange too many.
    "Targets._all",
    "Targets._counts",
)

#: Containers and numbers that may be larger while there are records that compaction may have moved.
MOVED = ("Relocations*", "_Map*", "_Table*", "Segment")


def is_compared(world: "World") -> bool:
    """Return whether this world is compared with a new broker."""
    return not world.chance("census").randrange(ONE_OF)


def alive() -> Counter[str]:
    """Count the broker's objects in this process by their types, which may have any __module__, or none."""
    objects = gc.get_objects()
    return Counter(
        type(each).__name__ for each in objects if str(getattr(type(each), "__module__", "")).startswith("amqpbroker.")
    )


def _has_records(process: "BrokerProcess") -> bool:
    """Return whether the store has records of batches, or of versions of message groups."""
    if any(vhost.batches is not None and len(vhost.batches) for vhost in process.broker.vhosts.values()):
        return True
    return any(isinstance(queue, GroupQueue) and queue.line.groups.notes.count for queue in queues(process))


def check(world: "World") -> None:
    """Compare with a new broker, in some worlds. Raises BrokenError."""
    if not is_compared(world):
        return
    process = world.process
    assert process is not None
    if any(held.count for held in held_messages(process)):
        return  # messages are in memory here, and only on the disk there
    if any(stream.settings.max_age_ms >= 0 or stream.settings.max_length_bytes >= 0 for stream in streams(process)):
        return  # a broker removes messages of streams with limits when it starts
    _remove_what_ends(process)
    if not world.run_until(lambda: not busy(world), WITHIN_NS):
        raise world.broken(f"emptied, the broker does not come to rest: {', '.join(busy(world))}")
    world.run(ROUNDS * process.broker.rates.interval_ms * MS)
    process.store.log.remove_freed()  # a segment that could not be removed stays until the next one is free
    _discard_killed_tasks(process)
    there = alive() - world.alive_before
    disk = copied(world)
    disk.end_process()
    new = booted(world, disk, world.scheduler.now)
    for server in process.http_servers():
        new.process.accept_http(server.listener)
    if process.shovels.parts:
        new.process.shovels.begin()
    new.run(REST_NS)
    before, now = taken(new.process), taken(process)
    new.process.kill()
    disk.release()
    for fault in grown(before, now, _remembered(process)):
        name = fault.split()[0]
        patterns = (*(LARGER if name.endswith(CONTAINER) else SINCE_START), *(MOVED if _has_records(process) else ()))
        if not any(fnmatchcase(name.removesuffix(CONTAINER), pattern) for pattern in patterns):
            raise world.broken(f"left over: {fault}")
    if is_compiled() and world.crashes:
        return  # a thread that is killed within compiled code may leave a reference, until the process ends
    for kind in OF_CLIENTS:
        if there[kind] > now.get(kind, 0):
            raise world.broken(f"{there[kind]} objects of {kind} are alive; the broker has {now.get(kind, 0)}")


def _remembered(process: BrokerProcess) -> dict[str, int]:
    """Return the containers that retain entries on purpose, as patterns of names in the census, with their bounds."""
    broker = process.broker
    vhosts = broker.vhosts.values()
    # The counts of connections are one more object.
    counted = 1 + sum(1 + len(vhost.queues) + len(vhost.exchanges) for vhost in vhosts)
    bounds = broker.config.bounds
    allowed = bounds.permissions * len(broker.users._permissions)
    return {
        **remembered(bounds),
        "Histories._histories[[]]": counted,
        # Objects that were sampled in a round that is not complete.
        "Histories._seen[[]]": counted,
        "Permissions._allowed[[]]": allowed,
    }


def _remove_what_ends(process: BrokerProcess) -> None:
    """Remove everything that ends with a broker: messages, which may be in memory, transient objects, and caches.

    Cleared permissions exist for open connections, which would see new ones; now there are none.
    """
    for stream in streams(process):
        process.store.streams.cache.remove_stream(stream.id)
    for queue in list(queues(process)):
        queue.purge()
        if isinstance(queue, DeduplicatingQueue) and queue.window is not None:
            queue.window.close(queue.vhost.deferred_free)  # it remembers ids of messages that are gone
        if not queue.durable:
            queue.vhost.delete_queue(queue)
    for vhost in process.broker.vhosts.values():
        for name in [name for name, exchange in vhost.exchanges.items() if not exchange.durable]:
            vhost.delete_exchange(name)
        for exchange in vhost.exchanges.values():
            if isinstance(exchange.duplicate_filter, MessageIdFilter):
                exchange.duplicate_filter.window.close(vhost.deferred_free)
    permissions = process.broker.users._permissions
    for key, each in list(permissions.items()):
        if each.grants is None and not each.topic_grants:
            del permissions[key]


def _discard_killed_tasks(process: BrokerProcess) -> None:
    """Collect all garbage, including requests of killed brokers: such a task refers to itself by a table of anyio."""
    table = _task_states
    kept = {task: state for task, state in table.items() if task.get_loop() is process.loop}
    table.clear()
    table.update(kept)
    hook = sys.unraisablehook
    # These tasks are closed without a running loop.
    sys.unraisablehook = lambda _: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook


def taken(process: BrokerProcess) -> dict[str, int]:
    """Return the census of a process, with the timers that will fire."""
    service = process.service
    servers = [part for server in process.http_servers() for part in server.parts]
    shovels = process.shovels.parts
    parts = process.broker, service.clients, process.store, service.timers, service.tick, servers, shovels
    timers = sum(_is_for_something(item[2].callback) for item in process.clock._heap)
    # One call of the loop waits for the earliest timer, also if that is cancelled by now.
    waiting = [handle for _, _, handle in process.loop._timed if not handle.cancelled()]
    calls = max(sum(getattr(handle.callback, "__module__", "") != patience.__name__ for handle in waiting), 1)
    # An attribute that was never set is its class's, which a census leaves out.
    found = balanced({"Persistence.synced": 0, "Persistence.appended": 0} | census(parts))
    return found | {"timers to fire": timers, "calls of the loop": calls + len(process.loop._ready)}


def _is_for_something(callback: Callable[[], None] | None) -> bool:
    """Return whether a timer is needed, unlike one for a message that left its queue before it expired."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, SystemClock):  # it checks for steps after anything has waited by the wall clock
        return False
    return callback is not None and not (isinstance(owner, Expiry) and not owner._ready.count)
