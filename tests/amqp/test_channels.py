from amqpbroker.wire.frames import BODY, frame
from tests.harness import Cut, Wire, make_broker


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
    assert client.closed() == (
        530,
        "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)",
    )


def test_a_reopened_channel_has_no_state_of_the_closed_one(client: Wire, other: Wire) -> None:
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


def test_frames_for_a_channel_closed_by_the_broker_are_ignored_until_close_ok(client: Wire, other: Wire) -> None:
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
