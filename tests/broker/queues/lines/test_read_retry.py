"""A disk with frequent read errors: no stored message is lost, delivered twice or left behind."""

from dataclasses import replace
from pathlib import Path

import pytest

from amqpbroker.broker.queues.lines.read_retry import RETRY_MS
from amqpbroker.clock import ManualClock
from amqpbroker.store.persistence import COMPACTION_RETRY_MS
from amqpbroker.store.spill import SpillFiles
from amqpbroker.wire.values import Field, longstr
from tests.broker.storing import Node, bodies, depth, publish
from tests.fault_files import FlakyFiles

pytestmark = pytest.mark.explore

COUNT = 3_500
#: Rounds of `steps` within which every message has to be delivered.
PATIENCE = 1_000

KINDS = {
    "classic": {},
    "priority": {"x-max-priority": Field("I", 3)},
    "quorum": {"x-queue-type": longstr("quorum")},
}


def filled(count=COUNT, size=10, node=None, **queues):
    """Return a node with `count` numbered messages in q, as after a start; its reads fail from now on."""
    node = node or Node(FlakyFiles(), **queues)
    client = node.client()
    for start in range(0, count, 500):
        for number in range(start, min(start + 500, count)):
            publish(client, f"{number} ".ljust(size), priority=number % 4)
        client.turn()
    client.connection.lost()
    node.files.power_loss()
    # Use a new clock, so that the timers of the previous node do not fire.
    node = Node(node.files, ManualClock(node.clock.now_ms()), **node.queues)
    node.files.share = 0.3
    return node


def steps(node, client):
    """Yield the methods that the client receives while time advances."""
    for _ in range(PATIENCE):
        yield from client.receive()
        node.clock.advance(RETRY_MS)


def numbers(received):
    return [int(got.body) for got in received if got.body is not None]


def taken(node, queue="q"):
    """Return the numbers of all ready messages, by basic.get, which may report an empty queue meanwhile."""
    client = node.client()
    found = []
    for _ in range(PATIENCE):
        while (got := client.get(queue)).name == "basic.get-ok":
            found.append(int(got.body))
        if not depth(node, queue):
            return found
        node.clock.advance(RETRY_MS)
    raise AssertionError("some messages never came")


def in_order(kind):
    if kind == "priority":
        return sorted(range(COUNT), key=lambda number: (-min(number % 4, 3), number))
    return list(range(COUNT))


@pytest.mark.parametrize("kind", KINDS)
def test_consumers_get_each_message_once_and_in_order(kind):
    node = filled(q=KINDS[kind])
    client = node.client()
    client.send(1, "basic.qos", prefetch_count=100)
    client.send(1, "basic.consume", queue="q")
    got = []
    for received in steps(node, client):
        if received.body is not None:
            got.append(int(received.body))
            client.send(1, "basic.ack", delivery_tag=received.arguments["delivery_tag"])
        if len(got) == COUNT:
            break
    client.receive()
    assert node.files.failures
    assert got == in_order(kind)
    assert bodies(node.crash()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_several_consumers_get_all_messages(kind):
    node = filled(q=KINDS[kind])
    clients = [node.client() for _ in range(3)]
    for client in clients:
        client.send(1, "basic.qos", prefetch_count=0 if client is clients[0] else 200)
        client.send(1, "basic.consume", queue="q", no_ack=client is clients[0])
    got = []
    for _ in range(PATIENCE):
        node.clock.advance(RETRY_MS)
        got += [number for client in clients for number in numbers(client.receive())]
        if len(got) == COUNT:
            break
    assert sorted(got) == list(range(COUNT))


@pytest.mark.parametrize("kind", KINDS)
def test_basic_get_returns_each_message_once_and_in_order(kind):
    node = filled(q=KINDS[kind])
    assert taken(node) == in_order(kind)
    assert node.files.failures


def test_large_messages_are_loaded_one_by_one():
    node = filled(count=60, size=100_000)
    node.files.share = 0.5
    assert taken(node) == list(range(60))
    assert node.files.failures > 60


def test_publish_is_delivered_to_an_idle_consumer_after_read_errors(caplog):
    node = filled()
    node.files.share = 1.0
    client = node.client()
    client.send(1, "basic.consume", queue="q", no_ack=True)
    client.receive()
    publish(client, str(COUNT))
    assert numbers(client.receive()) == []
    assert depth(node, "q") == COUNT + 1
    node.files.share = 0.0
    node.clock.advance(RETRY_MS)
    assert numbers(client.receive()) == list(range(COUNT + 1))
    publish(client, "-1")
    assert numbers(client.receive()) == [-1]


def test_start_and_end_of_read_errors_are_logged_once(caplog):
    node = filled()
    node.files.share = 1.0
    client = node.client()
    for _ in range(3):
        assert client.get("q").name == "basic.get-empty"
        node.clock.advance(10 * RETRY_MS)
    node.files.share = 0.0
    node.clock.advance(10 * RETRY_MS)
    assert [record.getMessage() for record in caplog.records if "read_retry" in record.name] == [
        "queue 'q' in vhost '/': messages cannot be read and wait until they can be: [Errno 5] Input/output error",
        "queue 'q' in vhost '/': messages can be read again",
    ]
    assert taken(node) == list(range(COUNT))
    assert node.clock.next_due_ms() is None


STREAM = {"x-queue-type": longstr("stream"), "x-stream-max-segment-size-bytes": Field("I", 1)}
UNREADABLE = "queue 's' in vhost '/': messages cannot be read and wait until they can be: "
READABLE = "queue 's' in vhost '/': messages can be read again"


class DamagedStream:
    """A node with a stream of three messages, the second of which is damaged, and a consumer that waits for it."""

    def __init__(self):
        node = Node(s=STREAM)
        client = node.client()
        for body in ("a", "b", "c"):
            publish(client, body, queue="s")
            client.turn()
        self.node = node.crash()
        self.segment = sorted(path for path in self.node.files.contents if path.suffix == ".stream")[1]
        self.invert()
        self.client = self.consumer()

    def invert(self):
        """Damage the message, or repair it."""
        self.node.files.contents[self.segment][-1] ^= 1

    def consumer(self):
        client = self.node.client()
        client.call(1, "basic.qos", prefetch_count=10)
        client.send(1, "basic.consume", queue="s", consumer_tag="c", arguments={"x-stream-offset": longstr("first")})
        assert [each.body for each in client.receive() if each.body is not None] == [b"a"]
        return client

    def waits(self):
        self.node.clock.advance(3 * RETRY_MS)


def logged(caplog):
    return [record.getMessage() for record in caplog.records if "read_retry" in record.name]


def test_stream_can_be_read_again_after_its_repair(caplog):
    stream = DamagedStream()
    stream.waits()
    stream.invert()
    stream.waits()
    assert [each.body for each in stream.client.receive() if each.body is not None] == [b"b", b"c"]
    first, second = logged(caplog)
    assert first.startswith(UNREADABLE)
    assert second == READABLE


def test_stream_still_cannot_be_read_after_its_consumer_is_cancelled(caplog):
    stream = DamagedStream()
    stream.client.call(1, "basic.cancel", consumer_tag="c")
    stream.waits()
    (line,) = logged(caplog)
    assert line.startswith(UNREADABLE)
    stream.consumer()
    stream.invert()
    stream.waits()
    assert logged(caplog) == [line, line, READABLE]


def test_stream_is_not_read_again_without_consumers(monkeypatch):
    stream = DamagedStream()
    stream.client.call(1, "basic.cancel", consumer_tag="c")
    stream.waits()
    monkeypatch.setattr(stream.node.files, "read", lambda *_: pytest.fail("the stream was read"))
    stream.waits()


def test_deleted_or_purged_queue_is_not_read_again():
    node = filled(q={}, other={})
    node.files.share = 1.0
    client = node.client()
    assert client.get("q").name == "basic.get-empty"
    assert client.call(1, "queue.purge", queue="q").arguments["message_count"] == COUNT
    node.clock.advance(RETRY_MS)
    assert node.clock.next_due_ms() is None
    node.files.share = 0.0
    assert bodies(node.crash()) == []

    node = filled()
    node.files.share = 1.0
    client = node.client()
    assert client.get("q").name == "basic.get-empty"
    assert client.call(1, "queue.delete", queue="q").name == "queue.delete-ok"
    assert node.clock.next_due_ms() is None


def test_peek_does_not_read_from_disk():
    node = Node(FlakyFiles(), q=KINDS["quorum"])
    node.files.share = 1.0
    client = node.client()
    publish(client, "normal", priority=0, timestamp=1)
    publish(client, "high", "high", "high", priority=9, timestamp=2)
    client.turn()
    for _ in range(2):
        assert client.get("q").body == b"high"
    # Every third message has normal priority.
    assert node.broker.vhosts["/"].queues["q"].ready.peek().message.body == b"normal"
    assert client.get("q").body == b"normal"
    assert node.files.failures == 0


# --- messages that leave without being consumed -----------------------------------------------------------------------

DEAD_LETTERED = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}


def test_each_expired_message_is_dead_lettered_once_despite_read_errors():
    node = Node(FlakyFiles(), q={**DEAD_LETTERED, "x-message-ttl": Field("I", 60_000)}, dead={})
    node = filled(node=node)
    client = node.client()
    node.clock.advance(60_000)
    for _ in range(PATIENCE):
        node.clock.advance(RETRY_MS)
        client.turn()
        if not depth(node, "q"):
            break
    assert node.files.failures
    assert taken(node, "dead") == list(range(COUNT))


def test_each_message_over_the_limit_is_dead_lettered_once():
    node = filled(q=DEAD_LETTERED, dead={})
    queue = node.broker.vhosts["/"].queues["q"]
    queue.apply_settings(replace(queue.settings, max_length=100))
    client = node.client()
    for number in range(COUNT, COUNT + 200):
        publish(client, str(number))
        client.turn()
        node.clock.advance(RETRY_MS)
    for _ in range(PATIENCE):
        node.clock.advance(RETRY_MS)
        client.turn()
    assert node.files.failures
    assert depth(node, "q") == 100
    assert taken(node, "dead") == list(range(COUNT + 100))
    assert taken(node) == list(range(COUNT + 100, COUNT + 200))


def test_each_message_is_moved_once_despite_read_errors():
    node = filled(q={}, other={})
    vhost = node.broker.vhosts["/"]
    moved = 0
    for _ in range(PATIENCE):
        moved += vhost.queues["q"].move(vhost.queues["other"], 1_000, 1 << 30)
        node.broker.sync()
        node.clock.advance(RETRY_MS)
        if not depth(node, "q"):
            break
    assert moved == COUNT
    assert node.files.failures
    assert taken(node.crash(), "other") == list(range(COUNT))


@pytest.mark.parametrize("kind", KINDS)
def test_each_requeued_message_exists_once(kind):
    node = filled(q=KINDS[kind])
    node.files.share = 0.9
    for turn in range(10):
        client = node.client()
        client.send(1, "basic.qos", prefetch_count=2_000)
        client.send(1, "basic.consume", queue="q")
        received = [each for each in client.receive() if each.body is not None]
        if turn % 2 and received:
            client.send(
                1, "basic.nack", delivery_tag=received[-1].arguments["delivery_tag"], multiple=True, requeue=True
            )
            client.receive()
        client.connection.lost()
        node.clock.advance(RETRY_MS)
    assert node.files.failures
    assert sorted(taken(node)) == list(range(COUNT))


# --- messages that are not stored -------------------------------------------------------------------------------------


def test_spilled_messages_are_delivered_once_and_in_order():
    node = Node(FlakyFiles())
    spill = node.broker.vhosts["/"].spill = SpillFiles(Path("/spill"), node.files)
    client = node.client()
    for number in range(COUNT):
        client.publish("q", b"%d" % number, delivery_mode=1 + (number % 3 == 0))
    client.turn()
    spill.need(True)
    while node.broker.vhosts["/"].queues["q"].page_out():
        pass
    assert spill.directory in {path.parent for path in node.files.contents}
    node.files.share = 0.3
    assert taken(node) == list(range(COUNT))
    assert node.files.failures
    assert spill.directory not in {path.parent for path in node.files.contents}


# --- the journal itself -----------------------------------------------------------------------------------------------


def test_segment_that_cannot_be_compacted_does_not_end_the_broker(caplog):
    node = Node(FlakyFiles(), keep={}, q={})
    node.persistence.log.segment_bytes = 20_000
    client = node.client()
    publish(client, "straggler", queue="keep")
    client.turn()
    node.files.share = 1.0
    for number in range(300):
        publish(client, str(number) * 20)
        client.turn()
        client.get("q")
    client.turn()
    assert node.failures == []
    assert caplog.text.count("the oldest segment cannot be read for compaction: [Errno 5] Input/output error") == 1
    journal = node.persistence.log
    assert min(journal.segments) == 1
    node.files.share = 0.0
    for _ in range(5):
        node.clock.advance(COMPACTION_RETRY_MS)
        client.turn()
    assert min(journal.segments) > 1
    assert bodies(node.crash(), "keep") == ["straggler"]


def test_compaction_continues_during_read_errors():
    node = Node(FlakyFiles(), keep={}, q={})
    node.persistence.log.segment_bytes = 20_000
    client = node.client()
    kept = [f"kept {number}" for number in range(100)]
    for number in range(600):
        node.files.share = 0.1
        if number % 6 == 0:
            publish(client, kept[number // 6], queue="keep")
        publish(client, str(number) * 20)
        client.turn()
        client.get("q")
        node.clock.advance(COMPACTION_RETRY_MS)
    assert node.files.failures
    node.files.share = 0.0
    assert node.failures == []
    assert min(node.persistence.log.segments) > 1
    assert bodies(node.crash(), "keep") == kept
