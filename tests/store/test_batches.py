"""Batches of gathered operations: they lose nothing, and none exceeds its limits."""

import sys

import pytest

from amqpbroker.wire.values import Field, longstr
from tests.broker.storing import (
    BATCH,
    BODY,
    Node,
    acks,
    bodies,
    confirming,
    crashed_copy,
    depth,
    finish,
    node_with,
    publish,
)


def test_batches_exceed_their_size_by_one_group_at_most():
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


def test_publishes_are_confirmed_after_the_last_batch_of_their_gathering():
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


def test_transaction_larger_than_the_group_limit_is_split():
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
        # Nothing is settled before all its replacements are stored.
        assert depth(after, "q") == 20
        batches += 1
        node.committer.finish()
    assert batches > 2
    assert [got.name for got in client.receive()] == ["tx.commit-ok"]
    assert (depth(after, "q"), depth(node.crash(), "q"), depth(node.crash(), "tx")) == (20, 0, 20)


def test_compaction_respects_the_batch_size():
    node = node_with(keep={}, q={})
    node.persistence.log.segment_bytes = 20_000
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
    journal = node.persistence.log
    assert min(journal.segments) > 10
    assert journal.size < 2 * journal.living.size_bytes + 6 * 20_000
    assert bodies(node.crash(), "keep") == [BODY(start + i) for start in range(0, 300, 30) for i in range(10)]


def test_compaction_of_a_large_batch_takes_several_steps():
    node = node_with({}, keep={}, q={})
    node.persistence.log.segment_bytes = 20_000
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
    assert min(node.persistence.log.segments) > 1
    assert max(node.committer.sizes) < 1_500_000
    assert bodies(node.crash(), "keep") == ["first", *kept]


def test_a_long_message_and_extra_keys_survive():
    node = Node(q={}, copy={})
    client = node.client()
    body = bytes(range(256)) * 2000
    client.publish("q", body, delivery_mode=2, headers={"CC": Field("A", [longstr("copy")])})
    client.receive()
    after = node.crash()
    client = after.client()
    assert client.get("q").body == body
    assert client.get("copy").body == body


MANY_KEYS = tuple(f"key{number}" for number in range(300))


LONG_KEYS = ("k" * 300, "copy", "")


@pytest.mark.parametrize("keys", [MANY_KEYS, LONG_KEYS, ("k" * 255,) * 255])
def test_any_extra_keys_survive(keys):
    node = Node(q={}, copy={})
    client = confirming(node)
    headers = {"CC": Field("A", [longstr(key) for key in keys[1:]]), "BCC": Field("A", [longstr(keys[0])])}
    client.publish("q", b"safe", delivery_mode=2, headers=headers)
    assert acks(client) == [1]
    after = node.crash()
    ready = after.broker.vhosts["/"].queues["q"].ready
    assert ready.load_head()
    entry = ready.head()
    assert entry.message.extra_keys == tuple(key.encode() for key in (*keys[1:], keys[0]))
    assert entry.message.cc_keys == len(keys) - 1
    assert bodies(after) == ["safe"]


def test_more_extra_keys_than_can_be_stored_are_refused():
    client = Node().client()
    client.publish("q", delivery_mode=2, headers={"CC": Field("A", [longstr("k" * 65_020)])})
    (refusal,) = client.receive()
    assert refusal.arguments["reply_text"] == (
        "PRECONDITION_FAILED - invalid message: there are too many routing keys in its CC and BCC headers"
    )


def test_a_dead_letter_with_too_long_a_key_is_stored_shortened():
    dead = {"x-dead-letter-exchange": longstr("amq.fanout"), "x-dead-letter-routing-key": longstr("r" * 300)}
    node = Node(q={}, source=dead)
    client = node.client()
    client.call(1, "queue.bind", queue="q", exchange="amq.fanout", routing_key="")
    client.publish("source", b"died", delivery_mode=2)
    client.get("source", no_ack=False)
    client.send(1, "basic.reject", delivery_tag=1, requeue=False)
    assert client.receive() == []
    assert client.get("q").arguments["routing_key"] == "r" * 255


def test_nothing_is_confirmed_after_a_batch_that_cannot_be_encoded():
    node = Node()
    client = confirming(node)
    node.broker.vhosts["/"].queues["q"].id = 1 << 70
    publish(client, "lost")
    assert acks(client) == []
    node.broker.vhosts["/"].queues["q"].id = 1
    publish(client, "lost too")
    assert acks(client) == []
    assert len(node.failures) == 1


def test_counts_and_due_times_of_settled_copies_leave_no_memory_behind():
    node = node_with()
    client = node.client()
    delay = {"x-delayed-retry-type": longstr("all"), "x-delayed-retry-min": Field("I", 1000)}
    client.declare("late", durable=True, arguments=delay)
    client.consume("late", no_ack=False)
    publish(client, *["late"] * 500, queue="late")
    client.receive()
    finish(node)
    client.send(1, "basic.nack", delivery_tag=0, multiple=True, requeue=True)
    client.receive()
    finish(node)
    store = node.broker.storage.store
    assert (len(store._counts), len(store._dues)) == (500, 500)
    client.call(1, "queue.purge", queue="late")
    finish(node)
    assert sys.getsizeof(store._counts) == sys.getsizeof(store._dues) == sys.getsizeof({})
