"""First deliveries of messages: a flag of the publish record if that is not yet written, else a separate record."""

import pytest

from amqpbroker.store import record
from amqpbroker.wire.values import Field, longstr
from tests.broker.storing import (
    DIRECTORY,
    LaterCommitter,
    Node,
    crashed_copy,
    finish,
    publish,
)
from tests.fault_files import FaultyFiles

QUORUM = {"x-queue-type": longstr("quorum")}


class Records(record.Visitor):
    """The records in the journal of a node.

    published: sequence -> whether the publish record has the flag for a delivered message.
    """

    def __init__(self, node):
        self.published = {}
        self.returned = []
        for name in node.files.names(DIRECTORY):
            data = bytes(node.files.contents[DIRECTORY / name])
            mark = record.read_mark(data, int(name.split(".")[0], 16))
            offset = record.SEGMENT_HEAD.size
            while offset < len(data):
                _, size = record.read_batch(data, offset, mark)
                offset += record.BATCH_HEAD.size
                record.visit(data, offset, offset + size, self)
                offset += size

    def entered(self, offset, queue_id, sequence, deadline_ms, count, size, part_bytes, priority, delivered):
        self.published[queue_id, sequence] = delivered

    def settled(self, position):
        pass

    def returned_copy(self, position, delivery_count):
        self.returned.append((position, delivery_count))

    def delayed_copy(self, position, due_ms):
        pass


def redelivered(node, queue="q"):
    """Get everything; return the redelivered flag of each message."""
    client = node.client()
    found = {}
    while (got := client.get(queue, no_ack=False)).name == "basic.get-ok":
        found[got.body.decode()] = got.arguments["redelivered"]
    return found


@pytest.mark.parametrize("arguments", [{}, {"x-max-priority": Field("I", 5)}, QUORUM])
def test_a_first_delivery_in_the_iteration_of_the_publish_needs_no_record(arguments):
    node = Node(q=arguments)
    client, consumer = node.client(), node.client()
    consumer.call(1, "basic.qos", prefetch_count=2)
    consumer.consume("q", no_ack=False)
    publish(client, "a", "b", "c")
    client.turn()
    records = Records(node)
    assert records.published == {(1, 1): True, (1, 2): True, (1, 3): False}
    assert records.returned == []
    assert redelivered(node.crash()) == {"a": True, "b": True, "c": False}


def test_a_get_in_the_iteration_of_the_publish_needs_no_record():
    node = Node()
    client = node.client()
    publish(client, "a", "b")
    client.send(1, "basic.get", queue="q")
    client.turn()
    assert (Records(node).published, Records(node).returned) == ({(1, 1): True, (1, 2): False}, [])
    assert redelivered(node.crash()) == {"a": True, "b": False}


def test_delivery_after_the_publish_was_written_writes_a_record():
    node = Node()
    client = node.client()
    publish(client, "a", "b")
    client.turn()
    client.get("q", no_ack=False)
    client.turn()
    records = Records(node)
    assert records.published == {(1, 1): False, (1, 2): False}
    assert len(records.returned) == 1
    assert redelivered(node.crash()) == {"a": True, "b": False}


def test_a_delivery_while_the_publish_is_being_written_is_a_record_of_the_next_batch():
    node = Node(committer=LaterCommitter)
    client = node.client()
    publish(client, "a")
    client.turn()
    client.get("q", no_ack=False)
    client.turn()
    node.committer.finish()
    assert redelivered(crashed_copy(node)) == {"a": False}
    finish(node)
    assert redelivered(node.crash()) == {"a": True}


def test_a_message_returned_before_it_is_written_keeps_its_counts():
    node = Node(q=QUORUM)
    client = node.client()
    publish(client, "a")
    for tag in (1, 2):
        client.send(1, "basic.get", queue="q")
        client.send(1, "basic.nack", delivery_tag=tag, requeue=True)
    client.turn()
    got = node.crash().client().get("q")
    assert (got.body, got.arguments["redelivered"]) == (b"a", True)
    assert got.properties["headers"]["x-delivery-count"] == Field("l", 2)


def test_a_redelivery_writes_no_record():
    """The record of the return already contains the delivery and its count."""
    node = Node()
    client = node.client()
    publish(client, "a")
    client.turn()
    client.get("q", no_ack=False)
    client.send(1, "basic.nack", delivery_tag=1, requeue=True)
    client.turn()
    before = len(Records(node).returned)
    client.get("q", no_ack=False)
    client.turn()
    assert len(Records(node).returned) == before
    assert redelivered(node.crash()) == {"a": True}


@pytest.mark.parametrize("delivered", [(), ("one",), ("two", "three"), ("one", "two", "three")])
def test_copies_of_one_message_are_flagged_if_all_are_delivered(delivered):
    queues = ("one", "two", "three")
    node = Node(**{name: {} for name in queues})
    client, consumer = node.client(), node.client()
    for name in queues:
        client.call(1, "queue.bind", queue=name, exchange="amq.fanout")
    for name in delivered:
        consumer.consume(name, tag=name, no_ack=False)
    client.publish("", b"m", exchange="amq.fanout", delivery_mode=2)
    client.turn()
    records = Records(node)
    assert set(records.published.values()) == {len(delivered) == 3}
    assert len(records.returned) == (0 if len(delivered) == 3 else len(delivered))
    after = node.crash()
    assert {name: redelivered(after, name) for name in queues} == {name: {"m": name in delivered} for name in queues}


def test_a_delivered_message_of_a_transaction_is_flagged():
    node = Node()
    client, consumer = node.client(), node.client()
    consumer.consume("q", no_ack=False)
    client.call(1, "tx.select")
    publish(client, "a", "b")
    client.call(1, "tx.commit")
    assert (Records(node).published, Records(node).returned) == ({(1, 1): True, (1, 2): True}, [])
    assert redelivered(node.crash()) == {"a": True, "b": True}


def test_a_message_with_extra_keys_is_flagged():
    node = Node(q={}, other={})
    client, consumer = node.client(), node.client()
    for name in ("q", "other"):
        consumer.consume(name, tag=name, no_ack=False)
    client.publish("q", b"a", delivery_mode=2, headers={"CC": Field("A", [longstr("other"), longstr("k" * 255)])})
    client.turn()
    assert Records(node).returned == []
    after = node.crash()
    assert (redelivered(after), redelivered(after, "other")) == ({"a": True}, {"a": True})


@pytest.mark.explore
def test_confirmed_messages_survive_any_power_loss_with_their_flag():
    """Lose power at every byte of the batch that follows a publish and its delivery."""
    node = Node()
    client, consumer = node.client(), node.client()
    publish(client, "early")
    client.turn()
    (path,) = node.files.contents
    before = len(node.files.contents[path])
    consumer.consume("q", no_ack=False)
    publish(client, "a", "b")
    client.turn()
    data = bytes(node.files.contents[path])
    whole = {"early": True, "a": True, "b": True}
    for end in range(before, len(data) + 1):
        files = FaultyFiles()
        files.contents[path] = bytearray(data[:end])
        files.synced[path] = end
        found = redelivered(Node(files))
        assert found in ({"early": False}, {"early": True}, whole)
    assert found == whole


def test_a_flagged_message_is_redelivered_after_compaction():
    node = Node()
    node.persistence.log.segment_bytes = 2_000
    client, consumer = node.client(), node.client()
    consumer.call(1, "basic.qos", prefetch_count=2)
    consumer.consume("q", no_ack=False)
    publish(client, "stays", "stays too")
    client.turn()
    for number in range(200):
        publish(client, f"{number:0100}")
        client.turn()
        client.get("q")
        client.turn()
    assert node.persistence.log.oldest > 1
    assert redelivered(node.crash()) == {"stays": True, "stays too": True}


def test_a_partly_delivered_fan_out_is_redelivered_after_compaction():
    node = Node(q={}, other={})
    node.persistence.log.segment_bytes = 2_000
    client, consumer = node.client(), node.client()
    for name in ("q", "other"):
        client.call(1, "queue.bind", queue=name, exchange="amq.fanout")
    consumer.call(1, "basic.qos", prefetch_count=1)
    consumer.consume("q", no_ack=False)
    client.publish("", b"stays", exchange="amq.fanout", delivery_mode=2)
    client.turn()
    for number in range(200):
        publish(client, f"{number:0100}")
        client.turn()
        client.get("q")
        client.turn()
    assert node.persistence.log.oldest > 1
    after = node.crash()
    assert (redelivered(after), redelivered(after, "other")) == ({"stays": True}, {"stays": False})


# --- deliveries of which no record was written ------------------------------------------------------------------------


class DoubtingNode(Node):
    """A node that counts messages as redelivered after a crash, as a broker's process does."""

    doubts = True

    def restart(self):
        """Close the store in order, and start again."""
        self.persistence.close()
        return type(self)(self.files, self.clock, **self.queues)


def doubting(*bodies, **queues):
    node = DoubtingNode(**queues)
    client = node.client()
    publish(client, *bodies)
    client.turn()
    return node, client


@pytest.mark.parametrize("arguments", [{}, {"x-max-priority": Field("I", 5)}, QUORUM])
def test_delivery_without_a_record_is_a_redelivery_after_a_crash(arguments):
    node, client = doubting("a", "b", q=arguments)
    client.get("q", no_ack=False)
    assert redelivered(node.crash()) == {"a": True, "b": True}


def test_only_what_was_delivered_is_redelivered_after_a_stop():
    node, client = doubting("a", "b")
    client.get("q", no_ack=False)
    client.turn()
    assert redelivered(node.restart()) == {"a": True, "b": False}


def test_crash_after_a_start_without_a_write_makes_all_messages_doubtful():
    node, _ = doubting("a", "b")
    node = node.restart()
    node.client().get("q", no_ack=False)
    assert redelivered(node.crash()) == {"a": True, "b": True}


def test_doubt_outlives_stops_and_does_not_concern_later_messages():
    node, _ = doubting("a")
    node = node.crash()
    client = node.client()
    publish(client, "b")
    client.turn()
    assert redelivered(node.restart().restart()) == {"a": True, "b": False}


def test_doubtful_message_that_is_rewritten_stays_doubtful():
    node, _ = doubting("stays", q={}, other={})
    node = node.crash()
    node.persistence.log.segment_bytes = 2_000
    client = node.client()
    for number in range(200):
        publish(client, f"{number:0100}", queue="other")
        client.turn()
        client.get("other")
        client.turn()
    assert node.persistence.log.oldest > 1
    assert redelivered(node.restart()) == {"stays": True}


def test_doubtful_message_counts_no_earlier_delivery():
    node, _ = doubting("a", q=QUORUM)
    node = node.crash()
    client = node.client()
    got = client.get("q", no_ack=False)
    assert (got.arguments["redelivered"], got.properties.get("headers")) == (True, None)
    client.send(1, "basic.nack", delivery_tag=got.arguments["delivery_tag"], requeue=True)
    client.turn()
    got = client.get("q", no_ack=False)
    assert got.properties["headers"] == {"x-delivery-count": Field("l", 1)}
