import pytest

from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Cut, Received, Wire, make_broker


def close(client: Wire) -> tuple[str, int, str]:
    """Name, code and text of the close, which is all that came."""
    (got,) = client.receive()
    return got.name, got.arguments["reply_code"], got.arguments["reply_text"]


QUORUM: Table = {"x-queue-type": longstr("quorum")}
SINGLE: Table = {"x-single-active-consumer": Field("t", True)}


# --- consume, cancel -------------------------------------------------------------------------------------------------


def test_a_consumer_without_a_tag_gets_one(client: Wire) -> None:
    client.declare("q")
    tags = {client.call(1, "basic.consume", queue="q").arguments["consumer_tag"] for _ in range(3)}
    assert len(tags) == 3
    assert all(tag.startswith("amq.ctag-") and len(tag) == 9 + 22 for tag in tags)


def test_without_a_name_it_is_the_queue_last_declared(client: Wire) -> None:
    client.declare("other")
    name = client.declare("")
    client.publish(name, b"1")
    assert [got.body for got in client.consume("")] == [b"1"]
    client.call(2, "channel.open")
    client.send(2, "basic.consume")
    assert close(client) == ("channel.close", 404, "NOT_FOUND - no previously declared queue")


def test_a_tag_is_used_once_a_channel(client: Wire) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    client.consume("q", "c")
    client.consume("q", "c", channel=2)
    client.send(1, "basic.consume", queue="q", consumer_tag="c")
    assert close(client) == ("connection.close", 530, "NOT_ALLOWED - attempt to reuse consumer tag 'c'")


def test_a_cancelled_tag_can_be_used_again(client: Wire) -> None:
    client.declare("q")
    client.consume("q", "c")
    assert client.call(1, "basic.cancel", consumer_tag="c") == Received(1, "basic.cancel-ok", {"consumer_tag": "c"})
    client.publish("q", b"1")
    assert client.receive() == []
    assert [got.body for got in client.consume("q", "c")] == [b"1"]


def test_cancelling_what_is_not_there_is_fine(client: Wire) -> None:
    assert client.call(1, "basic.cancel", consumer_tag="nope").name == "basic.cancel-ok"


def test_nowait_is_without_an_answer(client: Wire) -> None:
    client.declare("q")
    client.publish("q", b"1")
    client.send(1, "basic.consume", queue="q", consumer_tag="c", nowait=True)
    assert [got.name for got in client.receive()] == ["basic.deliver"]
    client.send(1, "basic.cancel", consumer_tag="c", nowait=True)
    assert client.receive() == []


def test_some_answer_a_cancel_that_asked_for_no_answer(client: Wire) -> None:
    client.send(1, "basic.cancel-ok", consumer_tag="c")
    assert client.receive() == []


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_exclusive_use(client: Wire, other: Wire, first: bool, second: bool) -> None:
    client.declare("q")
    client.consume("q", exclusive=first)
    other.send(1, "basic.consume", queue="q", consumer_tag="c", exclusive=second)
    assert close(other) == ("channel.close", 403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use")
    client.publish("q", b"1")
    assert [got.body for got in client.receive()] == [b"1"]


def test_no_exclusive_use_with_a_single_active_consumer(client: Wire) -> None:
    client.declare("q", arguments=SINGLE)
    client.send(1, "basic.consume", queue="q", exclusive=True)
    assert close(client)[:2] == ("channel.close", 403)


@pytest.mark.parametrize("kind", ["b", "s", "I", "l"])
def test_consumer_priorities(client: Wire, other: Wire, kind: str) -> None:
    client.declare("q")
    client.consume("q", "none")
    client.consume("q", "low", arguments={"x-priority": Field(kind, -5)})
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", "high", arguments={"x-priority": Field(kind, 5)})
    for _ in range(3):
        other.publish("q", b"x")
    assert [got.arguments["consumer_tag"] for got in client.receive()] == ["high", "none", "none"]


def test_a_priority_that_is_none(client: Wire) -> None:
    client.declare("q")
    client.send(1, "basic.consume", queue="q", arguments={"x-priority": longstr("high")})
    assert close(client)[:2] == ("channel.close", 406)


def test_consumers_a_channel_may_be_limited(cut: Cut) -> None:
    client = Wire(make_broker(consumer_max_per_channel=2), cut).log_in()
    client.declare("q")
    client.consume("q", "a")
    client.consume("q", "b")
    client.call(1, "basic.cancel", consumer_tag="a")
    client.consume("q", "c")
    client.send(1, "basic.consume", queue="q", consumer_tag="d")
    assert close(client) == ("connection.close", 530, "NOT_ALLOWED - reached maximum (2) of consumers per channel")


def test_of_a_single_active_consumer_the_next_takes_over(client: Wire, other: Wire) -> None:
    client.declare("q", arguments=SINGLE)
    client.consume("q", "a")
    other.consume("q", "b")
    client.publish("q", b"1")
    assert [got.body for got in client.receive()] == [b"1"]
    client.send(1, "channel.close")
    client.receive()
    assert [(got.body, got.arguments["redelivered"]) for got in other.receive()] == [(b"1", True)]


# --- get -------------------------------------------------------------------------------------------------------------


def test_getting(client: Wire) -> None:
    client.declare("q")
    assert client.get("q") == Received(1, "basic.get-empty", {"cluster_id": ""})
    for body in (b"1", b"2", b"3"):
        client.publish("q", body, priority=1)
    assert client.get("q", no_ack=False) == Received(
        1,
        "basic.get-ok",
        {"delivery_tag": 1, "redelivered": False, "exchange": "", "routing_key": "q", "message_count": 2},
        {"priority": 1},
        b"1",
    )
    assert client.get("q").arguments["delivery_tag"] == 2
    client.send(1, "basic.ack", delivery_tag=2)
    assert close(client) == ("channel.close", 406, "PRECONDITION_FAILED - unknown delivery tag 2")
    client.send(1, "channel.close-ok")
    client.call(1, "channel.open")
    got = client.get("q")
    assert (got.body, got.arguments["redelivered"]) == (b"1", True)


def test_what_came_by_get_can_be_given_back(client: Wire) -> None:
    client.declare("q")
    client.publish("q", b"1")
    for tag in (1, 2, 3):
        got = client.get("q", no_ack=False)
        assert got.arguments["redelivered"] == (tag > 1)
        client.send(1, "basic.reject", delivery_tag=tag, requeue=True)
    assert client.depth("q") == 1


def test_quorum_queues_count_deliveries(client: Wire) -> None:
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1", headers={"z": Field("l", 1), "a": Field("l", 2)}, priority=3)
    counts = []
    for tag in (1, 2, 3):
        got = client.get("q", no_ack=False)
        assert got.properties is not None
        headers = got.properties["headers"]
        counts.append(headers.pop("x-delivery-count", None))
        assert got.properties == {"headers": {"a": Field("l", 2), "z": Field("l", 1)}, "priority": 3}
        assert list(headers) == ["a", "z"]
        client.send(1, "basic.reject", delivery_tag=tag, requeue=True)
    assert counts == [None, Field("l", 1), Field("l", 2)]


def test_no_single_active_consumer_is_elected_on_a_channel_that_closes(client: Wire, other: Wire) -> None:
    client.declare("q", arguments=SINGLE)
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", tag="first")
    client.consume("q", tag="second")
    other.publish("q", b"one")
    other.publish("q", b"two")
    other.turn()
    client.receive()
    client.call(1, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)
    got = [other.get("q") for _ in range(2)]
    assert [(each.body, each.arguments["redelivered"]) for each in got] == [(b"one", True), (b"two", False)]


def test_what_expires_behind_what_is_got_comes_after_the_answer(client: Wire, other: Wire) -> None:
    client.declare("dead")
    client.declare("q", arguments={"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")})
    client.consume("dead", no_ack=True)
    other.publish("q", b"first")
    other.publish("q", b"expired", expiration="0")
    other.turn()
    client.send(1, "basic.get", queue="q", no_ack=True)
    assert [(got.name, got.body) for got in client.receive()] == [
        ("basic.get-ok", b"first"),
        ("basic.deliver", b"expired"),
    ]


def test_the_next_single_active_consumer_gets_first_what_a_closed_channel_gives_back(client: Wire, other: Wire) -> None:
    client.declare("q", arguments=SINGLE)
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", tag="first", no_ack=False)
    other.consume("q", tag="second", no_ack=False)
    for body in (b"one", b"two"):
        other.publish("q", body)
    assert [got.body for got in client.receive()] == [b"one"]
    client.send(1, "channel.close")
    assert [(got.body, got.arguments["redelivered"]) for got in other.receive()] == [(b"one", True), (b"two", False)]


def test_the_next_single_active_consumer_is_served_when_nothing_comes_back(client: Wire, other: Wire) -> None:
    client.declare("held")
    client.declare("q", arguments=SINGLE)
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    client.consume("held", tag="held", no_ack=False)
    client.consume("q", tag="first", no_ack=False)
    other.publish("held", b"held")
    other.consume("q", tag="second", no_ack=False)
    other.publish("q", b"one")
    assert [got.body for got in client.receive()] == [b"held"]
    client.send(1, "channel.close")
    assert [got.body for got in other.receive()] == [b"one"]


def test_no_get_from_a_quorum_queue_with_a_single_active_consumer(client: Wire) -> None:
    client.declare("q", durable=True, arguments=QUORUM | SINGLE)
    client.send(1, "basic.get", queue="q")
    assert close(client)[:2] == ("channel.close", 405)


# --- qos -------------------------------------------------------------------------------------------------------------


def test_a_prefetch_by_octets_is_not_implemented(client: Wire) -> None:
    client.send(1, "basic.qos", prefetch_size=10)
    assert close(client) == ("connection.close", 540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)")


# --- queues of others ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["basic.consume", "basic.get"])
def test_queues_that_are_not_there_or_somebody_elses(client: Wire, other: Wire, name: str) -> None:
    client.send(1, name, queue="nope")
    assert close(client) == ("channel.close", 404, "NOT_FOUND - no queue 'nope' in vhost '/'")
    client.send(1, "channel.close-ok")
    client.call(1, "channel.open")
    other.declare("mine", exclusive=True)
    client.send(1, name, queue="mine")
    assert close(client)[:2] == ("channel.close", 405)


@pytest.mark.parametrize("name", ["basic.consume", "basic.get"])
def test_reading_takes_permission(client: Wire, name: str) -> None:
    client.declare("q")
    client.broker.users.set_permissions("guest", "/", ".*", ".*", "^$")
    client.call(2, "channel.open")
    client.send(2, name, queue="q")
    assert close(client)[2] == "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'guest'"
