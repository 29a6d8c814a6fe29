"""Groups of operations that take effect together, and operations that are never written, after any crash."""

import tracemalloc
from array import array

import pytest

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.clock import ManualClock
from amqpbroker.message.message import NOT_STORED, PENDING
from amqpbroker.store.committer import InlineCommitter
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.record import OFFSET_BITS
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import declare, make_vhost, message
from tests.broker.storing import (
    BODY,
    LaterCommitter,
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
from tests.fault_files import FaultyFiles
from tests.memory_log import MemoryLog


def entries(*sizes):
    """Return copies in a queue, with bodies of these sizes."""
    queue = declare(make_vhost())
    return [Entry(message(b"x" * size), queue, number, 0) for number, size in enumerate(sizes)]


def stored(position):
    """Return a copy that is stored at the position."""
    (copy,) = entries(1)
    copy.position = position
    return copy


@pytest.fixture
def gathering():
    """A store that never writes its gathered operations."""
    log = MemoryLog()
    return Persistence(log, InlineCommitter(log), pytest.fail, ManualClock())


def test_nested_group_is_part_of_the_outer_group(gathering):
    a, b, c = entries(1, 1, 1)
    gathering.begin()
    gathering.enqueue(a)
    gathering.begin()
    gathering.enqueue(b)
    gathering.end()
    gathering.settle(stored(7))
    gathering.end()
    gathering.enqueue(c)
    (group,) = gathering.groups
    assert (group.entered, group.settled, gathering.loose.entered) == ([a, b], [7], [c])
    assert (a.position, b.position, c.position) == (PENDING - 1, PENDING - 1, PENDING)
    gathered = gathering.take()
    assert (gathered.count, gathered.copies) == (4, 3)


def test_take_starts_an_empty_gathering(gathering):
    a, b = entries(1, 1)
    gathering.begin()
    gathering.enqueue(a)
    gathering.end()
    gathering.settle_positions(array("Q", [7, 8]))
    gathered = gathering.take()
    assert (gathered.count, gathered.copies, gathered.loose.swept) == (3, 1, [array("Q", [7, 8])])
    assert (gathering.groups, len(gathering.loose), gathering.waiting_bytes) == ([], 0, 0)
    gathering.enqueue(b)
    gathered = gathering.take()
    assert (gathered.count, gathered.loose.entered) == (1, [b])


def test_groups_that_replace_copies_of_each_other_are_merged(gathering):
    first, second, third = entries(1, 1, 1)
    gathering.begin()
    gathering.enqueue(first)
    gathering.end()
    for copy, place in ((second, first), (third, second)):
        gathering.begin()
        gathering.settle(place)
        gathering.enqueue(copy)
        gathering.end()
    assert sorted(len(group) for group in gathering.groups) == [0, 0, 3]
    assert [first.position, second.position] == [NOT_STORED, NOT_STORED]


def test_a_replacement_outside_of_a_group_is_not_merged(gathering):
    first, second = entries(1, 1)
    gathering.begin()
    gathering.enqueue(first)
    gathering.end()
    gathering.settle(first)
    gathering.enqueue(second)
    assert [group.entered for group in gathering.groups] == [[first]]
    assert gathering.loose.entered == [second]


def test_waiting_bytes_grow_with_gathered_operations(gathering):
    small, large = entries(1, 1_000)

    def added(operation, *arguments):
        before = gathering.waiting_bytes
        operation(*arguments)
        return gathering.waiting_bytes - before

    assert added(gathering.enqueue, large) - added(gathering.enqueue, small) == 999
    assert added(gathering.returned, small) == 0
    assert added(gathering.begin) > 0
    assert added(gathering.begin) == 0
    assert added(gathering.returned, small) > 0


def test_a_group_without_operations_leaves_nothing_behind(gathering):
    for _ in range(3):
        gathering.begin()
        gathering.begin()
        gathering.end()
        gathering.end()
    assert (gathering.waiting_bytes, gathering.groups, len(gathering.loose)) == (0, [], 0)
    # The following groups have the numbers to which their copies refer.
    first, second = entries(1, 1)
    for copy in (first, second):
        gathering.begin()
        gathering.end()
        gathering.begin()
        gathering.enqueue(copy)
        gathering.end()
    assert [gathering.groups[PENDING - 1 - copy.position].entered for copy in (first, second)] == [[first], [second]]


def test_a_reused_empty_group_has_no_old_operations(gathering):
    (copy,) = entries(1)
    for position in (7, 8):
        gathering.begin()
        gathering.settle(stored(position))
        gathering.end()
    gathering.begin()
    gathering.enqueue(copy)
    gathering.settle(stored(9))
    gathering.end()
    gathering.begin()
    gathering.settle(stored(10))
    gathering.end()
    (group,) = gathering.groups
    assert (group.entered, group.settled, gathering.loose.settled) == ([copy], [9], [7, 8, 10])
    assert copy.position == PENDING - 1


def test_a_group_that_only_settles_is_dissolved(gathering):
    gathering.settle(stored(3))
    for position in (5, 7):
        gathering.begin()
        gathering.settle(stored(position))
        gathering.end()
    (copy,) = entries(1)
    gathering.begin()
    gathering.settle(stored(9))
    gathering.enqueue(copy)
    gathering.end()
    assert gathering.loose.settled == [3, 5, 7]
    assert [(group.settled, group.entered) for group in gathering.groups] == [([9], [copy])]
    assert gathering.groups[PENDING - 1 - copy.position].entered == [copy]


def test_a_message_consumed_and_acked_before_its_batch_is_never_written():
    node = Node(committer=LaterCommitter)
    client = node.client()
    client.consume("q")
    publish(client, "first")
    client.receive()
    publish(client, "second")
    client.connection.feed(b"\1\0\1\0\0\0\x0d\0\x3c\0\x50" + (2).to_bytes(8, "big") + b"\0\xce")
    node.committer.finish()
    client.receive()
    node.committer.finish()
    written = b"".join(bytes(content) for content in node.files.contents.values())
    assert b"first" in written
    assert b"second" not in written


def test_a_fan_out_writes_the_body_once():
    node = Node(one={}, two={}, three={})
    client = node.client()
    for queue in ("one", "two", "three"):
        client.call(1, "queue.bind", queue=queue, exchange="amq.fanout")
    client.publish("", b"the only copy", exchange="amq.fanout", delivery_mode=2)
    client.receive()
    written = b"".join(bytes(content) for content in node.files.contents.values())
    assert written.count(b"the only copy") == 1
    client.get("two")
    client.turn()
    after = node.crash()
    assert [bodies(after, queue) for queue in ("one", "two", "three")] == [["the only copy"], [], ["the only copy"]]


@pytest.mark.explore
def test_transaction_torn_at_any_byte_is_recovered_whole_or_not_at_all():
    node = Node(one={}, two={})
    client = node.client()
    client.call(1, "tx.select")
    publish(client, "x", queue="one")
    publish(client, "y", queue="two")
    path_sizes = {path: len(content) for path, content in node.files.contents.items()}
    assert client.call(1, "tx.commit").name == "tx.commit-ok"
    (path,) = node.files.contents
    data = bytes(node.files.contents[path])
    for end in range(path_sizes.get(path, 16), len(data) + 1):
        files = FaultyFiles()
        files.contents[path] = bytearray(data[:end])
        files.synced[path] = end
        after = Node(files, one={}, two={})
        both = bodies(after, "one") + bodies(after, "two")
        assert both == (["x", "y"] if end == len(data) else [])


@pytest.mark.explore
def test_crash_leaves_a_dead_letter_in_exactly_one_of_two_queues():
    arguments = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}
    node = Node(q=arguments, dead={})
    client = node.client()
    publish(client, "m")
    client.receive()
    (path,) = node.files.contents
    before = len(node.files.contents[path])
    client.get("q", no_ack=False)
    client.send(1, "basic.reject", delivery_tag=1)
    client.receive()
    data = bytes(node.files.contents[path])

    def node_with(end):
        files = FaultyFiles()
        files.contents[path] = bytearray(data[:end])
        files.synced[path] = end
        return Node(files, q=arguments, dead={})

    for end in range(before, len(data) + 1):
        after = node_with(end)
        where = bodies(after, "q"), bodies(after, "dead")
        assert where == (([], ["m"]) if end == len(data) else (["m"], []))
    dead = node_with(len(data)).client().get("dead")
    assert dead.properties["headers"]["x-first-death-reason"] == longstr("rejected")


@pytest.mark.parametrize("limits", [{}, {"group_bytes": 300}, {"batch_bytes": 300}])
@pytest.mark.parametrize("cc", [[], ["nowhere"]])
def test_dead_letters_delivered_before_a_crash_are_redelivered(limits, cc):
    arguments = {"x-dead-letter-exchange": longstr("dlx")}
    node = Node(limits=limits, q=arguments, dead={}, other={})
    client, consumer = node.client(), node.client()
    client.call(1, "exchange.declare", exchange="dlx", exchange_type="fanout", durable=True)
    client.call(1, "queue.bind", queue="dead", exchange="dlx")
    consumer.consume("dead")
    headers = {"CC": Field("A", [longstr(key) for key in cc])} if cc else {}
    for number in range(5):
        client.publish("q", b"%d" % number, delivery_mode=2, headers=headers)
    client.receive()
    for _ in range(5):
        client.get("q", no_ack=False)
    client.send(1, "basic.reject", delivery_tag=1)
    client.send(1, "basic.nack", delivery_tag=5, multiple=True)
    client.receive()
    assert [got.body for got in consumer.receive() if got.name == "basic.deliver"] == [b"0", b"1", b"2", b"3", b"4"]
    after = node.crash()
    assert bodies(after, "q") == []
    again = after.client()
    for number in range(5):
        got = again.get("dead")
        assert (got.body, got.arguments["redelivered"]) == (b"%d" % number, True)
        assert got.properties["headers"]["x-first-death-queue"] == longstr("q")


@pytest.mark.explore
def test_crash_leaves_moved_messages_in_exactly_one_of_two_queues():
    node = Node(q={}, to={})
    client = node.client()
    publish(client, "1", "2")
    client.receive()
    (path,) = node.files.contents
    before = len(node.files.contents[path])
    queues = node.broker.vhosts["/"].queues
    assert queues["q"].move(queues["to"], 10, 1000) == 2
    node.broker.sync()
    data = bytes(node.files.contents[path])
    seen = set()
    for end in range(before, len(data) + 1):
        files = FaultyFiles()
        files.contents[path] = bytearray(data[:end])
        files.synced[path] = end
        after = Node(files, q={}, to={})
        where = tuple(bodies(after, "q")), tuple(bodies(after, "to"))
        assert sorted(where[0] + where[1]) == ["1", "2"]
        seen.add(where)
    assert where == ((), ("1", "2"))
    assert seen == {(("1", "2"), ()), ((), ("1", "2"))}


@pytest.mark.explore
def test_a_message_returned_to_the_end_exists_once_after_any_crash():
    arguments = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("b", -1)}
    node = Node(q=arguments)
    client = node.client()
    publish(client, "1", "2")
    client.receive()
    client.get("q", no_ack=False)
    client.receive()
    (path,) = node.files.contents
    before = len(node.files.contents[path])
    client.send(1, "basic.nack", delivery_tag=1, requeue=True)
    client.receive()
    data = bytes(node.files.contents[path])
    for end in range(before, len(data) + 1):
        files = FaultyFiles()
        files.contents[path] = bytearray(data[:end])
        files.synced[path] = end
        assert bodies(Node(files, q=arguments), "q") == (["2", "1"] if end == len(data) else ["1", "2"])


def test_a_message_moved_before_it_is_written_is_written_once():
    node = Node(q={}, to={})
    client = node.client()
    publish(client, "1")
    queues = node.broker.vhosts["/"].queues
    assert queues["q"].move(queues["to"], 10, 1000) == 1
    node.broker.sync()
    node = node.crash()
    assert (bodies(node, "q"), bodies(node, "to")) == ([], ["1"])


def to(queue, **more):
    return {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr(queue), **more}


def test_message_dead_lettered_twice_before_a_write_is_never_lost():
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


def test_messages_of_one_transaction_can_be_dead_lettered_one_by_one():
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
        # A transaction is still all or nothing.
        assert depth(crashed_copy(node), "letters") in (0, 1, 11, 21)
        node.committer.finish()
    assert bodies(node.crash(), "letters") == ["under way", *map(BODY, [*range(10)] * 2)]


class Broken(Destination):
    def publish(self, message):
        raise RuntimeError("for the test")


class ToBroken:
    """An exchange type that routes to a broken destination."""

    name = "broken"
    keyed = per_key = False
    index = None

    def route(self, routing_key, message):
        return [Broken("broken")]


@pytest.mark.parametrize("how", ["dead letter", "transaction"])
def test_publishes_after_an_internal_error_are_stored(how, caplog):
    node = Node(q={}, source={"x-dead-letter-exchange": longstr("amq.fanout")})
    node.broker.vhosts["/"].exchanges["amq.fanout"].type = ToBroken()
    client = node.client()
    if how == "dead letter":
        client.publish("source", delivery_mode=2)
        client.get("source", no_ack=False)
        client.send(1, "basic.reject", delivery_tag=1, requeue=False)
    else:
        client.call(1, "tx.select")
        client.publish("", exchange="amq.fanout", delivery_mode=2)
        client.send(1, "tx.commit")
    (refusal,) = client.receive()
    assert refusal.arguments["reply_code"] == 541
    assert "for the test" in caplog.text
    other = confirming(node)
    for number in range(1, 4):
        publish(other, "safe")
        assert acks(other) == [number]
    assert bodies(node.crash()) == ["safe"] * 3


def test_repeated_returns_while_the_disk_is_stuck_are_stored_once():
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
    entries = list(client.connection.channels[1].unacked.entries.values())
    for _ in range(30_000):
        for entry in entries:
            node.persistence.returned(entry)
    assert len(node.persistence.loose) < 30_000
    node.persistence.begin()
    for _ in range(10):
        node.persistence.returned(entries[0])
    assert node.persistence.waiting_bytes > 10 * 8
    node.persistence.end()
    finish(node)
    client = node.crash().client()
    got = [client.get("q") for _ in range(3)]
    assert [(one.body, one.arguments["redelivered"]) for one in got] == [
        (b"a", True),
        (b"b", True),
        (b"under way", False),
    ]


def test_a_purged_backlog_is_settled_without_an_object_per_copy():
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
    assert len(node.persistence.loose) == count
    node.broker.sync()
    finish(node)
    assert node.committer.sizes[-1] > 8 * count
    assert bodies(node.crash()) == ["kept"]
