import logging
from collections.abc import Callable

import pytest

from amqpbroker.amqp.connection import CLOSING_TIMEOUT_MS, ROOM, SILENT_CLOSE_DELAY_MS, UNREAD
from amqpbroker.amqp.methods import HANDLERS
from amqpbroker.amqp.peer import Peer
from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.errors import not_allowed
from amqpbroker.wire import methods
from amqpbroker.wire.frames import BODY, HEADER, HEARTBEAT, HEARTBEAT_FRAME, METHOD, frame
from tests.harness import Cut, Received, Wire, make_broker, published

HEAD = b"\0\x3c\0\0"


def method(name: str, channel: int = 1, **arguments: object) -> bytes:
    return frame(METHOD, channel, methods.encode(name, **arguments))


def header(size: int, channel: int = 1, properties: bytes = b"\0\0") -> bytes:
    return frame(HEADER, channel, HEAD + size.to_bytes(8, "big") + properties)


def closed(client: Wire) -> tuple[int, str]:
    """Code and text of the connection.close, which is all that came."""
    (got,) = client.receive()
    assert (got.channel, got.name) == (0, "connection.close")
    return got.arguments["reply_code"], got.arguments["reply_text"]


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(HEARTBEAT, 1, b""), 505),
        (frame(HEARTBEAT, 0, b"x"), 501),
        (frame(9, 0, b""), 501),
        (frame(0, 1, b"x"), 501),
        (frame(4, 1, b"x"), 501),
        (frame(255, 65535, b"x" * 300), 501),
        (frame(METHOD, 1, b""), 501),
        (frame(METHOD, 1, b"\0\x32\0"), 501),
        (frame(METHOD, 0, b"\0"), 501),
        (frame(BODY, 1, b"x"), 505),
        (frame(BODY, 1, b""), 505),
        (header(3), 505),
        (header(0, channel=0), 505),
        (frame(BODY, 0, b"x"), 505),
        (frame(BODY, 7, b"x"), 505),
        (header(0, channel=7), 505),
        (method("basic.publish") + method("basic.get"), 505),
        (method("basic.publish") + frame(BODY, 1, b"x"), 505),
        (method("basic.publish") + header(3) + header(3), 505),
        (method("basic.publish") + header(3) + method("basic.get"), 505),
        (method("basic.publish") + header(3) + frame(BODY, 1, b"abcd"), 501),
        (method("basic.publish") + frame(HEADER, 1, HEAD), 505),
        (method("basic.publish") + frame(HEADER, 1, b"\0\x3c\0\1" + bytes(10)), 505),
        (method("basic.publish") + frame(HEADER, 1, b"\0\x32\0\0" + bytes(10)), 505),
        (method("queue.declare", channel=7), 504),
        (method("channel.close", channel=7), 504),
        (method("basic.publish", channel=7), 504),
        (method("channel.open"), 504),
        (method("channel.open", channel=0), 504),
        (method("queue.declare", channel=0), 504),
        (frame(METHOD, 1, b"\0\x63\0\x0a"), 540),
        (frame(METHOD, 1, b"\0\x3c\0\x63"), 540),
        (method("basic.deliver"), 503),
        (method("queue.declare-ok"), 503),
        (method("connection.open"), 503),
        (frame(METHOD, 1, methods.encode("queue.declare")[:-1]), 501),
        (frame(METHOD, 1, methods.encode("basic.qos") + b"x"), 501),
        (method("queue.declare", queue=b"\xff"), 501),
    ],
)
def test_what_closes_the_connection(client: Wire, data: bytes, code: int) -> None:
    client.feed(data)
    assert closed(client)[0] == code
    assert not client.connection.closing


def test_a_wrong_end_octet_leaves_nothing_to_talk_about(client: Wire, clock: ManualClock) -> None:
    client.feed(method("basic.get")[:-1] + b"\xcd" + HEARTBEAT_FRAME)
    code, text = closed(client)
    assert code == 501
    assert text.endswith("{invalid_frame_end_marker,205}")
    client.feed(method("connection.close-ok", 0) + method("channel.open"))
    assert client.receive() == []
    clock.advance(SILENT_CLOSE_DELAY_MS)
    assert client.connection.closing


@pytest.mark.parametrize("size", [4097, 100_000, 2**32 - 1])
def test_a_frame_that_is_too_large_is_refused_by_its_first_octets(
    connect: Callable[..., Wire], clock: ManualClock, size: int
) -> None:
    client = connect(frame_max=4096)
    client.connection.feed(b"\x03\0\1" + size.to_bytes(4, "big") + b"x")
    code, text = closed(client)
    assert code == 501
    assert f"frame_too_large,{size},4088" in text
    clock.advance(SILENT_CLOSE_DELAY_MS)
    assert client.connection.closing


def test_the_largest_frame_that_is_taken_is_8_octets_too_large(connect: Callable[..., Wire], other: Wire) -> None:
    client = connect(frame_max=4096)
    client.declare("q")
    client.feed(method("basic.publish", routing_key="q") + header(4096) + frame(BODY, 1, b"x" * 4096))
    assert other.get("q").body == b"x" * 4096
    client.connection.feed(b"\x03\0\1" + (4097).to_bytes(4, "big") + b"x")
    assert closed(client)[0] == 501


def test_the_whole_connection_at_once(broker: Broker, cut: Cut) -> None:
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


def test_methods_on_one_channel_within_the_content_of_another(client: Wire) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    client.feed(method("basic.publish", 1, routing_key="q") + header(4))
    assert client.call(2, "queue.declare", queue="other").name == "queue.declare-ok"
    client.feed(HEARTBEAT_FRAME + frame(BODY, 1, b"ab"))
    client.publish("q", b"whole", channel=2)
    client.feed(frame(BODY, 1, b"") + frame(BODY, 1, b"cd"))
    assert [client.get("q").body for _ in range(2)] == [b"whole", b"abcd"]


def test_channels_are_counted_not_numbered(cut: Cut) -> None:
    client = Wire(make_broker(channel_max=3), cut)
    client.feed(b"AMQP\0\0\x09\x01")
    client.receive()
    client.call(0, "connection.start-ok", mechanism="PLAIN", response="\0guest\0guest")
    client.send(0, "connection.tune-ok", channel_max=2, frame_max=131072)
    client.call(0, "connection.open", virtual_host="/")
    assert client.call(65535, "channel.open").name == "channel.open-ok"
    assert client.call(2, "channel.open").name == "channel.open-ok"
    client.call(2, "channel.close")
    assert client.call(3, "channel.open").name == "channel.open-ok"
    client.send(4, "channel.open")
    assert closed(client) == (
        530,
        "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)",
    )


def test_a_closed_channel_can_be_opened_again_and_starts_anew(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.consume("q")
    client.call(1, "confirm.select")
    assert client.call(1, "channel.close").name == "channel.close-ok"
    assert client.call(1, "channel.open").name == "channel.open-ok"
    other.publish("q", b"1")
    assert client.receive() == []
    client.publish("q", b"2")
    assert client.receive() == []
    got = client.get("q", no_ack=False)
    assert (got.body, got.arguments["delivery_tag"]) == (b"1", 1)


def test_a_channel_that_the_broker_closed_is_deaf_until_close_ok(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.send(1, "queue.declare", queue="nope", passive=True)
    client.publish("q", b"lost")
    client.send(1, "queue.declare", queue="also-nope", passive=True)
    client.feed(frame(BODY, 1, b"whatever"))
    (got,) = client.receive()
    assert got.name == "channel.close"
    assert (got.arguments["class_id"], got.arguments["method_id"]) == (50, 10)
    client.send(1, "channel.close-ok")
    assert client.call(1, "channel.open").name == "channel.open-ok"
    assert other.depth("q") == 0


def test_both_sides_may_close_a_channel_at_once(client: Wire) -> None:
    client.send(1, "queue.declare", queue="nope", passive=True)
    client.send(1, "channel.close")
    assert [got.name for got in client.receive()] == ["channel.close", "channel.close-ok"]
    client.send(1, "channel.close-ok")
    assert client.call(1, "channel.open").name == "channel.open-ok"


def test_a_channel_error_leaves_the_other_channels_alone(client: Wire, other: Wire) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    client.consume("q", channel=2)
    client.send(1, "basic.ack", delivery_tag=99)
    assert [(got.channel, got.name) for got in client.receive()] == [(1, "channel.close")]
    other.publish("q", b"1")
    assert [got.body for got in client.receive()] == [b"1"]


def test_a_channel_error_within_a_burst_of_publishes(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.feed(published("q", b"1") + published("q", b"2", exchange="nope") + published("q", b"3"))
    assert [got.name for got in client.receive()] == ["channel.close"]
    assert other.depth("q") == 1


# --- the end ---------------------------------------------------------------------------------------------------------


def test_closing_from_the_client(client: Wire, broker: Broker, clock: ManualClock) -> None:
    client.declare("mine", exclusive=True)
    assert client.call(0, "connection.close") == Received(0, "connection.close-ok", {})
    assert not broker.sessions
    assert not broker.vhost("/").queues
    client.feed(method("channel.open", 5))
    assert client.receive() == []
    clock.advance(CLOSING_TIMEOUT_MS)
    assert client.connection.closing


def test_after_connection_close_nothing_counts_but_its_answer(client: Wire, other: Wire, clock: ManualClock) -> None:
    client.declare("q")
    client.send(1, "channel.open")
    assert closed(client)[0] == 504
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


def test_a_peer_that_does_not_answer_is_not_waited_for_for_ever(client: Wire, clock: ManualClock) -> None:
    client.send(1, "channel.open")
    assert closed(client)[0] == 504
    clock.advance(CLOSING_TIMEOUT_MS - 1)
    assert not client.connection.closing
    clock.advance(1)
    assert client.connection.closing
    assert clock.next_due_ms() is None


def test_shutting_down_says_so(client: Wire) -> None:
    client.connection.shutdown()
    assert closed(client) == (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
    client.connection.shutdown()
    assert client.receive() == []


def test_shutting_down_before_the_connection_is_open_just_closes(broker: Broker) -> None:
    client = Wire(broker)
    client.feed(b"AMQP\0\0\x09\x01")
    client.receive()
    client.connection.shutdown()
    assert client.receive() == []
    assert client.connection.closing


def test_the_broker_can_close_for_any_reason(client: Wire) -> None:
    client.connection.force_close(not_allowed("because"))
    assert closed(client) == (530, "NOT_ALLOWED - because")


def test_a_lost_connection_gives_everything_back(client: Wire, other: Wire, broker: Broker, clock: ManualClock) -> None:
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
def test_nothing_goes_from_one_channel_to_another_of_a_connection_that_ends(
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


@pytest.mark.parametrize("error", [KeyError("inside"), RecursionError()])
def test_a_mistake_of_the_brokers_own_closes_one_connection_with_541(
    client: Wire, other: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def explode(*_: object) -> None:
        raise error

    client.declare("q")
    monkeypatch.setitem(HANDLERS, "queue.purge", explode)
    with caplog.at_level(logging.ERROR):
        client.send(1, "queue.purge", queue="q")
    assert closed(client)[0] == 541
    assert "internal error" in caplog.text
    assert other.declare("other") == "other"


def test_secrets_can_be_updated(client: Wire) -> None:
    got = client.call(0, "connection.update-secret", new_secret="new", reason="old")
    assert got == Received(0, "connection.update-secret-ok", {})


def test_a_connection_is_named_by_both_ends() -> None:
    assert Peer("10.0.0.9", 4711, "10.0.0.1", 5672).name == "10.0.0.9:4711 -> 10.0.0.1:5672"


# --- turns and bounds ------------------------------------------------------------------------------------------------


def test_one_turn_is_one_mark_and_one_write(broker: Broker) -> None:
    client = Wire(broker).log_in()
    marks: list[object] = []
    client.connection._on_dirty = marks.append
    for _ in range(5):
        client.send(1, "basic.qos")
    assert len(marks) == 1
    data = b"".join(client.connection.collect())
    assert data.count(methods.encode("basic.qos-ok")) == 5
    client.send(1, "basic.qos")
    assert len(marks) == 2


def test_a_peer_that_asks_and_never_reads_is_not_read_any_more(broker: Broker) -> None:
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
    assert UNREAD // 2 <= len(client.connection.out) < UNREAD + ROOM + 100_000
    client.connection.set_writable(True)
    data = client.turn()
    assert data.count(methods.encode("basic.get-empty")) == asked * 100
    assert client.connection.reading


def test_a_peer_that_reads_is_read(broker: Broker) -> None:
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
    assert len(client.connection.out) < UNREAD + ROOM + 2_000_000
    assert server.connection.reading


def test_confirms_to_a_publisher_that_does_not_read_take_no_room(broker: Broker) -> None:
    client = Wire(broker).log_in()
    client.declare("q", arguments={})
    client.call(1, "confirm.select")
    client.connection.set_writable(False)
    for _ in range(2000):
        client.publish("q", b"")
        client.turn()
    assert len(client.connection.out) < 1000
    client.connection.set_writable(True)
    (ack,) = client.receive()
    assert (ack.arguments["delivery_tag"], ack.arguments["multiple"]) == (2000, True)


def test_what_is_not_a_whole_frame_waits(client: Wire) -> None:
    data = method("queue.declare", queue="q")
    for octet in data[:-1]:
        client.connection.feed(bytes((octet,)))
        assert client.receive() == []
    client.connection.feed(data[-1:])
    assert [got.name for got in client.receive()] == ["queue.declare-ok"]


@pytest.mark.parametrize("size", [0, 1, 5, 100])
def test_publishes_that_are_alike_come_out_as_they_went_in(client: Wire, other: Wire, size: int) -> None:
    client.declare("q")
    client.call(1, "confirm.select")
    bodies = [bytes((i,)) * size for i in range(20)]
    client.feed(b"".join([published("q", body, priority=1) for body in bodies]))
    got = [other.get("q") for _ in bodies]
    assert [(each.body, each.properties) for each in got] == [(body, {"priority": 1}) for body in bodies]
    assert [each.arguments["delivery_tag"] for each in client.receive()] == [20]


def test_publishes_that_differ_only_in_size_or_end(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.feed(published("q", b"12345") * 4 + published("q", b"1234") + published("q", b"12345")[:-1] + b"\xcd")
    assert closed(client)[0] == 501
    assert [other.get("q").body for _ in range(5)] == [b"12345"] * 4 + [b"1234"]


def test_an_alike_publish_within_the_content_of_another_is_none(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.feed(published("q", b"12345") * 4)
    client.feed(method("basic.publish", routing_key="q") + header(9))
    client.feed(published("q", b"12345"))
    assert closed(client)[0] == 505
    assert other.depth("q") == 4


def test_the_content_of_a_publish_is_on_its_channel(client: Wire, other: Wire) -> None:
    client.call(2, "channel.open")
    client.declare("q")
    client.feed(method("basic.publish", routing_key="q") + header(5, 2) + frame(BODY, 2, b"12345"))
    assert closed(client)[0] == 505
    assert other.depth("q") == 0


def between(client: Wire, other: Wire, change: Callable[[], object]) -> list[Received]:
    """Alike publishes to an exchange before and after a change; what the publisher is told."""
    client.feed(published("k", b"12345", "amq.direct", mandatory=True) * 4)
    assert client.receive() == []
    change()
    client.feed(published("k", b"12345", "amq.direct", mandatory=True) * 3)
    return client.receive()


def test_alike_publishes_see_changed_bindings(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    unbind = {"queue": "q", "exchange": "amq.direct", "routing_key": "k"}
    got = between(client, other, lambda: other.call(1, "queue.unbind", **unbind))
    assert [each.name for each in got] == ["basic.return"] * 3
    assert other.depth("q") == 4


def test_alike_publishes_see_a_deleted_queue(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    got = between(client, other, lambda: other.call(1, "queue.delete", queue="q"))
    assert [each.name for each in got] == ["basic.return"] * 3


def test_alike_publishes_see_withdrawn_permissions(client: Wire, other: Wire, broker: Broker) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    got = between(client, other, lambda: broker.users.set_permissions("guest", "/", "", "", ""))
    assert [(each.name, each.arguments["reply_code"]) for each in got] == [("channel.close", 403)]


def test_alike_publishes_see_a_transaction(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    assert between(client, other, lambda: client.call(1, "tx.select")) == []
    assert other.depth("q") == 4
    client.call(1, "tx.commit")
    assert other.depth("q") == 7


def test_alike_publishes_see_confirms(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    (ack,) = between(client, other, lambda: client.call(1, "confirm.select"))
    assert ack.arguments["delivery_tag"] == 3


def test_alike_publishes_on_a_channel_that_was_opened_anew(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")

    def reopen() -> None:
        client.call(1, "channel.close")
        client.feed(method("channel.open") + method("confirm.select"))
        client.receive()

    (ack,) = between(client, other, reopen)
    assert ack.arguments["delivery_tag"] == 3
    assert other.depth("q") == 7
