"""Stored messages after a crash: operations of one broker, and the contents of another started on the same files."""

import errno
import random

import pytest

from amqpbroker.wire.values import Field, longstr
from tests.broker.storing import (
    STREAMS,
    LaterCommitter,
    Node,
    bodies,
    depth,
    finish,
    publish,
)
from tests.fault_files import FaultyFiles
from tests.seeds import seeds
from tests.soak.census import census


def test_confirmed_persistent_messages_survive_in_order():
    node = Node()
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, *"abc")
    assert [got.name for got in client.receive()] == ["basic.ack"]
    assert bodies(node.crash()) == ["a", "b", "c"]


def test_transient_messages_do_not_survive():
    node = Node()
    client = node.client()
    client.publish("q", b"transient")
    publish(client, "kept")
    client.receive()
    assert bodies(node.crash()) == ["kept"]


def test_messages_of_a_deleted_vhost_do_not_survive():
    node = Node(q={}, other={})
    client = node.client()
    publish(client, "ready", "held", queue="q")
    client.consume("q", no_ack=False)
    publish(client, "other", queue="other")
    client.receive()
    node.broker.delete_vhost("/")
    node.broker.sync()
    assert client.receive()[-1].arguments["reply_text"] == "CONNECTION_FORCED - vhost '/' is deleted"
    node.broker.sync()
    assert node.persistence.log.living.size_bytes == 0
    assert node.crash().restored == 0


def test_no_confirm_before_the_sync_has_returned():
    node = Node(committer=LaterCommitter)
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, "a")
    assert client.receive() == []
    publish(client, "b")
    assert client.receive() == []
    node.committer.finish()
    assert [(got.name, got.arguments["delivery_tag"]) for got in client.receive()] == [("basic.ack", 1)]
    node.committer.finish()
    assert [(got.name, got.arguments["delivery_tag"]) for got in client.receive()] == [("basic.ack", 2)]


def test_confirm_without_durability_does_not_wait_for_the_write():
    node = Node(committer=LaterCommitter)
    node.persistence._waits = False
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, "a", "b")
    assert [(got.name, got.arguments["delivery_tag"]) for got in client.receive()] == [("basic.ack", 2)]
    assert len(node.committer.work) == 1


def test_unsynced_messages_are_lost_and_were_not_confirmed():
    node = Node(committer=LaterCommitter)
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, "a")
    assert client.receive() == []
    assert bodies(node.crash()) == []


def test_acked_messages_are_not_recovered_after_a_sync():
    node = Node()
    client = node.client()
    publish(client, *"abc")
    client.receive()
    client.get("q", no_ack=False)
    client.get("q", no_ack=False)
    client.send(1, "basic.ack", delivery_tag=2)
    client.receive()
    after = node.crash()
    got = after.client().get("q")
    assert (got.body, got.arguments["redelivered"], got.arguments["message_count"]) == (b"a", True, 1)
    assert bodies(after) == ["c"]


def test_commit_ok_waits_for_the_sync_and_answers_stay_in_order():
    node = Node(committer=LaterCommitter)
    client = node.client()
    client.call(1, "tx.select")
    publish(client, "x")
    client.send(1, "tx.commit")
    client.send(1, "basic.qos", prefetch_count=1)
    assert client.receive() == []
    node.committer.finish()
    assert [got.name for got in client.receive()] == ["tx.commit-ok", "basic.qos-ok"]


def test_deadline_priority_headers_and_deaths_survive():
    arguments = {"x-max-priority": Field("I", 5), "x-message-ttl": Field("I", 60_000)}
    node = Node(q=arguments)
    client = node.client()
    publish(client, "low", priority=1, headers={"k": Field("l", 7)}, expiration="50000")
    publish(client, "high", priority=4)
    client.receive()
    node.clock.advance(40_000)
    after = node.crash()
    assert after.restored == 2
    client = after.client()
    got = [client.get("q", no_ack=False) for _ in range(2)]
    assert [(one.body, one.properties["priority"]) for one in got] == [(b"high", 4), (b"low", 1)]
    assert got[1].properties["headers"] == {"k": Field("l", 7)}
    client.turn()
    again = after.crash()
    node.clock.advance(11_000)
    got = again.client().get("q")
    assert (got.body, got.arguments["redelivered"]) == (b"high", True)
    assert bodies(again) == []


def test_quorum_queue_stores_transient_messages_and_their_delivery_counts():
    node = Node(q={"x-queue-type": longstr("quorum")})
    client = node.client()
    client.publish("q", b"m")
    client.receive()
    for tag in (1, 2):
        client.get("q", no_ack=False)
        client.send(1, "basic.nack", delivery_tag=tag, requeue=True)
        client.receive()
    got = node.crash().client().get("q")
    assert got.properties["headers"]["x-delivery-count"] == Field("l", 2)
    assert got.arguments["redelivered"] is True


def test_purged_messages_are_not_recovered_and_free_their_segments():
    node = Node(q={}, other={})
    client = node.client()
    publish(client, *"abc")
    publish(client, "d", queue="other")
    client.receive()
    client.call(1, "queue.purge", queue="q")
    client.call(1, "queue.delete", queue="other")
    client.turn()
    assert node.persistence.log.living.of(1).count == 0
    assert bodies(node.crash()) == []


def test_after_a_failed_sync_nothing_is_confirmed_and_nothing_confirmed_is_lost():
    node = Node()
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, "safe")
    assert [got.name for got in client.receive()] == ["basic.ack"]
    node.files.fail_sync = node.files.syncs + 1
    publish(client, "lost")
    assert client.receive() == []
    assert len(node.failures) == 1
    publish(client, "later")
    assert client.receive() == []
    node.clock.advance(10_000)
    assert node.stuck == []
    assert bodies(node.crash()) == ["safe"]


# --- deep queues ------------------------------------------------------------------------------------------------------


def in_memory(node, queue="q"):
    """Return the number of a queue's ready messages in memory."""
    line = node.broker.vhosts["/"].queues[queue].ready
    return len(line.line) + len(line._tail) + sum(len(page.entries) for page in line._pages)


def filled(count, **properties):
    node = Node()
    client = node.client()
    for start in range(0, count, 500):
        for i in range(start, min(start + 500, count)):
            client.publish("q", b"%d" % i, **(properties or {"delivery_mode": 2}))
        client.turn()
    return node


class UnreadableFiles(FaultyFiles):
    unreadable = False

    def read(self, *arguments):
        if self.unreadable:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(*arguments)


def holding_all_in_memory():
    """Return a broker and a client that holds all messages of a queue that are not on the disk."""
    node = Node(UnreadableFiles(), q={}, copy={})
    client = node.client()
    for start in range(0, 6_000, 500):
        for i in range(start, start + 500):
            client.publish("q", b"%d" % i, delivery_mode=2)
        client.turn()
    client.publish("copy", b"kept", delivery_mode=2)
    client.turn()
    line = node.broker.vhosts["/"].queues["q"].ready.line
    holder = node.client()
    while line:
        holder.get("q", no_ack=False)
    return node, holder


def test_messages_requeued_before_the_first_page_need_no_read():
    node, holder = holding_all_in_memory()
    node.files.unreadable = True
    holder.connection.lost()
    client = node.client()
    assert client.depth("q") == 6_000
    assert client.get("q", no_ack=False).body == b"0"


def test_messages_return_to_a_queue_on_an_unreadable_disk(caplog):
    node, holder = holding_all_in_memory()
    holder.call(2, "channel.open")
    holder.get("copy", channel=2, no_ack=False)
    # As if it had been after the messages on the disk.
    holder.connection.channels[1].unacked.entries[1].sequence = 1 << 40
    node.files.unreadable = True
    holder.connection.lost()
    client = node.client()
    assert client.get("copy").body == b"kept"
    assert client.depth("q") == 6_000
    assert len(node.broker.sessions) == 2
    assert "cannot be read" not in caplog.text
    node.files.unreadable = False
    assert sorted(map(int, bodies(node))) == list(range(6_000))


def test_deep_queue_keeps_its_order_and_only_its_ends_in_memory():
    node = filled(10_000)
    assert in_memory(node) < 5_000
    assert node.broker.vhosts["/"].queues["q"].ready_count == 10_000
    assert bodies(node) == [str(i) for i in range(10_000)]
    assert node.persistence.log.living.of(1).count == 0
    assert "Page" not in census(node.broker)


def test_requeued_messages_come_before_paged_ones():
    node = filled(6_000)
    client = node.client()
    for _ in range(1_500):
        client.send(1, "basic.get", queue="q")
    client.receive()
    client.send(1, "basic.nack", delivery_tag=1_500, multiple=True, requeue=True)
    client.turn()
    assert bodies(node) == [str(i) for i in range(6_000)]


def test_transient_messages_among_stored_ones_keep_their_place():
    node = Node()
    client = node.client()
    for i in range(8_000):
        client.publish("q", b"%d" % i, delivery_mode=2 if i // 1_500 % 2 else 1)
        if i % 500 == 0:
            client.turn()
    client.turn()
    assert in_memory(node) < 7_500
    assert bodies(node) == [str(i) for i in range(8_000)]


def test_deep_queue_survives_a_crash_and_can_be_purged():
    node = filled(5_000)
    after = node.crash()
    assert in_memory(after) == 0
    client = after.client()
    assert client.get("q").body == b"0"
    assert client.call(1, "queue.purge", queue="q").arguments["message_count"] == 4_999
    client.turn()
    assert bodies(after.crash()) == []


def test_large_bodies_are_paged_by_their_size():
    node = Node()
    client = node.client()
    for i in range(30):
        client.publish("q", bytes([i]) * 1_000_000, delivery_mode=2)
        client.turn()
    assert in_memory(node) < 12
    got = [client.get("q").body for _ in range(30)]
    assert got == [bytes([i]) * 1_000_000 for i in range(30)]


def test_last_live_messages_of_a_segment_are_rewritten_to_free_it():
    node = Node(keep={}, q={})
    node.persistence.log.segment_bytes = 20_000
    client = node.client()
    publish(client, "straggler", "settled later", "read later", queue="keep")
    client.turn()
    client.get("keep", no_ack=False)
    client.turn()
    for i in range(600):
        publish(client, str(i) * 20)
        client.turn()
        client.get("q")
    client.turn()
    journal = node.persistence.log
    assert min(journal.segments) > 1
    assert len(journal.segments) <= 4
    assert client.get("keep", no_ack=True).body == b"settled later"
    client.turn()
    after = node.crash()
    client = after.client()
    got = client.get("keep")
    assert (got.body, got.arguments["redelivered"]) == (b"straggler", True)
    assert bodies(after, "keep") == ["read later"]


def test_copies_settled_before_a_restart_are_not_rewritten():
    node = Node(keep={}, q={})
    publish(node.client(), *"abcdefgh", queue="keep")
    client = node.client()
    publish(client, *map(str, range(100)))
    client.turn()
    assert len(bodies(node)) == 100
    node = node.crash()
    node.persistence.log.segment_bytes = 2_000
    client = node.client()
    for _ in range(7):
        client.get("keep")
    for i in range(100):
        publish(client, str(i))
        client.turn()
        client.get("q")
    client.turn()
    after = node.crash()
    assert (bodies(after, "keep"), bodies(after)) == (["h"], [])
    assert min(node.persistence.log.segments) > 1


@pytest.mark.parametrize("queue_is_lost", [False, True])
def test_delivery_counts_of_settled_messages_are_not_kept_after_a_restart(queue_is_lost):
    node = Node(keep={}, q={})
    client = node.client()
    publish(client, *"ab", queue="keep")
    publish(client, *map(str, range(100)))
    client.turn()
    client.get("keep", no_ack=False)
    for _ in range(100):
        client.get("q", no_ack=False)
    client.send(1, "basic.nack", delivery_tag=1, requeue=True)
    if queue_is_lost:
        del node.queues["q"]
    else:
        client.send(1, "basic.ack", delivery_tag=101, multiple=True)
    client.turn()
    after = node.crash()
    assert len(after.persistence._counts) == 1
    assert after.client().get("keep").arguments["redelivered"]


def test_paged_messages_are_found_after_compaction():
    node = filled(5_000)
    node.persistence.log.segment_bytes = 20_000
    client = node.client()
    for _ in range(4_000):
        client.send(1, "basic.get", queue="q", no_ack=True)
    client.receive()
    for i in range(300):
        client.publish("q", b"%d" % (5_000 + i), delivery_mode=2)
        client.turn()
    assert min(node.persistence.log.segments) > 1
    assert bodies(node) == [str(i) for i in range(4_000, 5_300)]


def test_the_directory_shrinks_after_a_drain():
    node = Node()
    node.persistence.log.segment_bytes = 50_000
    client = node.client()
    for i in range(5_000):
        client.publish("q", b"%d" % i * 10, delivery_mode=2)
        if i % 100 == 0:
            client.turn()
    client.turn()
    assert len(node.files.contents) > 5
    bodies(node)
    assert len(node.files.contents) <= 2


# --- space ------------------------------------------------------------------------------------------------------------


SEGMENT_BYTES = 20_000


class CountingFiles(FaultyFiles):
    """written: number of bytes written."""

    written = 0

    def write(self, descriptor, *parts):
        self.written += sum(map(len, parts))
        super().write(descriptor, *parts)


def journal_bytes(node):
    return sum(len(content) for content in node.files.contents.values())


def bound(node):
    """Return the maximum size of a journal: twice the live data and a few segments."""
    return 2 * node.persistence.log.living.size_bytes + 4 * SEGMENT_BYTES


def test_a_few_old_messages_do_not_retain_the_space_of_later_ones():
    node = Node(CountingFiles(), parked={}, q={})
    node.persistence.log.segment_bytes = SEGMENT_BYTES
    client = node.client()
    publish(client, *map(str, range(40)), queue="parked")
    client.turn()
    client.consume("q", no_ack=False)
    for start in range(0, 5_000, 10):
        publish(client, *(f"{number:0100}" for number in range(start, start + 10)))
        client.turn()
        client.send(1, "basic.ack", delivery_tag=start + 10, multiple=True)
        client.receive()
        assert journal_bytes(node) <= bound(node)
    assert len(node.files.contents) <= 5
    assert bodies(node.crash(), "parked") == [str(number) for number in range(40)]


@pytest.mark.parametrize("seed", seeds(4))
def test_journal_size_and_compaction_writes_are_bounded_by_live_data(seed):
    chance = random.Random(seed)
    queues = {"a": {}, "b": {}, "c": {}}
    node = Node(CountingFiles(), **queues)
    node.persistence.log.segment_bytes = SEGMENT_BYTES
    client = node.client()
    for queue in queues:
        client.call(1, "queue.bind", queue=queue, exchange="amq.fanout")
    published = 0
    expected = {queue: [] for queue in queues}
    for number in range(1_500):
        body = f"{number:0{chance.choice((10, 100, 1_000))}}".encode()
        queue = chance.choice(("a", "a", "b", "c", None))
        exchange = "" if queue else "amq.fanout"
        client.publish(queue or "", body, exchange=exchange, delivery_mode=2)
        for name in queues if queue is None else [queue]:
            expected[name].append(body)
        published += len(body) + 150
        if chance.random() < 0.5:
            client.turn()
        # One queue empties often, one grows to some length, one grows until it is purged.
        while len(expected["a"]) > chance.randint(0, 5):
            assert client.get("a").body == expected["a"].pop(0)
        while len(expected["b"]) > 60:
            assert client.get("b").body == expected["b"].pop(0)
        if len(expected["c"]) > 300:
            client.call(1, "queue.purge", queue="c")
            expected["c"].clear()
        client.turn()
        assert journal_bytes(node) <= bound(node)
    assert node.files.written < 3 * published
    after = node.crash()
    assert {queue: [text.encode() for text in bodies(after, queue)] for queue in queues} == expected


def test_a_moved_copy_can_be_read_before_its_new_position_is_written():
    node = Node(committer=LaterCommitter, parked={}, q={})
    node.persistence.log.segment_bytes = SEGMENT_BYTES
    client = node.client()
    for number in range(3_000):
        publish(client, f"{number:050}", queue="parked" if number % 50 == 0 else "q")
        if number % 100 == 99:
            client.turn()
            node.committer.finish()
    positions = [entry.position for entry in node.broker.vhosts["/"].queues["parked"].ready]
    bodies(node)
    seen = 0
    while node.committer.work:
        seen += bool(node.persistence.writer._writings[0].moved)
        reading = node.persistence.load(positions)
        read = [reading.message(position).frames[-51:-1] for position in positions]
        assert read == [b"%050d" % number for number in range(0, 3_000, 50)]
        node.committer.finish()
        node.broker.sync()
    assert seen > 1


def test_a_restart_removes_segments_without_live_copies():
    node = Node()
    node.persistence.log.segment_bytes = SEGMENT_BYTES
    client = node.client()
    for number in range(2_000):
        publish(client, f"{number:050}")
        if number % 100 == 99:
            client.turn()
    node.persistence.log.free = lambda: False
    bodies(node)
    assert len(node.files.contents) > 10
    after = node.crash()
    assert len(after.files.contents) <= 2


def test_a_stop_removes_segments_without_live_copies():
    node = Node(committer=LaterCommitter)
    node.persistence.log.segment_bytes = SEGMENT_BYTES
    client = node.client()
    for number in range(2_000):
        publish(client, f"{number:050}")
        if number % 100 == 99:
            client.turn()
            node.committer.finish()
    while node.committer.work:
        node.committer.finish()
    for _ in range(2_000):
        client.get("q")
    assert len(node.files.contents) > 5
    node.committer.close = node.committer.finish
    node.persistence.close()
    assert len(node.files.contents) <= 2


def test_an_idle_broker_compacts_until_the_journal_is_small():
    node = Node(committer=LaterCommitter, parked={}, q={})
    node.persistence.log.segment_bytes = SEGMENT_BYTES
    client = node.client()
    for number in range(3_000):
        publish(client, f"{number:050}", queue="parked" if number % 50 == 0 else "q")
        if number % 100 == 99:
            client.turn()
            node.committer.finish()
    bodies(node)
    while node.committer.work:
        node.committer.finish()
        node.broker.sync()
    assert journal_bytes(node) <= bound(node)
    assert len(bodies(node, "parked")) == 60


def dead_letter_for_length(client):
    for _ in range(20):
        client.publish("short", b"transient")


def dead_letter_by_rejection(client):
    for _ in range(10):
        client.publish("rejected", b"transient")
    for _ in range(10):
        got = client.get("rejected", no_ack=False)
    client.send(1, "basic.nack", delivery_tag=got.arguments["delivery_tag"], multiple=True, requeue=False)


def dead_letter_for_age(client):
    for _ in range(10):
        client.publish("rejected", b"transient", expiration=b"1")
    client.broker.clock.advance(10)


def commit(client):
    client.send(1, "tx.select")
    for _ in range(10):
        client.publish("q", b"transient")
        client.send(1, "tx.commit")


def delay(client):
    arguments = {"x-delayed-type": longstr("fanout")}
    client.call(
        1, "exchange.declare", exchange="late", exchange_type="x-delayed-message", durable=True, arguments=arguments
    )
    client.call(1, "queue.bind", queue="q", exchange="late")
    for _ in range(10):
        client.publish("q", b"transient", exchange="late", headers={"x-delay": Field("I", 5)})
    client.receive()
    client.broker.clock.advance(10)


LETTERS = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("q")}


@pytest.mark.parametrize(
    "operation", [dead_letter_for_length, dead_letter_by_rejection, dead_letter_for_age, commit, delay]
)
def test_operations_on_transient_messages_wait_for_no_sync(operation):
    node = Node(q={}, short={**LETTERS, "x-max-length": Field("I", 1)}, rejected=LETTERS)
    client = node.client()
    # No other write is pending that would lower the count.
    node.broker.sync()
    before = node.persistence.appended
    operation(client)
    client.receive()
    assert depth(node, "q") >= 10
    assert node.persistence.appended == before
    assert node.persistence.waiting_bytes == 0


def test_an_answer_waits_for_the_batch_being_written():
    node = Node(committer=LaterCommitter)
    store = node.persistence
    store.count_answer(100)
    assert store.waiting_bytes == 0
    client = node.client()
    publish(client, "a")
    client.turn()
    assert store.waiting_bytes == 0
    store.count_answer(100)
    assert store.waiting_bytes == 100
    publish(client, "b")
    store.count_answer(1)
    assert store.waiting_bytes > 101
    node.committer.finish()
    # The first answer is due; the second waits for "b", whose writing has begun.
    assert store.waiting_bytes == 1
    node.committer.finish()
    assert store.waiting_bytes == 0


# --- several batches at the same time ---------------------------------------------------------------------------------


class DeepFiles(FaultyFiles):
    concurrency = 3


class DeepCommitter(LaterCommitter):
    """Ends the batches under way in order."""

    def end_first(self):
        batch, on_done = self.work.pop(0)
        self.inline.start(batch, on_done)


def deep(**queues):
    node = Node(DeepFiles(), committer=DeepCommitter, **queues)
    client = node.client()
    client.call(1, "confirm.select")
    # The first batch of a segment is written alone.
    publish(client, "first")
    client.turn()
    node.committer.end_first()
    assert confirmed(client) == [1]
    return node, client


def confirmed(client):
    return [got.arguments["delivery_tag"] for got in client.receive() if got.name == "basic.ack"]


def test_messages_that_arrive_while_others_are_written_are_written_beside_them():
    node, client = deep()
    for count, body in enumerate("abc", 1):
        publish(client, body)
        client.turn()
        assert len(node.committer.work) == count
    for body in "de":
        publish(client, body)
        client.turn()
    assert len(node.committer.work) == 3
    node.committer.end_first()
    assert confirmed(client) == [2]
    # The place that is free has everything that was gathered meanwhile.
    assert len(node.committer.work) == 3
    for tag in (3, 4, 6):
        node.committer.end_first()
        assert confirmed(client) == [tag]
    assert not node.committer.work
    assert bodies(node.crash()) == ["first", *"abcde"]


def test_a_gathering_of_which_nothing_is_written_ends_with_the_one_under_way():
    node, client = deep(q={}, other={})
    publish(client, "a")
    client.turn()
    client.consume("other", no_ack=True)
    client.receive()
    publish(client, "gone", queue="other")
    assert confirmed(client) == []
    assert len(node.committer.work) == 1
    node.committer.end_first()
    assert confirmed(client) == [3]
    assert node.persistence.waiting_bytes == 0


@pytest.mark.parametrize("what", ["a large message", "a definition", "the first batch of a segment", "a stream"])
def test_what_needs_more_than_its_own_batch_waits_for_the_others(what):
    node, client = deep()
    node.persistence._gathers_definitions = True
    publish(client, "a")
    client.turn()
    if what == "a definition":
        node.persistence.definitions_changed()
    if what == "the first batch of a segment":
        node.persistence.log.segment_bytes = 10
    if what == "a stream":
        node.persistence.streamed = True
    publish(client, "x" * (100_000 if what == "a large message" else 1))
    client.turn()
    assert len(node.committer.work) == 1
    node.committer.end_first()
    assert len(node.committer.work) == 1
    publish(client, "b")
    client.turn()
    assert len(node.committer.work) == 1
    while node.committer.work:
        node.committer.end_first()
    assert confirmed(client) == [4]


def test_segments_are_freed_and_compacted_although_batches_are_always_under_way():
    node, client = deep(q={}, kept={})
    log = node.persistence.log
    log.segment_bytes = 2_000
    publish(client, "kept", queue="kept")
    busy = 0
    for number in range(600):
        publish(client, f"{number:0200}")
        client.turn()
        client.get("q")
        if len(node.committer.work) > 1 or number % 2:
            busy += len(node.committer.work) > 1
            node.committer.end_first()
        confirmed(client)
    assert busy > 100
    assert log.newest > 20
    assert log.newest - log.oldest < 8
    while node.committer.work:
        node.committer.end_first()
    assert bodies(node.crash(), "kept") == ["kept"]


@pytest.mark.parametrize("ended", range(4))
def test_a_crash_keeps_the_batches_that_were_confirmed(ended):
    node, client = deep()
    for body in "abc":
        publish(client, body)
        client.turn()
    for _ in range(ended):
        node.committer.end_first()
    assert confirmed(client)[-1:] == [1 + ended][: min(ended, 1)]
    assert bodies(node.crash()) == ["first", *"abc"[:ended]]


def test_closing_writes_what_is_under_way_and_what_is_gathered():
    node, client = deep()
    for body in "abcd":
        publish(client, body)
        client.turn()
    assert len(node.committer.work) == 3
    node.persistence.close()
    assert bodies(node.crash()) == ["first", *"abcd"]


def test_an_abandoned_store_writes_and_removes_nothing_but_what_is_under_way():
    files = FaultyFiles()
    node = Node(files, committer=LaterCommitter, q={}, s={"x-queue-type": longstr("stream")})
    client = node.client()
    publish(client, "streamed", queue="s")
    client.turn()
    finish(node)
    publish(client, "kept")
    client.turn()
    streams = files.names(STREAMS)
    assert streams
    assert len(node.committer.work) == 1
    node.persistence.abandon()
    node.broker.vhosts["/"].close()
    node.broker.sync()
    assert finish(node) == 1
    node.persistence.close()
    assert files.names(STREAMS) == streams
    assert bodies(node.crash()) == ["kept"]
