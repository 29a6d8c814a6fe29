"""Round-robin delivery among queues that share a limit, for every kind of limit and of settlement."""

import collections
import time

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import Bounds
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire, make_broker, method, published


def filled(client, count, *queues):
    for queue in queues:
        client.declare(queue)
        client.feed(published(queue, queue.encode()) * count)
    assert client.receive() == []


def consume(client, *queues, prefetch, **options):
    """Start a consumer on each queue, and return the deliveries."""
    client.call(1, "basic.qos", prefetch_count=prefetch, global_=True)
    for queue in queues:
        client.send(1, "basic.consume", queue=queue, consumer_tag=queue, **options)
    return [got for got in client.receive() if got.name == "basic.deliver"]


def served(client, got, times, settle):
    """Return the number of messages of each queue that are delivered while deliveries are settled one by one."""
    counts = collections.Counter()
    for _ in range(times):
        counts.update(each.body.decode() for each in got)
        tag = got[-1].arguments["delivery_tag"]
        client.feed(settle(tag))
        got = client.receive()
        assert got
    return counts


def is_even(counts, *queues):
    """Return whether these queues and no others were served equally, apart from the beginning and the end."""
    return set(counts) == set(queues) and max(counts.values()) - min(counts.values()) <= 3


def ack(tag):
    return method("basic.ack", delivery_tag=tag)


@pytest.mark.parametrize(
    "settle",
    [
        ack,
        lambda tag: method("basic.ack", delivery_tag=tag, multiple=True),
        lambda tag: method("basic.nack", delivery_tag=tag, requeue=False),
        lambda tag: method("basic.reject", delivery_tag=tag, requeue=False),
    ],
    ids=["ack", "ack_multiple", "nack", "reject"],
)
def test_a_channel_wide_limit_serves_all_queues_equally(client, settle):
    filled(client, 99, "a", "b", "c")
    got = consume(client, "a", "b", "c", prefetch=1)
    assert is_even(served(client, got, 99, settle), "a", "b", "c")


@pytest.mark.parametrize("prefetch", [2, 10])
def test_a_higher_channel_wide_limit_serves_all_queues_equally(client, prefetch):
    filled(client, 120, "a", "b", "c")
    got = consume(client, "a", "b", "c", prefetch=prefetch)
    counts = collections.Counter(each.body.decode() for each in got)
    for tag in range(1, 100):
        client.feed(ack(tag))
        counts.update(each.body.decode() for each in client.receive())
    assert min(counts.values()) >= 30


@pytest.mark.parametrize(
    "settle",
    [
        lambda tags: method("basic.ack", delivery_tag=tags[-1], multiple=True),
        lambda tags: method("basic.nack", delivery_tag=tags[-1], multiple=True, requeue=False),
        lambda tags: method("basic.nack", delivery_tag=tags[-1], multiple=True, requeue=True),
        lambda tags: b"".join(ack(tag) for tag in tags),
    ],
    ids=["ack", "nack", "requeue", "single_acks"],
)
def test_queues_share_deliveries_equally_after_many_are_settled_at_once(client, settle):
    filled(client, 99, "a", "b", "c")
    got = consume(client, "a", "b", "c", prefetch=6)
    assert len(got) == 6
    for _ in range(10):
        client.feed(settle([each.arguments["delivery_tag"] for each in got]))
        got = client.receive()
        counts = collections.Counter(each.body.decode() for each in got)
        assert counts == {"a": 2, "b": 2, "c": 2}


def test_queues_share_a_raised_global_prefetch_equally(client):
    filled(client, 99, "a", "b", "c")
    assert len(consume(client, "a", "b", "c", prefetch=1)) == 1
    client.send(1, "basic.qos", prefetch_count=10, global_=True)
    counts = collections.Counter(got.body.decode() for got in client.receive() if got.name == "basic.deliver")
    assert counts == {"a": 3, "b": 3, "c": 3}


def test_prefetch_share_that_a_queue_does_not_use_serves_other_queues(client):
    filled(client, 99, "a")
    filled(client, 2, "b")
    filled(client, 0, "c")
    got = consume(client, "a", "b", "c", prefetch=12)
    client.feed(method("basic.ack", delivery_tag=got[-1].arguments["delivery_tag"], multiple=True))
    got = client.receive()
    assert collections.Counter(each.body.decode() for each in got) == {"a": 10, "b": 2}
    client.feed(published("c", b"c"))
    assert client.receive() == []
    client.feed(method("basic.ack", delivery_tag=got[0].arguments["delivery_tag"]))
    assert [each.body for each in client.receive()] == [b"c"]


def test_expired_messages_are_dead_lettered_while_a_prefetch_is_shared():
    clock = ManualClock()
    client = Wire(make_broker(clock)).log_in()
    dead = {
        "x-message-ttl": Field("I", 50),
        "x-dead-letter-exchange": Field("S", b""),
        "x-dead-letter-routing-key": Field("S", b"late"),
    }
    client.declare("short", arguments=dead)
    filled(client, 0, "late", "b")
    client.feed(published("short", b"short") * 20)
    got = consume(client, "late", "b", "short", prefetch=9)
    assert [each.body for each in got] == [b"short"] * 9
    clock._now_ms += 100  # the timer of the queue is late, as in a busy broker
    client.feed(method("basic.ack", delivery_tag=got[-1].arguments["delivery_tag"], multiple=True))
    assert [each.arguments["consumer_tag"] for each in client.receive()] == ["late"] * 9


def test_queues_with_few_messages_get_later_ones_below_the_limit(client):
    filled(client, 1, "a", "b", "c")
    got = consume(client, "a", "b", "c", prefetch=2)
    client.feed(method("basic.ack", delivery_tag=got[-1].arguments["delivery_tag"], multiple=True))
    assert len(client.receive()) == 1
    for queue in ("a", "b", "c"):
        client.feed(published(queue, queue.encode()))
        (got,) = client.receive()
        assert got.body == queue.encode()
        client.feed(ack(got.arguments["delivery_tag"]))
        assert client.receive() == []


def test_queues_without_messages_are_skipped(client):
    filled(client, 99, "a", "d")
    filled(client, 0, "b", "c")
    got = consume(client, "a", "b", "c", "d", prefetch=1)
    assert is_even(served(client, got, 60, ack), "a", "d")


def test_consumers_of_one_queue_count_once_in_the_round_robin(client):
    filled(client, 99, "a", "b")
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    for tag, queue in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
        client.send(1, "basic.consume", queue=queue, consumer_tag=tag)
    got = [each for each in client.receive() if each.name == "basic.deliver"]
    counts = collections.Counter()
    for _ in range(60):
        counts.update(each.arguments["consumer_tag"] for each in got)
        client.feed(ack(got[-1].arguments["delivery_tag"]))
        got = client.receive()
    assert abs(counts.pop("b1") - 30) <= 3
    assert is_even(counts, "a1", "a2", "a3")


def test_a_requeued_message_does_not_stop_other_queues(client):
    filled(client, 5, "a", "b", "c")
    got = consume(client, "a", "b", "c", prefetch=1)
    back = served(client, got, 30, lambda tag: method("basic.nack", delivery_tag=tag, requeue=True))
    assert is_even(back, "a", "b", "c")


def test_transactions_serve_all_queues(client):
    filled(client, 99, "a", "b", "c")
    client.call(1, "tx.select")
    got = consume(client, "a", "b", "c", prefetch=1)
    counts = collections.Counter()
    for _ in range(60):
        counts.update(each.body.decode() for each in got)
        client.feed(ack(got[-1].arguments["delivery_tag"]) + method("tx.commit"))
        got = [each for each in client.receive() if each.name == "basic.deliver"]
    assert is_even(counts, "a", "b", "c")


def test_deleted_queues_leave_the_round_robin(client):
    filled(client, 99, "a", "b", "c", "d")
    got = consume(client, "a", "b", "c", "d", prefetch=1)
    assert is_even(served(client, got, 20, ack), "a", "b", "c", "d")
    client.call(1, "basic.cancel", consumer_tag="b")
    client.send(1, "queue.delete", queue="c")
    assert {got.name for got in client.receive()} == {"basic.cancel", "queue.delete-ok"}
    client.send(1, "basic.recover", requeue=True)
    got = [each for each in client.receive() if each.name == "basic.deliver"]
    assert is_even(served(client, got, 20, ack), "a", "d")


def test_queues_of_one_connection_share_its_output_equally():
    """Messages of 100 kB: two or three fill the output that a connection may get in one iteration."""
    client = Wire(make_broker()).log_in()
    for queue in "abc":
        client.declare(queue)
        client.feed(published(queue, queue.encode() * 100_000) * 12)
    client.declare("empty")
    assert client.receive() == []
    for queue in ("a", "empty", "b", "c"):
        client.send(1, "basic.consume", queue=queue, consumer_tag=queue, no_ack=True)
    counts = collections.Counter()
    least = []
    while client.dirty:
        client.dirty = False
        counts.update(data_of(client.connection.collect()))
        least.append(min(counts[queue] for queue in "abc"))
    assert counts == {"a": 12, "b": 12, "c": 12}
    # Each queue has delivered something before any queue has delivered everything.
    assert next(at for at, count in enumerate(least) if count) <= 4


def data_of(parts):
    """Return the queues whose messages are in an output."""
    data = b"".join(bytes(part) for part in parts)
    return [queue for queue in "abc" for _ in range(data.count(queue.encode() * 100_000))]


def test_consumers_started_and_cancelled_at_a_limit_leave_nothing_behind():
    """Many more consumers than the client ever has at a time."""
    client = Wire(make_broker()).log_in()
    filled(client, 5, "a", "b")
    assert len(consume(client, "a", prefetch=1)) == 1
    channel = client.connection.channels[1]
    for _ in range(50):
        client.call(1, "basic.consume", queue="b", consumer_tag="b")
        client.call(1, "basic.consume", queue="b", consumer_tag="b2")
        assert len(channel.unacked.waiting) == 2
        client.call(1, "basic.cancel", consumer_tag="b")
        assert len(channel.unacked.waiting) == 2
        client.call(1, "basic.cancel", consumer_tag="b2")
        assert len(channel.unacked.waiting) == 1
    client.call(1, "basic.consume", queue="b", consumer_tag="b")
    client.send(1, "queue.delete", queue="a")
    assert {got.name for got in client.receive()} == {"basic.cancel", "queue.delete-ok"}
    assert len(channel.unacked.waiting) == 1
    client.feed(ack(1))
    assert [got.body for got in client.receive()] == [b"b"]


def test_consumers_started_and_cancelled_at_a_full_output_leave_nothing_behind():
    client = Wire(make_broker()).log_in()
    client.declare("a")
    client.feed(published("a", b"a" * 300_000) * 4)
    client.declare("b")
    client.feed(published("b", b"b"))
    client.send(1, "basic.consume", queue="a", consumer_tag="a", no_ack=True)
    for _ in range(50):
        client.send(1, "basic.consume", queue="b", consumer_tag="b", no_ack=True)
        assert len(client.connection.output.waiting) == 2
        client.send(1, "basic.cancel", consumer_tag="b")
        assert len(client.connection.output.waiting) == 1
    assert [got.body for got in client.receive() if got.name == "basic.deliver"] == [b"a" * 300_000] * 4
    client.send(1, "basic.get", queue="b")
    assert [got.body for got in client.receive()] == [b"b"]


def seconds(client, tags):
    """Measure the CPU time of acknowledgements one by one."""
    started = time.process_time()
    for tag in tags:
        client.connection.feed(ack(tag))
    return time.process_time() - started


@pytest.mark.alone
def test_an_acknowledgement_costs_as_much_with_many_waiting_queues():
    spent = {}
    for count in (4, 400):
        client = Wire(make_broker()).log_in()
        queues = [f"q{i}" for i in range(count)]
        filled(client, 600 // count + 2, *queues)
        assert len(consume(client, *queues, prefetch=1)) == 1
        spent[count] = seconds(client, range(1, 400))
        assert len(client.receive()) == 399
    assert spent[400] < 4 * spent[4]


@pytest.mark.alone
def test_an_acknowledgement_costs_as_much_with_many_channels_at_their_limits():
    spent = {}
    for count in (4, 1_600):
        client = Wire(make_broker()).log_in()
        filled(client, 2_100, "q")
        for channel in range(2, 2 + count):
            client.call(channel, "channel.open")
            client.call(channel, "basic.qos", prefetch_count=1, global_=True)
            client.send(channel, "basic.consume", queue="q", consumer_tag="")
            assert len(client.receive()) == 2
        started = time.process_time()
        for tag in range(1, 400):
            client.connection.feed(method("basic.ack", 2, delivery_tag=tag))
        spent[count] = time.process_time() - started
        assert len(client.receive()) == 399
    assert spent[1_600] < 3 * spent[4]


@pytest.mark.alone
def test_a_full_output_costs_as_much_with_many_consumers_that_do_not_wait_for_it():
    spent = {}
    for count in (4, 2_000):
        client = Wire(make_broker()).log_in()
        filled(client, 0, *(f"q{i}" for i in range(count)))
        for i in range(count):
            client.send(1, "basic.consume", queue=f"q{i}", consumer_tag="", no_ack=True)
        client.receive()
        client.feed(published("q0", b"x" * 200_000) * 300)
        started = time.process_time()
        while client.dirty:
            client.dirty = False
            client.connection.collect()
        spent[count] = time.process_time() - started
    assert spent[2_000] < 3 * spent[4]


@pytest.mark.parametrize("room_bytes", [Bounds().room_bytes, 10_000])
@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_consumer_that_starts_while_the_output_is_full_gets_messages_later(kind, room_bytes):
    wire = Wire(make_broker(bounds=Bounds()._replace(room_bytes=room_bytes))).log_in()
    wire.declare("q", durable=True, arguments={"x-queue-type": longstr(kind)})
    size = room_bytes // 100
    for _ in range(400):
        wire.feed(published("q", b"x" * size))
    wire.feed(method("basic.qos", 1, prefetch_count=150))
    wire.feed(b"".join(method("basic.consume", 1, queue="q", consumer_tag=tag) for tag in "ab"))
    delivered = collections.Counter()
    for _ in range(20):
        delivered.update(got.arguments["consumer_tag"] for got in wire.receive() if got.name == "basic.deliver")
    assert delivered == {"a": 150, "b": 150}
