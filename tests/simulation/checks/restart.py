"""Restarts of a broker whose disk is up to date: the next one restores the same objects and the same messages.

They are made on copies of the disk, so that the world is not affected.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amqpbroker.broker.durable import is_durable
from amqpbroker.broker.exchanges.exchange import Binding
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.last_value.queue import LastValueQueue
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.management.definitions.export import exported
from amqpbroker.message.message import Copy
from tests.simulation.alone import Alone
from tests.simulation.broker_process import BrokerProcess
from tests.simulation.checks.pushed_out import crowded, faults, is_unknown
from tests.simulation.disk import Disk
from tests.simulation.parts import channels, delayed_exchanges, queues, streams
from tests.simulation.scheduler import SECOND

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Time until everything is on the disk, at most, or until something more is: there may be thousands of batches, and a
#: batch may need a thousand segments.
WITHIN_NS = 60 * SECOND
#: The same in all, in such times.
MOST_TIMES = 10

#: Time that a start may take.
START_NS = 60 * SECOND

#: Due time of a delayed message that is not in the store.
NOT_STORED = -1

#: Facts by the names of objects of a broker, such as ("message", "/", "queue", 3). A frozenset has all possible values.
Dump = dict[tuple[Any, ...], dict[str, Any]]


def check(world: "World") -> None:
    """Compare what a kill, a power cut or an orderly stop leaves with what is there now. Raises BrokenError."""
    for _ in range(MOST_TIMES):
        sizes = _sizes(world)
        if world.run_until(lambda: _is_synced(world), WITHIN_NS) or _sizes(world) == sizes:
            break
    if not _is_synced(world):
        raise world.broken("not everything comes to the disk")
    process = world.process
    assert process is not None
    full = crowded(process)
    if any(is_unknown(queue) for queue in full) or have_following(process):
        return
    before, exceeding = dump(process, live=True), _exceeding(process)
    how = world.chance(f"restart at {world.scheduler.now}").choice(("kill", "power cut", "stop"))
    disk = copied(world)
    if how == "power cut":
        disk.cut_power()
    else:
        disk.end_process()
    after = booted(world, disk)
    found = dump(after.process, live=False)
    everything = set(found)
    lost = [fault for queue in full for fault in faults(before, found, queue, after.process)]
    if how == "stop" and not lost:
        # Dead letters of transient messages end here.
        letters = everything - set(found)
        after.stop()
        disk.end_process()
        after = booted(world, disk)
        found = {key: facts for key, facts in dump(after.process, live=False).items() if key not in letters}
    after.process.kill()
    disk.release()
    for key in [key for key in before if key[0] == "message"]:
        # The copied broker has not ended in order, or the one before the stopped one has not.
        before[key]["flag of redelivery"] = True
    for facts in before, found:
        for key in [key for key in facts if key[0] == "offset" and key[1:3] in exceeding]:
            del facts[key]
    for fault in (*lost, *differences(before, found)):
        raise world.broken(f"after a {how} {fault}")


def _sizes(world: "World") -> dict[Path, int]:
    """Return the sizes of the files, which change while the broker writes."""
    return {path: len(content) for path, content in world.disk.contents.items()}


def _is_synced(world: "World") -> bool:
    """Return whether everything that must be stored is durable, and no operation is in progress."""
    process = world.process
    if process is None or process.stopping or not process.loop.is_between_iterations:
        return False
    store = process.store
    pending = has_unstored_offsets(process) or store._is_due or store.writer.is_busy or store.appended > store.synced
    return not pending and not world.disk.has_unsynced_definitions


def have_following(process: BrokerProcess) -> bool:
    """Return whether messages of closed groups wait to follow, which some of them do when a broker starts."""
    return any(isinstance(queue, GroupQueue) and queue.line.groups.following for queue in queues(process))


def copied(world: "World") -> Disk:
    """Return another disk with the same data."""
    return world.disk.copied(world.chance("copied disk"))


def booted(world: "World", disk: Disk, now: int = 0) -> Alone:
    """Return a broker on this disk.

    now: its time. At the beginning of the world nothing has expired, by a wall clock that is as late as it ever was,
    and that leaves time to read the disk.
    """
    behind = 0 if now else world.time.most_behind + START_NS
    return Alone(world.config, disk, world.chance("copied broker"), now, behind)


def differences(before: Dump, after: Dump) -> Iterator[str]:
    """Yield everything that is missing, superfluous, or different."""
    for key in before.keys() - after.keys():
        yield f"{shown(key)} is missing"
    for key in after.keys() - before.keys():
        yield f"{shown(key)} is there"
    for key, value in before.items():
        for name, fact in value.items() if key in after else ():
            found = after[key][name]
            if found != fact and not (isinstance(fact, frozenset) and found in fact):
                yield f"{shown(key)} has another {name}"


def shown(key: tuple[Any, ...]) -> str:
    """Return the name of an object for errors."""
    return " ".join(map(str, key))


def dump(process: BrokerProcess, live: bool) -> Dump:
    """Return everything that survives a broker. live: omit transient objects, and count held messages as requeued."""
    with process.disk.observed():
        return {
            **_definitions(process),
            **_messages(process, live),
            **_held(process, live),
            **_groups(process),
            **_streams(process),
            **_offsets(process),
            **_batches(process),
        }


def _definitions(process: BrokerProcess) -> Dump:
    found: Dump = {}
    document = exported(process.broker)
    for section in ("users", "vhosts", "permissions", "topic_permissions", "parameters", "policies"):
        rows = document[section]
        for each in rows.objects:
            found[section, repr(rows.row(each))] = {}
    found["global parameters",] = {"value": document["global_parameters"]}
    for vhost in process.broker.vhosts.values():
        for queue in vhost.queues.values():
            if queue.durable and queue.owner is None:
                found["queue", vhost.name, queue.name] = {
                    "kind": queue.kind.name,
                    "end": queue.auto_delete,
                    "table of arguments": repr(queue.arguments),
                    "size of segments": queue.segment_bytes,
                }
        for exchange in vhost.exchanges.values():
            if exchange.durable:
                found["exchange", vhost.name, exchange.name] = {
                    "type": exchange.type.name,
                    "end": exchange.auto_delete,
                    "use": exchange.internal,
                    "table of arguments": repr(exchange.arguments),
                }
            for binding in exchange.live_bindings():
                if is_durable(binding):
                    found["binding", vhost.name, *_binding(binding)] = {}
    return found


def _binding(binding: Binding) -> tuple[str, ...]:
    ends = binding.source.name, type(binding.destination).__name__, binding.destination.name
    return *ends, binding.routing_key, repr(binding.arguments)


def _messages(process: BrokerProcess, live: bool) -> Dump:
    """Return the stored messages of each queue by position."""
    found: Dump = {}
    pending = _pending_dues(process) if live else {}
    unacked: dict[LocalQueue, list[Entry]] = {}
    for channel in channels(process):
        for entry in channel.unacked.held():
            if isinstance(entry.queue, LocalQueue):
                unacked.setdefault(entry.queue, []).append(entry)
    for queue in queues(process):
        if not queue.durable or queue.owner is not None:
            continue
        key = "message", queue.vhost.name, queue.name
        delayed = {entry: due_ms for due_ms, entry in queue.delayed_entries()}
        # The stored due times follow no step of the clock, and stay when they have passed.
        due_of = partial(_stored_due, process, pending) if live else delayed.get
        for entry in (*queue.ready_entries(), *delayed):
            if entry.position:
                due_ms = due_of(entry, NOT_STORED if entry in delayed else 0)
                found[*key, entry.sequence] = {
                    **_message(queue, entry, entry.redelivered, due_ms),
                    **(_stored(process, entry, entry.acquired_count > 0) if live else _restored(entry)),
                }
        for entry in unacked.get(queue, ()):
            # A superseded message does not return.
            superseded = isinstance(queue, LastValueQueue) and queue.values.is_superseded(entry)
            if entry.position and not superseded:
                found[*key, entry.sequence] = {
                    **_message(queue, entry, live, due_of(entry, 0)),
                    **(_stored(process, entry, True) if live else _restored(entry)),
                }
    return found


def _stored(process: BrokerProcess, entry: Entry, delivered: bool) -> dict[str, Any]:
    """Return what the store has, or has yet to write, of an entry that was delivered, or was not."""
    leads_ms = process.leads_ms()
    # The deadline is stored by the wall clock, as it was when the entry was written.
    deadline_ms = frozenset([entry.deadline_ms + lead_ms for lead_ms in leads_ms]) if entry.deadline_ms else 0
    if 0 < entry.position < process.store._doubted:
        # It counts as delivered anyway, and may have a record of that: compaction writes one.
        return {"deadline": deadline_ms}
    return {"deadline": deadline_ms, "record of a delivery": delivered}


def _restored(entry: Entry) -> dict[str, Any]:
    """Return the same of an entry after a start."""
    return {"deadline": entry.deadline_ms, "record of a delivery": entry.acquired_count > 0}


def _pending_dues(process: BrokerProcess) -> dict[Copy | int, int]:
    """Return the due times that the store has yet to write, by position; by copy if it has no position yet."""
    store = process.store
    return {key: due_ms for group in (*store.groups, store.loose) for key, due_ms in group.delayed.items()}


def _stored_due(process: BrokerProcess, pending: dict[Copy | int, int], entry: Entry, otherwise: int) -> int:
    """Return the due time of an entry that the store has yet to write, or has. pending: see `_pending_dues`."""
    due_ms = pending.get(entry.position if entry.position > 0 else entry)
    return process.store._dues.get(entry.position, otherwise) if due_ms is None else due_ms


def _message(queue: LocalQueue, entry: Entry, redelivered: bool, due_ms: int) -> dict[str, Any]:
    message = entry.message
    return {
        "address": message.address,
        "header": message.properties,
        "body": message.body,
        "flag of redelivery": redelivered,
        "delivery count": entry.delivery_count if queue.counts_returns or queue.settings.retry is not None else 0,
        "due time": due_ms,
    }


def _groups(process: BrokerProcess) -> Dump:
    """Return the states of the stopped message groups, and the versions of keys."""
    found: Dump = {}
    for queue in queues(process):
        if not isinstance(queue, GroupQueue) or not queue.durable or queue.owner is not None:
            continue
        key = queue.vhost.name, queue.name
        for group in queue.line.groups.stopped():
            found["group", *key, group.key] = {"state": group.state}
        versions = queue.line.versions
        for name, (version, note) in versions._acked.items() if versions is not None else ():
            found["version", *key, name] = {"version": version, "expiry": note.expires_ms}
    return found


def _streams(process: BrokerProcess) -> Dump:
    """Return the messages of each stream, if all are stored. A limit removes messages when a broker starts."""
    found: Dump = {}
    for stream in streams(process):
        log = stream.log
        facts: dict[str, Any] = {"end": log.next}
        if stream.settings.max_age_ms < 0 and stream.settings.max_length_bytes < 0:
            facts["beginning"] = log.first
            if log.safe == log.next:
                messages = [entry.message for entry in stream.ready_entries()]
                facts["set of messages"] = [(each.address, each.properties, each.body) for each in messages]
        found["stream", stream.vhost.name, stream.name] = facts
    return found


def _offsets(process: BrokerProcess) -> Dump:
    """Return the offsets that streams keep for consumers."""
    found: Dump = {}
    for stream in streams(process):
        if stream.owner is None and stream._tracking is not None:
            for consumer, stored in stream._tracking._offsets.items():
                found["offset", stream.vhost.name, stream.name, consumer] = {"value": stored.offset}
    return found


def has_unstored_offsets(process: BrokerProcess) -> bool:
    """Return whether a stream has yet to store offsets of consumers, or to remove them from the store."""
    all_ = [stream._tracking for stream in streams(process) if stream._tracking is not None]
    return any(tracking._changed or tracking._forgotten for tracking in all_)


def _exceeding(process: BrokerProcess) -> list[tuple[str, str]]:
    """Return the streams that keep offsets beyond their limit while consumers run: a restart forgets some of them."""
    return [
        (stream.vhost.name, stream.name)
        for stream in streams(process)
        if (tracking := stream._tracking) is not None
        and len(tracking._offsets) > tracking._limit
        and any(map(tracking.is_running, tracking._offsets))
    ]


def _batches(process: BrokerProcess) -> Dump:
    """Return the batches, and the states of their members."""
    found: Dump = {}
    for vhost in process.broker.vhosts.values():
        for batch in vhost.batches.all() if vhost.batches is not None else ():
            key = vhost.name, batch.id
            found["batch", *key] = {
                "target": batch.terms.target,
                "size": batch.terms.size,
                "set of sent events": sorted(batch.sent),
                "expiry": batch.expires_ms,
                "number of members that succeeded": batch.ok,
            }
            for name, each in batch.members.items():
                found["member", *key, name] = {"outcome": each.outcome, "number of open copies": each.stored_copies}
    return found


def _held(process: BrokerProcess, live: bool) -> Dump:
    """Return the due times of the stored messages of each delayed exchange by their numbers.

    The end of a delay is stored by the wall clock, as it was when the message was written.
    """
    now_ms, all_ms = (process.clock.ahead_ms,), process.leads_ms()

    def due_times(due_ms: int, timed: bool) -> int | frozenset[int]:
        return frozenset([due_ms + lead_ms for lead_ms in (now_ms if timed else all_ms)]) if live else due_ms

    found: Dump = {}
    for exchange, held in delayed_exchanges(process):
        if not exchange.durable:
            continue
        for copy in held._recent:
            if copy.position:
                found["held message", exchange.name, copy.sequence] = {
                    "due time": due_times(copy.deadline_ms, copy.timed)
                }
        for item in (*held._stored, *held._unread):
            found["held message", exchange.name, item >> 64 & ((1 << 64) - 1)] = {
                "due time": due_times(item >> 128, item >> 63 & 1 == 1)
            }
    return found
