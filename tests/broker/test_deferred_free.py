"""Messages removed from a queue are freed without blocking other work."""

import weakref
from collections import deque

import pytest

from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import BOUNDS
from tests.broker.queueing import clock_of, declare, get, message, publish
from tests.harness import make_broker

SLICE = BOUNDS.deferred_free


class Thing:
    """Stand-in for an entry."""


def test_many_discarded_entries_are_freed_in_slices():
    clock = ManualClock()
    deferred_free = DeferredFree(clock)
    things = [Thing() for _ in range(3 * SLICE)]
    seen = [weakref.ref(things[at]) for at in (0, SLICE, 2 * SLICE, 3 * SLICE - 1)]
    deferred_free.add(deque(things))
    del things
    alive = []
    while clock.next_due_ms() is not None:
        clock.fire_due()
        alive.append(sum([each() is not None for each in seen]))
    assert alive == [2, 1, 0]


def test_several_discarded_lines_are_all_freed():
    clock = ManualClock()
    deferred_free = DeferredFree(clock)
    lines = [deque([Thing() for _ in range(SLICE + 1)]) for _ in range(3)]
    seen = [weakref.ref(line[0]) for line in lines]
    while lines:
        deferred_free.add(lines.pop())
    clock.advance(0)
    assert [each() for each in seen] == [None] * 3
    assert clock.next_due_ms() is None


def test_few_discarded_entries_are_freed_at_once():
    clock = ManualClock()
    things = [Thing() for _ in range(SLICE)]
    seen = weakref.ref(things[0])
    DeferredFree(clock).add(deque(things))
    del things
    assert seen() is None
    assert clock.next_due_ms() is None


@pytest.mark.parametrize("options", [{}, {"max_priority": 3}, {"queue_type": "quorum"}])
def test_purged_queue_is_empty_at_once_and_usable(vhost, options):
    queue = declare(vhost, **options)
    publish(queue, *[b"x"] * (2 * SLICE + 1))
    assert queue.purge() == 2 * SLICE + 1
    assert (queue.ready_count, queue.ready.size, list(queue.ready)) == (0, 0, [])
    publish(queue, b"1", b"2")
    assert [entry.message.body for entry in queue.ready] == [b"1", b"2"]
    clock_of(vhost).advance(0)
    assert [entry.message.body for entry in queue.ready] == [b"1", b"2"]
    assert queue.purge() == 2


def steps(clock: ManualClock, seen: list[int]) -> list[int]:
    """Run event loop iterations until no timer is due; return the number of objects in `seen` after each."""
    counts = []
    while clock.next_due_ms() is not None:
        clock.fire_due()
        counts.append(len(seen))
    return counts


def test_departures_are_recorded_in_slices_in_order():
    clock, seen = ManualClock(), []
    deferred_free = DeferredFree(clock, most=10, few=4)
    deferred_free.record(deque(range(10)), seen.extend, deferred_free.few)
    assert (seen, deferred_free.is_recording) == ([], True)
    assert steps(clock, seen) == [4, 8, 10]
    assert (seen, deferred_free.is_recording) == (list(range(10)), False)


def test_few_departures_are_recorded_at_once():
    clock, seen = ManualClock(), []
    deferred_free = DeferredFree(clock, most=10, few=4)
    deferred_free.record(deque(range(4)), seen.extend, deferred_free.few)
    assert (len(seen), deferred_free.is_recording, clock.next_due_ms()) == (4, False, None)


def test_departures_of_one_iteration_are_few_together():
    clock, seen = ManualClock(), []
    deferred_free = DeferredFree(clock, most=10, few=4)
    for _ in range(3):
        deferred_free.record(deque(range(3)), seen.extend, deferred_free.few)
    assert (len(seen), steps(clock, seen)) == (3, [6, 9])
    clock.advance(1)
    deferred_free.record(deque(range(3)), seen.extend, deferred_free.few)
    assert len(seen) == 12


def test_departures_are_recorded_before_others_are_freed():
    clock, seen = ManualClock(), []
    deferred_free = DeferredFree(clock, most=10, few=4)
    deferred_free.add(deque(range(100)))
    deferred_free.record(deque(range(8)), seen.extend, deferred_free.few)
    assert steps(clock, seen)[:2] == [4, 8]


def test_dictionaries_are_freed_in_slices():
    clock = ManualClock()
    deferred_free = DeferredFree(clock, most=10)
    things = {number: Thing() for number in range(25)}
    seen = [weakref.ref(things[at]) for at in (0, 10, 24)]
    deferred_free.add(things)
    del things
    assert sum([each() is not None for each in seen]) == 3
    clock.fire_due()
    assert sum([each() is not None for each in seen]) == 2
    clock.advance(0)
    assert sum([each() is not None for each in seen]) == 0


def test_caller_is_notified_when_everything_so_far_is_recorded():
    clock, seen, done = ManualClock(), [], []
    deferred_free = DeferredFree(clock, few=4)
    deferred_free.when_recorded(lambda: done.append(len(seen)))
    assert done == [0]
    deferred_free.record(deque(range(9)), seen.extend, deferred_free.few)
    deferred_free.when_recorded(lambda: done.append(len(seen)))
    deferred_free.record(deque(range(9)), seen.extend, deferred_free.few)
    clock.advance(0)
    assert (done, len(seen)) == ([0, 9], 18)


def test_finish_records_everything_at_once_even_during_a_slice():
    clock, seen = ManualClock(), []
    deferred_free = DeferredFree(clock, few=4)

    def record(objects):
        seen.extend(objects)
        if len(seen) == 4:
            deferred_free.finish()

    deferred_free.record(deque(range(9)), record, deferred_free.few)
    clock.fire_due()
    assert (len(seen), deferred_free.is_recording) == (9, False)
    clock.advance(0)


def test_failure_of_a_slice_does_not_stop_the_others():
    clock, seen = ManualClock(), []
    deferred_free = DeferredFree(clock, few=4)

    def record(objects):
        seen.extend(objects)
        if len(seen) == 4:
            raise OSError("the disk is full")

    deferred_free.record(deque(range(9)), record, deferred_free.few)
    with pytest.raises(OSError, match="full"):
        clock.fire_due()
    clock.advance(0)
    assert len(seen) == 9


def test_end_of_the_broker_records_nothing_and_notifies_callers():
    clock, seen, done = ManualClock(), [], []
    deferred_free = DeferredFree(clock, few=4)
    deferred_free.record(deque(range(9)), seen.extend, deferred_free.few)
    deferred_free.when_recorded(lambda: done.append(True))
    deferred_free.discard()
    assert (seen, done, clock.next_due_ms()) == ([], [True], None)


def test_delayed_messages_of_a_deleted_queue_are_removed_in_slices():
    vhost = make_broker(bounds=BOUNDS._replace(deferred_free=10)).vhosts["/"]
    queue = declare(vhost, durable=True, delayed_retry_type="all", delayed_retry_min=1000)
    for _ in range(25):
        made = message()
        made.persistent = True
        queue.publish(made)
    queue.requeue([get(queue) for _ in range(25)])
    assert (queue.delayed_count, queue.ledger.persistent) == (25, 25)
    vhost.delete_queue(queue)
    assert queue.delayed_count == 0
    left = []
    while clock_of(vhost).next_due_ms() is not None:
        clock_of(vhost).fire_due()
        left.append(queue.ledger.persistent)
    assert left[:3] == [15, 5, 0]
