from collections.abc import Callable

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.wire.frames import BODY
from amqpbroker.wire.values import Field, longstr
from tests.harness import Cut, Received, Wire, published


def tags(deliveries: list[Received]) -> list[str]:
    return [got.arguments["consumer_tag"] for got in deliveries]


def frame_sizes(data: bytes) -> list[tuple[int, int]]:
    """Return (type, whole size) of each frame."""
    sizes = []
    while data:
        end = 8 + int.from_bytes(data[3:7], "big")
        sizes.append((data[0], end))
        data = data[end:]
    return sizes


# --- contents of deliveries -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 4088, 4089, 10_000])
def test_a_message_is_delivered_as_it_was_published(client: Wire, other: Wire, size: int) -> None:
    body = bytes(i % 251 for i in range(size))
    client.declare("q")
    client.consume("q", "me")
    other.publish("q", body, delivery_mode=2, priority=3, message_id="m", headers={"a": Field("l", 1)})
    (got,) = client.receive()
    assert got == Received(
        1,
        "basic.deliver",
        {"consumer_tag": "me", "delivery_tag": 1, "redelivered": False, "exchange": "", "routing_key": "q"},
        {"delivery_mode": 2, "priority": 3, "message_id": b"m", "headers": {"a": Field("l", 1)}},
        body,
    )


@pytest.mark.parametrize("size", [4087, 4088, 4089, 8176, 8177, 100_000])
def test_bodies_are_cut_to_the_consumers_frame_max(broker: Broker, other: Wire, size: int) -> None:
    small = Wire(broker).log_in(frame_max=4096)
    small.declare("q")
    small.consume("q", no_ack=True)
    small.call(1, "queue.declare", queue="got")
    body = bytes(i % 251 for i in range(size))
    other.publish("q", body)
    other.publish("got", body)
    data = small.turn()
    sizes = [size for kind, size in frame_sizes(data) if kind == BODY]
    assert max(sizes) <= 4096
    assert sum(sizes) == size + 8 * len(sizes)
    assert len(sizes) == -(-size // 4088)
    assert small.get("got").body == body


def test_a_body_may_be_published_in_any_frames(connect: Callable[..., Wire], other: Wire) -> None:
    client = connect(frame_max=4096)
    client.declare("q")
    body = bytes(i % 251 for i in range(10_000))
    for frame_max in (9, 300, 4096, 4104):
        client.feed(published("q", body if frame_max > 9 else body[:100], frame_max=frame_max))
    assert [other.get("q").body for _ in range(4)] == [body[:100], body, body, body]


@pytest.mark.parametrize("ours", [1, 2, 65535])
def test_one_message_is_delivered_on_channels_with_any_number(client: Wire, other: Wire, ours: int) -> None:
    if ours != 1:
        client.call(ours, "channel.open")
    client.declare("mine", channel=ours)
    client.consume("mine", "c", channel=ours)
    for queue in ("a", "b", "mine"):
        other.declare(queue)
        other.call(1, "queue.bind", queue=queue, exchange="amq.fanout")
        other.consume(queue, queue) if queue != "mine" else None
    for body in (b"", b"x", b"y" * 300):
        other.publish("k", body, exchange="amq.fanout", delivery_mode=2)
        assert sorted((got.channel, got.body) for got in other.receive()) == [(1, body), (1, body)]
        (got,) = client.receive()
        assert (got.channel, got.body, got.properties) == (ours, body, {"delivery_mode": 2})


def test_deliveries_of_all_consumers_are_numbered_by_the_channel(client: Wire, other: Wire) -> None:
    client.call(2, "channel.open")
    for channel, queue in ((1, "a"), (1, "b"), (2, "c")):
        client.declare(queue, channel=channel)
        client.consume(queue, queue, channel=channel)
    for queue in "abcabc":
        other.publish(queue, b"x")
    got = [(each.channel, each.arguments["delivery_tag"]) for each in client.receive()]
    assert got == [(1, 1), (1, 2), (2, 1), (1, 3), (1, 4), (2, 2)]


def test_consume_ok_comes_before_the_first_delivery(client: Wire, other: Wire) -> None:
    client.declare("q")
    other.publish("q", b"1")
    client.send(1, "basic.consume", queue="q", consumer_tag="c")
    assert [got.name for got in client.receive()] == ["basic.consume-ok", "basic.deliver"]


# --- prefetch --------------------------------------------------------------------------------------------------------


def test_a_consumer_has_no_more_outstanding_than_its_prefetch(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=2)
    client.consume("q")
    for i in range(5):
        other.publish("q", b"%d" % i)
    assert [got.body for got in client.receive()] == [b"0", b"1"]
    client.send(1, "basic.ack", delivery_tag=1)
    assert [got.body for got in client.receive()] == [b"2"]
    client.send(1, "basic.ack", delivery_tag=3, multiple=True)
    assert [got.body for got in client.receive()] == [b"3", b"4"]
    assert other.depth("q") == 0


@pytest.mark.parametrize("how", ["reject", "nack"])
def test_requeueing_allows_further_deliveries(client: Wire, other: Wire, how: str) -> None:
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q")
    other.publish("q", b"1")
    other.publish("q", b"2")
    client.receive()
    client.send(1, f"basic.{how}", delivery_tag=1, requeue=False)
    assert [got.body for got in client.receive()] == [b"2"]


def test_prefetch_applies_to_consumers_started_afterwards(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.consume("q", "free")
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", "one")
    client.call(1, "basic.qos", prefetch_count=0)
    for _ in range(6):
        other.publish("q", b"x")
    assert sorted(tags(client.receive())) == ["free"] * 5 + ["one"]


def test_messages_of_a_cancelled_consumer_do_not_count_for_the_next(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", "first")
    other.publish("q", b"1")
    other.publish("q", b"2")
    assert tags(client.receive()) == ["first"]
    client.call(1, "basic.cancel", consumer_tag="first")
    assert tags(client.consume("q", "second")) == ["second"]


def test_prefetch_does_not_limit_get_and_no_ack_consumers(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", no_ack=True)
    for _ in range(4):
        other.publish("q", b"x")
    assert len(client.receive()) == 4
    client.call(1, "basic.cancel", consumer_tag="c")
    for _ in range(4):
        other.publish("q", b"x")
        assert client.get("q", no_ack=False).name == "basic.get-ok"


def test_global_prefetch_limits_the_channel_as_a_whole(client: Wire, other: Wire) -> None:
    client.declare("a")
    client.declare("b")
    client.consume("a", "a")
    client.call(1, "basic.qos", prefetch_count=3, global_=True)
    client.consume("b", "b")
    for _ in range(3):
        other.publish("a", b"x")
        other.publish("b", b"x")
    assert tags(client.receive()) == ["a", "b", "a"]
    client.send(1, "basic.ack", delivery_tag=1)
    assert len(client.receive()) == 1
    client.send(1, "basic.ack", delivery_tag=0, multiple=True)
    assert len(client.receive()) == 2
    assert (other.depth("a"), other.depth("b")) == (0, 0)


def test_prefetch_of_the_consumer_and_of_the_channel_both_apply(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=2)
    client.call(1, "basic.qos", prefetch_count=3, global_=True)
    client.consume("q", "a")
    client.consume("q", "b")
    for _ in range(9):
        other.publish("q", b"x")
    assert sorted(tags(client.receive())) in (["a", "a", "b"], ["a", "b", "b"])


def test_global_prefetch_of_a_channel_does_not_limit_other_channels(client: Wire, other: Wire) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    client.consume("q", "one")
    client.consume("q", "two", channel=2)
    for _ in range(4):
        other.publish("q", b"x")
    got = tags(client.receive())
    assert (got.count("one"), got.count("two")) == (1, 3)


def test_a_reached_global_limit_also_stops_consumers_without_acks(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.declare("free")
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    client.consume("q", "one")
    client.consume("free", "no-ack", no_ack=True)
    for queue in ("free", "free", "q", "free", "free"):
        other.publish(queue, b"x")
    assert tags(client.receive()) == ["no-ack", "no-ack", "one"]
    client.send(1, "basic.ack", delivery_tag=3)
    assert tags(client.receive()) == ["no-ack", "no-ack"]


def test_a_global_limit_does_not_apply_to_earlier_consumers_of_a_quorum_queue(client: Wire, other: Wire) -> None:
    client.declare("q", durable=True, arguments={"x-queue-type": longstr("quorum")})
    client.consume("q")
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    for body in (b"one", b"two"):
        other.publish("q", body)
    other.turn()
    assert [got.body for got in client.receive()] == [b"one", b"two"]


@pytest.mark.parametrize(
    ("published", "back_to_it"), [(2, [b"0"]), (3, [])], ids=["as full as it may be", "has refused one"]
)
def test_messages_requeued_by_a_full_channel_are_offered_in_order(
    client: Wire, other: Wire, published: int, back_to_it: list[bytes]
) -> None:
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=2, global_=True)
    client.consume("q", "full")
    for number in range(published):
        other.publish("q", b"%d" % number)
    assert len(client.receive()) == 2
    other.consume("q", "other")
    other.receive()
    client.send(1, "basic.nack", delivery_tag=0, multiple=True, requeue=True)
    assert [got.body for got in client.receive()] == back_to_it
    assert sorted([got.body for got in other.receive()] + back_to_it) == [b"0", b"1"]


def test_a_limit_per_consumer_removes_the_channel_wide_limit(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    client.consume("q", tag="c")
    for body in (b"one", b"two", b"three"):
        other.publish("q", body)
    other.turn()
    assert [got.body for got in client.receive()] == [b"one"]
    client.send(1, "basic.qos", prefetch_count=5)
    assert [got.body for got in client.receive() if got.name == "basic.deliver"] == [b"two", b"three"]


def test_raising_the_global_limit_delivers_immediately(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    client.consume("q")
    for _ in range(4):
        other.publish("q", b"x")
    assert len(client.receive()) == 1
    client.send(1, "basic.qos", prefetch_count=3, global_=True)
    assert [got.name for got in client.receive()] == ["basic.qos-ok", "basic.deliver", "basic.deliver"]
    client.send(1, "basic.qos", prefetch_count=0, global_=True)
    assert [got.name for got in client.receive()] == ["basic.qos-ok", "basic.deliver"]


# --- a client that does not read ------------------------------------------------------------------------------------

SIZE = 10_000
ROOM = BOUNDS.room_bytes


@pytest.fixture
def slow(broker: Broker) -> Wire:
    """A consumer without prefetch of the queue "q", whose socket accepts no output."""
    client = Wire(broker).log_in()
    client.declare("q")
    client.consume("q", "slow")
    client.connection.set_writable(False)
    return client


def held(client: Wire) -> int:
    """Return the number of bytes that wait to be written."""
    return len(client.connection.output)


@pytest.mark.parametrize("size", [pytest.param(0, marks=pytest.mark.explore), 100, SIZE, 1_000_000])
def test_a_slow_reader_gets_at_most_the_output_limit(slow: Wire, other: Wire, size: int) -> None:
    count = max(10, 3 * ROOM // (size + 30))
    for _ in range(count):
        other.publish("q", b"x" * size)
        other.receive()
        slow.turn()
    assert held(slow) < 1.1 * ROOM + size
    assert other.depth("q") > count // 4
    assert slow.turn() == b""


def test_output_limit_includes_queue_names_and_consumer_tags(other: Wire, broker: Broker) -> None:
    name = "q" * 255
    client = Wire(broker).log_in()
    client.declare(name)
    client.consume(name, "c" * 255)
    client.connection.set_writable(False)
    for _ in range(2 * ROOM // 500):
        other.publish(name, b"")
    assert held(client) < 1.1 * ROOM


def test_a_slow_reader_gets_everything_in_order_when_it_reads_again(slow: Wire, other: Wire) -> None:
    for i in range(100):
        other.publish("q", b"%d" % i + b"x" * SIZE)
    slow.connection.set_writable(True)
    got = slow.receive()
    assert [each.body for each in got] == [b"%d" % i + b"x" * SIZE for i in range(100)]
    assert other.depth("q") == 0


def test_each_event_loop_iteration_writes_about_the_output_limit(slow: Wire, other: Wire) -> None:
    for _ in range(200):
        other.publish("q", b"x" * SIZE)
    slow.connection.set_writable(True)
    written = 0
    while slow.dirty:
        slow.dirty = False
        data = b"".join(slow.connection.collect())
        assert len(data) < ROOM + 2 * SIZE
        written += len(data)
    assert written > 200 * SIZE


def test_other_consumers_get_messages_while_one_reads_slowly(slow: Wire, other: Wire) -> None:
    other.consume("q", "quick", no_ack=True)
    got = 0
    for _ in range(400):
        other.publish("q", b"x" * SIZE)
        got += len(other.receive())
    assert got > 300
    assert held(slow) < 2 * ROOM
    assert other.depth("q") == 0


def test_messages_sent_to_a_slow_reader_are_requeued_when_it_is_lost(slow: Wire, other: Wire) -> None:
    for _ in range(100):
        other.publish("q", b"x" * SIZE)
    slow.connection.lost()
    assert held(slow) == 0
    assert other.depth("q") == 100


def test_a_single_message_may_exceed_the_output_limit(slow: Wire, other: Wire) -> None:
    other.publish("q", b"x" * 3 * ROOM)
    other.publish("q", b"y")
    assert other.depth("q") == 1
    slow.connection.set_writable(True)
    assert [len(got.body or b"") for got in slow.receive()] == [3 * ROOM, 1]


def test_consumers_of_a_connection_share_its_output_equally(broker: Broker, other: Wire, cut: Cut) -> None:
    client = Wire(broker, cut).log_in()
    for queue in ("a", "b", "c"):
        client.declare(queue)
        client.consume(queue, queue, no_ack=True)
    client.connection.set_writable(False)
    for _ in range(150):
        for queue in ("a", "b", "c"):
            other.publish(queue, b"x" * SIZE)
    client.connection.set_writable(True)
    got = tags(client.receive())
    assert {queue: got.count(queue) for queue in "abc"} == {"a": 150, "b": 150, "c": 150}
    assert set(got[:100]) == {"a", "b", "c"}
