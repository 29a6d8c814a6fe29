"""Locks over the wire: actions when they run out, on every kind of queue and in every release."""

import sys
from typing import Any

import pytest

from amqpbroker.broker.policies.policies import Policy
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, Wire, make_broker

CLASSIC: Table = {"x-queue-type": longstr("classic")}
QUORUM: Table = {"x-queue-type": longstr("quorum")}
PRIORITY: Table = {"x-max-priority": Field("I", 5)}
SINGLE: Table = {"x-single-active-consumer": Field("t", True)}
KINDS = pytest.mark.parametrize("kind", [CLASSIC, QUORUM, PRIORITY], ids=["classic", "quorum", "priority"])
RELEASES = pytest.mark.parametrize("release", COMPATS)

TIMEOUT: Table = {"x-consumer-timeout": Field("I", 1_000)}
RETURN: Table = {"x-consumer-timeout-action": longstr("return")}
CANCEL: Table = {"x-consumer-timeout-action": longstr("cancel")}
CLOSE: Table = {"x-consumer-timeout-action": longstr("close")}
HEARTBEAT: Table = {"x-consumer-timeout-renew": longstr("heartbeat")}


def connect(release: str = "4.0", **settings: Any) -> tuple[Wire, ManualClock]:
    settings.setdefault("compat", COMPATS[release])
    broker = make_broker(channel_tick_interval_ms=60_000, **settings)
    assert isinstance(broker.clock, ManualClock)
    return Wire(broker).log_in(), broker.clock


def names(received: list[Received]) -> list[str]:
    return [got.name for got in received]


def delivered(received: list[Received]) -> list[tuple[bytes | None, int]]:
    """Return bodies and delivery tags of what has to be deliveries."""
    assert set(names(received)) <= {"basic.deliver"}, received
    return [(got.body, got.arguments["delivery_tag"]) for got in received]


def refused(wire: Wire) -> str:
    (close,) = wire.receive()
    assert (close.name, close.arguments["reply_code"]) == ("channel.close", 406)
    text: str = close.arguments["reply_text"]
    return text


# --- return ---------------------------------------------------------------------------------------------------------


@KINDS
@RELEASES
def test_returned_message_goes_to_another_consumer_and_the_late_answer_is_swallowed(kind: Table, release: str) -> None:
    slow, clock = connect(release)
    slow.declare("q", durable=True, arguments={**kind, **TIMEOUT, **RETURN})
    slow.call(1, "basic.qos", prefetch_count=1)
    slow.consume("q")
    other = Wire(slow.broker).log_in()
    slow.publish("q", b"1")
    assert delivered(slow.receive()) == [(b"1", 1)]
    other.consume("q")
    clock.advance(999)
    assert other.receive() == []
    clock.advance(1)
    (got,) = other.receive()
    assert (got.body, got.arguments["redelivered"]) == (b"1", True)
    for method in ("basic.ack", "basic.nack", "basic.reject"):
        slow.send(1, method, delivery_tag=1)
    assert slow.receive() == []
    other.send(1, "basic.ack", delivery_tag=1)
    # The consumer lives on.
    for body in (b"2", b"3"):
        slow.publish("q", body)
    assert len(delivered(slow.receive())) == 1


@KINDS
def test_hung_consumer_gets_its_message_again_and_again(kind: Table) -> None:
    client, clock = connect()
    unlimited = {"x-delivery-limit": Field("l", -1)} if kind is QUORUM else {}
    client.declare("q", durable=True, arguments={**kind, **TIMEOUT, **RETURN, **unlimited})
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q")
    client.publish("q", b"1")
    clock.advance(999)
    assert delivered(client.receive()) == [(b"1", 1)]
    clock.advance(30_000)
    got = delivered(client.receive())
    assert got == [(b"1", tag) for tag in range(2, 32)]
    for tag in range(1, 31):
        client.send(1, "basic.ack", delivery_tag=tag)
    assert client.receive() == []
    client.send(1, "basic.ack", delivery_tag=31)
    clock.advance(2_000)
    assert client.receive() == []
    assert client.depth("q") == 0


@RELEASES
def test_timeout_counts_as_a_failed_delivery_of_a_quorum_queue(release: str) -> None:
    client, clock = connect(release)
    client.declare("dead", durable=True)
    limit: Table = {
        "x-delivery-limit": Field("l", 1),
        "x-dead-letter-exchange": longstr(""),
        "x-dead-letter-routing-key": longstr("dead"),
    }
    client.declare("q", durable=True, arguments={**QUORUM, **TIMEOUT, **RETURN, **limit})
    client.consume("q")
    client.publish("q", b"1")
    clock.advance(1_000)
    first, second = client.receive()
    assert first.properties is not None
    assert not first.properties.get("headers")
    assert second.properties is not None
    assert second.properties["headers"]["x-delivery-count"] == Field("l", 1)
    clock.advance(1_000)
    assert client.receive() == []
    assert (client.depth("q"), client.depth("dead")) == (0, 1)


@KINDS
def test_each_delivery_has_its_own_time_and_returns_to_its_place(kind: Table) -> None:
    client, clock = connect()
    client.declare("q", durable=True, arguments={**kind, **TIMEOUT, **RETURN})
    client.call(1, "basic.qos", prefetch_count=2)
    client.consume("q")
    client.publish("q", b"1")
    clock.advance(400)
    client.publish("q", b"2")
    client.publish("q", b"3")
    assert delivered(client.receive()) == [(b"1", 1), (b"2", 2)]
    clock.advance(600)
    assert delivered(client.receive()) == [(b"1", 3)]
    clock.advance(400)
    assert delivered(client.receive()) == [(b"2", 4)]
    client.send(1, "basic.ack", delivery_tag=4, multiple=True)
    assert delivered(client.receive()) == [(b"3", 5)]


def test_prefetch_of_the_channel_is_free_again_after_a_timeout() -> None:
    client, clock = connect()
    client.declare("q", arguments={**TIMEOUT, **RETURN})
    client.declare("p")
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    client.consume("q", "q")
    client.consume("p", "p")
    client.publish("q", b"1")
    client.publish("p", b"2")
    assert delivered(client.receive()) == [(b"1", 1)]
    client.call(1, "basic.cancel", consumer_tag="q")
    clock.advance(1_000)
    assert delivered(client.receive()) == [(b"2", 2)]
    assert client.connection.channels[1].unacked.outstanding == 1


def test_late_ack_of_several_settles_what_is_outstanding() -> None:
    client, clock = connect()
    client.declare("q", arguments={**TIMEOUT, **RETURN})
    client.call(1, "basic.qos", prefetch_count=2)
    client.consume("q")
    client.publish("q", b"1")
    clock.advance(500)
    client.publish("q", b"2")
    clock.advance(500)
    assert delivered(client.receive()) == [(b"1", 1), (b"2", 2), (b"1", 3)]
    client.send(1, "basic.ack", delivery_tag=2, multiple=True)
    client.send(1, "basic.ack", delivery_tag=1, multiple=True)
    assert client.receive() == []
    assert list(client.connection.channels[1].unacked.entries) == [3]


def test_tags_that_were_never_delivered_are_still_refused() -> None:
    client, clock = connect()
    client.declare("q", arguments={**TIMEOUT, **RETURN})
    client.publish("q", b"1")
    client.get("q", no_ack=False)
    clock.advance(1_000)
    client.send(1, "basic.ack", delivery_tag=2)
    assert "unknown delivery tag 2" in refused(client)


def test_single_active_consumer_stays_active_after_a_return() -> None:
    client, clock = connect()
    client.declare("q", arguments={**TIMEOUT, **RETURN, **SINGLE})
    client.consume("q", "active")
    client.consume("q", "waiting")
    client.publish("q", b"1")
    clock.advance(1_000)
    assert [got.arguments["consumer_tag"] for got in client.receive()] == ["active", "active"]


@KINDS
def test_get_returns_too(kind: Table) -> None:
    client, clock = connect()
    client.declare("q", durable=True, arguments={**kind, **TIMEOUT, **RETURN})
    client.publish("q", b"1")
    assert client.get("q", no_ack=False).body == b"1"
    clock.advance(999)
    assert client.depth("q") == 0
    clock.advance(1)
    assert client.depth("q") == 1
    client.send(1, "basic.ack", delivery_tag=1)
    assert client.depth("q") == 1


# --- cancel and close -----------------------------------------------------------------------------------------------


@KINDS
@RELEASES
def test_cancelled_consumer_pauses_until_it_has_settled_everything(kind: Table, release: str) -> None:
    client, clock = connect(release)
    client.declare("q", durable=True, arguments={**kind, **TIMEOUT, **CANCEL})
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", "c")
    client.publish("q", b"1")
    clock.advance(1_000)
    _, cancel = client.receive()
    assert (cancel.name, cancel.arguments["consumer_tag"]) == ("basic.cancel", "c")
    assert client.depth("q") == 1
    client.send(1, "basic.ack", delivery_tag=1)
    assert delivered(client.receive()) == [(b"1", 2)]


def test_single_active_consumer_is_replaced_when_it_is_cancelled() -> None:
    client, clock = connect()
    client.declare("q", arguments={**TIMEOUT, **CANCEL, **SINGLE})
    client.consume("q", "first")
    client.consume("q", "second")
    client.publish("q", b"1")
    clock.advance(1_000)
    assert [(got.name, got.arguments["consumer_tag"]) for got in client.receive()] == [
        ("basic.deliver", "first"),
        ("basic.cancel", "first"),
        ("basic.deliver", "second"),
    ]


@pytest.mark.parametrize(("release", "shown_ms"), [("4.0", 1_000), ("4.3", -1)])
def test_get_closes_the_channel_because_there_is_no_consumer_to_cancel(release: str, shown_ms: int) -> None:
    client, clock = connect(release)
    client.declare("q", durable=True, arguments={**QUORUM, **TIMEOUT, **CANCEL})
    client.publish("q", b"1")
    client.get("q", no_ack=False)
    clock.advance(1_000)
    assert f"on channel 1 timed out. Timeout value used: {shown_ms} ms" in refused(client)


def test_client_that_does_not_know_basic_cancel_loses_its_channel() -> None:
    client, clock = connect()
    client = Wire(client.broker).log_in(capabilities=())
    client.declare("q", arguments={**TIMEOUT, **CANCEL})
    client.consume("q")
    client.publish("q", b"1")
    client.receive()
    clock.advance(1_000)
    assert "Timeout value used: 1000 ms" in refused(client)


@KINDS
@RELEASES
def test_cancelled_consumer_loses_the_channel_as_its_client_cannot_be_told(kind: Table, release: str) -> None:
    # rabbit_channel:handle_queue_actions/2 of 4.3: only a consumer in `consumer_mapping` gets a basic.cancel.
    client, clock = connect(release)
    client.declare("q", durable=True, arguments={**kind, **TIMEOUT, **CANCEL})
    client.consume("q", "c")
    client.publish("q", b"1")
    client.receive()
    client.call(1, "basic.cancel", consumer_tag="c")
    clock.advance(1_000)
    assert "on channel 1 timed out" in refused(client)
    assert Wire(client.broker).log_in().depth("q") == 1


@KINDS
@RELEASES
def test_live_consumer_is_not_cancelled_for_an_earlier_one_with_its_tag(kind: Table, release: str) -> None:
    client, clock = connect(release)
    client.declare("q", durable=True, arguments={**kind, **TIMEOUT, **CANCEL})
    client.declare("other", durable=True, arguments=kind)
    client.consume("q", "c")
    client.publish("q", b"1")
    client.receive()
    client.call(1, "basic.cancel", consumer_tag="c")
    client.consume("other", "c")
    clock.advance(1_000)
    assert "on channel 1 timed out" in refused(client)


@KINDS
@RELEASES
def test_close_closes_the_channel_at_that_moment(kind: Table, release: str) -> None:
    client, clock = connect(release)
    client.declare("q", durable=True, arguments={**kind, **TIMEOUT, **CLOSE})
    client.consume("q")
    client.publish("q", b"1")
    clock.advance(999)
    client.receive()
    clock.advance(1)
    assert "on channel 1 timed out. Timeout value used: 1000 ms" in refused(client)
    assert Wire(client.broker).log_in().depth("q") == 1


@KINDS
@RELEASES
@pytest.mark.parametrize("action", [RETURN, CANCEL, CLOSE], ids=["return", "cancel", "close"])
def test_deliveries_of_a_deleted_queue_do_not_time_out(kind: Table, release: str, action: Table) -> None:
    # In 4.3 the timer is one of the queue's state machine (rabbit_fifo:maybe_add_consumer_timeout_effect/3).
    client, clock = connect(release, consumer_timeout_ms=100_000)
    client.declare("q", durable=True, arguments={**kind, **TIMEOUT, **action})
    client.consume("q")
    client.publish("q", b"1")
    client.send(1, "queue.delete", queue="q")
    client.receive()
    clock.advance(90_000)
    assert client.receive() == []
    client.send(1, "basic.ack", delivery_tag=1)
    assert client.receive() == []


@pytest.mark.parametrize("release", ["4.0", "4.2"])
def test_timeout_of_the_broker_applies_to_deliveries_of_a_deleted_queue(release: str) -> None:
    # rabbit_channel:get_queue_consumer_timeout/2 finds no queue.
    client, clock = connect(release, consumer_timeout_ms=100_000)
    client.declare("q", arguments=TIMEOUT)
    client.consume("q")
    client.publish("q", b"1")
    client.send(1, "queue.delete", queue="q")
    client.receive()
    clock.advance(119_999)
    assert client.receive() == []
    clock.advance(1)
    assert "Timeout value used: 100000 ms" in refused(client)


def test_no_timeout_of_the_broker_applies_to_deliveries_of_a_deleted_queue_in_4_3() -> None:
    client, clock = connect("4.3", consumer_timeout_ms=100_000)
    client.declare("q", durable=True, arguments=QUORUM)
    client.consume("q")
    client.publish("q", b"1")
    client.send(1, "queue.delete", queue="q")
    client.receive()
    clock.advance(1_000_000)
    assert client.receive() == []


# --- which deliveries have locks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["4.0", "4.2"])
def test_timeout_of_a_queue_without_an_action_waits_for_the_tick_of_the_channel(release: str) -> None:
    client, clock = connect(release)
    client.declare("q", arguments=TIMEOUT)
    client.consume("q")
    client.publish("q", b"1")
    clock.advance(59_999)
    client.receive()
    clock.advance(1)
    assert "Timeout value used: 1000 ms" in refused(client)


@pytest.mark.parametrize("kind", [CLASSIC, QUORUM], ids=["classic", "quorum"])
@pytest.mark.parametrize(("release", "reaction"), [("4.0", "channel.close"), ("4.3", "basic.cancel")])
def test_timeout_of_a_consumer_has_the_action_of_the_release(kind: Table, release: str, reaction: str) -> None:
    client, clock = connect(release)
    client.declare("q", durable=True, arguments={**kind, "x-consumer-timeout": Field("I", 10)})
    client.consume("q", arguments=TIMEOUT)
    client.publish("q", b"1")
    clock.advance(999)
    client.receive()
    clock.advance(1)
    assert names(client.receive()) == [reaction]


def test_timeout_of_a_classic_queue_cancels_in_4_3() -> None:
    client, clock = connect("4.3")
    client.declare("q", durable=True, arguments=TIMEOUT)
    client.consume("q")
    client.publish("q", b"1")
    clock.advance(1_000)
    assert names(client.receive()) == ["basic.deliver", "basic.cancel"]


def test_without_extensions_the_arguments_mean_nothing() -> None:
    client, clock = connect(compat=COMPATS["4.0"].configured({}, extensions=False))
    client.declare("q", arguments={**TIMEOUT, **RETURN, "x-consumer-timeout-renew": Field("I", 1)})
    client.consume("q", arguments={**TIMEOUT, **RETURN})
    client.publish("q", b"1")
    clock.advance(59_999)
    assert names(client.receive()) == ["basic.deliver"]
    clock.advance(1)
    assert names(client.receive()) == ["channel.close"]


def test_action_and_timeout_of_the_consumer_win() -> None:
    client, clock = connect()
    client.declare("q", arguments={**TIMEOUT, **CLOSE})
    client.consume("q", arguments={**RETURN, "x-consumer-timeout": Field("I", 300)})
    client.publish("q", b"1")
    clock.advance(300)
    assert delivered(client.receive()) == [(b"1", 1), (b"1", 2)]


def test_action_alone_uses_the_timeout_of_the_broker() -> None:
    client, clock = connect(consumer_timeout_ms=5_000)
    client.declare("q", arguments=RETURN)
    client.consume("q")
    client.publish("q", b"1")
    clock.advance(4_999)
    assert delivered(client.receive()) == [(b"1", 1)]
    clock.advance(1)
    assert delivered(client.receive()) == [(b"1", 2)]


def test_nothing_times_out_with_an_action_but_without_a_timeout() -> None:
    client, clock = connect(consumer_timeout_ms=0)
    client.declare("q", arguments=RETURN)
    client.consume("q")
    client.publish("q", b"1")
    clock.advance(10_000_000)
    assert delivered(client.receive()) == [(b"1", 1)]


def test_channel_s_tick_ignores_locked_deliveries() -> None:
    client, clock = connect(consumer_timeout_ms=30_000)
    client.declare("q", arguments=RETURN)
    client.declare("p", arguments={"x-consumer-timeout": Field("I", 10_000)})
    client.consume("q", "q", arguments={"x-consumer-timeout": Field("I", 100_000)})
    client.publish("q", b"1")
    clock.advance(60_000)
    assert delivered(client.receive()) == [(b"1", 1)]
    client.consume("p", "p")
    client.publish("p", b"2")
    clock.advance(60_000)
    received = client.receive()
    assert "Timeout value used: 10000 ms" in received[-1].arguments["reply_text"]


@KINDS
@RELEASES
def test_policy_locks_deliveries_made_from_now_on(kind: Table, release: str) -> None:
    client, clock = connect(release, consumer_timeout_ms=0)
    client.declare("q", durable=True, arguments=kind)
    client.consume("q")
    client.publish("q", b"old")
    definition = {"consumer-timeout": 1_000, "consumer-timeout-action": "return"}
    client.broker.policies.put(Policy("/", "p", "^q", definition))
    client.publish("q", b"new")
    clock.advance(1_000)
    assert [got.body for got in client.receive()] == [b"old", b"new", b"new"]


def test_timed_out_deliveries_are_counted_by_queue() -> None:
    client, clock = connect()
    client.declare("q", arguments={**TIMEOUT, **RETURN})
    client.consume("q")
    for body in (b"1", b"2"):
        client.publish("q", body)
    clock.advance(2_000)
    assert client.broker.vhost("/").queues["q"].timed_out == 4


# --- renewal by heartbeats ------------------------------------------------------------------------------------------


@KINDS
def test_lock_stays_as_long_as_the_connection_is_heard(kind: Table) -> None:
    client, clock = connect()
    client = Wire(client.broker).log_in(heartbeat=10)
    client.declare("q", durable=True, arguments={**kind, **TIMEOUT, **RETURN, **HEARTBEAT})
    client.consume("q")
    client.publish("q", b"1")
    for _ in range(20):
        clock.advance(5_000)
        client.feed(b"\x08\0\0\0\0\0\0\xce")
    assert delivered(client.receive()) == [(b"1", 1)]
    # The client is silent for a whole interval.
    clock.advance(25_000)
    assert len(delivered(client.receive())) > 1


def test_lock_runs_out_if_heartbeats_are_off() -> None:
    client, clock = connect()
    client.declare("q", arguments={**TIMEOUT, **RETURN, **HEARTBEAT})
    client.consume("q")
    client.publish("q", b"1")
    clock.advance(1_000)
    assert delivered(client.receive()) == [(b"1", 1), (b"1", 2)]


def test_consumer_can_switch_off_renewal_by_heartbeats() -> None:
    client, clock = connect()
    client = Wire(client.broker).log_in(heartbeat=10)
    client.declare("q", arguments={**TIMEOUT, **RETURN, **HEARTBEAT})
    client.consume("q", arguments={"x-consumer-timeout-renew": longstr("none")})
    client.publish("q", b"1")
    clock.advance(1_000)
    assert delivered(client.receive()) == [(b"1", 1), (b"1", 2)]


# --- transactions ---------------------------------------------------------------------------------------------------


def test_uncommitted_ack_stops_the_time() -> None:
    client, clock = connect()
    client.declare("q", arguments={**TIMEOUT, **RETURN})
    client.consume("q")
    client.publish("q", b"1")
    client.receive()
    client.call(1, "tx.select")
    client.send(1, "basic.ack", delivery_tag=1)
    clock.advance(5_000)
    assert client.call(1, "tx.commit").name == "tx.commit-ok"
    clock.advance(5_000)
    assert client.receive() == []
    assert client.depth("q") == 0


def test_rolled_back_ack_counts_the_time_since_the_delivery() -> None:
    client, clock = connect()
    client.declare("q", arguments={**TIMEOUT, **RETURN})
    client.consume("q")
    client.publish("q", b"1")
    client.receive()
    client.call(1, "tx.select")
    client.send(1, "basic.ack", delivery_tag=1)
    clock.advance(5_000)
    assert client.call(1, "tx.rollback").name == "tx.rollback-ok"
    clock.advance(1)
    assert delivered(client.receive()) == [(b"1", 2)]


# --- arguments that are refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("x-consumer-timeout", Field("I", 0), "the timeout must be an integer from 1 to 315360000000 (milliseconds)"),
        ("x-consumer-timeout", Field("I", -1), "the timeout must be an integer from 1 to 315360000000 (milliseconds)"),
        ("x-consumer-timeout", longstr("10"), "the timeout must be an integer from 1 to 315360000000 (milliseconds)"),
        ("x-consumer-timeout-action", longstr("x"), "expected 'return', 'cancel' or 'close', got 'x'"),
        (
            "x-consumer-timeout-action",
            Field("I", 1),
            "expected 'return', 'cancel' or 'close' as a string, got signedint",
        ),
        ("x-consumer-timeout-renew", longstr("x"), "expected 'heartbeat' or 'none', got 'x'"),
    ],
)
@pytest.mark.parametrize("kind", [CLASSIC, QUORUM], ids=["classic", "quorum"])
def test_invalid_arguments_of_queues_and_consumers_are_refused(
    kind: Table, name: str, value: Field, problem: str
) -> None:
    expected = f"PRECONDITION_FAILED - invalid arg '{name}' for queue 'q' in vhost '/': \"{problem}\""
    client, _ = connect()
    client.send(1, "queue.declare", queue="q", durable=True, arguments={**kind, name: value})
    assert refused(client) == expected
    client.send(1, "channel.close-ok")
    client.call(1, "channel.open")
    client.declare("q", durable=True, arguments=kind)
    client.send(1, "basic.consume", queue="q", arguments={name: value})
    assert refused(client) == expected


# --- many locks at once -----------------------------------------------------------------------------------------------


def held_by(action: Table, count: int) -> tuple[Wire, ManualClock]:
    client, clock = connect(bounds=BOUNDS._replace(departures=3))
    client.declare("q", durable=True, arguments={**TIMEOUT, **action})
    client.call(1, "basic.qos", prefetch_count=count)
    client.consume("q", "c")
    for number in range(count):
        client.publish("q", b"%d" % number)
    client.receive()
    # All are due, but no timer has fired.
    clock._now_ms += 1_000
    return client, clock


def test_locks_that_run_out_together_are_handled_in_slices() -> None:
    client, clock = held_by(CANCEL, 8)
    queue = client.broker.vhosts["/"].queues["q"]
    counts = []
    while queue.unacked_count:
        clock.fire_due()
        counts.append(queue.ready_count)
    assert counts == [3, 6, 8]
    assert names(client.receive()) == ["basic.cancel"]
    # The consumer is notified again of deliveries that time out later.
    for tag in range(1, 9):
        client.send(1, "basic.ack", delivery_tag=tag)
    assert len(delivered(client.receive())) == 8
    clock._now_ms += 1_000
    clock.advance(0)
    assert names(client.receive()) == ["basic.cancel"]


def test_locks_that_run_out_together_return_in_order() -> None:
    client, clock = held_by(RETURN, 8)
    other = Wire(client.broker).log_in()
    other.consume("q")
    client.call(1, "basic.cancel", consumer_tag="c")
    clock.advance(0)
    assert [body for body, _ in delivered(other.receive())] == [b"%d" % number for number in range(8)]


def test_locks_that_have_run_out_leave_no_memory_behind() -> None:
    client, clock = held_by(CANCEL, 500)
    channel = client.connection.channels[1]
    clock.advance(0)
    assert (len(channel.unacked.entries), len(channel.locks.by_tag)) == (0, 0)
    assert sys.getsizeof(channel.unacked.entries) == sys.getsizeof(channel.locks.by_tag) == sys.getsizeof({})
