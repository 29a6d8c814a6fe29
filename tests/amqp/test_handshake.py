import logging
import platform
from collections.abc import Callable
from typing import Any

import pytest

import amqpbroker
from amqpbroker.amqp.handshake import CAPABILITIES
from amqpbroker.amqp.state import SILENT_CLOSE_DELAY_MS
from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config import DefaultUser
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field, encode_table, longstr
from tests.harness import Cut, Wire, make_broker

HEADER = b"AMQP\0\0\x09\x01"
TUNE: dict[str, Any] = {"channel_max": 2047, "frame_max": 131072, "heartbeat": 0}


def method(name: str, channel: int = 0, **arguments: Any) -> bytes:
    return frame(METHOD, channel, methods.encode(name, **arguments))


def start_ok(
    response: bytes = b"\0guest\0guest", mechanism: str = "PLAIN", knows: tuple[str, ...] = (), **more: Any
) -> bytes:
    known = {"capabilities": Field("F", {name: Field("t", True) for name in knows})}
    return method(
        "connection.start-ok",
        client_properties={**known, **more},
        mechanism=mechanism,
        response=response,
        locale="en_US",
    )


@pytest.fixture
def client(broker: Broker, cut: Cut) -> Wire:
    """A client that has sent nothing yet."""
    return Wire(broker, cut)


@pytest.fixture
def started(client: Wire) -> Wire:
    client.feed(HEADER)
    assert [got.name for got in client.receive()] == ["connection.start"]
    return client


@pytest.fixture
def tuning(started: Wire) -> Wire:
    started.feed(start_ok())
    assert [got.name for got in started.receive()] == ["connection.tune"]
    return started


@pytest.fixture
def tuned(tuning: Wire) -> Wire:
    tuning.feed(method("connection.tune-ok", **TUNE))
    assert tuning.receive() == []
    return tuning


def closes_silently(client: Wire, clock: ManualClock) -> bool:
    """Return whether no error is sent, input is ignored, and the connection closes after a delay."""
    silent = client.receive() == [] and not client.connection.closing
    client.feed(method("connection.tune-ok", **TUNE) + method("connection.open", virtual_host="/"))
    silent = silent and client.receive() == []
    clock.advance(SILENT_CLOSE_DELAY_MS - 1)
    patient = not client.connection.closing
    clock.advance(1)
    return silent and patient and client.connection.closing and client.receive() == []


def test_connection_start_describes_the_broker(client: Wire) -> None:
    client.feed(HEADER)
    (start,) = client.receive()
    assert (start.arguments["version_major"], start.arguments["version_minor"]) == (0, 9)
    assert start.arguments["mechanisms"] == b"AMQPLAIN ANONYMOUS PLAIN"
    assert start.arguments["locales"] == b"en_US"
    properties = start.arguments["server_properties"]
    assert properties["capabilities"].value == {name: Field("t", True) for name in CAPABILITIES}
    assert len(CAPABILITIES) == 9


def said(**settings: Any) -> dict[str, str]:
    """Return the server properties that are strings, in order."""
    client = Wire(make_broker(**settings))
    client.feed(HEADER)
    (start,) = client.receive()
    properties = start.arguments["server_properties"]
    assert properties.pop("capabilities").kind == "F"
    assert {field.kind for field in properties.values()} == {"S"}
    return {name: field.value.decode() for name, field in properties.items()}


def test_server_properties_are_those_of_rabbitmq_and_the_broker_version() -> None:
    properties = said()
    assert list(properties.items()) == [
        ("cluster_name", "amqpbroker@localhost"),
        ("copyright", "Copyright (c) 2007-2024 Broadcom Inc and/or its subsidiaries"),
        ("information", "Licensed under the MPL 2.0. Website: https://rabbitmq.com"),
        ("platform", "Erlang/OTP 27.3.4.1"),
        ("product", "RabbitMQ"),
        ("version", "4.0.5"),
        ("amqpbroker", amqpbroker.__version__),
    ]


def test_product_identity_switches_server_properties_to_the_own_names() -> None:
    properties = said(product_identity="amqpbroker")
    assert (properties["product"], properties["version"]) == ("amqpbroker", amqpbroker.__version__)
    assert properties["platform"] == f"Python {platform.python_version()}"
    assert properties["information"] == f"amqpbroker {amqpbroker.__version__}"
    assert properties["copyright"] == "Copyright (c) the amqpbroker authors"
    assert properties["amqpbroker"] == amqpbroker.__version__
    assert list(properties) == list(said())


@pytest.mark.parametrize("identity", ["rabbitmq", "amqpbroker"])
def test_configured_product_overrides_either_product_identity(identity: str) -> None:
    properties = said(product_identity=identity, product_name="Acme", product_version="7.1")
    assert (properties["product"], properties["version"]) == ("Acme", "7.1")


# --- login -----------------------------------------------------------------------------------------------------------


def amqplain(**fields: str) -> bytes:
    return encode_table({name: longstr(value) for name, value in fields.items()})[4:]


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b"\0\xff\0guest"),
        ("AMQPLAIN", amqplain(LOGIN="guest", PASSWORD="")),
    ],
)
def test_a_failed_login_is_reported_to_clients_with_the_capability(
    started: Wire, clock: ManualClock, mechanism: str, response: bytes
) -> None:
    started.feed(start_ok(response, mechanism, ("authentication_failure_close",)))
    (closed,) = started.receive()
    assert closed.name == "connection.close"
    assert closed.arguments == {
        "reply_code": 403,
        "reply_text": f"ACCESS_REFUSED - Login was refused using authentication mechanism {mechanism}."
        " For details see the broker logfile.",
        "class_id": 0,
        "method_id": 0,
    }
    assert not started.connection.closing
    started.feed(method("connection.close-ok"))
    assert started.receive() == []
    assert started.connection.closing


def test_a_refused_client_that_sends_no_close_ok_is_disconnected(started: Wire, clock: ManualClock) -> None:
    started.feed(start_ok(b"\0guest\0wrong", knows=("authentication_failure_close",)))
    started.receive()
    started.feed(method("connection.open", 0, virtual_host="/") + method("channel.open", 1))
    assert closes_silently(started, clock)


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("", b"\0guest\0guest"),
        ("PLAIN", b"guest"),
        ("AMQPLAIN", b"\0guest\0guest"),
    ],
)
def test_a_malformed_login_is_never_reported_to_the_client(
    started: Wire, clock: ManualClock, mechanism: str, response: bytes
) -> None:
    started.feed(start_ok(response, mechanism, ("authentication_failure_close",)))
    assert closes_silently(started, clock)


def test_guest_can_log_in_from_the_local_machine_only(broker: Broker, clock: ManualClock, cut: Cut) -> None:
    stranger = Wire(broker, cut, host="192.0.2.7")
    stranger.feed(HEADER)
    stranger.receive()
    stranger.feed(start_ok(knows=("authentication_failure_close",)))
    (closed,) = stranger.receive()
    assert closed.arguments["reply_code"] == 403
    clock.advance(SILENT_CLOSE_DELAY_MS)
    assert stranger.connection.closing


@pytest.mark.parametrize("host", ["127.0.0.1", "127.200.0.9", "::1"])
def test_guest_can_log_in_from_each_loopback_address(broker: Broker, host: str) -> None:
    Wire(broker, host=host).log_in()


def test_a_password_is_not_logged(started: Wire, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        started.feed(start_ok(b"\0guest\0s3cret"))
        started.receive()
    assert caplog.text
    assert "s3cret" not in caplog.text


def test_client_properties_are_stored(started: Wire) -> None:
    started.feed(start_ok(knows=("basic.nack",), product=longstr("test")))
    started.receive()
    assert started.connection.client.properties["product"] == longstr("test")
    assert started.connection.client.knows("basic.nack")
    assert not started.connection.client.knows("consumer_cancel_notify")


@pytest.mark.parametrize(
    "capabilities", [Field("S", b"x"), Field("t", True), Field("F", {"basic.nack": Field("t", False)}), Field("A", [])]
)
def test_malformed_client_capabilities_count_as_none(started: Wire, capabilities: Field) -> None:
    started.feed(start_ok(capabilities=capabilities))
    assert [got.name for got in started.receive()] == ["connection.tune"]
    assert not started.connection.client.knows("basic.nack")


# --- tune ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [{"channel_max": 65535}, {"frame_max": 2**32 - 1}, {"frame_max": 4095}])
def test_limits_above_the_offered_ones_are_refused(tuning: Wire, clock: ManualClock, wanted: dict[str, int]) -> None:
    tuning.feed(method("connection.tune-ok", **{**TUNE, **wanted}))
    assert closes_silently(tuning, clock)


@pytest.mark.parametrize("wanted", [{"channel_max": 1}, {"frame_max": 4096}, {"heartbeat": 65535}])
def test_smaller_limits_are_accepted(tuning: Wire, wanted: dict[str, int]) -> None:
    tuning.feed(method("connection.tune-ok", **{**TUNE, **wanted}) + method("connection.open", virtual_host="/"))
    assert [got.name for got in tuning.receive()] == ["connection.open-ok"]
    for limit, value in wanted.items():
        if limit != "heartbeat":
            assert getattr(tuning.connection.client, limit) == value


def test_broker_without_frame_and_channel_limits_accepts_any_tune_ok(cut: Cut) -> None:
    client = Wire(make_broker(frame_max=0, channel_max=0), cut)
    client.feed(HEADER)
    client.receive()
    client.feed(start_ok())
    (tune,) = client.receive()
    assert (tune.arguments["channel_max"], tune.arguments["frame_max"]) == (0, 0)
    client.feed(method("connection.tune-ok", channel_max=0, frame_max=0, heartbeat=0))
    client.feed(method("connection.open", virtual_host="/"))
    assert [got.name for got in client.receive()] == ["connection.open-ok"]


# --- open ------------------------------------------------------------------------------------------------------------


def refused(client: Wire) -> tuple[int, str, int, int]:
    (closed,) = client.receive()
    assert closed.name == "connection.close"
    return tuple(closed.arguments.values())


def test_a_vhost_without_permission_is_refused(tuned: Wire, broker: Broker) -> None:
    broker.add_vhost("other")
    tuned.feed(method("connection.open", virtual_host="other"))
    assert refused(tuned) == (530, "NOT_ALLOWED - access to vhost 'other' refused for user 'guest'", 10, 40)
    assert not broker.sessions


def test_connection_above_the_node_limit_is_refused(cut: Cut) -> None:
    broker = make_broker(max_connections=1)
    first = Wire(broker, cut).log_in()
    second = Wire(broker, cut)
    second.feed(
        HEADER + start_ok() + method("connection.tune-ok", **TUNE) + method("connection.open", virtual_host="/")
    )
    closed = second.receive()[-1]
    assert closed.arguments["reply_text"] == ("NOT_ALLOWED - connection refused: node connection limit (1) is reached")
    first.connection.lost()
    Wire(broker, cut).log_in()


# --- out of order ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        method("connection.tune-ok", **TUNE),
        method("connection.open", virtual_host="/"),
        method("connection.close"),
        method("connection.close-ok"),
        method("connection.start"),
        method("channel.open", 1),
        method("queue.declare", 1, queue="q"),
        frame(METHOD, 0, b"\0\x63\0\x63"),
        frame(METHOD, 0, b"\0"),
        frame(METHOD, 0, b""),
        frame(2, 1, b"\0\x3c\0\0" + bytes(10)),
        frame(3, 1, b"x"),
        frame(9, 0, b"x"),
        frame(8, 1, b""),
        start_ok()[:-1] + b"\xcd",
        method("connection.start-ok")[:-3] + b"\xce",
        HEADER,
    ],
)
def test_errors_before_the_login_are_not_reported(started: Wire, clock: ManualClock, data: bytes) -> None:
    started.feed(data)
    assert closes_silently(started, clock)


def test_a_heartbeat_before_the_login_is_no_error(started: Wire) -> None:
    started.feed(frame(8, 0, b"") + start_ok())
    assert [got.name for got in started.receive()] == ["connection.tune"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (method("connection.start-ok"), 504),
        (method("connection.tune-ok", **TUNE), 504),
        (method("channel.open", 1), 505),
        (frame(METHOD, 0, b"\0\x63\0\x63"), 504),
        (frame(9, 0, b"x"), 501),
    ],
)
def test_errors_after_the_login_are_reported(tuned: Wire, data: bytes, code: int) -> None:
    tuned.feed(data)
    assert refused(tuned)[0] == code


@pytest.mark.parametrize("size", [4096 + 1, 131072, 2**32 - 1])
def test_frame_above_4096_bytes_before_the_login_closes_the_connection(
    started: Wire, clock: ManualClock, size: int
) -> None:
    started.feed(b"\x01\0\0" + size.to_bytes(4, "big") + b"x" * 100)
    assert closes_silently(started, clock)


def test_frame_of_4096_bytes_before_the_login_is_accepted(started: Wire) -> None:
    room = 4096 - 8 - len(methods.encode("connection.start-ok", client_properties={"x": longstr("")}))
    login = {"mechanism": "PLAIN", "response": b"\0guest\0guest", "locale": "en_US"}
    room -= sum(len(value) for value in login.values())
    data = method("connection.start-ok", client_properties={"x": longstr("x" * room)}, **login)
    assert len(data) == 4096
    started.feed(data)
    assert [got.name for got in started.receive()] == ["connection.tune"]


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", HEADER[:3], HEADER, HEADER + start_ok(), HEADER + start_ok()[:20]])
def test_handshake_times_out_after_ten_seconds(client: Wire, clock: ManualClock, said: bytes) -> None:
    client.feed(said)
    client.receive()
    clock.advance(9_999)
    assert not client.connection.closing
    clock.advance(1)
    assert client.connection.closing
    assert client.receive() == []
    assert clock.next_due_ms() is None


def test_an_open_connection_has_no_deadline(connect: Callable[..., Wire], clock: ManualClock) -> None:
    client = connect()
    clock.advance(10**9)
    assert client.call(1, "channel.close").name == "channel.close-ok"
    assert not client.connection.closing


def test_handshake_timeout_is_configurable(cut: Cut) -> None:
    broker = make_broker(handshake_timeout_ms=500)
    client = Wire(broker, cut)
    assert isinstance(broker.clock, ManualClock)
    broker.clock.advance(500)
    assert client.connection.closing


def test_connection_lost_during_the_handshake_leaves_no_timer(tuned: Wire, clock: ManualClock) -> None:
    tuned.connection.lost()
    assert clock.next_due_ms() is None


@pytest.mark.parametrize("response", [b"", b"trace"])
def test_anonymous_logs_in_as_the_configured_user(response: bytes) -> None:
    eve = DefaultUser("eve", "secret")
    broker = make_broker(anonymous_login_user="eve", anonymous_login_pass="secret")
    client = Wire(broker)
    client.feed(HEADER + start_ok(response, "ANONYMOUS"))
    assert [got.name for got in client.receive()] == ["connection.start"]
    client = Wire(make_broker(anonymous_login_user="eve", anonymous_login_pass="secret", default_users=(eve,)))
    client.feed(HEADER + start_ok(response, "ANONYMOUS"))
    assert [got.name for got in client.receive()] == ["connection.start", "connection.tune"]
    assert client.connection.user.name == "eve"


def test_anonymous_is_not_offered_without_a_configured_user() -> None:
    client = Wire(make_broker(anonymous_login_user=None))
    client.feed(HEADER + start_ok(b"", "ANONYMOUS"))
    (start,) = client.receive()
    assert start.arguments["mechanisms"] == b"AMQPLAIN PLAIN"
