import logging
from collections.abc import Callable

import pytest

from amqpbroker.amqp.methods import HANDLERS
from amqpbroker.amqp.state import SILENT_CLOSE_DELAY_MS
from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.wire import methods
from amqpbroker.wire.frames import BODY, HEADER, HEARTBEAT_FRAME, frame
from tests.harness import Cut, Received, Wire, method, published

HEAD = b"\0\x3c\0\0"


def header(size: int, channel: int = 1, properties: bytes = b"\0\0") -> bytes:
    return frame(HEADER, channel, HEAD + size.to_bytes(8, "big") + properties)


# --- frames ----------------------------------------------------------------------------------------------------------


def test_frames_after_a_wrong_frame_end_byte_are_ignored(client: Wire, clock: ManualClock) -> None:
    client.feed(method("basic.get")[:-1] + b"\xcd" + HEARTBEAT_FRAME)
    code, text = client.closed()
    assert code == 501
    assert text.endswith("{invalid_frame_end_marker,205}")
    client.feed(method("connection.close-ok", 0) + method("channel.open"))
    assert client.receive() == []
    clock.advance(SILENT_CLOSE_DELAY_MS)
    assert client.connection.closing


@pytest.mark.parametrize("size", [4097, 100_000, 2**32 - 1])
def test_too_large_frame_is_refused_once_its_header_arrives(
    connect: Callable[..., Wire], clock: ManualClock, size: int
) -> None:
    client = connect(frame_max=4096)
    client.connection.feed(b"\x03\0\1" + size.to_bytes(4, "big") + b"x")
    code, text = client.closed()
    assert code == 501
    assert f"frame_too_large,{size},4088" in text
    clock.advance(SILENT_CLOSE_DELAY_MS)
    assert client.connection.closing


def test_frames_up_to_8_bytes_above_frame_max_are_accepted(connect: Callable[..., Wire], other: Wire) -> None:
    client = connect(frame_max=4096)
    client.declare("q")
    client.feed(method("basic.publish", routing_key="q") + header(4096) + frame(BODY, 1, b"x" * 4096))
    assert other.get("q").body == b"x" * 4096
    client.connection.feed(b"\x03\0\1" + (4097).to_bytes(4, "big") + b"x")
    assert client.closed()[0] == 501


def test_complete_session_sent_at_once_is_handled(broker: Broker, cut: Cut) -> None:
    client = Wire(broker, cut)
    client.feed(
        b"AMQP\0\0\x09\x01"
        + method("connection.start-ok", 0, mechanism="PLAIN", response="\0guest\0guest", locale="en_US")
        + method("connection.tune-ok", 0, channel_max=10, frame_max=4096, heartbeat=0)
        + method("connection.open", 0, virtual_host="/")
        + method("channel.open")
        + method("queue.declare", queue="q")
        + method("confirm.select")
        + published("q", b"1")
        + published("q", b"2" * 9000, frame_max=4096)
        + published("q", b"")
        + method("basic.consume", queue="q", consumer_tag="c")
        + method("basic.ack", delivery_tag=3, multiple=True)
        + method("channel.close")
        + method("connection.close", 0)
    )
    got = client.receive()
    assert [each.name for each in got if each.channel == 0] == [
        "connection.start",
        "connection.tune",
        "connection.open-ok",
        "connection.close-ok",
    ]
    assert [each.body for each in got if each.name == "basic.deliver"] == [b"1", b"2" * 9000, b""]
    assert [each.arguments["delivery_tag"] for each in got if each.name == "basic.ack"] == [3]
    assert broker.vhost("/").queue("q", None).ready_count == 0


# --- channels --------------------------------------------------------------------------------------------------------


def test_large_bodies_on_two_channels_interleave(client: Wire, other: Wire) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    one = [method("basic.publish", 1, routing_key="q"), header(3000, 1), *[frame(BODY, 1, b"1" * 1000)] * 3]
    two = [method("basic.publish", 2, routing_key="q"), header(1500, 2), *[frame(BODY, 2, b"2" * 500)] * 3]
    client.feed(b"".join([a + b for a, b in zip(one, two, strict=True)]))
    assert [other.get("q").body for _ in range(2)] == [b"1" * 3000, b"2" * 1500]


def test_methods_are_accepted_within_the_content_of_another_channel(client: Wire) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    client.feed(method("basic.publish", 1, routing_key="q") + header(4))
    assert client.call(2, "queue.declare", queue="other").name == "queue.declare-ok"
    client.feed(HEARTBEAT_FRAME + frame(BODY, 1, b"ab"))
    client.publish("q", b"whole", channel=2)
    client.feed(frame(BODY, 1, b"") + frame(BODY, 1, b"cd"))
    assert [client.get("q").body for _ in range(2)] == [b"whole", b"abcd"]


def test_publishes_after_a_channel_error_in_the_same_input_are_ignored(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.feed(published("q", b"1") + published("q", b"2", exchange="nope") + published("q", b"3"))
    assert [got.name for got in client.receive()] == ["channel.close"]
    assert other.depth("q") == 1


@pytest.mark.parametrize("error", [KeyError("inside"), RecursionError()])
def test_an_internal_error_closes_one_connection_with_541(
    client: Wire, other: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def explode(*_: object) -> None:
        raise error

    client.declare("q")
    monkeypatch.setitem(HANDLERS, "queue.purge", explode)
    with caplog.at_level(logging.ERROR):
        client.send(1, "queue.purge", queue="q")
    assert client.closed()[0] == 541
    assert "internal error" in caplog.text
    assert other.declare("other") == "other"


# --- iterations and limits ------------------------------------------------------------------------------------------


def test_one_iteration_has_one_callback_and_one_write(broker: Broker) -> None:
    client = Wire(broker).log_in()
    marks: list[object] = []
    client.connection.output._on_dirty = lambda: marks.append(client.connection)
    for _ in range(5):
        client.send(1, "basic.qos")
    assert len(marks) == 1
    data = b"".join(client.connection.collect())
    assert data.count(methods.encode("basic.qos-ok")) == 5
    client.send(1, "basic.qos")
    assert len(marks) == 2


def test_a_client_that_never_reads_its_answers_is_not_read_any_more(broker: Broker) -> None:
    client = Wire(broker).log_in()
    client.declare("q")
    client.connection.set_writable(False)
    asked = 0
    while client.connection.reading:
        client.publish("nowhere", b"x" * 50_000, mandatory=True)
        client.feed(method("basic.get", queue="q") * 100)
        client.turn()
        asked += 1
        assert asked < 1000
    assert BOUNDS.unread_bytes // 2 <= len(client.connection.output) < BOUNDS.unread_bytes + BOUNDS.room_bytes + 100_000
    client.connection.set_writable(True)
    data = client.turn()
    assert data.count(methods.encode("basic.get-empty")) == asked * 100
    assert client.connection.reading


def test_a_client_that_reads_its_answers_is_read(broker: Broker) -> None:
    client = Wire(broker).log_in()
    for _ in range(20):
        client.publish("nowhere", b"x" * 1_000_000, mandatory=True)
        assert client.connection.reading
        client.turn()


def test_replies_to_a_requester_that_does_not_read_are_bounded(broker: Broker) -> None:
    client, server = Wire(broker).log_in(), Wire(broker).log_in()
    server.declare("requests")
    client.consume("amq.rabbitmq.reply-to", "r", no_ack=True)
    client.publish("requests", b"?", reply_to="amq.rabbitmq.reply-to")
    reply_to = server.get("requests").properties["reply_to"].decode()  # type: ignore[index]
    client.connection.set_writable(False)
    for _ in range(30):
        server.publish(reply_to, b"x" * 1_000_000)
    assert len(client.connection.output) < BOUNDS.unread_bytes + BOUNDS.room_bytes + 2_000_000
    assert server.connection.reading


def test_confirms_to_a_publisher_that_does_not_read_take_constant_memory(broker: Broker) -> None:
    client = Wire(broker).log_in()
    client.declare("q", arguments={})
    client.call(1, "confirm.select")
    client.connection.set_writable(False)
    for _ in range(2000):
        client.publish("q", b"")
        client.turn()
    assert len(client.connection.output) < 1000
    client.connection.set_writable(True)
    (ack,) = client.receive()
    assert (ack.arguments["delivery_tag"], ack.arguments["multiple"]) == (2000, True)


def test_incomplete_frame_is_handled_once_its_last_byte_arrives(client: Wire) -> None:
    data = method("queue.declare", queue="q")
    for byte in data[:-1]:
        client.connection.feed(bytes((byte,)))
        assert client.receive() == []
    client.connection.feed(data[-1:])
    assert [got.name for got in client.receive()] == ["queue.declare-ok"]


@pytest.mark.parametrize("size", [0, 1, 5, 100])
def test_repeated_publishes_are_delivered_unchanged(client: Wire, other: Wire, size: int) -> None:
    client.declare("q")
    client.call(1, "confirm.select")
    bodies = [bytes((i,)) * size for i in range(20)]
    client.feed(b"".join([published("q", body, priority=1) for body in bodies]))
    got = [other.get("q") for _ in bodies]
    assert [(each.body, each.properties) for each in got] == [(body, {"priority": 1}) for body in bodies]
    assert [each.arguments["delivery_tag"] for each in client.receive()] == [20]


def test_repeated_publish_with_another_size_or_frame_end_is_noticed(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.feed(published("q", b"12345") * 4 + published("q", b"1234") + published("q", b"12345")[:-1] + b"\xcd")
    assert client.closed()[0] == 501
    assert [other.get("q").body for _ in range(5)] == [b"12345"] * 4 + [b"1234"]


def test_a_repeated_publish_within_the_content_of_another_is_an_error(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.feed(published("q", b"12345") * 4)
    client.feed(method("basic.publish", routing_key="q") + header(9))
    client.feed(published("q", b"12345"))
    assert client.closed()[0] == 505
    assert other.depth("q") == 4


def test_content_on_another_channel_than_its_publish_is_an_error(client: Wire, other: Wire) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    client.feed(method("basic.publish", routing_key="q") + header(5, 2) + frame(BODY, 2, b"12345"))
    assert client.closed()[0] == 505
    assert other.depth("q") == 0


def between(client: Wire, other: Wire, change: Callable[[], object]) -> list[Received]:
    """Send repeated publishes before and after a change; return the methods received by the publisher."""
    client.feed(published("k", b"12345", "amq.direct", mandatory=True) * 4)
    assert client.receive() == []
    change()
    client.feed(published("k", b"12345", "amq.direct", mandatory=True) * 3)
    return client.receive()


def test_repeated_publishes_follow_changed_bindings(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    unbind = {"queue": "q", "exchange": "amq.direct", "routing_key": "k"}
    got = between(client, other, lambda: other.call(1, "queue.unbind", **unbind))
    assert [each.name for each in got] == ["basic.return"] * 3
    assert other.depth("q") == 4


def test_repeated_publishes_notice_a_deleted_queue(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    got = between(client, other, lambda: other.call(1, "queue.delete", queue="q"))
    assert [each.name for each in got] == ["basic.return"] * 3


def test_repeated_publishes_notice_withdrawn_permissions(client: Wire, other: Wire, broker: Broker) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    got = between(client, other, lambda: broker.users.set_permissions("guest", "/", "", "", ""))
    assert [(each.name, each.arguments["reply_code"]) for each in got] == [("channel.close", 403)]


def test_repeated_publishes_are_part_of_a_transaction(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    assert between(client, other, lambda: client.call(1, "tx.select")) == []
    assert other.depth("q") == 4
    client.call(1, "tx.commit")
    assert other.depth("q") == 7


def test_repeated_publishes_are_confirmed(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    (ack,) = between(client, other, lambda: client.call(1, "confirm.select"))
    assert ack.arguments["delivery_tag"] == 3


def test_repeated_publishes_are_confirmed_on_a_reopened_channel(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")

    def reopen() -> None:
        client.call(1, "channel.close")
        client.feed(method("channel.open") + method("confirm.select"))
        client.receive()

    (ack,) = between(client, other, reopen)
    assert ack.arguments["delivery_tag"] == 3
    assert other.depth("q") == 7
