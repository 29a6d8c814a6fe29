"""Access and resource use by AMQP without a login. docs/security.md has the table."""

import logging
import tracemalloc

import pytest

from amqpbroker.amqp.state import SILENT_CLOSE_DELAY_MS
from amqpbroker.broker.users import passwords
from amqpbroker.clock import ManualClock
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field, encode_table, longstr
from tests.harness import Wire, make_broker, published, single_bytes

HEADER = b"AMQP\0\0\x09\x01"
SECRET = "hunter2-and-more"


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def broker(clock):
    broker = make_broker(clock)
    broker.users.add_user("ann", SECRET)
    broker.users.set_permissions("ann", "/", ".*", ".*", ".*")
    return broker


@pytest.fixture
def stranger(broker):
    """Return a client that has received connection.start."""
    wire = Wire(broker)
    wire.feed(HEADER)
    wire.start = wire.receive()[0]
    return wire


def start_ok(user="ann", password=SECRET, mechanism="PLAIN", **properties):
    return frame(
        METHOD,
        0,
        methods.encode(
            "connection.start-ok",
            client_properties=properties,
            mechanism=mechanism,
            response=f"\0{user}\0{password}",
            locale="en_US",
        ),
    )


def is_ended_in_silence(wire, clock):
    """Return whether nothing is answered, further input is ignored, and the socket is closed soon."""
    silent = wire.receive() == []
    wire.feed(start_ok())
    silent = silent and wire.receive() == []
    clock.advance(SILENT_CLOSE_DELAY_MS)
    return silent and wire.receive() == [] and wire.connection.closing


# --- information ------------------------------------------------------------------------------------------------------


def test_server_properties_disclose_only_product_and_platform(stranger):
    properties = stranger.start.arguments["server_properties"]
    assert set(properties) == {
        "capabilities",
        "cluster_name",
        "copyright",
        "information",
        "platform",
        "product",
        "version",
        "amqpbroker",
    }


@pytest.mark.parametrize("capabilities", [(), ("authentication_failure_close",)])
def test_wrong_password_and_unknown_user_get_the_same_answer(broker, capabilities):
    known = {"capabilities": Field("F", {name: Field("t", True) for name in capabilities})}
    answers = []
    for user in ("ann", "nobody"):
        wire = Wire(broker)
        wire.feed(HEADER)
        wire.receive()
        wire.feed(start_ok(user, "wrong", **known))
        answers.append((wire.receive(), wire.connection.closing, broker.clock.next_due_ms()))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(("user", "password"), [("ann", SECRET), ("ann", "wrong"), ("nobody", SECRET), ("bare", "x")])
def test_every_login_costs_the_same_work(broker, monkeypatch, user, password):
    broker.users.add_user("bare")
    hashed = []
    monkeypatch.setattr(passwords.hmac, "compare_digest", lambda a, b: hashed.append((len(a), len(b))) or a == b)
    broker.logins.identify(user, password.encode(), "127.0.0.1", "amqp091", lambda found: None)
    assert hashed == [(36, 36)]


def test_right_password_is_refused_for_a_while_after_guesses_with_the_same_answer(broker, clock):
    answers = []
    for number in range(12):
        wire = Wire(broker, host="192.0.2.1")
        wire.feed(HEADER)
        wire.receive()
        wire.feed(start_ok("ann", SECRET if number == 11 else f"guess {number}"))
        answers.append([got.name for got in wire.receive()])
    assert answers == [[]] * 12
    clock.advance(10_000)
    Wire(broker, host="192.0.2.1").log_in("ann", SECRET)


@pytest.mark.parametrize(
    "data",
    [
        start_ok("nobody"),
        start_ok()[:-1] + b"\0",  # no frame end
        start_ok()[:-20] + b"\xff" * 19 + b"\xce",
        frame(METHOD, 1, start_ok()[7:-1]),
        frame(9, 0, start_ok()[7:-1]),
        start_ok(mechanism="NOPE"),
        start_ok(password=f"{SECRET}\0again"),
    ],
)
def test_passwords_of_malformed_logins_are_not_logged(stranger, caplog, data):
    with caplog.at_level(logging.DEBUG):
        stranger.feed(data)
        stranger.receive()
    printed = ",".join(str(byte) for byte in SECRET.encode()[:4])
    assert caplog.records
    assert SECRET[:4] not in caplog.text
    assert printed not in caplog.text


def test_new_password_that_cannot_be_decoded_is_not_logged(broker, caplog):
    wire = Wire(broker).log_in()
    payload = methods.encode("connection.update-secret", new_secret=SECRET, reason="x")
    with caplog.at_level(logging.DEBUG):
        wire.feed(frame(METHOD, 0, payload[:-2]))
        wire.receive()
    assert ",".join(str(byte) for byte in SECRET.encode()[:4]) not in caplog.text


# --- access -----------------------------------------------------------------------------------------------------------

METHODS = sorted({method.name for method in methods.METHODS.values()} - {"connection.start-ok"})


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("channel", [0, 1])
def test_no_method_except_the_login_has_an_effect(stranger, broker, clock, name, channel):
    method = next(method for method in methods.METHODS.values() if method.name == name)
    payload = method.ids.to_bytes(4, "big") + bytes(64)
    stranger.feed(frame(METHOD, channel, payload))
    assert is_ended_in_silence(stranger, clock)
    assert broker.sessions == {}


def test_publish_before_the_login_is_ignored(stranger, broker, clock):
    owner = Wire(broker).log_in()
    owner.declare("q")
    stranger.feed(published("q", b"x"))
    assert is_ended_in_silence(stranger, clock)
    assert owner.depth("q") == 0


def test_only_the_first_login_of_a_connection_counts(stranger, broker, clock):
    stranger.feed(start_ok(password="wrong") + start_ok())
    assert is_ended_in_silence(stranger, clock)
    assert broker.totals.auth_attempts.failed == {"amqp091": 1}
    assert broker.totals.auth_attempts.succeeded == {}


@pytest.mark.parametrize("name", METHODS)
def test_methods_before_a_vhost_is_open_close_the_connection(stranger, broker, name):
    stranger.feed(start_ok())
    assert [got.name for got in stranger.receive()] == ["connection.tune"]
    stranger.send(0, "connection.tune-ok", channel_max=2047, frame_max=131072, heartbeat=0)
    method = next(method for method in methods.METHODS.values() if method.name == name)
    stranger.feed(frame(METHOD, 1, method.ids.to_bytes(4, "big") + bytes(64)))
    got = stranger.receive()
    assert [(one.name, one.arguments["reply_code"]) for one in got] == [("connection.close", 505)]
    assert broker.sessions == {}


def test_guest_can_log_in_only_from_this_machine(broker, clock):
    for mechanism in ("PLAIN", "ANONYMOUS"):
        wire = Wire(broker, host="192.0.2.1")
        wire.feed(HEADER)
        wire.receive()
        wire.feed(start_ok("guest", "guest", mechanism))
        assert is_ended_in_silence(wire, clock)


def test_client_certificate_has_no_effect_if_external_is_not_offered(broker, clock, stranger):
    assert b"EXTERNAL" not in stranger.start.arguments["mechanisms"]
    stranger.feed(start_ok(mechanism="EXTERNAL"))
    assert is_ended_in_silence(stranger, clock)


# --- resources --------------------------------------------------------------------------------------------------------


def test_frame_size_is_limited_before_the_login(stranger, clock):
    stranger.feed(bytes([METHOD, 0, 0]) + (8192).to_bytes(4, "big"))
    assert is_ended_in_silence(stranger, clock)


@pytest.mark.parametrize("kind", ["A", "F"])
def test_depth_of_nested_tables_is_limited(stranger, clock, caplog, kind):
    value = b"V"
    for _ in range(500):
        value = b"A" + len(value).to_bytes(4, "big") + value if kind == "A" else b"F" + _table(value)
    payload = bytes([0, 10, 0, 11]) + _table(value) + b"\x05PLAIN\0\0\0\0\0"
    stranger.feed(frame(METHOD, 0, payload))
    assert is_ended_in_silence(stranger, clock)
    assert "Traceback" not in caplog.text


def _table(value):
    return (len(value) + 2).to_bytes(4, "big") + b"\x01a" + value


@pytest.mark.parametrize("said", [b"", b"AMQP", HEADER, HEADER + start_ok()[:30]])
def test_login_times_out_however_slowly_its_bytes_arrive(broker, clock, said):
    wire = Wire(broker, single_bytes)
    for byte in said:
        wire.feed(bytes([byte]))
        clock.advance(10)
    for _ in range(20):
        wire.feed(frame(8, 0, b"") if said == HEADER else b"")
        clock.advance(500)
    wire.receive()
    assert wire.connection.closing


def test_bytes_after_an_error_are_discarded(stranger, clock):
    stranger.feed(frame(METHOD, 1, bytes(8)))
    tracemalloc.start()
    try:
        for _ in range(1000):
            stranger.feed(bytes(16384))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def test_connection_without_a_login_takes_little_memory(broker):
    """Send as much as may wait before the login, in the smallest pieces."""
    piece = start_ok("x" * 3900)[:-1]
    tracemalloc.start()
    try:
        wires = []
        for _ in range(20):
            wires.append(Wire(broker))
            wires[-1].feed(HEADER)
            wires[-1].receive()
            for start in range(0, len(piece), 2):
                wires[-1].feed(piece[start : start + 2])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / len(wires) < 200_000


def test_login_with_many_nested_fields_is_limited(broker):
    wire = Wire(broker)
    wire.feed(HEADER)
    wire.receive()
    properties = {f"{number:03}": longstr("v") for number in range(300)}
    assert len(encode_table(properties)) < 4000
    wire.feed(start_ok(**properties))
    assert [got.name for got in wire.receive()] == ["connection.tune"]
