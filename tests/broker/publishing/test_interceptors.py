"""Message interceptors. The expectations are messages that RabbitMQ 4.0.5 delivered."""

import pytest

from amqpbroker.broker.publishing.interceptors import interceptor
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.message.message import Message
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire, make_broker

NOW_MS = 1_795_570_159_414
SENT_AT = "x-opt-rabbitmq-sent-time"


@pytest.mark.parametrize("queue", ["classic", "quorum"])
def test_each_delivery_has_its_own_sent_time_header(queue):
    """Check rabbit_msg_interceptor_timestamp of 4.3: each delivery has its own time, a redelivery too."""
    clock = ManualClock(NOW_MS)
    client = Wire(make_broker(clock, tells_sent_time=True)).log_in()
    client.declare("q", durable=True, arguments={"x-queue-type": longstr(queue)})
    client.publish("q", b"body", headers={"a": Field("I", 1)}, delivery_mode=2)
    clock.advance(1000)
    (got,) = client.consume("q")
    assert got.properties == {
        "delivery_mode": 2,
        "headers": {"a": Field("I", 1), SENT_AT: Field("l", NOW_MS + 1000)},
    }
    assert got.body == b"body"
    clock.advance(1000)
    client.send(1, "basic.nack", delivery_tag=1, requeue=True)
    (again,) = client.receive()
    assert again.properties["headers"][SENT_AT] == Field("l", NOW_MS + 2000)
    assert ("x-delivery-count" in again.properties["headers"]) == (queue == "quorum")
    client.send(1, "basic.cancel", consumer_tag=again.arguments["consumer_tag"])
    client.send(1, "basic.nack", delivery_tag=2, requeue=True)
    client.receive()
    clock.advance(1000)
    assert client.get("q").properties["headers"][SENT_AT] == Field("l", NOW_MS + 3000)


def test_deliveries_have_no_sent_time_header_by_default():
    client = Wire(make_broker()).log_in()
    client.declare("q")
    client.publish("q", b"body")
    assert client.consume("q")[0].properties == {}


def test_consumer_with_taken_over_messages_gets_the_sent_time_header():
    client = Wire(make_broker(ManualClock(NOW_MS), tells_sent_time=True)).log_in()
    client.declare("q", durable=True, arguments={"x-queue-type": longstr("quorum")})
    for _ in range(3):
        client.publish("q", b"body")
    client.consume("q", "c")
    client.call(1, "basic.cancel", consumer_tag="c")
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", "c")
    client.publish("q", b"more")
    for tag in 1, 2, 3:
        client.send(1, "basic.ack", delivery_tag=tag)
    (got,) = client.receive()
    assert (got.body, got.properties["headers"]) == (b"more", {SENT_AT: Field("l", NOW_MS)})


def intercepted(config, **properties):
    """Return (headers, timestamp) of a message that is published with these properties."""
    raw = encode_properties(properties)
    message = Message(b"\0\0", raw, b"body")
    message.headers = properties.get("headers")
    clock = ManualClock(NOW_MS)
    intercept = interceptor(config, clock)
    assert intercept is not None
    intercept(message)
    decoded = decode_properties(message.properties)
    assert decoded.pop("delivery_mode", None) == properties.get("delivery_mode")
    assert (message.headers or {}) == decoded.get("headers", {})
    return {name: field.value for name, field in decoded.get("headers", {}).items()}, decoded.get("timestamp")


@pytest.mark.parametrize(
    ("properties", "headers", "timestamp"),
    [
        ({}, {"timestamp_in_ms": NOW_MS}, NOW_MS // 1000),
        ({"timestamp": 5, "delivery_mode": 2}, {"timestamp_in_ms": NOW_MS}, 5),
        ({"headers": {"timestamp_in_ms": Field("l", 7)}}, {"timestamp_in_ms": 7}, NOW_MS // 1000),
        ({"headers": {"timestamp_in_ms": Field("l", 7)}, "timestamp": 5}, {"timestamp_in_ms": 7}, 5),
        (
            {"headers": {"b": Field("l", 1), "zz": Field("l", 2)}},
            {"b": 1, "timestamp_in_ms": NOW_MS, "zz": 2},
            NOW_MS // 1000,
        ),
    ],
)
def test_timestamp_interceptor_sets_header_and_timestamp_of_messages(properties, headers, timestamp):
    assert intercepted(Config(set_timestamp=False), **properties) == (headers, timestamp)
    kept = {name: value for name, value in headers.items() if name != "timestamp_in_ms"}
    assert intercepted(Config(set_timestamp=True), **properties) == (
        {**kept, "timestamp_in_ms": NOW_MS},
        NOW_MS // 1000,
    )


def test_routing_node_interceptor_sets_the_x_routed_by_header():
    config = Config(set_routing_node=False, cluster_name="rabbit@here")
    assert intercepted(config) == ({"x-routed-by": b"rabbit@here"}, None)
    assert intercepted(config, headers={"x-routed-by": longstr("z")}) == ({"x-routed-by": b"z"}, None)
    config = Config(set_routing_node=True, cluster_name="rabbit@here")
    assert intercepted(config, headers={"x-routed-by": longstr("z")}) == ({"x-routed-by": b"rabbit@here"}, None)


def test_broker_has_no_message_interceptor_by_default():
    assert interceptor(Config(), ManualClock()) is None
