from collections.abc import Callable

import pytest

from amqpbroker.amqp.state import CLOSING_TIMEOUT_MS
from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.errors import not_allowed
from amqpbroker.wire.frames import BODY, HEARTBEAT_FRAME, frame
from tests.harness import Received, Wire, method


def test_a_channel_error_leaves_the_other_channels_alone(client: Wire, other: Wire) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    client.consume("q", channel=2)
    client.send(1, "basic.ack", delivery_tag=99)
    assert [(got.channel, got.name) for got in client.receive()] == [(1, "channel.close")]
    other.publish("q", b"1")
    assert [got.body for got in client.receive()] == [b"1"]


def test_connection_closed_by_the_client_is_released(client: Wire, broker: Broker, clock: ManualClock) -> None:
    client.declare("mine", exclusive=True)
    assert client.call(0, "connection.close") == Received(0, "connection.close-ok", {})
    assert not broker.vhost("/").queues
    client.feed(method("channel.open", 5))
    assert client.receive() == []
    clock.advance(CLOSING_TIMEOUT_MS)
    assert client.connection.closing
    assert not broker.sessions


def test_after_connection_close_only_close_ok_is_handled(client: Wire, other: Wire, clock: ManualClock) -> None:
    client.declare("q")
    client.send(1, "channel.open")
    assert client.closed()[0] == 504
    client.publish("q", b"lost")
    client.send(2, "channel.open")
    client.send(0, "connection.open", virtual_host="/")
    client.feed(HEARTBEAT_FRAME + frame(BODY, 0, b"x"))
    assert client.receive() == []
    assert other.depth("q") == 0
    assert not client.connection.closing
    client.send(0, "connection.close-ok")
    assert client.receive() == []
    assert client.connection.closing


def test_both_sides_may_close_the_connection_at_once(client: Wire) -> None:
    client.send(1, "channel.open")
    client.send(0, "connection.close")
    assert [got.name for got in client.receive()] == ["connection.close", "connection.close-ok"]


def test_the_wait_for_close_ok_has_a_limit(client: Wire, clock: ManualClock) -> None:
    client.send(1, "channel.open")
    assert client.closed()[0] == 504
    clock.advance(CLOSING_TIMEOUT_MS - 1)
    assert not client.connection.closing
    clock.advance(1)
    assert client.connection.closing
    assert clock.next_due_ms() is None


@pytest.mark.parametrize(
    ("heartbeat", "after_ms", "heartbeats"), [(1, 1_000, 1), (10, 10_000, 1), (40, 30_000, 1), (0, 30_000, 0)]
)
@pytest.mark.parametrize("by_client", [False, True])
def test_closed_connection_sends_heartbeats_and_ends_after_one_interval_or_half_a_minute(
    connect: Callable[..., Wire], clock: ManualClock, heartbeat: int, after_ms: int, heartbeats: int, by_client: bool
) -> None:
    client = connect(heartbeat=heartbeat)
    client.send(0, "connection.close" if by_client else "connection.open")
    client.receive()
    client.feed(HEARTBEAT_FRAME)
    clock.advance(after_ms - 1)
    client.receive()
    assert not client.connection.closing
    assert client.heartbeats == heartbeats
    clock.advance(1)
    assert client.connection.closing
    assert not client.connection.abandoned
    client.receive()
    assert clock.next_due_ms() is None


def test_second_connection_close_is_answered_and_changes_no_deadline(
    connect: Callable[..., Wire], clock: ManualClock
) -> None:
    for first in ("connection.close", "connection.open"):
        client = connect(heartbeat=10)
        client.send(0, first)
        client.receive()
        clock.advance(9_999)
        client.receive()
        assert client.call(0, "connection.close") == Received(0, "connection.close-ok", {})
        clock.advance(1)
        assert client.connection.closing


def test_heartbeats_are_sent_while_a_client_with_torn_frames_reads_its_error(
    connect: Callable[..., Wire], clock: ManualClock
) -> None:
    client = connect(heartbeat=1)
    client.feed(frame(BODY, 1, b"x")[:-1] + b"y")
    assert client.closed()[0] == 501
    for _ in range(5):
        clock.advance(500)
        client.receive()
    assert client.heartbeats == 5


def test_only_a_silent_client_is_abandoned(connect: Callable[..., Wire], clock: ManualClock) -> None:
    client = connect(heartbeat=1)
    clock.advance(2_999)
    assert not client.connection.abandoned
    clock.advance(1)
    assert client.connection.closing
    assert client.connection.abandoned


def test_connection_that_ends_hands_all_output_to_a_full_socket(client: Wire, clock: ManualClock) -> None:
    client.connection.set_writable(False)
    client.send(1, "channel.open")
    assert client.receive() == []
    clock.advance(CLOSING_TIMEOUT_MS)
    assert client.closed()[0] == 504


def test_shutdown_sends_connection_close(client: Wire) -> None:
    client.connection.shutdown()
    assert client.closed() == (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
    client.connection.shutdown()
    assert client.receive() == []


def test_shutdown_before_the_connection_is_open_closes_the_socket(broker: Broker) -> None:
    client = Wire(broker)
    client.feed(b"AMQP\0\0\x09\x01")
    client.receive()
    client.connection.shutdown()
    assert client.receive() == []
    assert client.connection.closing


def test_broker_can_close_a_connection_with_any_reply(client: Wire) -> None:
    client.connection.force_close(not_allowed("because"))
    assert client.closed() == (530, "NOT_ALLOWED - because")


def test_a_lost_connection_releases_everything(client: Wire, other: Wire, broker: Broker, clock: ManualClock) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    client.declare("auto", auto_delete=True)
    client.declare("mine", exclusive=True)
    for queue, channel in (("q", 1), ("auto", 2), ("mine", 1)):
        client.consume(queue, queue, channel=channel)
    for body in (b"1", b"2", b"3"):
        other.publish("q", body)
    client.receive()
    client.connection.lost()
    client.connection.lost()
    vhost = broker.vhost("/")
    assert list(vhost.queues) == ["q"]
    assert list(broker.sessions) == [other.connection]
    got = [other.get("q") for _ in range(3)]
    assert [(each.body, each.arguments["redelivered"]) for each in got] == [(b"1", True), (b"2", True), (b"3", True)]
    assert clock.next_due_ms() is None
    client.connection.feed(HEARTBEAT_FRAME)
    assert client.connection.collect() == []


@pytest.mark.parametrize("end", ["lost", "connection.close"])
def test_messages_requeued_by_an_ending_connection_do_not_reach_its_other_channels(
    client: Wire, other: Wire, end: str
) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    client.consume("q", "one")
    client.consume("q", "two", channel=2, no_ack=True)
    other.publish("q", b"0")
    assert [got.arguments["consumer_tag"] for got in client.receive()] == ["one"]
    if end == "lost":
        client.connection.lost()
    else:
        client.call(0, "connection.close")
    got = other.get("q")
    assert (got.body, got.arguments["redelivered"]) == (b"0", True)
