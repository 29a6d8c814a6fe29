"""Messages larger than max_message_size: accepted, discarded, and refused after their last byte."""

import tracemalloc

import pytest

from amqpbroker.amqp.body_stream import STREAMED
from amqpbroker.broker.broker import Broker
from amqpbroker.errors import MAX_MESSAGE_SIZE
from amqpbroker.wire import methods
from amqpbroker.wire.frames import BODY, HEADER, METHOD, frame
from tests.harness import Received, Wire, make_broker, method, published

#: Maximum message size, above the size from which body frames are read in pieces.
LIMIT = 3 * STREAMED
REFUSED = f"PRECONDITION_FAILED - message size {LIMIT + 1} is larger than configured max size {LIMIT}"


@pytest.fixture
def broker() -> Broker:
    return make_broker(max_message_size=LIMIT)


def header(size: int, channel: int = 1, properties: bytes = b"\0\0") -> bytes:
    return frame(HEADER, channel, b"\0\x3c\0\0" + size.to_bytes(8, "big") + properties)


def announced(size: int, channel: int = 1, **arguments: object) -> bytes:
    """Return basic.publish and its content header."""
    arguments.setdefault("routing_key", "q")
    return frame(METHOD, channel, methods.encode("basic.publish", **arguments)) + header(size, channel)


def refusals(received: list[Received]) -> list[tuple[int, str]]:
    assert {got.name for got in received} <= {"channel.close", "connection.close"}
    assert all(got.arguments["class_id"] == 60 and got.arguments["method_id"] == 40 for got in received)
    return [(got.channel, got.arguments["reply_text"]) for got in received]


@pytest.mark.parametrize("step", [1000, STREAMED, LIMIT + 1])
def test_too_large_message_is_refused_after_its_last_byte(client: Wire, other: Wire, step: int) -> None:
    client.declare("q")
    client.feed(announced(LIMIT + 1))
    body = b"x" * LIMIT
    for at in range(0, LIMIT, step):
        client.feed(frame(BODY, 1, body[at : at + step]))
        assert client.receive() == []
    client.feed(frame(BODY, 1, b"x"))
    assert refusals(client.receive()) == [(1, REFUSED)]
    client.send(1, "channel.close-ok")
    assert client.call(1, "channel.open").name == "channel.open-ok"
    assert other.depth("q") == 0


def test_a_message_of_the_maximum_size_is_accepted(client: Wire) -> None:
    client.declare("q")
    client.publish("q", b"x" * LIMIT)
    assert client.get("q").body == b"x" * LIMIT


def test_frames_after_a_message_that_is_too_large_are_ignored(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.feed(published("q", b"x" * (LIMIT + 1)) + published("q", b"next"))
    assert refusals(client.receive()) == [(1, REFUSED)]
    assert other.depth("q") == 0


def test_other_channels_are_served_while_a_large_body_is_discarded(client: Wire) -> None:
    client.call(2, "channel.open")
    client.declare("q", channel=2)
    client.feed(announced(LIMIT + 1) + frame(BODY, 1, b"x" * LIMIT))
    client.publish("q", b"small", channel=2)
    assert client.get("q", channel=2).body == b"small"
    client.feed(frame(BODY, 1, b"x"))
    assert refusals(client.receive()) == [(1, REFUSED)]
    assert client.depth("q", channel=2) == 0


def test_publishes_before_a_too_large_message_are_confirmed_first(client: Wire) -> None:
    client.call(1, "confirm.select")
    client.declare("q")
    client.feed(published("q", b"small") + published("q", b"x" * (LIMIT + 1)))
    confirm, close = client.receive()
    assert (confirm.name, confirm.arguments["delivery_tag"]) == ("basic.ack", 1)
    assert refusals([close]) == [(1, REFUSED)]


def test_a_message_that_is_too_large_is_refused_within_a_transaction(client: Wire) -> None:
    client.call(1, "tx.select")
    client.feed(published("q", b"x" * (LIMIT + 1)))
    assert refusals(client.receive()) == [(1, REFUSED)]


def test_immediate_is_refused_before_the_size_and_the_size_before_other_errors(client: Wire) -> None:
    properties = b"\x80\0"
    client.feed(method("basic.publish", exchange="nowhere") + header(LIMIT + 1, 1, properties))
    client.feed(frame(BODY, 1, b"x" * (LIMIT + 1)))
    assert refusals(client.receive()) == [(1, REFUSED)]
    client.send(1, "channel.close-ok")
    client.call(1, "channel.open")
    client.feed(announced(LIMIT + 1, immediate=True))
    assert client.receive() == []
    client.feed(frame(BODY, 1, b"x" * (LIMIT + 1)))
    assert refusals(client.receive()) == [(0, "NOT_IMPLEMENTED - immediate=true")]


@pytest.mark.parametrize("more", [1, STREAMED])
def test_a_body_longer_than_announced_closes_the_connection(client: Wire, more: int) -> None:
    client.feed(announced(LIMIT + 1) + frame(BODY, 1, b"x" * LIMIT) + frame(BODY, 1, b"x" * (1 + more)))
    assert client.closed() == (501, "FRAME_ERROR - content body frame exceeds remaining content size")


@pytest.mark.parametrize("within", [method("basic.qos"), header(1)])
def test_another_frame_in_place_of_a_body_closes_the_connection(client: Wire, within: bytes) -> None:
    client.feed(announced(LIMIT + 1) + frame(BODY, 1, b"x" * 100) + within)
    assert client.closed()[0] == 505


@pytest.mark.parametrize("sent", [1, LIMIT + 1])
@pytest.mark.parametrize("size", [2**63 - 1, 2**63, 2**64 - 1])
def test_body_of_the_largest_announced_size_is_read(client: Wire, size: int, sent: int) -> None:
    client.feed(announced(size))
    for _ in range(2):
        client.feed(frame(BODY, 1, b"x" * sent))
    assert client.receive() == []
    assert client.call(2, "channel.open").name == "channel.open-ok"
    client.connection.lost()


def test_client_can_close_the_connection_within_a_large_body(client: Wire, broker: Broker) -> None:
    client.feed(announced(LIMIT + 1) + frame(BODY, 1, b"x" * STREAMED))
    assert client.call(0, "connection.close").name == "connection.close-ok"
    client.connection.lost()
    assert not broker.sessions


@pytest.mark.alone
@pytest.mark.parametrize("frame_bytes", [1000, 100_000])
def test_message_above_max_message_size_takes_no_memory(broker: Broker, frame_bytes: int) -> None:
    client = Wire(broker).log_in()
    whole = frame(BODY, 1, b"x" * frame_bytes)
    client.feed(announced(1 << 40))
    tracemalloc.start()
    try:
        for _ in range(20_000_000 // frame_bytes):
            client.connection.feed(whole[:700])
            client.connection.feed(whole[700:])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_error_of_the_largest_size_limit_does_not_call_it_configured() -> None:
    client = Wire(make_broker(max_message_size=MAX_MESSAGE_SIZE)).log_in()
    client.feed(announced(MAX_MESSAGE_SIZE + 1))
    whole = frame(BODY, 1, bytes(131_072))
    for _ in range(MAX_MESSAGE_SIZE // 131_072):
        client.connection.feed(whole)
    client.feed(frame(BODY, 1, b"x"))
    ((_, text),) = refusals(client.receive())
    assert text == "PRECONDITION_FAILED - message size 536870913 is larger than max size 536870912"
