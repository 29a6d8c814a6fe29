"""Each row of the table of states describes the behaviour of a connection in that state."""

from collections.abc import Callable
from typing import Any

import pytest

from amqpbroker.amqp.state import (
    AUTHENTICATING,
    AUTHORIZING,
    BLOCKED,
    BLOCKED_FLOW,
    BLOCKING,
    BLOCKING_FLOW,
    CLOSED,
    CLOSED_BY_CLIENT,
    CLOSING,
    CLOSING_TIMEOUT,
    CLOSING_TIMEOUT_MS,
    CONNECTED,
    FLOW,
    HANDING_OVER,
    HANDSHAKE_TIMEOUT,
    HEADER,
    LINGERING,
    NEVER,
    OPENING,
    REFUSED,
    RUNNING,
    STARTING,
    STATES,
    TUNING,
    State,
    Status,
    open_state,
)
from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.wire import methods
from amqpbroker.wire.frames import BODY, frame
from amqpbroker.wire.values import Field
from tests.amqp.late_backend import LateBackend
from tests.harness import Wire, lead_elsewhere, make_broker, method

GREETING = b"AMQP\0\0\x09\x01"
TOLD = ("authentication_failure_close", "connection.blocked")
INTERVAL_S = 2


def start_ok(password: str = "guest") -> bytes:
    known = {"capabilities": Field("F", {name: Field("t", True) for name in TOLD})}
    response = f"\0guest\0{password}"
    return method(
        "connection.start-ok", 0, client_properties=known, mechanism="PLAIN", response=response, locale="en_US"
    )


HANDSHAKE = (
    GREETING,
    start_ok(),
    method("connection.tune-ok", 0, channel_max=10, frame_max=4096, heartbeat=INTERVAL_S),
    method("connection.open", 0, virtual_host="/"),
    method("channel.open") + method("queue.declare", queue="q"),
)


class Case:
    """A client whose connection a test puts into a state.

    sent: number of frames of the handshake that have been sent.
    """

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.broker: Broker = make_broker(self.clock)
        self.backend = LateBackend()
        self.broker.logins.use(self.backend)
        self.client = Wire(self.broker)
        self.opened = False

    def greet(self, steps: int) -> None:
        for i, data in enumerate(HANDSHAKE[:steps]):
            self.client.feed(data)
            if i in (1, 3) and i + 1 < steps:
                self.backend.answer()
            self.client.receive()

    def open(self) -> None:
        self.greet(5)
        self.opened = True

    def publish(self) -> None:
        self.client.publish("q", b"x")
        self.client.receive()

    def outrun(self) -> None:
        """Hold the connection, as `Connection.feed` does if too many bytes wait for the disk."""
        self.client.connection.blocking.outran()
        self.broker.storage.awaiting_sync[self.client.connection] = None

    @property
    def state(self) -> State:
        return self.client.connection.status.state


def connected(case: Case) -> None:
    pass


def header(case: Case) -> None:
    case.client.feed(b"AMQ")


def starting(case: Case) -> None:
    case.greet(1)


def authenticating(case: Case) -> None:
    case.greet(2)


def tuning(case: Case) -> None:
    case.greet(2)
    case.backend.answer()
    case.client.receive()


def opening(case: Case) -> None:
    case.greet(3)


def authorizing(case: Case) -> None:
    case.greet(4)


def handing_over(case: Case) -> None:
    lead_elsewhere(case.broker, "x")
    case.client = Wire(case.broker, on_elsewhere=lambda handover: None)
    case.greet(3)
    case.client.send(0, "connection.open", virtual_host="x")
    assert case.client.receive() == []


def running(case: Case) -> None:
    case.open()


def blocking(case: Case) -> None:
    case.open()
    case.broker.alarms.set("disk")


def blocked(case: Case) -> None:
    blocking(case)
    case.publish()


def flow(case: Case) -> None:
    case.open()
    case.outrun()


def blocking_flow(case: Case) -> None:
    blocking(case)
    case.outrun()


def blocked_flow(case: Case) -> None:
    blocked(case)
    case.outrun()


def closing(case: Case) -> None:
    case.open()
    case.client.send(0, "connection.start")
    assert case.client.closed()[0] == 504


def refused(case: Case) -> None:
    case.greet(1)
    case.client.feed(start_ok("wrong"))
    case.backend.answer()
    assert case.client.closed()[0] == 403


def lingering(case: Case) -> None:
    case.open()
    case.client.feed(frame(BODY, 1, b"x")[:-1] + b"y")
    assert case.client.closed()[0] == 501


def closed_by_client(case: Case) -> None:
    case.open()
    assert case.client.call(0, "connection.close").name == "connection.close-ok"


def closed(case: Case) -> None:
    case.open()
    case.client.connection.lost()


REACHED: dict[State, Callable[[Case], None]] = {
    CONNECTED: connected,
    HEADER: header,
    STARTING: starting,
    AUTHENTICATING: authenticating,
    TUNING: tuning,
    OPENING: opening,
    HANDING_OVER: handing_over,
    AUTHORIZING: authorizing,
    RUNNING: running,
    BLOCKING: blocking,
    BLOCKED: blocked,
    FLOW: flow,
    BLOCKING_FLOW: blocking_flow,
    BLOCKED_FLOW: blocked_flow,
    CLOSING: closing,
    REFUSED: refused,
    LINGERING: lingering,
    CLOSED_BY_CLIENT: closed_by_client,
    CLOSED: closed,
}

#: Arguments of methods that a state handles.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "connection.start-ok": {
        "client_properties": {},
        "mechanism": "PLAIN",
        "response": b"\0guest\0guest",
        "locale": "en_US",
    },
    "connection.tune-ok": {"channel_max": 10, "frame_max": 4096, "heartbeat": 0},
    "connection.open": {"virtual_host": "/"},
}


@pytest.fixture(params=REACHED, ids=lambda state: state.name)
def case(request: pytest.FixtureRequest) -> Case:
    case = Case()
    REACHED[request.param](case)
    assert case.state is request.param
    return case


def test_every_connection_state_can_be_reached() -> None:
    assert list(REACHED) == list(STATES)


def test_methods_on_channel_0_are_handled_as_the_state_table_says(case: Case) -> None:
    for name in sorted(case.state.acts_on):
        other = Case()
        REACHED[case.state](other)
        before = other.state
        other.client.send(0, name, **ARGUMENTS.get(name, {}))
        answered = [got.name for got in other.client.receive()]
        if before.held:
            assert (other.state, answered) == (before, [])
        elif name == "connection.close" and not before.open:
            assert (other.state, answered) == (before, ["connection.close-ok"])
        elif name == "connection.update-secret":
            assert (other.state, answered) == (before, ["connection.update-secret-ok"])
        else:
            assert other.state is not before
            assert not [each for each in other.client.receive() if each.name == "connection.close"]


def test_other_channel_0_methods_are_refused_as_the_state_table_says(case: Case) -> None:
    state = case.state
    if state in (CONNECTED, HEADER):  # nothing is a frame
        return
    case.client.send(0, "connection.secure", challenge=b"")
    received = case.client.receive()
    if state.held or state.deaf or not state.refusal:
        assert (received, case.state) == ([], state)
    elif state.private:
        assert (received, case.state) == ([], LINGERING)
    else:
        (close,) = received
        assert close.arguments["reply_text"] == f"CHANNEL_ERROR - {state.refusal}"


def test_channel_frames_are_handled_as_the_state_table_says(case: Case) -> None:
    state = case.state
    if state in (CONNECTED, HEADER):
        return
    case.client.send(1, "basic.qos")
    received = [(got.channel, got.name) for got in case.client.receive()]
    if state.held or state.deaf or not state.refusal:
        assert (received, case.state) == ([], state)
    elif state.open:
        assert received == [(1, "basic.qos-ok")]
    elif state.private:
        assert (received, case.state) == ([], LINGERING)
    else:
        assert received == [(0, "connection.close")]


def test_the_socket_is_not_read_while_frames_are_held(case: Case) -> None:
    assert case.client.connection.reading is not case.state.held


def test_connection_is_counted_as_the_state_table_says(case: Case) -> None:
    assert (case.client.connection in case.broker.sessions) is (case.opened and case.state.counted)


@pytest.mark.parametrize("counted", [False, True])
def test_connection_is_unlisted_in_its_first_uncounted_state(monkeypatch: pytest.MonkeyPatch, counted: bool) -> None:
    monkeypatch.setattr(CLOSING, "counted", counted)
    case = Case()
    closing(case)
    assert (case.client.connection in case.broker.sessions) is counted
    case.client.connection.lost()
    assert not case.broker.sessions
    assert case.broker.totals.churn.connection_closed == 1


def never_opened_and_closing(case: Case) -> None:
    opening(case)
    case.client.send(0, "connection.open", virtual_host="none")
    assert case.client.closed()[0] == 530


def never_opened_and_lingering(case: Case) -> None:
    starting(case)
    case.client.feed(frame(BODY, 1, b"x")[:-1] + b"y")


@pytest.mark.parametrize(
    ("reach", "state"),
    [
        (never_opened_and_closing, CLOSING),
        (never_opened_and_lingering, LINGERING),
    ],
)
def test_connection_that_was_never_open_is_not_counted(reach: Callable[[Case], None], state: State) -> None:
    case = Case()
    reach(case)
    assert (case.state, state.counted) == (state, True)
    case.client.connection.lost()
    churn = case.broker.totals.churn
    assert (list(case.broker.sessions), churn.connection_created, churn.connection_closed) == ([], 0, 0)


def test_channels_are_released_when_a_connection_leaves_the_open_states(case: Case) -> None:
    connection = case.client.connection
    assert bool(connection.channels) is (case.opened and case.state.open)


def test_connection_info_shows_the_state_name_of_the_state_table(case: Case) -> None:
    if case.opened:
        assert case.client.connection.info().state == case.state.shown


def test_connection_is_closed_after_the_time_in_the_state_table(case: Case) -> None:
    case.client.connection.heartbeat.stop()
    state, connection = case.state, case.client.connection
    if state.ends_after_ms == NEVER:
        case.clock.advance(1_000_000)
        assert case.state is state
        return
    left_ms = state.ends_after_ms
    if left_ms == HANDSHAKE_TIMEOUT:
        left_ms = case.broker.config.handshake_timeout_ms
    elif left_ms == CLOSING_TIMEOUT:
        left_ms = min(connection.heartbeat.interval_s * 1000 or CLOSING_TIMEOUT_MS, CLOSING_TIMEOUT_MS)
    case.clock.advance(left_ms - 1)
    assert not connection.closing
    case.clock.advance(1)
    assert connection.closing


def test_missed_heartbeats_close_a_connection_unless_it_is_paused(case: Case) -> None:
    state = case.state
    case.clock.advance(INTERVAL_S * 3000)
    has_heartbeats = (case.opened or state in (OPENING, HANDING_OVER, AUTHORIZING)) and not state.deaf
    is_over = (has_heartbeats and not state.held) or ended(state)
    assert case.state is (CLOSED if is_over else state)


def ended(state: State) -> bool:
    """Return whether the deadline of the state is over after three intervals of heartbeats."""
    return NEVER < state.ends_after_ms < INTERVAL_S * 3000


def test_connection_is_not_read_while_paused_and_resumes_unless_closing() -> None:
    for state in STATES:
        status = at(state)
        assert (status.stopped, status.reading) == (state.deaf, True)
        status.pause()
        assert (status.stopped, status.reading) == (True, False)
        assert status.read_on() is not state.deaf
        assert (status.stopped, status.reading) == (state.deaf, True)
        assert not status.read_on()


def test_open_connection_states_are_found_by_their_attributes() -> None:
    for state in STATES:
        if state.open:
            assert open_state(state.alarmed, state.blocked, state.outrun) is state


def test_a_closed_connection_stays_closed() -> None:
    status = Status()
    assert status.enter(CLOSED)
    assert not any(status.enter(state) for state in STATES)
    assert status.state is CLOSED


def test_state_transitions_are_those_of_the_state_table() -> None:
    for state in STATES:
        for following in STATES:
            status = at(state)
            assert status.enter(following) is (following.name in state.follows)
            assert status.state is (following if following.name in state.follows else state)


def at(state: State) -> Status:
    """Return a status that has reached the state by the shortest path."""
    ways = [[CONNECTED]]
    for way in ways:
        if way[-1] is state:
            break
        ways += [[*way, each] for each in STATES if each.name in way[-1].follows and each not in way]
    status = Status()
    assert all(status.enter(each) for each in way[1:])
    return status


def test_every_state_can_reach_closed() -> None:
    assert [state.name for state in STATES if "closed" not in state.follows] == ["closed"]
    assert {name for state in STATES for name in state.follows} == {state.name for state in STATES} - {"connected"}


def test_methods_in_the_state_table_exist() -> None:
    known = {each.name for each in methods.METHODS.values()}
    assert {name for state in STATES for name in state.acts_on} <= known
