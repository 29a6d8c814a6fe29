"""The consumer timeout of RabbitMQ 4.3; that of the releases before is in test_channel.py."""

from typing import Any

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Cut, Wire, make_broker

QUORUM: Table = {"x-queue-type": longstr("quorum")}
TIMEOUT_MS = 100_000
TICK_MS = 60_000


def timing(cut: Cut, **options: Any) -> tuple[Wire, ManualClock]:
    broker = make_broker(
        compat=COMPATS["4.3"], consumer_timeout_ms=TIMEOUT_MS, channel_tick_interval_ms=TICK_MS, **options
    )
    assert isinstance(broker.clock, ManualClock)
    return Wire(broker, cut).log_in(), broker.clock


def test_a_classic_queue_waits_for_ever(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True)
    client.publish("q", b"1")
    client.consume("q")
    clock.advance(10 * TIMEOUT_MS)
    assert client.receive() == []


def test_a_quorum_queue_takes_back_what_is_overdue_and_cancels(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"old")
    client.consume("q", "c")
    clock.advance(TICK_MS)
    client.publish("q", b"new")
    client.receive()
    clock.advance(TICK_MS)
    (cancel,) = client.receive()
    assert (cancel.name, cancel.arguments["consumer_tag"], cancel.arguments["nowait"]) == ("basic.cancel", "c", True)
    got = client.get("q", no_ack=False)
    assert (got.body, got.arguments["redelivered"]) == (b"old", True)
    assert got.properties is not None
    assert got.properties["headers"] == {"x-acquired-count": Field("l", 1)}
    assert client.depth("q") == 0
    clock.advance(TICK_MS)
    assert client.receive() == []
    assert client.get("q").body == b"new"


def test_another_consumer_gets_it(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.consume("q", "slow")
    other = Wire(client.broker).log_in()
    assert other.consume("q") == []
    clock.advance(2 * TICK_MS)
    assert [got.body for got in other.receive()] == [b"1"]


@pytest.mark.parametrize("method", ["basic.ack", "basic.nack", "basic.reject"])
def test_settling_later_what_was_taken_back_is_no_mistake(cut: Cut, method: str) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.consume("q")
    clock.advance(2 * TICK_MS)
    client.receive()
    client.send(1, method, delivery_tag=1)
    assert client.receive() == []
    assert client.depth("q") == 1
    client.send(1, method, delivery_tag=1)
    (close,) = client.receive()
    assert close.arguments["reply_text"] == "PRECONDITION_FAILED - unknown delivery tag 1"


def test_settling_up_to_what_was_taken_back_settles_what_was_not(cut: Cut) -> None:
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


def test_a_client_that_knows_no_cancel_loses_its_channel(cut: Cut) -> None:
    broker = make_broker(compat=COMPATS["4.3"], consumer_timeout_ms=TIMEOUT_MS)
    client = Wire(broker, cut).log_in(capabilities=())
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.consume("q")
    assert isinstance(broker.clock, ManualClock)
    broker.clock.advance(2 * TICK_MS)
    (close,) = client.receive()
    assert (close.name, close.arguments["reply_code"]) == ("channel.close", 406)
    assert "Timeout value used: 100000 ms" in close.arguments["reply_text"]


@pytest.mark.parametrize(("of_queue", "of_consumer", "waits"), [(None, 200, True), (200, None, True), (10, 200, True)])
def test_whose_timeout_counts(cut: Cut, of_queue: int | None, of_consumer: int | None, waits: bool) -> None:
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


def test_what_basic_get_took_has_no_timeout(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.get("q", no_ack=False)
    clock.advance(10 * TICK_MS)
    assert client.depth("q") == 0
