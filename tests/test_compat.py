"""The behaviour of each release series that clients can see.

The behaviour of 4.0 was observed on a running 4.0.5, also with denied deprecated features. That of the others is from
RabbitMQ's release notes of 4.1.0, 4.2.0 and 4.3.0 and its guide to quorum queues in 4.3.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from amqpbroker.amqp.state import SILENT_CLOSE_DELAY_MS
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.exchanges.registry import known_exchange_types
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS, DEPRECATED_FEATURES, Permission
from amqpbroker.config import Config, load
from amqpbroker.management.formats.exchanges import exchange_types
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, Wire, make_broker
from tests.process import BrokerProcess

QUORUM: Table = {"x-queue-type": longstr("quorum")}
SERIES = list(COMPATS)
BEFORE_4_3 = SERIES[:-1]

DENIED = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\n"
BY_DEFAULT = (
    DENIED + "By default, this feature is not permitted anymore.\n"
    "The feature will be removed from a future major RabbitMQ version, regardless of the configuration;"
    " actual version to be determined.\nTo..."
)
BY_CONFIGURATION = (
    DENIED + "Its use is not permitted per the configuration (overriding the default, which is permitted):\n"
    '    "deprecated_features.permit.transient_nonexcl_queues = false"\nIts use will not be permit...'
)


def broker_of(series: str, permit: dict[str, bool] | None = None, **settings: Any) -> Broker:
    return make_broker(compat=COMPATS[series].configured(permit or {}, extensions=False), **settings)


def client_of(series: str, permit: dict[str, bool] | None = None, **settings: Any) -> Wire:
    return Wire(broker_of(series, permit, **settings)).log_in()


def closed(received: list[Received]) -> tuple[str, int, str]:
    (got,) = received
    return got.name, got.arguments["reply_code"], got.arguments["reply_text"]


# --- the table -------------------------------------------------------------------------------------------------------


def test_announced_version_belongs_to_its_release_series() -> None:
    for series, compat in COMPATS.items():
        assert compat.version.startswith(series + ".")
        assert Config(compat=compat).product_version == compat.version
        years = "2007-2024" if series == "4.0" else "2007-2026"
        assert Config(compat=compat).identity.copyright == f"Copyright (c) {years} Broadcom Inc and/or its subsidiaries"


def test_the_announced_version_can_be_configured() -> None:
    config = load([("product.version", "3.13.7"), ("compat", "4.3")], {})
    assert (config.product_version, config.compat) == ("3.13.7", COMPATS["4.3"])


@pytest.mark.parametrize(
    ("series", "permit", "expected"),
    [
        ("4.0", {}, Permission.PERMITTED),
        ("4.0", {"global_qos": True}, Permission.PERMITTED),
        ("4.0", {"global_qos": False}, Permission.OVERRIDDEN),
        ("4.3", {}, Permission.DENIED),
        ("4.3", {"global_qos": False}, Permission.DENIED),
        ("4.3", {"global_qos": True}, Permission.PERMITTED),
        ("4.3", {"transient_nonexcl_queues": True}, Permission.DENIED),
    ],
)
def test_configuration_permits_or_denies_deprecated_features(
    series: str, permit: dict[str, bool], expected: Permission
) -> None:
    assert COMPATS[series].configured(permit).global_qos is expected


def test_every_deprecated_feature_is_a_setting() -> None:
    for name in DEPRECATED_FEATURES:
        load([(f"deprecated_features.permit.{name}", "true")], {})


# --- handshake -------------------------------------------------------------------------------------------------------


def tuning(series: str) -> Wire:
    client = Wire(broker_of(series))
    client.feed(b"AMQP\0\0\x09\x01")
    (start,) = client.receive()
    assert start.arguments["server_properties"]["version"] == longstr(COMPATS[series].version)
    client.send(
        0,
        "connection.start-ok",
        client_properties={},
        mechanism="PLAIN",
        response=b"\0guest\0guest",
        locale="en_US",
    )
    assert [got.name for got in client.receive()] == ["connection.tune"]
    return client


@pytest.mark.parametrize("series", SERIES)
def test_smallest_allowed_frame_max_depends_on_the_version(series: str) -> None:
    smallest = 4096 if series == "4.0" else 8192
    client = tuning(series)
    client.send(0, "connection.tune-ok", channel_max=1, frame_max=smallest, heartbeat=0)
    assert client.call(0, "connection.open", virtual_host="/").name == "connection.open-ok"
    assert Config(compat=COMPATS[series]).initial_frame_max == smallest


@pytest.mark.parametrize("series", ["4.0", "4.1"])
def test_invalid_limits_get_no_answer_before_4_2(series: str) -> None:
    client = tuning(series)
    client.send(0, "connection.tune-ok", channel_max=1, frame_max=4095, heartbeat=0)
    assert client.receive() == []
    assert isinstance(client.broker.clock, ManualClock)
    client.broker.clock.advance(SILENT_CLOSE_DELAY_MS)
    assert client.receive() == []
    assert client.connection.closing


@pytest.mark.parametrize("series", ["4.2", "4.3"])
@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"frame_max": 4096}, "negotiated frame_max = 4096 is lower than the minimum allowed value (8192)"),
        ({"frame_max": 0}, "negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)"),
        ({"channel_max": 3000}, "negotiated channel_max = 3000 is higher than the maximum allowed value (2047)"),
    ],
)
def test_invalid_limits_are_reported_from_4_2_on(series: str, wanted: dict[str, int], text: str) -> None:
    client = tuning(series)
    client.send(0, "connection.tune-ok", **{"channel_max": 1, "frame_max": 131072, "heartbeat": 0, **wanted})
    assert closed(client.receive()) == ("connection.close", 530, "NOT_ALLOWED - " + text)


# --- transient queues ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("series", BEFORE_4_3)
def test_transient_queues_may_be_shared_before_4_3(series: str) -> None:
    assert client_of(series).declare("q") == "q"


@pytest.mark.parametrize(
    ("series", "permit", "text"),
    [("4.3", None, BY_DEFAULT), ("4.0", False, BY_CONFIGURATION), ("4.3", False, BY_DEFAULT)],
)
@pytest.mark.parametrize("arguments", [{}, {"auto_delete": True}, {"arguments": QUORUM}])
def test_denied_transient_queue_closes_the_connection(
    series: str, permit: bool | None, text: str, arguments: dict[str, Any]
) -> None:
    client = client_of(series, {} if permit is None else {"transient_nonexcl_queues": permit})
    client.send(1, "queue.declare", queue="q", **arguments)
    (close,) = client.receive()
    assert (close.arguments["class_id"], close.arguments["method_id"]) == (50, 10)
    assert closed([close]) == ("connection.close", 541, text)
    assert len(text) == 255


def test_other_queues_are_allowed_while_transient_ones_are_denied() -> None:
    client = client_of("4.3")
    assert client.declare("durable", durable=True) == "durable"
    assert client.declare("exclusive", exclusive=True) == "exclusive"
    assert client.declare("quorum", durable=True, arguments=QUORUM) == "quorum"
    assert client_of("4.3", {"transient_nonexcl_queues": True}).declare("q") == "q"


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        (
            "q",
            {"x-message-ttl": Field("l", -1)},
            "invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {value_negative,-1}",
        ),
        ("", QUORUM, "Cannot declare a server-named queue for type rabbit_quorum_queue"),
    ],
)
def test_other_errors_of_a_denied_queue_are_reported_first(name: str, arguments: Table, text: str) -> None:
    client = client_of("4.0", {"transient_nonexcl_queues": False})
    client.send(1, "queue.declare", queue=name, arguments=arguments)
    assert closed(client.receive()) == ("channel.close", 406, "PRECONDITION_FAILED - " + text)


# --- classic queues of version 1 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value", "problem"),
    [
        ("x-queue-version", Field("I", 1), "\"unsupported queue version '1'\""),
        ("x-queue-version", Field("I", 2), ""),
        ("x-queue-mode", longstr("lazy"), ""),
        ("x-queue-mode", longstr("whatever"), ""),
        ("x-queue-mode", Field("t", True), ""),
    ],
)
def test_version_1_of_classic_queues_is_refused_from_4_3_on(argument: str, value: Field, problem: str) -> None:
    """A mode has no meaning any more, whatever its value (rabbit_amqqueue:declare_args/0)."""
    arguments = {argument: value}
    if value in (longstr("lazy"), Field("I", 1), Field("I", 2)):
        client_of("4.2").declare("q", durable=True, arguments=arguments)
    got = client_of("4.3").call(1, "queue.declare", queue="q", durable=True, arguments=arguments)
    if problem:
        text = f"PRECONDITION_FAILED - invalid arg '{argument}' for queue 'q' in vhost '/': {problem}"
        assert closed([got]) == ("channel.close", 406, text)
    else:
        assert got.name == "queue.declare-ok"


@pytest.mark.parametrize(
    ("series", "permit", "text"),
    [
        ("4.2", {}, None),
        ("4.3", {}, BY_DEFAULT),
        ("4.3", {"queue_master_locator": True}, None),
        ("4.0", {"queue_master_locator": False}, BY_CONFIGURATION),
    ],
)
def test_the_master_locator_is_denied_from_4_3_on(series: str, permit: dict[str, bool], text: str | None) -> None:
    client = client_of(series, permit)
    arguments = {"x-queue-master-locator": longstr("min-masters")}
    client.send(1, "queue.declare", queue="q", durable=True, arguments=arguments)
    (got,) = client.receive()
    if text is None:
        assert got.name == "queue.declare-ok"
    else:
        name, code, told = closed([got])
        assert (name, code) == ("connection.close", 541)
        # The name of the feature is shorter, so that the reply contains more of the rest.
        assert told.startswith(text.replace("transient_nonexcl_queues", "queue_master_locator")[:200])


# --- arguments that came with 4.3 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("argument", ["x-consumer-timeout", "x-consumer-disconnected-timeout"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Field("l", 1000), ""),
        (Field("I", 0), ""),
        (Field("I", -1), ": {value_negative,-1}"),
        (longstr("1"), ': "expected integer, got longstr"'),
    ],
)
def test_timeouts_of_quorum_queues_are_checked_from_4_3_on(argument: str, value: Field, problem: str) -> None:
    arguments = {**QUORUM, argument: value}
    client_of("4.2").declare("q", durable=True, arguments=arguments)
    got = client_of("4.3").call(1, "queue.declare", queue="q", durable=True, arguments=arguments)
    assert got.arguments.get("reply_text", "") == (
        f"PRECONDITION_FAILED - invalid arg '{argument}' for queue 'q' in vhost '/'{problem}" if problem else ""
    )


@pytest.mark.parametrize(
    ("argument", "current", "received", "shown"),
    [
        ("x-consumer-timeout", Field("l", 1000), Field("l", 2000), "'2000' but current is '1000'"),
        ("x-delayed-retry-type", longstr("all"), longstr("failed"), "'failed' but current is 'all'"),
        ("x-delayed-retry-min", Field("l", 1), None, "none but current is the value '1' of type 'long'"),
        ("x-delayed-retry-max", None, Field("l", 1), "the value '1' of type 'long' but current is none"),
    ],
)
def test_arguments_of_quorum_queues_are_compared_from_4_3_on(
    argument: str, current: Field | None, received: Field | None, shown: str
) -> None:
    for series in "4.2", "4.3":
        client = client_of(series)
        for field in current, current, received:
            arguments = QUORUM if field is None else {**QUORUM, argument: field}
            got = client.call(1, "queue.declare", queue="q", durable=True, arguments=arguments)
            if field is received and series == "4.3":
                text = (
                    f"PRECONDITION_FAILED - inequivalent arg '{argument}' for queue 'q' in vhost '/': received {shown}"
                )
                assert closed([got]) == ("channel.close", 406, text)
            else:
                assert got.name == "queue.declare-ok"


@pytest.mark.parametrize("argument", ["x-consumer-timeout", "x-delayed-retry-type"])
def test_arguments_of_quorum_queues_are_refused_by_classic_ones_from_4_3_on(argument: str) -> None:
    arguments = {argument: Field("I", 1000)}
    client_of("4.2").declare("q", durable=True, arguments=arguments)
    got = client_of("4.3").call(1, "queue.declare", queue="q", durable=True, arguments=arguments)
    assert closed([got])[1:] == (
        406,
        f"PRECONDITION_FAILED - invalid arg '{argument}' for queue 'q' in vhost '/' of queue type rabbit_classic_queue",
    )


@pytest.mark.parametrize(
    ("queue", "value", "problem"),
    [
        ("quorum", Field("I", 5000), ""),
        ("quorum", Field("I", -1), ": {value_negative,-1}"),
        ("quorum", longstr("1"), ': "expected integer, got longstr"'),
        ("classic", Field("I", 5000), " of queue type rabbit_classic_queue"),
    ],
)
def test_the_timeout_of_a_consumer_is_checked_from_4_3_on(queue: str, value: Field, problem: str) -> None:
    for series in ("4.2", "4.3"):
        client = client_of(series)
        client.declare("q", durable=True, arguments={"x-queue-type": longstr(queue)})
        got = client.call(1, "basic.consume", queue="q", arguments={"x-consumer-timeout": value})
        if problem and series == "4.3":
            text = f"PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'q' in vhost '/'{problem}"
            assert closed([got]) == ("channel.close", 406, text)
        else:
            assert got.name == "basic.consume-ok"


# --- channel-wide prefetch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "permit", "for_the_channel"),
    [("4.2", {}, True), ("4.3", {}, False), ("4.3", {"global_qos": True}, True), ("4.0", {"global_qos": False}, False)],
)
def test_global_qos_limits_the_channel_only_if_permitted(
    series: str, permit: dict[str, bool], for_the_channel: bool
) -> None:
    client = client_of(series, permit)
    client.declare("q", durable=True)
    for body in b"1", b"2", b"3", b"4", b"5":
        client.publish("q", body)
    assert client.call(1, "basic.qos", prefetch_count=2, global_=True).name == "basic.qos-ok"
    assert len(client.consume("q", "a")) == 2
    assert len(client.consume("q", "b")) == (0 if for_the_channel else 2)


def test_a_denied_channel_wide_limit_allows_consumers_of_quorum_queues() -> None:
    client = client_of("4.3")
    client.declare("q", durable=True, arguments=QUORUM)
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    client.publish("q", b"1")
    assert [got.body for got in client.consume("q")] == [b"1"]


# --- returns that count against the delivery limit -----------------------------------------------------------------


def counts(got: Received) -> tuple[int | None, int | None]:
    """Return x-acquired-count and x-delivery-count."""
    assert got.properties is not None
    headers = got.properties.get("headers", {})
    values = [headers.get(name) for name in ("x-acquired-count", "x-delivery-count")]
    assert all(value is None or value.kind == "l" for value in values)
    first, second = (None if value is None else value.value for value in values)
    return first, second


def returning(series: str) -> Iterator[tuple[int | None, int | None]]:
    """Yield the counts of a message at first, and after each of a nack, a reject, a recover and a lost channel."""
    client = client_of(series)
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    yield counts(client.consume("q")[0])
    client.send(1, "basic.nack", delivery_tag=1, requeue=True)
    yield counts(client.receive()[0])
    client.send(1, "basic.reject", delivery_tag=2, requeue=True)
    yield counts(client.receive()[0])
    client.send(1, "basic.recover", requeue=True)
    yield counts(client.receive()[1])
    client.send(1, "channel.close")
    assert [got.name for got in client.receive()] == ["channel.close-ok"]
    client.call(1, "channel.open")
    yield counts(client.get("q", no_ack=False))
    client.send(1, "basic.nack", delivery_tag=0, multiple=True, requeue=True)
    yield counts(client.get("q"))


@pytest.mark.parametrize("series", BEFORE_4_3)
def test_every_return_counts_against_the_delivery_limit_before_4_3(series: str) -> None:
    assert list(returning(series)) == [(None, None), (None, 1), (None, 2), (None, 3), (None, 4), (None, 5)]


def test_only_failures_count_against_the_delivery_limit_from_4_3_on() -> None:
    """x-delivery-count is present from the first failure on (rabbit_fifo_client:add_delivery_count_header/2)."""
    assert list(returning("4.3")) == [(None, None), (1, None), (2, 1), (3, 1), (4, 2), (5, 2)]


@pytest.mark.parametrize(("method", "limited"), [("basic.reject", True), ("basic.nack", False)])
def test_nack_can_return_a_message_without_end_from_4_3_on(method: str, limited: bool) -> None:
    client = client_of("4.3")
    client.declare("q", durable=True, arguments={**QUORUM, "x-delivery-limit": Field("I", 2)})
    client.publish("q", b"1")
    client.consume("q")
    for tag in range(1, 4):
        client.send(1, method, delivery_tag=tag, requeue=True)
    assert len(client.receive()) == (2 if limited else 3)


def test_reject_within_a_transaction_counts_as_well() -> None:
    client = client_of("4.3")
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"1")
    client.consume("q")
    client.call(1, "tx.select")
    client.send(1, "basic.reject", delivery_tag=1, requeue=True)
    client.send(1, "tx.commit")
    delivered = [got for got in client.receive() if got.name == "basic.deliver"]
    assert [counts(got) for got in delivered] == [(1, 1)]


def test_classic_queues_do_not_count_deliveries() -> None:
    client = client_of("4.3")
    client.declare("q", durable=True)
    client.publish("q", b"1")
    client.consume("q")
    client.send(1, "basic.reject", delivery_tag=1, requeue=True)
    (got,) = client.receive()
    assert (got.arguments["redelivered"], counts(got)) == (True, (None, None))


# --- priorities ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "order"), [("4.2", [b"9", b"7", b"0", b"40", b"4"]), ("4.3", [b"40", b"9", b"7", b"4", b"0"])]
)
def test_priority_order_of_quorum_queues_depends_on_the_version(series: str, order: list[bytes]) -> None:
    client = client_of(series)
    client.declare("q", durable=True, arguments=QUORUM)
    for priority in 0, 9, 4, 7, 40:
        client.publish("q", b"%d" % priority, priority=priority)
    assert [client.get("q").body for _ in order] == order


def test_message_without_a_priority_has_priority_4_from_4_3_on() -> None:
    """See rabbit_fifo:msg_priority/1; a priority above 31 counts as 31."""
    client = client_of("4.3")
    client.declare("q", durable=True, arguments=QUORUM)
    client.publish("q", b"5", priority=5)
    client.publish("q", b"4", priority=4)
    client.publish("q", b"none")
    client.publish("q", b"nothing of it", delivery_mode=2)
    client.publish("q", b"0", priority=0)
    client.publish("q", b"40", priority=40)
    client.publish("q", b"31", priority=31)
    expected = [b"40", b"31", b"5", b"4", b"none", b"nothing of it", b"0"]
    assert [client.get("q").body for _ in expected] == expected


def test_messages_expire_at_the_head_of_each_priority_from_4_3_on() -> None:
    """A message waits only for earlier messages of its own priority (rabbit_fifo:expire_batch/3)."""
    client = client_of("4.3")
    client.declare("q", durable=True, arguments={**QUORUM, "x-dead-letter-exchange": longstr("amq.fanout")})
    client.declare("dead", durable=True)
    client.call(1, "queue.bind", queue="dead", exchange="amq.fanout")
    clock = client.broker.clock
    assert isinstance(clock, ManualClock)
    client.publish("q", b"9", priority=9)
    client.publish("q", b"low", priority=1, expiration="1000")
    client.publish("q", b"middle", expiration="500")
    client.publish("q", b"stays", priority=2)
    client.publish("q", b"behind it", priority=2, expiration="100")
    for after_ms, dead in (499, 0), (1, 1), (499, 1), (1, 2):
        clock.advance(after_ms)
        assert client.depth("dead") == dead
    assert [client.get("dead").body for _ in range(2)] == [b"middle", b"low"]
    assert client.depth("q") == 3
    assert [client.get("q").body for _ in range(2)] == [b"9", b"stays"]
    assert (client.depth("q"), client.depth("dead")) == (0, 1)
    # The first of the returned messages is a head, too.
    client.publish("q", b"again", expiration="1000")
    client.get("q", no_ack=False)
    client.send(1, "basic.nack", delivery_tag=client_tag(client), requeue=True)
    client.publish("q", b"9", priority=9)
    clock.advance(1000)
    assert (client.depth("q"), client.depth("dead")) == (1, 2)


def client_tag(client: Wire) -> int:
    """Return the delivery tag of the client's latest message."""
    return max(client.connection.channels[1].unacked.entries)


def test_returned_messages_come_first_whatever_their_priority_from_4_3_on() -> None:
    client = client_of("4.3")
    client.declare("q", durable=True, arguments=QUORUM)
    for priority in 1, 0:
        client.publish("q", b"%d" % priority, priority=priority)
    client.get("q", no_ack=False)
    client.get("q", no_ack=False)
    client.publish("q", b"9", priority=9)
    client.send(1, "basic.nack", delivery_tag=2, requeue=True)
    client.send(1, "basic.nack", delivery_tag=1, requeue=True)
    assert [client.get("q").body for _ in range(3)] == [b"0", b"1", b"9"]


@pytest.mark.parametrize("how", ["basic.nack", "basic.reject", "basic.recover"])
@pytest.mark.parametrize("series", SERIES)
def test_without_a_delivery_limit_returned_messages_come_first_from_4_3_on(series: str, how: str) -> None:
    """Clients of 4.3 no longer send returns to the auxiliary machine (rabbit_fifo_client:send_command/5)."""
    client = client_of(series)
    client.declare("q", durable=True, arguments={**QUORUM, "x-delivery-limit": Field("l", -1)})
    client.publish("q", b"1", priority=1)
    client.get("q", no_ack=False)
    client.publish("q", b"9", priority=9)
    client.send(1, how, **({} if how == "basic.recover" else {"delivery_tag": 1}), requeue=True)
    client.receive()
    assert [client.get("q").body for _ in range(2)] == ([b"1", b"9"] if series == "4.3" else [b"9", b"1"])


# --- delayed retry ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry_type", "after_nack", "after_reject"), [("all", 100, 100), ("failed", 0, 100), ("returned", 100, 0)]
)
def test_quorum_queues_delay_returned_messages_from_4_3_on(retry_type: str, after_nack: int, after_reject: int) -> None:
    retry = {"x-delayed-retry-type": longstr(retry_type), "x-delayed-retry-min": Field("l", 100)}
    for series in SERIES:
        for how, delay_ms in ("basic.nack", after_nack), ("basic.reject", after_reject):
            client = client_of(series)
            clock = client.broker.clock
            assert isinstance(clock, ManualClock)
            client.declare("q", durable=True, arguments={**QUORUM, **retry})
            client.publish("q", b"1")
            client.consume("q")
            client.send(1, how, delivery_tag=1, requeue=True)
            if series == "4.3" and delay_ms:
                assert client.receive() == []
                clock.advance(delay_ms - 1)
                assert (client.receive(), client.depth("q")) == ([], 0)
                clock.advance(1)
            (got,) = client.receive()
            assert (got.body, got.arguments["redelivered"]) == (b"1", True)


# --- exchange types ---------------------------------------------------------------------------------------------------


def test_modulus_hash_exchange_type_exists_from_4_3_on() -> None:
    wanted = {"exchange": "x", "durable": True}
    delayed = {"exchange_type": "x-delayed-message", "arguments": {"x-delayed-type": longstr("x-modulus-hash")}}
    for series in SERIES:
        for kind in {"exchange_type": "x-modulus-hash"}, delayed:
            client = client_of(series)
            got = client.call(1, "exchange.declare", **wanted, **kind)
            shown = [each["name"] for each in exchange_types(known_exchange_types(client.broker.config.compat))]
            assert ("x-modulus-hash" in shown) == (series == "4.3")
            if series == "4.3":
                assert got.name == "exchange.declare-ok"
            else:
                text = "PRECONDITION_FAILED - unknown exchange type 'x-modulus-hash'"
                assert closed([got]) == ("channel.close", 406, text)


# --- bindings and passive declarations -------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "hashes"), [("a.#.b.#", 2), ("#.a#.#", 2), ("#.a.#.#", 3), ("#.#.#.#", 4)])
@pytest.mark.parametrize("to_queue", [True, False])
def test_binding_keys_have_two_hashes_at_most_from_4_3_on(key: str, hashes: int, to_queue: bool) -> None:
    for series in ("4.2", "4.3"):
        client = client_of(series)
        client.declare("q", durable=True)
        if to_queue:
            got = client.call(1, "queue.bind", queue="q", exchange="amq.topic", routing_key=key)
        else:
            ends = {"source": "amq.topic", "destination": "amq.fanout"}
            got = client.call(1, "exchange.bind", **ends, routing_key=key)
        if series == "4.3" and hashes > 2:
            text = f"Topic binding key '{key}' uses {hashes} '#' wildcards, at most 2 are allowed"
            assert closed([got]) == ("channel.close", 406, f"PRECONDITION_FAILED - {text}")
        else:
            assert got.name.endswith("bind-ok")


def test_other_exchanges_take_any_number_of_hashes() -> None:
    client = client_of("4.3")
    client.declare("q", durable=True)
    got = client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="#.#.#")
    assert got.name == "queue.bind-ok"


@pytest.mark.parametrize("grant", ["configure", "write", "read", "none"])
@pytest.mark.parametrize("kind", ["queue", "exchange"])
def test_passive_declaration_needs_any_permission_from_4_3_on(kind: str, grant: str) -> None:
    """A missing queue or exchange makes no difference (rabbit_channel:check_any_resource_access_permitted/3)."""
    for series in ("4.2", "4.3"):
        broker = broker_of(series)
        admin = Wire(broker).log_in()
        admin.declare("there", durable=True)
        admin.call(1, "exchange.declare", exchange="there", exchange_type="direct", durable=True)
        broker.users.add_user("bob", "pw")
        broker.users.set_permissions(
            "bob", "/", *[".*" if grant == each else "" for each in ("configure", "write", "read")]
        )
        client = Wire(broker).log_in("bob", "pw")
        for name, missing in ("there", False), ("nowhere", True):
            got = client.call(1, f"{kind}.declare", **{kind: name}, passive=True)
            if series == "4.3" and grant == "none":
                text = f"configure access to {kind} '{name}' in vhost '/' refused for user 'bob'"
                assert closed([got]) == ("channel.close", 403, f"ACCESS_REFUSED - {text}")
            elif missing:
                assert closed([got])[1] == 404
            else:
                assert got.name == f"{kind}.declare-ok"
                continue
            client.send(1, "channel.close-ok")
            client.call(1, "channel.open")


# --- a real client ---------------------------------------------------------------------------------------------------


def test_counted_deliveries_survive_a_restart_with_compat_4_3(tmp_path: Path) -> None:
    """The number of returns that count against the limit survives a restart; the number of other returns does not."""
    arguments = ("--data-dir", str(tmp_path / "data"), "--set", "compat=4.3")

    def get(channel: Any) -> tuple[int, dict[str, int]]:
        method, properties, _ = channel.basic_get("q")
        return method.delivery_tag, properties.headers or {}

    with (
        BrokerProcess(tmp_path, *arguments) as broker,
        pika.BlockingConnection(pika.URLParameters(broker.url)) as connection,
    ):
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_declare("ranked", durable=True, arguments={"x-queue-type": "quorum"})
        channel.confirm_delivery()
        channel.basic_publish("", "q", b"1")
        channel.basic_publish("", "ranked", b"none")
        for priority in 1, 5, 3:
            channel.basic_publish("", "ranked", b"%d" % priority, pika.BasicProperties(priority=priority))
        for requeue in channel.basic_nack, channel.basic_reject, channel.basic_nack:
            requeue(get(channel)[0], requeue=True)
        tag, headers = get(channel)
        assert headers == {"x-acquired-count": 3, "x-delivery-count": 1}
        channel.basic_nack(tag, requeue=True)
        retry = {"x-delayed-retry-type": "all", "x-delayed-retry-min": 3_600_000}
        channel.queue_declare("late", durable=True, arguments={"x-queue-type": "quorum", **retry})
        for body in b"1", b"2":
            channel.basic_publish("", "late", body)
        channel.basic_nack(channel.basic_get("late")[0].delivery_tag, requeue=True)
        assert [channel.basic_get("late", auto_ack=True)[2] for _ in range(2)] == [b"2", None]
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="transient_nonexcl_queues"):
            pika.BlockingConnection(pika.URLParameters(broker.url)).channel().queue_declare("transient")
        channel.queue_declare("q", passive=True)
    with (
        BrokerProcess(tmp_path, *arguments) as broker,
        pika.BlockingConnection(pika.URLParameters(broker.url)) as connection,
    ):
        channel = connection.channel()
        assert get(channel)[1] == {"x-acquired-count": 1, "x-delivery-count": 1}
        assert [channel.basic_get("ranked")[2] for _ in range(4)] == [b"5", b"none", b"3", b"1"]
        # The delayed message is ready again.
        assert [channel.basic_get("late")[2] for _ in range(2)] == [b"1", None]
