"""Messages removed from a queue are freed without blocking other work."""

import weakref
from collections import deque

import pytest

from amqpbroker.broker.queues.disposal import Disposal
from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import BOUNDS
from tests.broker.queueing import clock_of, declare, publish

SLICE = BOUNDS.disposal


class Thing:
    """Stand-in for an entry."""


def test_many_discarded_entries_are_freed_in_slices():
    clock = ManualClock()
    disposal = Disposal(clock)
    things = [Thing() for _ in range(3 * SLICE)]
    seen = [weakref.ref(things[at]) for at in (0, SLICE, 2 * SLICE, 3 * SLICE - 1)]
    disposal.add(deque(things))
    del things
    alive = []
    while clock.next_due_ms() is not None:
        clock.fire_due()
        alive.append(sum([each() is not None for each in seen]))
    assert alive == [2, 1, 0]


def test_several_discarded_lines_are_all_freed():
    clock = ManualClock()
    disposal = Disposal(clock)
    lines = [deque([Thing() for _ in range(SLICE + 1)]) for _ in range(3)]
    seen = [weakref.ref(line[0]) for line in lines]
    while lines:
        disposal.add(lines.pop())
    clock.advance(0)
    assert [each() for each in seen] == [None] * 3
    assert clock.next_due_ms() is None


def test_few_discarded_entries_are_freed_at_once():
    clock = ManualClock()
    things = [Thing() for _ in range(SLICE)]
    seen = weakref.ref(things[0])
    Disposal(clock).add(deque(things))
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
