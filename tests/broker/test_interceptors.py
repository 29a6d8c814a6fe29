"""What is expected is what a RabbitMQ 4.0.5 delivered."""

import pytest

from amqpbroker.broker.interceptors import interceptor
from amqpbroker.broker.message import Message
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field, longstr

NOW_MS = 1_795_570_159_414


def intercepted(config, **properties):
    """(headers, timestamp) of a message that is published with these properties."""
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
def test_the_time(properties, headers, timestamp):
    assert intercepted(Config(set_timestamp=False), **properties) == (headers, timestamp)
    kept = {name: value for name, value in headers.items() if name != "timestamp_in_ms"}
    assert intercepted(Config(set_timestamp=True), **properties) == (
        {**kept, "timestamp_in_ms": NOW_MS},
        NOW_MS // 1000,
    )


def test_the_node():
    config = Config(set_routing_node=False, cluster_name="rabbit@here")
    assert intercepted(config) == ({"x-routed-by": b"rabbit@here"}, None)
    assert intercepted(config, headers={"x-routed-by": longstr("z")}) == ({"x-routed-by": b"z"}, None)
    config = Config(set_routing_node=True, cluster_name="rabbit@here")
    assert intercepted(config, headers={"x-routed-by": longstr("z")}) == ({"x-routed-by": b"rabbit@here"}, None)


def test_there_is_none_unless_it_is_configured():
    assert interceptor(Config(), ManualClock()) is None
