import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Wire, make_broker


def declare(client: Wire, kind: str) -> None:
    client.declare("q", durable=True, arguments={"x-queue-type": longstr(kind)})


def hold(client: Wire, other: Wire, count: int) -> None:
    """Deliver so many messages to the consumer "c" and cancel it; ten times as many wait then."""
    client.consume("q", tag="c")
    for number in range(count):
        other.publish("q", b"%d" % number)
    assert tags(client) == list(range(1, count + 1))
    client.call(1, "basic.cancel", consumer_tag="c")
    for number in range(count * 10):
        other.publish("q", b"%d" % number)


def consume(client: Wire, prefetch: int) -> None:
    """Start a consumer "c" with that prefetch, which gets nothing immediately."""
    client.call(1, "basic.qos", prefetch_count=prefetch)
    assert client.consume("q", tag="c") == []


def tags(client: Wire) -> list[int]:
    return [got.arguments["delivery_tag"] for got in client.receive() if got.name == "basic.deliver"]


def ack_all(client: Wire) -> list[int]:
    client.send(1, "basic.ack", delivery_tag=0, multiple=True)
    return tags(client)


def test_a_lowered_prefetch_does_not_grow_again(client: Wire, other: Wire) -> None:
    declare(client, "quorum")
    hold(client, other, 4)
    other.call(1, "queue.purge", queue="q")
    consume(client, 1)
    assert ack_all(client) == []
    for _ in range(3):
        other.publish("q", b"")
    assert tags(client) == [5]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_cancelled_consumers_are_known_only_while_they_hold_messages(client: Wire, other: Wire, kind: str) -> None:
    declare(client, kind)
    (channel,) = client.connection.channels.values()
    hold(client, other, 2)
    assert len(channel.consumers.former) == 1
    other.call(1, "queue.purge", queue="q")
    consume(client, 1)
    client.call(1, "basic.cancel", consumer_tag="c")
    assert len(channel.consumers.former) == 1
    ack_all(client)
    consume(client, 1)
    client.call(1, "basic.cancel", consumer_tag="c")
    assert channel.consumers.former == []


# --- prefetch of running consumers ------------------------------------------------------------------------------------

KINDS: dict[str, Table] = {
    "classic": {},
    "priority": {"x-max-priority": Field("I", 5)},
    "single active consumer": {"x-single-active-consumer": Field("t", True)},
    "quorum": {"x-queue-type": longstr("quorum")},
    "quorum, single active consumer": {
        "x-queue-type": longstr("quorum"),
        "x-single-active-consumer": Field("t", True),
    },
}


def running(arguments: Table, count: int = 0, **settings: object) -> Wire:
    """Return a client of a broker that applies basic.qos to running consumers, and `count` messages in the queue q."""
    client = Wire(make_broker(**{"qos_applies_to": "running", **settings})).log_in()
    client.declare("q", durable=True, arguments=arguments)
    for number in range(count):
        client.publish("q", b"%d" % number)
    return client


def relimit(client: Wire, prefetch: int) -> list[bytes]:
    """Set the prefetch; return the bodies that are delivered because of that."""
    client.send(1, "basic.qos", prefetch_count=prefetch)
    first, *deliveries = client.receive()
    assert first.name == "basic.qos-ok"
    return [got.body or b"" for got in deliveries]


def ack(client: Wire, tag: int) -> list[bytes]:
    client.send(1, "basic.ack", delivery_tag=tag)
    return [got.body or b"" for got in client.receive()]


@pytest.mark.parametrize("kind", KINDS)
def test_qos_leaves_running_consumers_unchanged_by_default(kind: str) -> None:
    client = running(KINDS[kind], 4, qos_applies_to="new")
    relimit(client, 1)
    assert len(client.consume("q")) == 1
    assert relimit(client, 3) == []
    (info,) = client.broker.vhosts["/"].queues["q"].consumer_infos()
    assert info.prefetch_count == 1


@pytest.mark.parametrize("kind", KINDS)
def test_raised_prefetch_delivers_more_to_a_running_consumer_immediately(kind: str) -> None:
    client = running(KINDS[kind], 6)
    relimit(client, 1)
    assert [got.body for got in client.consume("q")] == [b"0"]
    assert relimit(client, 3) == [b"1", b"2"]
    (info,) = client.broker.vhosts["/"].queues["q"].consumer_infos()
    assert info.prefetch_count == 3
    assert relimit(client, 0) == [b"3", b"4", b"5"]


@pytest.mark.parametrize("kind", KINDS)
def test_lowered_prefetch_takes_effect_as_deliveries_are_settled(kind: str) -> None:
    client = running(KINDS[kind], 6)
    relimit(client, 3)
    assert len(client.consume("q")) == 3
    assert relimit(client, 1) == []
    assert [ack(client, tag) for tag in (1, 2, 3)] == [[], [], [b"3"]]
    client.publish("q", b"6")
    assert client.receive() == []
    assert [ack(client, tag) for tag in (4, 5, 6)] == [[b"4"], [b"5"], [b"6"]]


@pytest.mark.parametrize("kind", KINDS)
def test_unlimited_consumer_can_be_limited_later(kind: str) -> None:
    client = running(KINDS[kind])
    client.consume("q")
    assert relimit(client, 2) == []
    for number in range(4):
        client.publish("q", b"%d" % number)
    assert [got.body for got in client.receive()] == [b"0", b"1"]
    assert ack(client, 1) == [b"2"]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_consumers_of_a_queue_share_the_messages_that_a_raised_prefetch_allows(kind: str) -> None:
    client = running(KINDS[kind], 6)
    relimit(client, 1)
    for tag in "ab":
        client.consume("q", tag)
    client.send(1, "basic.qos", prefetch_count=3)
    _, *deliveries = client.receive()
    assert sorted(got.arguments["consumer_tag"] for got in deliveries) == ["a", "a", "b", "b"]


@pytest.mark.parametrize("kind", ["single active consumer", "quorum, single active consumer"])
def test_waiting_consumer_gets_nothing_by_a_raised_prefetch_and_has_it_once_it_is_active(kind: str) -> None:
    client = running(KINDS[kind], 4)
    relimit(client, 1)
    assert [got.body for got in client.consume("q", "active")] == [b"0"]
    assert client.consume("q", "waiting") == []
    assert relimit(client, 2) == [b"1"]
    client.send(1, "basic.cancel", consumer_tag="active")
    client.send(1, "basic.ack", delivery_tag=0, multiple=True)
    deliveries = [got for got in client.receive() if got.name == "basic.deliver"]
    assert [got.arguments["consumer_tag"] for got in deliveries] == ["waiting", "waiting"]


@pytest.mark.parametrize("kind", ["classic", "priority", "quorum"])
def test_prefetch_does_not_limit_running_consumers_without_acknowledgement(kind: str) -> None:
    client = running(KINDS[kind])
    client.consume("q", no_ack=True)
    relimit(client, 1)
    for number in range(3):
        client.publish("q", b"%d" % number)
    assert [got.body for got in client.receive()] == [b"0", b"1", b"2"]


def test_prefetch_of_one_channel_leaves_consumers_of_others_unchanged() -> None:
    client = running({}, 4)
    client.call(2, "channel.open")
    relimit(client, 1)
    client.call(2, "basic.qos", prefetch_count=1)
    client.consume("q", "a")
    client.consume("q", "b", channel=2)
    client.send(1, "basic.qos", prefetch_count=0)
    _, *deliveries = client.receive()
    assert [got.arguments["consumer_tag"] for got in deliveries] == ["a", "a"]


def overfull() -> Wire:
    """Return the client of a merged consumer that holds 4 messages with a prefetch of 3; 4 others wait."""
    client = running(KINDS["quorum"], 4)
    client.consume("q", "c")
    client.call(1, "basic.cancel", consumer_tag="c")
    for number in range(4, 8):
        client.publish("q", b"%d" % number)
    relimit(client, 3)
    assert client.consume("q", "c") == []
    return client


def test_overfull_consumer_waits_until_it_holds_fewer_than_a_lowered_prefetch() -> None:
    client = overfull()
    assert ack(client, 1) == [b"4"]
    assert relimit(client, 1) == []
    assert [ack(client, tag) for tag in (2, 3, 4, 5)] == [[], [], [], [b"5"]]


def test_overfull_consumer_has_no_limit_after_a_prefetch_of_0() -> None:
    assert relimit(overfull(), 0) == [b"4", b"5", b"6", b"7"]


def test_paused_consumer_has_the_new_prefetch_when_it_resumes() -> None:
    clock = ManualClock()
    client = Wire(
        make_broker(clock, compat=COMPATS["4.3"], qos_applies_to="running", consumer_timeout_ms=1000)
    ).log_in()
    client.declare("q", durable=True, arguments=KINDS["quorum"])
    for number in range(4):
        client.publish("q", b"%d" % number)
    relimit(client, 1)
    client.consume("q")
    clock.advance(1000)
    assert [got.name for got in client.receive()] == ["basic.cancel"]
    assert relimit(client, 3) == []
    assert ack(client, 1) == [b"0", b"1", b"2"]


def test_channel_wide_limit_is_removed_and_consumers_have_the_new_prefetch() -> None:
    client = running({}, 6)
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    assert len(client.consume("q")) == 1
    assert relimit(client, 3) == [b"1", b"2"]


def test_a_reader_of_a_stream_keeps_its_prefetch_instead_of_none() -> None:
    client = running({"x-queue-type": longstr("stream")}, 6)
    relimit(client, 2)
    assert len(client.consume("q", arguments={"x-stream-offset": longstr("first")})) == 2
    assert relimit(client, 0) == []
    assert relimit(client, 3) == [b"2"]
