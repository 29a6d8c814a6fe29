from collections.abc import Callable

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.wire.frames import HEARTBEAT_FRAME
from tests.harness import Wire, published

INTERVAL_S = 10


@pytest.fixture
def client(connect: Callable[..., Wire]) -> Wire:
    return connect(heartbeat=INTERVAL_S)


def beats(client: Wire) -> int:
    """Return the number of heartbeats since the last call."""
    before, client.heartbeats = client.heartbeats, 0
    assert before == 0
    assert client.receive() == []
    count, client.heartbeats = client.heartbeats, 0
    return count


def test_a_heartbeat_is_sent_after_half_an_interval_without_output(client: Wire, clock: ManualClock) -> None:
    for _ in range(12):
        client.feed(HEARTBEAT_FRAME)
        clock.advance(INTERVAL_S * 500 - 1)
        assert beats(client) == 0
        clock.advance(1)
        assert beats(client) == 1


def test_first_heartbeat_is_sent_despite_other_output(client: Wire, clock: ManualClock) -> None:
    client.declare("q")
    clock.advance(INTERVAL_S * 500)
    assert beats(client) == 1
    client.declare("q")
    clock.advance(INTERVAL_S * 500)
    assert beats(client) == 0
    clock.advance(INTERVAL_S * 500)
    assert beats(client) == 1


def test_a_client_that_does_not_read_has_one_heartbeat_in_its_output(client: Wire, clock: ManualClock) -> None:
    client.connection.set_writable(False)
    for _ in range(20):
        client.feed(HEARTBEAT_FRAME)
        clock.advance(INTERVAL_S * 500)
        assert beats(client) == 0
    client.connection.set_writable(True)
    assert beats(client) == 1


def test_no_heartbeat_is_sent_while_there_is_other_output(client: Wire, clock: ManualClock) -> None:
    clock.advance(INTERVAL_S * 500)
    assert beats(client) == 1
    for _ in range(20):
        client.declare("q")
        clock.advance(INTERVAL_S * 250)
        assert beats(client) == 0


def test_deliveries_replace_heartbeats(client: Wire, other: Wire, clock: ManualClock) -> None:
    client.declare("q")
    client.consume("q", no_ack=True)
    clock.advance(INTERVAL_S * 500)
    assert beats(client) == 1
    for _ in range(4):
        other.publish("q", b"x")
        assert [got.name for got in client.receive()] == ["basic.deliver"]
        client.feed(HEARTBEAT_FRAME)
        clock.advance(INTERVAL_S * 500)
        assert client.receive() == []
        assert client.heartbeats == 0


def test_a_silent_client_is_disconnected_without_notice_after_two_checks(
    client: Wire, clock: ManualClock, broker: Broker
) -> None:
    client.declare("mine", exclusive=True)
    clock.advance(INTERVAL_S * 2000)
    assert not client.connection.closing
    clock.advance(INTERVAL_S * 1000)
    assert client.connection.closing
    assert client.receive() == []
    assert not broker.sessions
    assert not broker.vhost("/").queues
    assert clock.next_due_ms() is None


def test_any_received_byte_counts_as_a_heartbeat(client: Wire, clock: ManualClock) -> None:
    for byte in HEARTBEAT_FRAME * 4:
        clock.advance(INTERVAL_S * 1500)
        client.connection.feed(bytes((byte,)))
    assert not client.connection.closing
    assert client.call(1, "basic.qos").name == "basic.qos-ok"


def test_heartbeat_monitoring_restarts_after_a_pause(client: Wire, clock: ManualClock) -> None:
    clock.advance(INTERVAL_S * 2000)
    client.connection.heartbeat.pause_monitor()
    clock.advance(INTERVAL_S * 9000)
    client.connection.heartbeat.resume_monitor()
    clock.advance(INTERVAL_S * 2999)
    assert not client.connection.closing
    clock.advance(INTERVAL_S)
    assert client.connection.closing


def test_interval_0_turns_heartbeats_off(connect: Callable[..., Wire], clock: ManualClock) -> None:
    client = connect(heartbeat=0)
    clock.advance(10**9)
    assert beats(client) == 0
    assert not client.connection.closing


def test_the_client_chooses_the_interval(connect: Callable[..., Wire], clock: ManualClock) -> None:
    client = connect(heartbeat=1)
    for _ in range(5):
        client.feed(HEARTBEAT_FRAME)
        clock.advance(499)
        assert beats(client) == 0
        clock.advance(1)
        assert beats(client) == 1


def test_a_connection_that_has_ended_has_no_timers(client: Wire, clock: ManualClock) -> None:
    client.connection.lost()
    assert clock.next_due_ms() is None


def test_heartbeats_are_accepted_between_the_frames_of_a_message(client: Wire) -> None:
    client.declare("q")
    data = published("q", b"x" * 20, frame_max=18)
    frames = []
    while data:
        end = 8 + int.from_bytes(data[3:7], "big")
        frames.append(data[:end])
        data = data[end:]
    client.feed(HEARTBEAT_FRAME.join(frames))
    assert client.get("q").body == b"x" * 20


def test_check_that_is_late_because_the_process_was_suspended_does_not_count(client: Wire, clock: ManualClock) -> None:
    client.feed(HEARTBEAT_FRAME)
    clock.advance(INTERVAL_S * 2000)  # the first check has heard the client, the second one has not
    clock._now_ms += INTERVAL_S * 5000
    clock.fire_due()
    assert not client.connection.closing
    clock.advance(INTERVAL_S * 999)
    assert not client.connection.closing
    clock.advance(INTERVAL_S)
    assert client.connection.closing


def test_client_that_was_heard_before_a_late_check_is_not_silent(client: Wire, clock: ManualClock) -> None:
    clock.advance(INTERVAL_S * 1000)
    client.feed(HEARTBEAT_FRAME)
    clock._now_ms += INTERVAL_S * 5000
    clock.fire_due()
    clock.advance(INTERVAL_S * 1999)
    assert not client.connection.closing
    clock.advance(INTERVAL_S)
    assert client.connection.closing


def test_client_is_not_silent_while_its_method_is_not_finished(client: Wire, clock: ManualClock) -> None:
    status = client.connection.status
    status.suspend()
    clock.advance(INTERVAL_S * 9000)
    assert not client.connection.closing
    status.resume()
    clock.advance(INTERVAL_S * 2000)
    assert client.connection.closing
