"""More than one batch should have: what was gathered is cut, and a crash between two batches loses nothing."""

import errno
import logging
import tracemalloc
from array import array

import pytest

from amqpbroker.store.journal import StoreError
from amqpbroker.store.position import OFFSET_BITS
from amqpbroker.wire.values import longstr
from tests.broker.test_persistence import LaterCommitter, Node, bodies, publish

BATCH = 4_000
LIMITS = {"batch_bytes": BATCH}
BODY = "{:0500}".format


class StepCommitter(LaterCommitter):
    """sizes: octets of what was written. `finish` writes one batch."""

    def __init__(self, journal):
        super().__init__(journal)
        self.sizes = []

    def start(self, batch, on_done):
        if batch is not None:
            self.sizes.append(sum(map(len, batch.parts)))
        super().start(batch, on_done)

    def close(self):
        """As a thread does: nobody is told."""
        for batch, _ in self.work:
            self.commit(batch)


def node_with(limits=LIMITS, **queues):
    return Node(committer=StepCommitter, limits=limits, **queues)


def crashed_copy(node):
    files = node.files.copy()
    files.power_loss()
    return Node(files, node.clock, **node.queues)


def finish(node):
    """Write all that is gathered; returns how many batches that took."""
    count = 0
    while node.committer.work:
        count += 1
        node.committer.finish()
    return count


def depth(node, name):
    return node.broker.vhosts["/"].queues[name].ready.count


def test_a_batch_has_not_much_more_than_it_should():
    node = node_with()
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, "under way")
    client.turn()
    publish(client, *map(BODY, range(50)))
    client.turn()
    assert finish(node) > 6
    assert max(node.committer.sizes) < BATCH + 700
    assert [got.arguments["delivery_tag"] for got in client.receive()] == [51]
    assert bodies(node.crash()) == ["under way", *map(BODY, range(50))]


def test_nothing_is_confirmed_before_all_that_was_gathered_is_safe():
    node = node_with()
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, *map(BODY, range(50)))
    assert client.receive() == []
    found = []
    while node.committer.work:
        found.append(depth(crashed_copy(node), "q"))
        assert client.receive() == []
        node.committer.finish()
    assert found == sorted(set(found))
    assert len(found) > 6
    assert [got.arguments["delivery_tag"] for got in client.receive()] == [50]
    assert depth(node.crash(), "q") == 50


def test_a_transaction_is_in_one_batch():
    node = node_with(q={}, tx={})
    client = node.client()
    client.call(1, "tx.select")
    other = node.client()
    for _ in range(5):
        publish(other, *map(BODY, range(6)))
        publish(client, *map(BODY, range(10)), queue="tx")
        client.send(1, "tx.commit")
    client.turn()
    seen = set()
    while node.committer.work:
        seen.add(depth(crashed_copy(node), "tx"))
        node.committer.finish()
    assert seen <= {0, 10, 20, 30, 40}
    assert len(seen) > 3
    assert [got.name for got in client.receive()] == ["tx.commit-ok"] * 5
    assert depth(node.crash(), "tx") == 50


def test_a_transaction_that_is_too_large_for_one_group_is_several():
    node = node_with({"batch_bytes": BATCH, "group_bytes": 2_000}, q={}, tx={})
    client = node.client()
    publish(client, *map(BODY, range(20)))
    client.turn()
    finish(node)
    client.call(1, "tx.select")
    for number in range(20):
        client.get("q", no_ack=False)
        publish(client, BODY(number), queue="tx")
        client.send(1, "basic.ack", delivery_tag=number + 1)
    client.send(1, "tx.commit")
    client.turn()
    batches = 0
    while node.committer.work:
        after = crashed_copy(node)
        # Nothing is settled before everything that takes its place is there.
        assert depth(after, "q") == 20
        batches += 1
        node.committer.finish()
    assert batches > 2
    assert [got.name for got in client.receive()] == ["tx.commit-ok"]
    assert (depth(after, "q"), depth(node.crash(), "q"), depth(node.crash(), "tx")) == (20, 0, 20)


def to(queue, **more):
    return {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr(queue), **more}


def test_what_dies_twice_within_one_gathering_is_never_gone():
    node = node_with(q=to("second"), second=to("third"), third={}, bulk={})
    client = node.client()
    publish(client, "precious")
    client.turn()
    finish(node)
    publish(client, "under way", queue="bulk")
    client.turn()
    other = node.client()
    other.call(1, "tx.select")
    for queue in ("q", "second"):
        got = client.get(queue, no_ack=False)
        client.send(1, "basic.reject", delivery_tag=got.arguments["delivery_tag"], requeue=False)
        for _ in range(5):
            publish(other, *map(BODY, range(5)), queue="bulk")
            other.send(1, "tx.commit")
    client.turn()
    seen = []
    while node.committer.work:
        after = crashed_copy(node)
        seen.append([depth(after, name) for name in ("q", "second", "third")])
        node.committer.finish()
    after = node.crash()
    seen.append([depth(after, name) for name in ("q", "second", "third")])
    assert [sum(counts) for counts in seen] == [1] * len(seen)
    assert seen[-1] == [0, 0, 1]
    assert len(seen) > 5


def test_many_copies_of_one_group_may_die_one_by_one():
    node = node_with(q=to("letters"), letters={})
    client, other = node.client(), node.client()
    publish(client, "under way", queue="letters")
    client.turn()
    other.call(1, "tx.select")
    for _ in range(2):
        publish(other, *map(BODY, range(10)))
        other.send(1, "tx.commit")
    for tag in range(1, 21):
        client.get("q", no_ack=False)
        client.send(1, "basic.reject", delivery_tag=tag, requeue=False)
    client.turn()
    while node.committer.work:
        # What was one transaction still is.
        assert depth(crashed_copy(node), "letters") in (0, 1, 11, 21)
        node.committer.finish()
    assert bodies(node.crash(), "letters") == ["under way", *map(BODY, [*range(10)] * 2)]


def test_each_of_several_batches_is_tried_again_until_the_disk_takes_it():
    node = node_with()
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, *map(BODY, range(30)))
    client.turn()
    node.committer.finish()
    node.files.fail_write = node.files.writes + 1
    node.committer.finish()
    assert [error and error.errno for error in node.stuck] == [errno.ENOSPC]
    assert client.receive() == []
    node.clock.advance(1_000)
    assert finish(node) > 2
    assert len(node.stuck) == 2
    assert [got.arguments["delivery_tag"] for got in client.receive()] == [30]
    assert bodies(node.crash()) == [*map(BODY, range(30))]


def test_a_broker_that_ends_writes_all_batches():
    node = node_with()
    client = node.client()
    publish(client, *map(BODY, range(30)))
    client.turn()
    publish(client, *map(BODY, range(30, 60)))
    node.persistence.close()
    assert bodies(node.crash()) == [*map(BODY, range(60))]


def test_a_broker_that_ends_says_how_much_it_could_not_write(caplog):
    node = node_with()
    client = node.client()
    publish(client, *map(BODY, range(30)))
    client.turn()
    publish(client, *map(BODY, range(30, 60)))
    node.files.fail_write = node.files.writes + 4
    with caplog.at_level(logging.ERROR), pytest.raises(StoreError):
        node.persistence.close()
    assert "60 operations, not confirmed, are lost" in caplog.text


def test_what_lives_is_written_again_in_batches_as_well():
    node = node_with(keep={}, q={})
    node.persistence.journal.segment_bytes = 20_000
    client = node.client()
    for start in range(0, 300, 30):
        publish(client, *map(BODY, range(start, start + 10)), queue="keep")
        publish(client, *map(BODY, range(start, start + 200)))
        client.turn()
        finish(node)
        for _ in range(200):
            client.get("q")
        client.turn()
        finish(node)
    journal = node.persistence.journal
    assert min(journal.segments) > 10
    assert journal.octets < 2 * journal.living.octets + 6 * 20_000
    assert bodies(node.crash(), "keep") == [BODY(start + i) for start in range(0, 300, 30) for i in range(10)]


def test_a_large_batch_is_written_again_in_steps():
    node = node_with({}, keep={}, q={})
    node.persistence.journal.segment_bytes = 20_000
    client = node.client()
    publish(client, "first", queue="keep")
    client.turn()
    kept = [f"{number:0100000}" for number in range(40)]
    publish(client, *kept, queue="keep")
    client.turn()
    finish(node)
    assert node.committer.sizes.pop() > 4_000_000
    for number in range(60):
        publish(client, f"{number:0100000}")
        client.turn()
        finish(node)
        client.get("q")
    client.turn()
    finish(node)
    assert min(node.persistence.journal.segments) > 1
    assert max(node.committer.sizes) < 1_500_000
    assert bodies(node.crash(), "keep") == ["first", *kept]


def test_copies_that_come_and_go_while_the_disk_is_stuck_are_remembered_once():
    node = node_with()
    client = node.client()
    publish(client, "a", "b", "gone")
    client.turn()
    finish(node)
    publish(client, "under way")
    client.turn()
    for _ in range(3):
        client.get("q", no_ack=False)
    client.send(1, "basic.ack", delivery_tag=3)
    client.turn()
    entries = list(client.connection.channels[1].unacked.values())
    for _ in range(30_000):
        for entry in entries:
            node.persistence.returned(entry)
    assert len(node.persistence._loose) < 30_000
    node.persistence.begin()
    for _ in range(10):
        node.persistence.returned(entries[0])
    assert node.persistence.waiting_octets > 10 * 8
    node.persistence.end()
    finish(node)
    client = node.crash().client()
    got = [client.get("q") for _ in range(3)]
    assert [(one.body, one.arguments["redelivered"]) for one in got] == [
        (b"a", True),
        (b"b", True),
        (b"under way", False),
    ]


def test_a_backlog_that_goes_is_settled_without_an_object_for_each():
    node = node_with({})
    client = node.client()
    publish(client, "kept")
    client.turn()
    finish(node)
    count = 500_000
    first = 7 << OFFSET_BITS
    positions = array("Q", range(first, first + 64 * count, 64))
    tracemalloc.start()
    try:
        for start in range(0, count, 1_000):
            node.persistence.settle_positions(positions[start : start + 1_000])
        assert tracemalloc.get_traced_memory()[0] < 5_000_000
    finally:
        tracemalloc.stop()
    assert len(node.persistence._loose) == count
    node.broker.sync()
    finish(node)
    assert node.committer.sizes[-1] > 8 * count
    assert bodies(node.crash()) == ["kept"]
