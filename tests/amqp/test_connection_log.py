"""The log lines are those of a RabbitMQ 4.0.5 that received the same input."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from amqpbroker.amqp.connection_log import _duration, run_all
from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config, DefaultUser
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field, longstr
from tests.harness import Cut, Wire, make_broker

PEER = "127.0.0.1:40000 -> 127.0.0.1:5672"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return a function for the lines logged since its last call, with `<0.N.0>` for the connection's number."""
    caplog.set_level(logging.DEBUG, "amqpbroker.connection")
    caplog.set_level(logging.DEBUG, "amqpbroker.channel")

    def take() -> list[str]:
        found = []
        for record in caplog.records:
            text = record.getMessage().replace(vars(record)["pid"], "<0.N.0>")
            found.append(f"{record.levelname.lower()} {record.name.removeprefix('amqpbroker.')}: {text}")
        caplog.clear()
        return found

    return take


def start(client: Wire, name: str = "my-conn", user: str = "guest", password: str = "guest", **more: Any) -> None:
    client.feed(b"AMQP\0\0\x09\x01")
    properties = {"connection_name": longstr(name), "capabilities": Field("F", {})}
    client.send(
        0,
        "connection.start-ok",
        client_properties=properties,
        mechanism="PLAIN",
        response=f"\0{user}\0{password}",
        locale="en_US",
        **more,
    )


def log_in(client: Wire, vhost: str = "/", **more: Any) -> None:
    start(client, **more)
    client.send(0, "connection.tune-ok", channel_max=2047, frame_max=131072, heartbeat=0)
    client.send(0, "connection.open", virtual_host=vhost)
    client.receive()


def test_start_login_and_end_of_a_connection_are_logged(
    broker: Broker, cut: Cut, clock: ManualClock, lines: Any
) -> None:
    client = Wire(broker, cut)
    log_in(client)
    assert lines() == [
        f"info connection: accepting AMQP connection {PEER}",
        f"info connection: connection {PEER} has a client-provided name: my-conn",
        f"info connection: connection {PEER} - my-conn: user 'guest' authenticated and granted access to vhost '/'",
    ]
    clock.advance(443)
    client.send(0, "connection.close", reply_code=200, reply_text="", class_id=0, method_id=0)
    client.turn()
    assert lines() == []
    client.connection.lost()
    assert lines() == [
        f"info connection: closing AMQP connection ({PEER} - my-conn, vhost: '/', user: 'guest', duration: '443ms')"
    ]


def test_client_that_closes_its_socket_is_logged_as_a_warning(client: Wire, lines: Any) -> None:
    client.connection.lost()
    assert lines()[-1] == (
        f"warning connection: closing AMQP connection <0.N.0> ({PEER}, vhost: '/', user: 'guest', duration: '0ms'):\n"
        "client unexpectedly closed TCP connection"
    )


def test_a_connection_without_data_is_logged_at_debug(broker: Broker, lines: Any) -> None:
    Wire(broker).connection.lost()
    assert lines() == [
        f"debug connection: accepting AMQP connection {PEER}",
        f"debug connection: closing AMQP connection <0.N.0> ({PEER}, duration: '0ms'):\n"
        "connection_closed_with_no_data_received",
    ]


def test_client_that_does_not_speak_amqp_is_logged_as_an_error(broker: Broker, cut: Cut, lines: Any) -> None:
    Wire(broker, cut).feed(b"GET / HTTP/1.0")
    assert lines()[-1].startswith(
        f"error connection: closing AMQP connection <0.N.0> ({PEER}, duration: '0ms'):\n{{bad_header,<<\"GET / HT"
    )


def test_handshake_timeout_is_logged(broker: Broker, clock: ManualClock, lines: Any) -> None:
    silent, started = Wire(broker), Wire(broker)
    started.feed(b"AMQP\0\0\x09\x01")
    lines()
    clock.advance(10_000)
    closing = f"error connection: closing AMQP connection <0.N.0> ({PEER}, duration: '10s'):\n"
    assert lines() == [
        f"info connection: accepting AMQP connection {PEER}",
        closing + "{handshake_timeout,handshake}",
        closing + "{handshake_timeout,handshake}",
    ]
    assert silent.connection.closing


def test_login_with_a_wrong_password_is_logged(broker: Broker, clock: ManualClock, lines: Any) -> None:
    start(Wire(broker), password="hush-hush")
    clock.advance(3_000)
    assert lines()[2:] == [
        f"error connection: Error on AMQP connection <0.N.0> ({PEER} - my-conn, state: starting):\n"
        "PLAIN login refused: user 'guest' - invalid credentials",
        f"info connection: closing AMQP connection ({PEER} - my-conn, duration: '3s')",
    ]


def test_login_to_an_unknown_vhost_is_logged(broker: Broker, lines: Any) -> None:
    log_in(Wire(broker), vhost="nope")
    assert lines()[2:] == [
        f"error connection: Error on AMQP connection <0.N.0> ({PEER} - my-conn, user: 'guest', state: opening):\n"
        "vhost nope not found"
    ]


def test_channel_error_is_logged(client: Wire, lines: Any) -> None:
    lines()
    client.send(1, "queue.declare", queue="é", passive=True)
    assert lines() == [
        f"error channel: Channel error on connection <0.N.0> ({PEER}, vhost: '/', user: 'guest'), channel 1:\n"
        "operation queue.declare caused a channel exception not_found: no queue 'é' in vhost '/'"
    ]


def test_connection_error_is_logged(client: Wire, lines: Any) -> None:
    lines()
    client.send(5, "queue.declare", queue="x")
    client.send(0, "connection.close-ok")
    assert lines() == [
        f"error connection: Error on AMQP connection <0.N.0> ({PEER}, vhost: '/', user: 'guest', state: running),"
        " channel 5:\n operation queue.declare caused a connection exception channel_error:"
        " \"expected 'channel.open'\"",
        f"info connection: closing AMQP connection ({PEER}, vhost: '/', user: 'guest', duration: '0ms')",
    ]


def test_frame_error_is_logged_with_the_end_of_the_connection(client: Wire, clock: ManualClock, lines: Any) -> None:
    lines()
    client.feed(b"\x08\x00\x00\x00\x00\x00\x00\xff")
    clock.advance(3_000)
    failed, closing = lines()
    assert failed.startswith(
        f"error connection: Error on AMQP connection <0.N.0> ({PEER}, vhost: '/', user: 'guest', state: running),"
        " channel 0:\n operation none caused a connection exception frame_error: "
    )
    assert closing.endswith(", duration: '3s'):\nfatal_frame_error")


def test_missed_heartbeats_are_logged(connect: Callable[..., Wire], clock: ManualClock, lines: Any) -> None:
    connect(heartbeat=1)
    lines()
    clock.advance(3_000)
    assert [line.partition("\n")[2] for line in lines()] == ["missed heartbeats from client, timeout: 1s"]


def test_shutdown_is_not_logged_as_an_error(client: Wire, lines: Any) -> None:
    lines()
    client.connection.shutdown()
    (line,) = lines()
    assert line.startswith("info connection: Error on AMQP connection <0.N.0> ")
    assert line.endswith("connection_forced: \"broker forced connection closure with reason 'shutdown'\"")


def test_log_records_have_connection_vhost_user_and_channel_attributes(
    client: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    client.send(1, "queue.declare", queue="x", passive=True)
    (record,) = caplog.records
    about = {name: vars(record).get(name) for name in ("connection", "vhost", "user", "channel", "connection_name")}
    assert about == {"connection": PEER, "vhost": "/", "user": "guest", "channel": 1, "connection_name": None}


def test_no_log_record_contains_a_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    broker = make_broker(default_users=(*Config().default_users, DefaultUser("bob", "hush-hush")))
    log_in(Wire(broker), user="bob", password="hush-hush")
    log_in(Wire(broker), user="bob", password="hush-hush-not")
    log_in(Wire(broker), user="eve", password="hush-hush")
    client = Wire(broker)
    log_in(client, user="bob", password="hush-hush")
    client.send(0, "connection.update-secret", new_secret=b"hush-hush", reason="")
    client.feed(frame(METHOD, 0, methods.encode("connection.secure-ok", response=b"hush-hush")))
    client.connection.lost()
    assert len(caplog.records) > 10
    assert "hush" not in "".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (0, "0ms"),
        (999, "999ms"),
        (3_999, "3s"),
        (63_000, "1M, 3s"),
        (3_600_000, "1H, 0M, 0s"),
        (90_061_000, "1D, 1H, 1M, 1s"),
    ],
)
def test_duration_is_formatted_in_days_hours_minutes_and_seconds(ms: int, shown: str) -> None:
    assert _duration(ms) == shown


def test_later_cleanup_steps_run_after_one_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    ran = []

    def fail() -> None:
        raise LookupError("wrong")

    with caplog.at_level(logging.ERROR):
        run_all([lambda: ran.append(1), fail, lambda: ran.append(2), fail], "a channel")
    assert ran == [1, 2]
    assert [record.getMessage() for record in caplog.records] == ["internal error while closing a channel"] * 2
    assert "LookupError: wrong" in caplog.text


def test_later_cleanup_steps_run_after_an_exception_that_cannot_be_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def fail(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr(logging.Logger, "exception", fail)
    run_all([fail, lambda: ran.append(1)], "a channel")
    assert ran == [1]
