"""Faults are indexed by their trigger: other faults cost nothing."""

import cProfile
import pstats

import pytest

from amqpbroker.testing.faults.cut import Drop, Reset
from amqpbroker.testing.faults.duplicate import Duplicate
from amqpbroker.testing.faults.fault import Only
from amqpbroker.testing.faults.publishing import DelayConfirms, Nack, WithholdConfirms
from amqpbroker.testing.faults.refuse import RefuseDeclare
from amqpbroker.testing.faults.slow import OneByteWrites, StopReading, StopWriting
from tests.testing.faults.raw import publish
from tests.testing.faults.test_line import Client, before, injector_of, open_wire

#: Kind -> faults that are not triggered by the test's publishes.
OTHERS = {
    "nack of another queue": lambda n: Nack(routing_key=f"other{n}", times=None),
    "nack of another exchange": lambda n: Nack(exchange=f"other{n}", times=None),
    "nack of a later publish": lambda n: Nack(publish=1_000_000 + n),
    "reset at another method": lambda n: Reset(on="queue.delete", nth=n + 1),
    "drop at a later publish": lambda n: Drop(on="basic.publish", nth=1_000_000 + n),
    "drop after many frames": lambda n: Drop(after_frames=1_000_000 + n),
    "drop after many bytes": lambda n: Drop(after_bytes=1_000_000_000 + n),
    "drop after many sent bytes": lambda n: Drop(after_bytes=1_000_000_000 + n, sent=True),
    "later confirms withheld": lambda n: WithholdConfirms(1_000_000 + n),
    "later confirms delayed": lambda n: DelayConfirms(1_000_000 + n, ms=1),
    "duplicates of another queue": lambda n: Duplicate(queue=f"other{n}", times=None),
    "declarations of another queue": lambda n: RefuseDeclare(queue=f"other{n}"),
    "of another connection": lambda n: Nack(times=None, only=Only(connection=f"other{n}")),
    "of another user": lambda n: StopReading(only=Only(user=f"other{n}")),
    "of another vhost": lambda n: StopWriting(only=Only(vhost=f"other{n}")),
    "of another vhost and user": lambda n: OneByteWrites(only=Only(user="guest", vhost=f"other{n}")),
    "have struck": lambda n: _spent(Nack()),
}


def _spent(fault):
    fault.struck = 1
    return fault


def calls(faults):
    """Count the function calls that it takes to publish a hundred messages and to confirm them."""
    wire = open_wire()
    line = before(wire, *faults)
    line.feed(publish(b"x"))
    line.collect()
    data = publish(b"x") * 100
    profile = cProfile.Profile()
    profile.enable()
    line.feed(data)
    line.collect()
    profile.disable()
    return pstats.Stats(profile).total_calls


@pytest.mark.parametrize("kind", OTHERS)
def test_publish_costs_the_same_with_a_thousand_unrelated_faults(kind):
    few, many = ([OTHERS[kind](n) for n in range(count)] for count in (10, 1_000))
    assert calls(many) <= calls(few) * 1.05


def test_only_the_oldest_due_fault_triggers_but_every_fault_counts():
    wire = open_wire()
    second, any_queue, first = Nack(2), Nack(routing_key="q", times=2), Nack(1)
    line = before(wire, second, any_queue, first)
    for expected in ([0, 1, 0], [1, 1, 0], [1, 2, 0], [1, 2, 1], [1, 2, 1]):
        line.feed(publish(b"x"))
        assert [second.struck, any_queue.struck, first.struck] == expected


def test_frames_and_bytes_before_a_fault_is_injected_do_not_count():
    wire = open_wire()
    injector = injector_of(Nack(100))
    line = injector.line(Client(), wire.connection)
    line.feed(publish(b"x") * 5)
    later, frames, after_bytes = Nack(2), Drop(after_frames=6), Drop(after_bytes=10 * len(publish(b"x")))
    for fault in (later, frames, after_bytes):
        injector.add(fault)
    line.feed(publish(b"x"))
    assert (later.struck, frames.struck, after_bytes.struck) == (0, 0, 0)
    line.feed(publish(b"x"))
    assert (later.struck, frames.struck, after_bytes.struck) == (1, 1, 0)


def test_cleared_fault_is_removed_from_every_index():
    wire = open_wire()
    others = [make(n) for make in OTHERS.values() for n in range(3)]
    injector = injector_of(*others)
    line = injector.line(Client(), wire.connection)
    line.feed(publish(b"x"))
    injector.remove(injector.faults[::2])
    injector.remove(others)
    assert injector.faults == ()
    index = injector._index
    line.feed(publish(b"x"))
    assert (index._groups, +index._kinds, +index._sizes) == ({}, {}, {})
    assert not any(line.faults._buckets.values())
    assert not line.faults._counted


def test_duplicate_is_no_longer_tracked_once_delivered(b, channel, queue):
    b.faults.duplicate(queue=queue, times=None)
    for number in range(50):
        channel.basic_publish("", queue, b"%d" % number)
    for _ in range(100):
        assert channel.basic_get(queue, auto_ack=True)[0]
    assert channel.basic_get(queue) == (None, None, None)
    assert b.faults._injector.target._copies == {}
