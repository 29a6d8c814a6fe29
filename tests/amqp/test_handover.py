"""A connection whose vhost another broker leads: its handshake is recorded and handed over."""

import logging

import pytest

from amqpbroker import errors
from amqpbroker.amqp.handover import Handover
from amqpbroker.amqp.state import AUTHORIZING, CLOSED, CLOSING, HANDING_OVER, OPENING, RUNNING
from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.wire.frames import HEARTBEAT_FRAME
from tests.amqp.late_backend import LateBackend
from tests.harness import CUTS, Cut, Wire, lead_elsewhere, make_broker, method

HEADER = b"AMQP\0\0\x09\x01"
PASSWORD = "p4ssw0rd"


def start_ok(password: str = PASSWORD) -> bytes:
    response = f"\0ann\0{password}"
    return method("connection.start-ok", 0, client_properties={}, mechanism="PLAIN", response=response, locale="en_US")


def tune_ok(heartbeat: int = 0) -> bytes:
    return method("connection.tune-ok", 0, channel_max=10, frame_max=4096, heartbeat=heartbeat)


def opening(vhost: str = "x") -> bytes:
    return method("connection.open", 0, virtual_host=vhost)


AFTER = method("channel.open") + method("queue.declare", queue="q")


class Case:
    """A client of a broker beside which another one leads vhost x. handed: what was handed over."""

    def __init__(self, cut: Cut = CUTS["whole"], elsewhere: tuple[str, ...] = ("x",)) -> None:
        self.clock = ManualClock()
        self.broker: Broker = make_broker(self.clock)
        self.broker.users.add_user("ann", PASSWORD, ())
        lead_elsewhere(self.broker, *elsewhere)
        self.handed: list[Handover] = []
        self.client = Wire(self.broker, cut, on_elsewhere=self.handed.append)

    def greet(self, heartbeat: int = 0) -> None:
        """Perform the handshake up to tune-ok."""
        for data in (HEADER, start_ok(), tune_ok(heartbeat)):
            self.client.feed(data)
            self.client.receive()
        assert self.client.connection.status.state is OPENING


def test_handshake_is_handed_over_with_the_vhost_and_the_bytes_that_follow(cut: Cut) -> None:
    case = Case(cut)
    handshake = HEADER + start_ok() + tune_ok() + opening()
    case.client.feed(handshake + AFTER)
    assert [got.name for got in case.client.receive()] == ["connection.start", "connection.tune"]
    (handover,) = case.handed
    assert (handover.vhost, handover.handshake) == ("x", handshake)
    connection = case.client.connection
    assert connection.status.state is HANDING_OVER
    assert not connection.reading
    assert connection.hand_over() == AFTER
    assert connection.status.state is CLOSED
    assert case.client.receive() == []


def test_heartbeats_are_left_out_and_an_older_header_is_recorded_as_it_is() -> None:
    case = Case()
    header = b"AMQP\x01\x01\0\x09"
    case.client.feed(header + start_ok() + tune_ok() + HEARTBEAT_FRAME + HEARTBEAT_FRAME + opening())
    assert case.handed[0].handshake == header + start_ok() + tune_ok() + opening()


def test_a_half_received_frame_is_handed_over_with_what_follows_it() -> None:
    case = Case()
    case.greet()
    case.client.feed(opening() + AFTER[:5])
    case.client.feed(AFTER[5:9])
    assert case.client.receive() == []
    assert case.client.connection.hand_over() == AFTER[:9]


def test_an_ended_connection_leaves_no_timer_and_is_counted_nowhere() -> None:
    case = Case()
    case.greet(heartbeat=10)
    case.client.feed(opening())
    case.client.connection.hand_over()
    case.client.receive()
    case.clock.advance(60_000)
    assert case.client.receive() == []
    assert not case.broker.sessions
    assert case.broker.totals.churn.connection_closed == 0


def test_a_vhost_that_no_broker_has_is_refused() -> None:
    case = Case()
    case.greet()
    case.client.feed(opening("y"))
    assert case.client.closed() == (530, "NOT_ALLOWED - vhost y not found")
    assert case.handed == []


def test_a_vhost_of_this_broker_is_served_here() -> None:
    case = Case(elsewhere=("x", "/"))
    client = case.client.log_in()
    assert client.connection.status.state is RUNNING
    assert case.handed == []


def test_the_recording_is_forgotten_when_the_connection_opens() -> None:
    case = Case()
    case.client.log_in(password="guest")
    recording = case.client.connection.frame_loop._channel_zero._recording  # type: ignore[attr-defined]
    assert recording is not None
    assert recording.complete() == b""


def test_nothing_is_recorded_if_this_broker_leads_all_vhosts() -> None:
    client = Wire(make_broker(), on_elsewhere=pytest.fail)
    client.log_in()
    assert client.connection.frame_loop._channel_zero._recording is None  # type: ignore[attr-defined]


def test_a_broker_that_leads_all_vhosts_refuses_an_unknown_one() -> None:
    broker = make_broker()
    broker.users.add_user("ann", PASSWORD, ())
    client = Wire(broker, on_elsewhere=pytest.fail)
    client.feed(HEADER + start_ok() + tune_ok())
    client.receive()
    client.feed(opening())
    assert client.closed()[0] == 530


def test_a_client_with_a_wrong_password_is_never_handed_over() -> None:
    case = Case()
    case.client.feed(HEADER + start_ok("wrong") + tune_ok() + opening())
    case.clock.advance(10_000)
    assert [got.name for got in case.client.receive()] == ["connection.start"]
    assert case.client.connection.closing
    assert case.handed == []


def test_a_refused_handover_closes_the_connection_with_the_error() -> None:
    case = Case()
    case.greet()
    case.client.feed(opening() + AFTER)
    case.handed[0].refuse(errors.vhost_without_leader("x"))
    assert case.client.closed() == (
        320,
        "CONNECTION_FORCED - no broker leads vhost 'x' at the moment; connect again in a few seconds",
    )
    assert case.client.connection.status.state is CLOSING
    assert case.client.connection.reading
    case.client.send(0, "connection.close-ok")
    assert case.client.connection.closing


def serve_vhost(case: Case) -> None:
    """Make the broker lead the vhost that another one has led."""
    case.broker.shares_vhosts = False
    case.broker.restore_vhost(case.broker.defined_vhosts["x"])
    case.broker.shares_vhosts = True
    case.broker.users.set_permissions("ann", "x", ".*", ".*", ".*")


def test_a_connection_goes_on_here_when_this_broker_has_come_to_lead_its_vhost(cut: Cut) -> None:
    case = Case(cut)
    case.greet(heartbeat=1)
    case.client.feed(opening() + AFTER)
    serve_vhost(case)
    case.handed[0].serve()
    assert [got.name for got in case.client.receive()] == ["connection.open-ok", "channel.open-ok", "queue.declare-ok"]
    assert case.client.connection.vhost is case.broker.vhosts["x"]
    case.clock.advance(4_000)
    assert case.client.connection.closing, "the client's heartbeats are monitored again"


def test_a_connection_that_goes_on_here_waits_for_the_backend() -> None:
    case = Case()
    backend = LateBackend({"ann": PASSWORD.encode()})
    case.broker.logins.use(backend)
    case.client.feed(HEADER + start_ok() + tune_ok() + opening() + AFTER)
    case.client.receive()
    backend.answer()
    case.client.receive()
    serve_vhost(case)
    case.handed[0].serve()
    assert case.client.receive() == []
    assert case.client.connection.status.state is AUTHORIZING
    assert not case.client.connection.reading
    backend.answer()
    assert case.client.receive()[0].name in ("connection.open-ok", "connection.close")


def test_a_connection_that_goes_on_here_is_refused_if_the_vhost_has_moved_again() -> None:
    case = Case()
    case.greet()
    case.client.feed(opening())
    case.handed[0].serve()
    assert case.client.closed() == (320, "CONNECTION_FORCED - another broker leads vhost 'x' now; connect again")


def test_a_handover_can_be_refused_at_once() -> None:
    case = Case()
    case.client = Wire(case.broker, on_elsewhere=lambda handover: handover.refuse(errors.no_files_for_vhost("x")))
    case.greet()
    case.client.feed(opening())
    assert case.client.closed()[0] == 320


def test_a_late_refusal_of_a_lost_connection_is_ignored() -> None:
    case = Case()
    case.greet()
    case.client.feed(opening())
    case.client.connection.lost()
    case.handed[0].refuse(errors.vhost_without_leader("x"))
    assert case.client.connection.status.state is CLOSED


def test_silence_is_allowed_while_a_connection_is_handed_over() -> None:
    case = Case()
    case.greet(heartbeat=1)
    case.client.feed(opening())
    case.clock.advance(8_000)
    assert case.client.connection.status.state is HANDING_OVER
    case.clock.advance(2_000)
    assert case.client.connection.closing


def test_a_broker_that_stops_closes_a_connection_that_is_handed_over() -> None:
    case = Case()
    case.greet()
    case.client.feed(opening())
    case.client.connection.shutdown()
    assert case.client.connection.closing


def test_a_connection_that_cannot_be_handed_over_is_told_to_connect_again() -> None:
    broker = make_broker()
    lead_elsewhere(broker, "x")
    client = Wire(broker)
    broker.users.add_user("ann", PASSWORD, ())
    client.feed(HEADER + start_ok() + tune_ok())
    client.receive()
    client.feed(opening())
    assert client.closed() == (320, "CONNECTION_FORCED - another broker leads vhost 'x' now; connect again")


def test_a_vhost_that_moves_while_the_backend_is_asked_is_not_missing() -> None:
    case = Case()
    backend = LateBackend({"ann": PASSWORD.encode()})
    case.broker.logins.use(backend)
    case.client.feed(HEADER + start_ok() + tune_ok() + opening("/"))
    case.client.receive()
    backend.answer()
    case.client.receive()
    assert case.client.connection.status.state is AUTHORIZING
    case.broker.delete_vhost("/")
    lead_elsewhere(case.broker, "/")
    backend.answer()
    assert case.client.closed() == (320, "CONNECTION_FORCED - another broker leads vhost '/' now; connect again")


def test_a_password_is_in_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    case = Case()
    case.greet()
    case.client.feed(opening())
    handover = case.handed[0]
    assert PASSWORD.encode() in handover.handshake
    assert repr(handover) == "Handover(vhost='x')"
    handover.refuse(errors.vhost_out_of_reach("x"))
    other = Case()
    other.greet()
    other.client.feed(opening())
    other.client.connection.hand_over()
    assert caplog.records
    assert PASSWORD not in caplog.text
    assert "handed over to the broker that leads its vhost" in caplog.text
