"""A handshake with a slow authentication backend: nothing else waits, and anything may happen meanwhile."""

import gc
import logging

import pytest

from amqpbroker.amqp.connection import Connection
from amqpbroker.amqp.peer import Encryption
from amqpbroker.amqp.state import AUTHENTICATING, AUTHORIZING, SILENT_CLOSE_DELAY_MS
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.users.users import User
from amqpbroker.clock import ManualClock
from amqpbroker.wire.certificate import Certificate
from amqpbroker.wire.values import Field, Table
from tests.amqp.late_backend import LateBackend
from tests.harness import Received, Wire, make_broker, method

INTERVAL_S = 10
LOGGED_IN = ["connection.tune"]
OPENED = ["connection.open-ok", "channel.open-ok", "queue.declare-ok"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def broker(clock: ManualClock) -> Broker:
    return make_broker(clock)


@pytest.fixture
def backend(broker: Broker) -> LateBackend:
    backend = LateBackend({"guest": b"guest", "ann": b"secret"})
    broker.logins.use(backend)
    return backend


@pytest.fixture
def client(broker: Broker, backend: LateBackend) -> Wire:
    return greeted(broker)


def greeted(broker: Broker) -> Wire:
    """Return a client that has received connection.start."""
    client = Wire(broker)
    client.feed(b"AMQP\0\0\x09\x01")
    assert names(client.receive()) == ["connection.start"]
    return client


def names(received: list[Received]) -> list[str]:
    return [got.name for got in received]


def start_ok(user: str = "guest", password: str = "guest", told: bool = True) -> bytes:
    known: Table = {"capabilities": Field("F", {"authentication_failure_close": Field("t", told)})}
    response = f"\0{user}\0{password}"
    return method(
        "connection.start-ok", 0, client_properties=known, mechanism="PLAIN", response=response, locale="en_US"
    )


def opening(vhost: str = "/", heartbeat: int = 0) -> bytes:
    """Return everything from connection.tune-ok on, for a client that does not wait for answers."""
    tune_ok = method("connection.tune-ok", 0, channel_max=10, frame_max=4096, heartbeat=heartbeat)
    rest = method("channel.open") + method("queue.declare", queue="q")
    return tune_ok + method("connection.open", 0, virtual_host=vhost) + rest


def waiting_for_permission(client: Wire, backend: LateBackend, heartbeat: int = 0) -> Wire:
    client.feed(start_ok())
    backend.answer(-1)
    client.receive()
    client.feed(opening(heartbeat=heartbeat))
    assert client.receive() == []
    assert client.connection.status.state is AUTHORIZING
    return client


def end(client: Wire) -> bool:
    """Return whether the connection is closed without a close method, and is not counted anywhere."""
    broker = client.broker
    return client.receive() == [] and client.connection.closing and not broker.sessions


# --- answers ---------------------------------------------------------------------------------------------------------


def test_auth_backend_can_answer_a_login_and_its_permissions_later(
    client: Wire, backend: LateBackend, broker: Broker
) -> None:
    client.feed(start_ok())
    assert client.receive() == []
    assert client.connection.status.state is AUTHENTICATING
    backend.answer()
    assert names(client.receive()) == LOGGED_IN
    client.feed(opening())
    assert client.receive() == []
    assert not broker.sessions
    backend.answer()
    assert names(client.receive()) == OPENED
    assert list(broker.sessions) == [client.connection]
    assert backend.asked == [("identify", "guest"), ("permit", "guest in /")]
    assert client.connection.info().user == "guest"


def test_frames_are_handled_in_order_after_a_late_backend_answer(client: Wire, backend: LateBackend) -> None:
    client.feed(start_ok() + opening() + method("queue.declare", queue="r"))
    assert client.receive() == []
    assert not client.connection.reading
    backend.answer()
    assert names(client.receive()) == LOGGED_IN
    assert not client.connection.reading
    backend.answer()
    assert names(client.receive()) == [*OPENED, "queue.declare-ok"]
    assert client.connection.reading


def test_socket_is_not_read_while_the_auth_backend_is_asked(client: Wire, backend: LateBackend) -> None:
    client.feed(start_ok())
    for byte in opening():
        client.feed(bytes((byte,)))
        client.turn()
        assert not client.connection.reading
    assert backend.asked == [("identify", "guest")]
    backend.answer()
    client.receive()
    backend.answer()
    assert names(client.receive()) == OPENED


def test_wrong_password_is_reported_to_the_client_after_a_late_answer(
    client: Wire, backend: LateBackend, broker: Broker
) -> None:
    client.feed(start_ok(password="wrong"))
    assert client.receive() == []
    backend.answer()
    assert client.closed()[0] == 403
    assert client.connection.reading
    client.send(0, "connection.close-ok")
    assert end(client)


def test_a_wrong_password_is_not_reported_to_clients_without_the_capability(
    client: Wire, backend: LateBackend, clock: ManualClock
) -> None:
    client.feed(start_ok(password="wrong", told=False) + opening())
    backend.answer()
    assert client.receive() == []
    clock.advance(SILENT_CLOSE_DELAY_MS - 1)
    assert not client.connection.closing
    clock.advance(1)
    assert end(client)


def test_missing_permissions_are_reported_after_a_late_answer(
    client: Wire, backend: LateBackend, broker: Broker
) -> None:
    broker.add_vhost("other")
    client.feed(start_ok())
    backend.answer()
    client.receive()
    client.feed(opening("other"))
    backend.answer()
    assert client.closed() == (530, "NOT_ALLOWED - access to vhost 'other' refused for user 'guest'")
    client.send(0, "connection.close-ok")
    assert end(client)


def test_the_backend_is_not_asked_for_a_vhost_that_does_not_exist(client: Wire, backend: LateBackend) -> None:
    client.feed(start_ok())
    backend.answer()
    client.receive()
    client.feed(opening("none"))
    assert client.closed()[0] == 530
    assert backend.waiting == []


def test_user_known_only_to_the_auth_backend_can_publish_and_get(
    client: Wire, backend: LateBackend, broker: Broker
) -> None:
    assert not broker.users.has("ann")
    client.feed(start_ok("ann", "secret"))
    backend.answer()
    client.receive()
    client.feed(opening())
    backend.answer()
    assert names(client.receive()) == OPENED
    client.publish("q", b"x")
    assert client.get("q").body == b"x"


def test_auth_backend_can_answer_a_login_by_certificate_later(clock: ManualClock) -> None:
    broker = make_broker(clock, auth_mechanisms=("EXTERNAL",))
    backend = LateBackend({"CN=ann": b""})
    broker.logins.use(backend)
    certificate = Certificate("CN=ann", "CN=authority", "", (), ())
    client = Wire(broker, tls=Encryption("TLSv1.3", "", "", "", certificate))
    client.feed(b"AMQP\0\0\x09\x01")
    client.receive()
    client.feed(method("connection.start-ok", 0, client_properties={}, mechanism="EXTERNAL", response="", locale="en"))
    assert client.receive() == []
    assert client.connection.status.state is AUTHENTICATING
    backend.answer()
    assert names(client.receive()) == LOGGED_IN
    assert backend.asked == [("identify_certified", "CN=ann")]


# --- meanwhile -------------------------------------------------------------------------------------------------------


def test_late_backend_answer_for_a_disconnected_client_is_ignored(
    client: Wire, backend: LateBackend, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "amqpbroker")
    client.feed(start_ok())
    client.connection.lost()
    caplog.clear()
    backend.answer()
    assert end(client)
    assert caplog.records == []


def test_late_permissions_for_a_disconnected_client_are_ignored(
    client: Wire, backend: LateBackend, broker: Broker
) -> None:
    waiting_for_permission(client, backend)
    client.connection.lost()
    backend.answer()
    assert end(client)
    assert broker.totals.churn.connection_created == 0
    assert not broker.limits._connections_of_users


@pytest.mark.parametrize("permission", [False, True], ids=["identity", "permissions"])
def test_handshake_timeout_includes_the_time_of_the_auth_backend(
    client: Wire, backend: LateBackend, clock: ManualClock, broker: Broker, permission: bool
) -> None:
    if permission:
        waiting_for_permission(client, backend)
    else:
        client.feed(start_ok())
    clock.advance(broker.config.handshake_timeout_ms - 1)
    assert not client.connection.closing
    clock.advance(1)
    assert client.connection.closing
    backend.answer()
    assert end(client)


@pytest.mark.parametrize("permission", [False, True], ids=["identity", "permissions"])
def test_shutdown_does_not_wait_for_the_auth_backend(client: Wire, backend: LateBackend, permission: bool) -> None:
    if permission:
        waiting_for_permission(client, backend)
    else:
        client.feed(start_ok())
    client.connection.shutdown()
    assert client.connection.closing
    backend.answer()
    assert end(client)


def test_heartbeats_continue_while_the_auth_backend_is_asked(
    client: Wire, backend: LateBackend, clock: ManualClock
) -> None:
    clock_ms = clock.now_ms()
    waiting_for_permission(client, backend, heartbeat=2)
    for _ in range(8):
        clock.advance(1000)
        client.receive()
    assert client.heartbeats == 8
    assert clock.now_ms() - clock_ms < client.broker.config.handshake_timeout_ms
    backend.answer()
    assert names(client.receive()) == OPENED
    # The client has a full interval, like one that has just connected.
    clock.advance(5999)
    assert not client.connection.closing
    clock.advance(1)
    assert client.connection.closing


def test_second_answer_of_the_auth_backend_is_ignored(client: Wire, backend: LateBackend) -> None:
    client.feed(start_ok())
    backend.waiting.append(backend.waiting[0])
    backend.answer()
    assert names(client.receive()) == LOGGED_IN
    client.feed(opening())
    backend.answer()
    assert client.receive() == []
    assert client.connection.status.state is AUTHORIZING
    backend.answer()
    assert names(client.receive()) == OPENED


def test_internal_error_after_a_late_backend_answer_closes_the_connection(
    client: Wire, backend: LateBackend, broker: Broker, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no event today")

    client.feed(start_ok())
    monkeypatch.setattr(broker.events, "authentication_succeeded", fail)
    backend.answer()
    assert client.receive() == []
    clock.advance(SILENT_CLOSE_DELAY_MS)
    assert end(client)


def test_lost_connection_is_freed_before_the_auth_backend_answers(client: Wire, backend: LateBackend) -> None:
    client.feed(start_ok())
    gc.disable()
    try:
        before = sum([type(each) is Connection for each in gc.get_objects()])
        client.connection.lost()
        del client.connection
        assert sum([type(each) is Connection for each in gc.get_objects()]) == before - 1
    finally:
        gc.enable()
    assert len(backend.waiting) == 1
    backend.answer()


# --- several clients -------------------------------------------------------------------------------------------------


def test_auth_backend_can_answer_two_clients_in_any_order(broker: Broker, backend: LateBackend) -> None:
    first, second = greeted(broker), greeted(broker)
    first.feed(start_ok("guest", "guest"))
    second.feed(start_ok("ann", "secret"))
    backend.answer(1)
    assert names(second.receive()) == LOGGED_IN
    assert first.receive() == []
    second.feed(opening())
    backend.answer(1)
    assert names(second.receive()) == OPENED
    assert first.receive() == []
    backend.answer()
    assert names(first.receive()) == LOGGED_IN
    first.feed(opening())
    backend.answer()
    assert names(first.receive()) == OPENED
    assert [session.user for session in broker.sessions] == [User("ann"), User("guest")]


def test_other_clients_are_served_while_the_auth_backend_is_asked(broker: Broker, backend: LateBackend) -> None:
    worker = greeted(broker)
    worker.feed(start_ok() + opening())
    backend.answer()
    worker.receive()
    backend.answer()
    worker.receive()
    waiting = greeted(broker)
    waiting.feed(start_ok())
    for i in range(10):
        worker.publish("q", b"%d" % i)
        assert worker.get("q").body == b"%d" % i
    assert waiting.receive() == []


def test_connection_limits_are_checked_again_after_a_late_answer(broker: Broker, backend: LateBackend) -> None:
    broker.limits.replace_vhost("/", {"max-connections": 1})
    first, second = (waiting_for_permission(greeted(broker), backend) for _ in range(2))
    backend.answer()
    assert names(first.receive()) == OPENED
    backend.answer()
    assert second.closed()[0] == 530
    assert list(broker.sessions) == [first.connection]


def test_vhost_deleted_before_the_auth_backend_answers_is_refused(
    broker: Broker, backend: LateBackend, client: Wire
) -> None:
    waiting_for_permission(client, backend)
    broker.delete_vhost("/")
    backend.answer()
    assert client.closed() == (530, "NOT_ALLOWED - vhost / not found")


def test_password_guesses_are_counted_when_the_auth_backend_answers(broker: Broker, backend: LateBackend) -> None:
    clients = [greeted(broker) for _ in range(30)]
    for i, client in enumerate(clients):
        client.feed(start_ok(password=f"wrong {i}"))
    right = greeted(broker)
    right.feed(start_ok())
    while backend.waiting:
        backend.answer()
    # So many different passwords came from one address that a further login has to wait, even with the right password.
    assert right.closed()[0] == 403
