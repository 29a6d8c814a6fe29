"""Renewal of locks by publishes to the default exchange."""

from typing import Any

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Cut, Wire, make_broker

LOCKED: Table = {"x-consumer-timeout": Field("I", 1_000), "x-consumer-timeout-action": longstr("return")}


def connect(cut: Cut, locked: Table | None = None, **settings: Any) -> tuple[Wire, ManualClock]:
    broker = make_broker(channel_tick_interval_ms=60_000, **settings)
    assert isinstance(broker.clock, ManualClock)
    client = Wire(broker, cut).log_in()
    client.declare("q", arguments=LOCKED if locked is None else locked)
    for body in (b"1", b"2"):
        client.publish("q", body)
    assert [got.body for got in client.consume("q")] == [b"1", b"2"]
    return client, broker.clock


def renew(client: Wire, tag: int, timeout_ms: int | None = None, mandatory: bool = False) -> None:
    headers: Table = {"x-delivery-tag": Field("l", tag)}
    if timeout_ms is not None:
        headers["x-consumer-timeout"] = Field("I", timeout_ms)
    client.publish("amq.renew-lock", mandatory=mandatory, headers=headers)


def bodies(client: Wire) -> list[bytes | None]:
    return [got.body for got in client.receive()]


def test_renewed_lock_starts_anew(cut: Cut) -> None:
    client, clock = connect(cut)
    clock.advance(900)
    renew(client, 2)
    clock.advance(100)
    assert bodies(client) == [b"1"]
    clock.advance(899)
    assert bodies(client) == []
    clock.advance(1)
    assert bodies(client) == [b"2"]


def test_renewal_can_name_another_time_for_once(cut: Cut) -> None:
    client, clock = connect(cut)
    renew(client, 1, 5_000)
    clock.advance(4_000)
    assert bodies(client) == [b"2", b"2", b"2", b"2"]
    renew(client, 1)
    clock.advance(999)
    assert b"1" not in bodies(client)
    clock.advance(1)
    assert b"1" in bodies(client)


def test_tag_0_renews_all_locks_of_the_channel(cut: Cut) -> None:
    client, clock = connect(cut)
    for _ in range(5):
        clock.advance(999)
        renew(client, 0)
    assert bodies(client) == []
    clock.advance(1_000)
    assert bodies(client) == [b"1", b"2"]


def test_time_0_gives_the_message_back(cut: Cut) -> None:
    client, _ = connect(cut)
    renew(client, 1, 0)
    (got,) = client.receive()
    assert (got.body, got.arguments["redelivered"], got.arguments["delivery_tag"]) == (b"1", True, 3)
    client.send(1, "basic.ack", delivery_tag=1)
    assert client.receive() == []


def test_renewals_are_confirmed_like_any_publish(cut: Cut) -> None:
    client, _ = connect(cut)
    client.call(1, "confirm.select")
    renew(client, 1)
    renew(client, 99)
    client.publish("q", b"3")
    received = client.receive()
    acks = [got.arguments["delivery_tag"] for got in received if got.name == "basic.ack"]
    assert max(acks) == 3
    assert not [got for got in received if got.name == "basic.return"]


@pytest.mark.parametrize("tag", [3, 99])
def test_mandatory_renewal_of_an_unknown_delivery_is_returned(cut: Cut, tag: int) -> None:
    client, _ = connect(cut)
    renew(client, 1, mandatory=True)
    assert client.receive() == []
    renew(client, tag, mandatory=True)
    (got,) = client.receive()
    assert (got.name, got.arguments["reply_code"], got.arguments["reply_text"]) == ("basic.return", 312, "NO_ROUTE")


def test_lock_that_has_run_out_cannot_be_renewed(cut: Cut) -> None:
    client, clock = connect(cut)
    client.call(1, "basic.cancel", consumer_tag=next(iter(client.connection.channels[1].consumers.by_tag)))
    clock.advance(1_000)
    renew(client, 1, mandatory=True)
    assert [got.name for got in client.receive()] == ["basic.return"]
    assert client.depth("q") == 2


def test_lock_of_another_channel_is_not_renewed(cut: Cut) -> None:
    client, clock = connect(cut)
    client.call(2, "channel.open")
    client.publish("amq.renew-lock", channel=2, mandatory=True, headers={"x-delivery-tag": Field("l", 1)})
    (got,) = client.receive()
    assert (got.channel, got.name) == (2, "basic.return")
    clock.advance(1_000)
    assert bodies(client) == [b"1", b"2"]


@pytest.mark.parametrize(
    ("headers", "header"),
    [
        ({}, "x-delivery-tag"),
        ({"x-delivery-tag": longstr("1")}, "x-delivery-tag"),
        ({"x-delivery-tag": Field("l", -1)}, "x-delivery-tag"),
        ({"x-delivery-tag": Field("l", 1), "x-consumer-timeout": longstr("1")}, "x-consumer-timeout"),
        ({"x-delivery-tag": Field("l", 1), "x-consumer-timeout": Field("I", -1)}, "x-consumer-timeout"),
        ({"x-delivery-tag": Field("l", 1), "x-consumer-timeout": Field("l", 1 << 60)}, "x-consumer-timeout"),
    ],
)
def test_malformed_headers_close_the_channel(cut: Cut, headers: Table, header: str) -> None:
    client, _ = connect(cut)
    client.publish("amq.renew-lock", headers=headers)
    (close,) = client.receive()
    assert (close.name, close.arguments["reply_code"]) == ("channel.close", 406)
    assert f"invalid header '{header}' of a message to 'amq.renew-lock': write the " in close.arguments["reply_text"]


def test_message_without_properties_closes_the_channel(cut: Cut) -> None:
    client, _ = connect(cut)
    client.publish("amq.renew-lock")
    (close,) = client.receive()
    assert "invalid header 'x-delivery-tag'" in close.arguments["reply_text"]


def test_renewal_in_a_transaction_takes_effect_at_once(cut: Cut) -> None:
    client, clock = connect(cut)
    client.call(1, "tx.select")
    clock.advance(900)
    renew(client, 0)
    clock.advance(900)
    assert client.call(1, "tx.rollback").name == "tx.rollback-ok"
    clock.advance(99)
    assert client.receive() == []
    clock.advance(1)
    assert bodies(client) == [b"1", b"2"]


def test_without_extensions_the_message_is_unroutable(cut: Cut) -> None:
    client, _ = connect(cut, {}, compat=COMPATS["4.0"].configured({}, extensions=False))
    client.publish("amq.renew-lock", mandatory=True)
    assert [got.name for got in client.receive()] == ["basic.return"]


def test_renewal_locks_a_delivery_that_was_checked_by_the_tick(cut: Cut) -> None:
    client, clock = connect(cut, {"x-consumer-timeout": Field("I", 59_000)})
    clock.advance(50_000)
    renew(client, 0)
    clock.advance(58_999)
    assert client.receive() == []
    clock.advance(1)
    (close,) = client.receive()
    assert "Timeout value used: 59000 ms" in close.arguments["reply_text"]


def test_renewal_of_a_delivery_without_a_timeout_succeeds(cut: Cut) -> None:
    client, clock = connect(cut, {}, consumer_timeout_ms=0)
    renew(client, 1, mandatory=True)
    clock.advance(10_000_000)
    assert client.receive() == []


def test_user_needs_write_permission_on_the_default_exchange(cut: Cut) -> None:
    client, _ = connect(cut)
    client.broker.users.set_permissions("guest", "/", ".*", "^q", ".*")
    other = Wire(client.broker, cut).log_in()
    renew(other, 1)
    (close,) = other.receive()
    assert close.arguments["reply_code"] == 403
