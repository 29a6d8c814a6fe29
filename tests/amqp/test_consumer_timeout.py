"""The consumer timeout of RabbitMQ 4.3; test_channel.py has that of earlier releases."""

from typing import Any

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Cut, Wire, make_broker

QUORUM: Table = {"x-queue-type": longstr("quorum")}
TIMEOUT_MS = 100_000
TICK_MS = 60_000
TIMED_OUT = (
    "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: -1 ms. This timeout"
    " value can be configured, see consumers doc guide to learn more"
)


def timing(cut: Cut, **options: Any) -> tuple[Wire, ManualClock]:
    options = {"compat": COMPATS["4.3"], "consumer_timeout_ms": TIMEOUT_MS, **options}
    broker = make_broker(channel_tick_interval_ms=TICK_MS, **options)
    assert isinstance(broker.clock, ManualClock)
    return Wire(broker, cut).log_in(), broker.clock


def test_classic_queue_does_not_cancel_consumers_of_overdue_deliveries(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True)
    client.publish("q", b"1")
    client.consume("q")
    clock.advance(10 * TIMEOUT_MS)
    assert client.receive() == []


def test_quorum_queue_requeues_overdue_deliveries_and_cancels_the_consumer(cut: Cut) -> None:
    """Check the clause for evaluate_consumer_timeout of rabbit_fifo:apply_/3 (rabbit_fifo.erl:721 in 4.3.5)."""
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"old")
    client.consume("q", "c")
    clock.advance(TICK_MS)
    client.publish("q", b"new")
    client.receive()
    clock.advance(TIMEOUT_MS - TICK_MS - 1)
    assert client.receive() == []
    clock.advance(1)
    (cancel,) = client.receive()
    assert (cancel.name, cancel.arguments["consumer_tag"], cancel.arguments["nowait"]) == ("basic.cancel", "c", True)
    got = client.get("q", no_ack=False)
    assert (got.body, got.arguments["redelivered"]) == (b"old", True)
    assert got.properties is not None
    assert got.properties["headers"] == {"x-acquired-count": Field("l", 1)}
    assert client.depth("q") == 0
    client.send(1, "basic.ack", delivery_tag=3)
    clock.advance(TICK_MS - 1)
    assert client.receive() == []
    clock.advance(1)
    (cancel,) = client.receive()
    assert (cancel.name, cancel.arguments["consumer_tag"]) == ("basic.cancel", "c")
    assert client.get("q").body == b"new"


def test_another_consumer_gets_the_overdue_delivery(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.consume("q", "slow")
    other = Wire(client.broker).log_in()
    assert other.consume("q") == []
    clock.advance(2 * TICK_MS)
    assert [got.body for got in other.receive()] == [b"1"]


@pytest.mark.parametrize("method", ["basic.ack", "basic.nack", "basic.reject"])
def test_settling_a_taken_back_delivery_later_is_no_error(cut: Cut, method: str) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.consume("q")
    clock.advance(2 * TICK_MS)
    client.receive()
    client.send(1, method, delivery_tag=1)
    # The consumer resumes.
    (got,) = client.receive()
    assert (got.body, got.arguments["delivery_tag"], got.arguments["redelivered"]) == (b"1", 2, True)
    client.send(1, method, delivery_tag=1)
    (close,) = client.receive()
    assert close.arguments["reply_text"] == "PRECONDITION_FAILED - unknown delivery tag 1"


def test_a_consumer_resumes_when_all_taken_back_deliveries_are_settled(cut: Cut) -> None:
    """Check rabbit_fifo:maybe_untimeout/2 (rabbit_fifo.erl:2231 in 4.3.5)."""
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    for body in b"1", b"2", b"3":
        client.publish("q", body)
    client.call(1, "basic.qos", prefetch_count=2)
    assert [got.body for got in client.consume("q", "c")] == [b"1", b"2"]
    clock.advance(TIMEOUT_MS)
    assert [got.name for got in client.receive()] == ["basic.cancel"]
    client.send(1, "basic.ack", delivery_tag=1)
    assert client.receive() == []
    client.send(1, "basic.ack", delivery_tag=2)
    assert [(got.body, got.arguments["consumer_tag"]) for got in client.receive()] == [(b"1", "c"), (b"2", "c")]
    client.send(1, "basic.ack", delivery_tag=4, multiple=True)
    assert [got.body for got in client.receive()] == [b"3"]


@pytest.mark.parametrize("tag", [0, 3])
def test_multiple_settles_taken_back_deliveries_too(cut: Cut, tag: int) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    for body in b"1", b"2":
        client.publish("q", body)
    client.consume("q")
    clock.advance(TICK_MS)
    client.publish("q", b"3")
    client.receive()
    clock.advance(TIMEOUT_MS - TICK_MS)
    assert [got.name for got in client.receive()] == ["basic.cancel"]
    client.send(1, "basic.ack", delivery_tag=tag, multiple=True)
    assert [got.body for got in client.receive()] == [b"1", b"2"]


def test_the_tag_of_a_consumer_cancelled_by_timeout_stays_in_use(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.consume("q", "c")
    clock.advance(TIMEOUT_MS)
    client.receive()
    client.send(1, "basic.consume", queue="q", consumer_tag="c")
    (close,) = client.receive()
    assert (close.arguments["reply_code"], close.arguments["reply_text"]) == (
        530,
        "NOT_ALLOWED - attempt to reuse consumer tag 'c'",
    )


def test_consumer_cancelled_while_paused_gets_no_more_messages(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.consume("q", "c")
    clock.advance(TIMEOUT_MS)
    client.receive()
    assert client.call(1, "basic.cancel", consumer_tag="c").name == "basic.cancel-ok"
    client.send(1, "basic.ack", delivery_tag=1)
    assert client.receive() == []
    assert client.depth("q") == 1


SINGLE: Table = {**QUORUM, "x-single-active-consumer": Field("t", True)}


@pytest.mark.parametrize("early", [True, False])
def test_another_consumer_becomes_the_active_one(cut: Cut, early: bool) -> None:
    """The other consumer waits already or starts later; the former active consumer waits once it has settled."""
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=SINGLE)
    client.publish("q", b"1")
    client.consume("q", "slow")
    other = Wire(client.broker).log_in()
    if early:
        assert other.consume("q") == []
    clock.advance(TIMEOUT_MS)
    got = other.receive() if early else other.consume("q")
    assert [each.body for each in got] == [b"1"]
    assert [got.name for got in client.receive()] == ["basic.cancel"]
    client.send(1, "basic.ack", delivery_tag=1)
    other.send(1, "basic.ack", delivery_tag=1)
    client.publish("q", b"2")
    assert (client.receive(), [got.body for got in other.receive()]) == ([], [b"2"])
    other.call(1, "basic.cancel", consumer_tag=other_tag(got))
    client.publish("q", b"3")
    assert [got.body for got in client.receive()] == [b"3"]


def other_tag(got: Any) -> str:
    tag: str = got[0].arguments["consumer_tag"]
    return tag


def test_multiple_up_to_a_taken_back_delivery_settles_earlier_ones(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("classic", durable=True)
    client.declare("q", durable=True, arguments=QUORUM)
    for queue in "classic", "q":
        client.publish(queue, b"1")
        client.consume(queue, queue)
    clock.advance(2 * TICK_MS)
    client.receive()
    client.send(1, "basic.ack", delivery_tag=2, multiple=True)
    client.send(1, "channel.close")
    client.receive()
    client.call(1, "channel.open")
    assert (client.depth("classic"), client.depth("q")) == (0, 1)


def test_the_channel_of_a_client_without_consumer_cancel_notify_is_closed(cut: Cut) -> None:
    """Check rabbit_channel:handle_queue_actions/2 (rabbit_channel.erl:2802 in 4.3.5)."""
    broker = make_broker(compat=COMPATS["4.3"], consumer_timeout_ms=TIMEOUT_MS)
    client = Wire(broker, cut).log_in(capabilities=())
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.consume("q")
    assert isinstance(broker.clock, ManualClock)
    broker.clock.advance(2 * TICK_MS)
    (close,) = client.receive()
    assert (close.name, close.arguments["reply_code"]) == ("channel.close", 406)
    assert close.arguments["reply_text"] == TIMED_OUT
    client.send(1, "channel.close-ok")
    client.call(1, "channel.open")
    got = client.get("q")
    assert got.properties is not None
    assert got.properties["headers"] == {"x-acquired-count": Field("l", 1)}


@pytest.mark.parametrize(("of_queue", "of_consumer", "waits"), [(None, 200, True), (200, None, True), (10, 200, True)])
def test_timeout_of_the_consumer_overrides_that_of_the_queue(
    cut: Cut, of_queue: int | None, of_consumer: int | None, waits: bool
) -> None:
    client, clock = timing(cut)
    declared = {} if of_queue is None else {"x-consumer-timeout": Field("I", of_queue * 1000)}
    consumed = {} if of_consumer is None else {"x-consumer-timeout": Field("I", of_consumer * 1000)}
    client.declare("q", durable=True, arguments={**QUORUM, **declared})
    client.publish("q", b"1")
    client.consume("q", arguments=consumed)
    clock.advance(3 * TICK_MS)
    assert client.receive() == []
    clock.advance(TICK_MS)
    assert [got.name for got in client.receive()] == ["basic.cancel"]


def test_an_overdue_delivery_of_get_closes_the_channel(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments={**QUORUM, "x-consumer-timeout": Field("I", 5000)})
    client.publish("q", b"1")
    client.get("q", no_ack=False)
    clock.advance(4999)
    assert client.receive() == []
    clock.advance(1)
    (close,) = client.receive()
    assert (close.name, close.arguments["reply_code"]) == ("channel.close", 406)
    assert close.arguments["reply_text"] == TIMED_OUT
    assert Wire(client.broker).log_in().depth("q") == 1


def test_a_shorter_timeout_of_a_later_delivery_is_kept(cut: Cut) -> None:
    client, clock = timing(cut)
    for queue, timeout in ("slow", 90_000), ("quick", 5000):
        client.declare(queue, durable=True, arguments={**QUORUM, "x-consumer-timeout": Field("I", timeout)})
        client.publish(queue, b"1")
        client.consume(queue, queue)
    clock.advance(5000)
    assert [got.arguments["consumer_tag"] for got in client.receive()] == ["quick"]
    clock.advance(85_000)
    assert [got.arguments["consumer_tag"] for got in client.receive()] == ["slow"]


def test_a_timeout_of_0_still_limits_the_rate_of_checks(cut: Cut) -> None:
    client, clock = timing(cut, compat=COMPATS["4.3"].configured({}, extensions=False))
    client.declare("q", durable=True, arguments={**QUORUM, "x-consumer-timeout": Field("I", 0)})
    client.publish("q", b"1")
    client.consume("q")
    clock.advance(10)
    assert [got.name for got in client.receive()] == ["basic.cancel"]


def test_no_check_is_scheduled_without_a_timeout(cut: Cut) -> None:
    broker = make_broker(compat=COMPATS["4.3"], consumer_timeout_ms=0)
    client = Wire(broker, cut).log_in()
    before = broker.clock.next_due_ms()
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.consume("q")
    assert broker.clock.next_due_ms() == before


@pytest.mark.parametrize(("retry_type", "is_delayed"), [("all", True), ("returned", True), ("failed", False)])
def test_taken_back_deliveries_are_retried_with_the_delay_of_returns(
    cut: Cut, retry_type: str, is_delayed: bool
) -> None:
    """Check rabbit_fifo:should_delay0/4 (rabbit_fifo.erl:2424 in 4.3.5): a timeout is no failure."""
    client, clock = timing(cut)
    retry = {"x-delayed-retry-type": longstr(retry_type), "x-delayed-retry-min": Field("I", 500)}
    longest = {"x-delayed-retry-max": Field("I", 50_000)}
    client.declare("q", durable=True, arguments={**QUORUM, **retry, **longest})
    client.publish("q", b"1")
    client.consume("q", "c")
    for tag in 1, 2, 3:
        clock.advance(TIMEOUT_MS)
        assert [got.name for got in client.receive()] == ["basic.cancel"]
        client.send(1, "basic.ack", delivery_tag=tag)
        if is_delayed:
            clock.advance(499)
            assert client.receive() == []
            clock.advance(1)
        assert [got.body for got in client.receive()] == [b"1"]
