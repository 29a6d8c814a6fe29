"""Memory of a batch: bytes for each of its members."""

import gc
import tracemalloc

import pytest

from amqpbroker.compiled import is_compiled
from amqpbroker.wire.values import longstr
from tests.harness import Wire, make_broker, published

#: Most bytes for a member. An interpreted one has objects for its numbers.
MOST_BYTES = 200 if is_compiled() else 220
CHUNK = 250


def bytes_for_each_member(batches, members):
    """Return the memory for each member of batches of this size, whose messages have left the broker."""
    wire = Wire(make_broker()).log_in()
    wire.declare("q")
    wire.consume("q", no_ack=True)
    publish(wire, "warm-up", range(10))
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(batches):
            for first in range(0, members, CHUNK):
                publish(wire, f"job-{number}", range(first, min(first + CHUNK, members)))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    vhost_batches = wire.connection.broker.vhosts["/"].batches
    assert [each.total for each in vhost_batches.all()][1:] == [members] * batches
    return (after - before) / (batches * members)


def publish(wire, batch, numbers):
    headers = {"x-batch-id": longstr(batch)}
    frames = [
        published("q", b"part %d" % number, headers=headers, message_id=f"{batch}/{number}", timestamp=number)
        for number in numbers
    ]
    wire.connection.feed(b"".join(frames))
    wire.receive()


@pytest.mark.parametrize(
    ("batches", "members"),
    [(2, 312), pytest.param(8, 312, marks=pytest.mark.explore), pytest.param(1, 1_250, marks=pytest.mark.explore)],
)
def test_memory_for_a_member_does_not_depend_on_the_number_of_batches_and_members(batches, members):
    used = bytes_for_each_member(batches, members)
    print(f"{batches} batches of {members} members: {used:.0f} bytes for each member")
    assert used < MOST_BYTES
