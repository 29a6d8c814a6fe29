"""The index of message groups, compared with the messages of its queue."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.groups.dispatcher import GroupDispatcher
from amqpbroker.broker.queues.groups.group import CLOSED, PARKED
from amqpbroker.broker.queues.groups.queue import GroupQueue
from tests.simulation.parts import channels, is_reading_again, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess
    from tests.simulation.disk import Disk


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each difference between the index and the messages of a queue."""
    unacked: dict[object, set[int]] = {}
    for channel in channels(process):
        for entry in channel.unacked.held():
            unacked.setdefault(entry.queue, set()).add(entry.sequence)
    for queue in queues(process):
        if isinstance(queue, GroupQueue):
            yield from _faults(queue, unacked.get(queue, set()), process.disk)


def _faults(queue: GroupQueue, unacked: set[int], disk: "Disk") -> Iterator[str]:
    groups = queue.line.groups
    # Deliveries that are settled in slices are not held any more.
    if set(groups._taken) != unacked and not (queue.vhost.deferred_free.is_recording and set(groups._taken) > unacked):
        yield f"{queue.name} has {len(groups._taken)} taken messages, and {len(unacked)} are not acknowledged"
    with disk.observed():
        delayed = {entry.sequence for _, entry in queue.delayed_entries()}
    if set(groups._late) != delayed:
        yield f"{queue.name} has {len(groups._late)} late messages, and {len(delayed)} are delayed"
    parked = {sequence for group in groups.all() if group.state == PARKED for sequence in group.waiting()}
    if parked != set(groups.parked):
        yield f"{queue.name} has {len(parked)} messages in parked groups, and counts {len(groups.parked)}"
    for state in PARKED, CLOSED:
        count = sum(group.state == state for group in groups.all())
        if count != groups.stopped_count[state]:
            yield f"{queue.name} has {count} groups in state {state}, and counts {groups.stopped_count[state]}"
    for group in groups.all():
        out = sum(each is group for each in groups._taken.values())
        late = sorted(sequence for sequence, each in groups._late.items() if each is group)
        if group.out != out or (group.late or []) != late:
            yield f"the group {group.key!r} of {queue.name} counts {group.out} taken and {group.late} late messages"
        if group.is_over:
            yield f"the group {group.key!r} of {queue.name} has no messages, and is there"
    dispatcher = queue.dispatcher
    assert isinstance(dispatcher, GroupDispatcher)
    # Messages that cannot be read now follow when they can be.
    if groups.following and dispatcher._following._timer is None and not is_reading_again(queue):
        yield f"{queue.name} has closed groups with messages that do not follow"
    if not queue.line.paged_out:
        yield from _differences(queue)


def _differences(queue: GroupQueue) -> Iterator[str]:
    """Yield each group whose waiting messages are not those of the line. All messages are in memory."""
    groups = queue.line.groups
    found: dict[bytes | None, list[int]] = {}
    for entry in queue.line:
        found.setdefault(groups.key(entry.message), []).append(entry.sequence)
    if sorted(groups._lone) != found.pop(None, []):
        yield f"{queue.name} has other messages without a key than its groups"
    if {group.key: group.waiting() for group in groups.all() if group.first} != found:
        yield f"{queue.name} has other messages than its groups"
