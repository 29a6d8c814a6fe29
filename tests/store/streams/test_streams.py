"""Streams of a broker: written with the journal, and read after a crash."""

import errno

from amqpbroker.wire.values import longstr
from tests.broker.storing import LaterCommitter, Node, acks, confirming, depth
from tests.fault_files import PowerCut

STREAM = {"x-queue-type": longstr("stream")}
DEAD_LETTERS = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("s")}


def node(committer=LaterCommitter, **queues) -> Node:
    return Node(committer=committer, **(queues or {"s": STREAM}))


def read(node: Node, queue: str = "s") -> list[str]:
    """Return the bodies of all messages of a stream."""
    client = node.client()
    client.call(1, "basic.qos", prefetch_count=1000)
    received = client.consume(queue, no_ack=False, arguments={"x-stream-offset": longstr("first")})
    return [each.body.decode() for each in received]


def finish(node: Node) -> None:
    """Write everything that was published so far."""
    while node.committer.work:
        node.committer.finish()
        node.broker.sync()


def test_a_message_is_confirmed_and_delivered_once_it_is_stored():
    first = node()
    client, reader = confirming(first), first.client()
    reader.call(1, "basic.qos", prefetch_count=10)
    reader.consume("s", no_ack=False)
    client.publish("s", b"a")
    assert (acks(client), reader.receive()) == ([], [])
    first.committer.finish()
    assert acks(client) == [1]
    assert [each.body for each in reader.receive()] == [b"a"]
    assert read(first.crash()) == ["a"]


def test_a_message_that_is_not_confirmed_may_be_lost():
    first = node()
    client = confirming(first)
    client.publish("s", b"a")
    client.receive()
    finish(first)
    client.publish("s", b"b")
    client.receive()
    assert read(first.crash()) == ["a"]


def test_a_stream_stores_transient_messages():
    first = node()
    client = confirming(first)
    client.publish("s", b"a", delivery_mode=1)
    client.receive()
    finish(first)
    assert read(first.crash()) == ["a"]


def test_a_dead_letter_leaves_its_queue_only_after_a_stream_has_it():
    cut_at, is_cut = 0, True
    while is_cut:
        cut_at += 1
        first = node(s=STREAM, q=DEAD_LETTERS)
        client = confirming(first)
        client.publish("q", b"a", delivery_mode=2)
        client.receive()
        finish(first)
        client.receive()
        (got,) = client.consume("q", no_ack=False)
        client.send(1, "basic.reject", delivery_tag=got.arguments["delivery_tag"], requeue=False)
        client.receive()
        first.files.cut_at = first.files.steps + cut_at
        try:
            finish(first)
            is_cut = False
        except PowerCut:
            pass
        again = first.crash()
        found = depth(again, "q"), read(again)
        assert found in ((1, []), (1, ["a"]), (0, ["a"]))
        assert is_cut or found == (0, ["a"])
    assert cut_at > 5


def test_publishing_goes_on_when_a_full_disk_has_space_again():
    first = node()
    client = confirming(first)
    client.publish("s", b"a")
    client.receive()
    finish(first)
    client.publish("s", b"b")
    client.receive()
    first.files.fail_write = first.files.writes + 1
    first.committer.finish()
    assert [None if each is None else each.errno for each in first.stuck] == [errno.ENOSPC]
    client.publish("s", b"c")
    assert acks(client) == []
    first.clock.advance(1000)
    finish(first)
    assert first.stuck[-1] is None
    assert acks(client) == [3]
    assert read(first) == ["a", "b", "c"]
    assert read(first.crash()) == ["a", "b", "c"]


def test_nothing_is_confirmed_after_a_failed_sync():
    first = node()
    client = confirming(first)
    client.publish("s", b"a")
    client.receive()
    first.files.fail_sync = first.files.syncs + 2
    first.committer.finish()
    assert first.failures
    client.publish("s", b"b")
    assert acks(client) == []


def test_an_orderly_end_stores_everything():
    first = node()
    client = confirming(first)
    for body in (b"a", b"b"):
        client.publish("s", body)
        client.receive()
    first.persistence.close()
    assert read(first.crash()) == ["a", "b"]


def test_files_of_a_deleted_stream_are_removed():
    first = node(s=STREAM, q={})
    client = confirming(first)
    client.publish("s", b"a")
    client.receive()
    finish(first)
    assert any(path.suffix == ".stream" for path in first.files.contents)
    client.receive()
    client.call(1, "queue.delete", queue="s")
    finish(first)
    assert not any(path.suffix == ".stream" for path in first.files.contents)


def test_files_of_a_stream_that_is_not_declared_any_more_are_removed_at_the_start():
    first = node()
    client = confirming(first)
    client.publish("s", b"a")
    client.receive()
    finish(first)
    first.files.power_loss()
    again = Node(first.files, first.clock, LaterCommitter, q={})
    assert not any(path.suffix == ".stream" for path in again.files.contents)


def test_reading_goes_on_when_the_disk_can_be_read_again(monkeypatch):
    first = node()
    client = confirming(first)
    for number in range(20):
        client.publish("s", str(number).encode())
    client.receive()
    finish(first)
    again = first.crash()
    read_bytes = again.files.read

    def fail(descriptor, offset, size):
        raise OSError(errno.EIO, "Input/output error")

    reader = again.client()
    reader.call(1, "basic.qos", prefetch_count=1000)
    reader.consume("s", no_ack=False)
    monkeypatch.setattr(again.files, "read", fail)
    publisher = confirming(again)
    publisher.publish("s", b"last")
    publisher.receive()
    finish(again)
    again.streams.cache.remove_stream(1)
    assert [each.body for each in reader.receive()] in ([b"last"], [])
    monkeypatch.setattr(again.files, "read", read_bytes)
    again.clock.advance(1000)
    assert read(again) == [*map(str, range(20)), "last"]
