import pytest

from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Cut, Received, Wire, make_broker


def close(client: Wire) -> tuple[str, int, str]:
    """Return name, code and text of the close, which is all that was received."""
    (got,) = client.receive()
    return got.name, got.arguments["reply_code"], got.arguments["reply_text"]


QUORUM: Table = {"x-queue-type": longstr("quorum")}
SINGLE: Table = {"x-single-active-consumer": Field("t", True)}


# --- consume, cancel -------------------------------------------------------------------------------------------------


def test_cancel_ok_from_a_client_is_ignored(client: Wire) -> None:
    client.send(1, "basic.cancel-ok", consumer_tag="c")
    assert client.receive() == []


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True)])
def test_exclusive_consumer_excludes_other_consumers(client: Wire, other: Wire, first: bool, second: bool) -> None:
    client.declare("q")
    client.consume("q", exclusive=first)
    other.send(1, "basic.consume", queue="q", consumer_tag="c", exclusive=second)
    assert close(other) == ("channel.close", 403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use")
    client.publish("q", b"1")
    assert [got.body for got in client.receive()] == [b"1"]


@pytest.mark.parametrize("kind", ["b", "s", "I", "l"])
def test_consumers_of_higher_priority_are_served_first(client: Wire, other: Wire, kind: str) -> None:
    client.declare("q")
    client.consume("q", "none")
    client.consume("q", "low", arguments={"x-priority": Field(kind, -5)})
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", "high", arguments={"x-priority": Field(kind, 5)})
    for _ in range(3):
        other.publish("q", b"x")
    assert [got.arguments["consumer_tag"] for got in client.receive()] == ["high", "none", "none"]


def test_number_of_consumers_per_channel_can_be_limited(cut: Cut) -> None:
    client = Wire(make_broker(consumer_max_per_channel=2), cut).log_in()
    client.declare("q")
    client.consume("q", "a")
    client.consume("q", "b")
    client.call(1, "basic.cancel", consumer_tag="a")
    client.consume("q", "c")
    client.send(1, "basic.consume", queue="q", consumer_tag="d")
    assert close(client) == ("connection.close", 530, "NOT_ALLOWED - reached maximum (2) of consumers per channel")


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


def test_a_message_of_get_can_be_requeued(client: Wire) -> None:
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


@pytest.mark.parametrize("arguments", [{}, {"x-max-priority": Field("I", 3)}])
def test_classic_queues_count_deliveries_if_these_are_limited(client: Wire, arguments: Table) -> None:
    dead: Table = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}
    client.declare("dead")
    for queue, limit in ("limited", {"x-delivery-limit": Field("I", 2)}), ("unlimited", {}):
        client.declare(queue, durable=True, arguments={**arguments, **dead, **limit})
        client.publish(queue, b"1")
    counts: dict[str, list[object]] = {"limited": [], "unlimited": []}
    for tag in range(1, 7):
        queue = "limited" if tag % 2 else "unlimited"
        got = client.get(queue, no_ack=False)
        assert got.properties is not None
        counts[queue].append(got.properties.get("headers", {}).get("x-delivery-count"))
        client.send(1, "basic.nack", delivery_tag=tag, requeue=True)
    assert counts == {"limited": [None, Field("l", 1), Field("l", 2)], "unlimited": [None] * 3}
    assert (client.depth("limited"), client.depth("unlimited")) == (0, 1)
    letter = client.get("dead")
    assert letter.properties is not None
    assert letter.properties["headers"]["x-first-death-reason"] == longstr("delivery_limit")


def test_dead_letters_that_expire_during_a_get_follow_the_answer(client: Wire, other: Wire) -> None:
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


def test_the_next_single_active_consumer_is_served_when_nothing_is_requeued(client: Wire, other: Wire) -> None:
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
