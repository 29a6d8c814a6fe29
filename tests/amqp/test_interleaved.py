"""Messages of several channels that alternate, or whose frames interleave."""

import pytest

from amqpbroker.wire.frames import BODY, METHOD, content, frame
from amqpbroker.wire.methods import encode
from tests.harness import Cut, Received, Wire, make_broker, published

CHANNELS = range(1, 4)
PERSISTENT = b"\x10\x00\x02"


@pytest.fixture
def client(cut: Cut) -> Wire:
    client = Wire(make_broker(), cut).log_in()
    client.declare("q")
    for number in CHANNELS[1:]:
        client.call(number, "channel.open")
    return client


def method(channel: int) -> bytes:
    return frame(METHOD, channel, encode("basic.publish", routing_key="q"))


def header(channel: int, size: int, properties: bytes = PERSISTENT) -> bytes:
    return content(channel, properties, b"x" * size, 0)[: 20 + len(properties)]


def body(channel: int, data: bytes) -> bytes:
    return frame(BODY, channel, data)


def send(client: Wire, *frames: bytes) -> list[Received]:
    client.feed(b"".join(frames))
    return client.receive()


def taken(client: Wire) -> list[tuple[bytes, object]]:
    """Return body and delivery mode of the queue's messages."""
    found = []
    while (got := client.get("q")).name == "basic.get-ok":
        found.append((got.body, (got.properties or {}).get("delivery_mode")))
    return found


def test_frames_of_several_channels_interleave(client: Wire) -> None:
    for turn in range(3):
        bodies = [f"{turn} of {channel}".encode() for channel in CHANNELS]
        parts = [[method(channel), header(channel, len(bodies[channel - 1]))] for channel in CHANNELS]
        frames = [each[0] for each in parts] + [each[1] for each in parts]
        assert send(client, *frames, *(body(channel, bodies[channel - 1]) for channel in CHANNELS)) == []
        assert taken(client) == [(each, 2) for each in bodies]


def test_messages_are_ordered_by_the_arrival_of_their_bodies(client: Wire) -> None:
    order = [2, 3, 1]
    frames = [method(channel) for channel in CHANNELS] + [header(channel, 1) for channel in CHANNELS]
    send(client, *frames, *(body(channel, b"%d" % channel) for channel in order))
    assert taken(client) == [(b"%d" % channel, 2) for channel in order]


@pytest.mark.parametrize("pieces", [[b"", b"all"], [b"a", b"ll"], [b"all", b""], [b"a", b"", b"l", b"l"]])
def test_interleaved_bodies_in_several_frames_are_joined(client: Wire, pieces: list[bytes]) -> None:
    # Frames after the whole body belong to no message.
    whole = [piece for i, piece in enumerate(pieces) if len(b"".join(pieces[:i])) < 3]
    send(client, method(1), method(2), header(1, 3), header(2, 1))
    for piece in whole:
        send(client, body(1, piece))
    send(client, body(2, b"2"))
    assert taken(client) == [(b"all", 2), (b"2", 2)]


def test_interleaved_messages_without_a_body_are_accepted(client: Wire) -> None:
    send(client, method(1), method(2), header(1, 0), header(2, 0, b"\0\0"))
    assert taken(client) == [(b"", 2), (b"", None)]
    for _ in range(3):
        send(client, method(1), header(1, 0), method(2), header(2, 0))
    assert taken(client) == [(b"", 2)] * 6


@pytest.mark.parametrize("first", [b"", b"ab"])
def test_a_body_that_is_too_long_closes_the_connection(client: Wire, first: bytes) -> None:
    frames = [method(1), method(2), header(1, 3)]
    if first:
        frames.append(body(1, first))
    (closed,) = send(client, *frames, body(1, b"abcd" if not first else b"abc"))
    assert (closed.name, closed.arguments["reply_code"]) == ("connection.close", 501)


def test_a_header_of_another_class_closes_the_connection(client: Wire) -> None:
    wrong = header(1, 3)[:7] + b"\0\x3d" + header(1, 3)[9:]
    (closed,) = send(client, method(1), method(2), wrong)
    assert (closed.name, closed.arguments["reply_code"]) == ("connection.close", 505)


def test_a_body_without_a_header_closes_the_connection(client: Wire) -> None:
    (closed,) = send(client, method(1), method(2), body(1, b"abc"))
    assert (closed.name, closed.arguments["reply_code"]) == ("connection.close", 505)


def test_malformed_properties_close_the_connection(client: Wire) -> None:
    (closed,) = send(client, method(1), method(2), header(1, 1, b"\x10\x00"), body(1, b"x"))
    assert (closed.name, closed.arguments["reply_code"]) == ("connection.close", 502)


def test_whole_messages_of_several_channels_interleave(client: Wire) -> None:
    """The same message is repeated on each channel; publishes after the second use the fast path."""
    for turn in range(5):
        send(client, *(published("q", b"%d %d" % (channel, turn), channel=channel) for channel in CHANNELS))
    expected = [(b"%d %d" % (channel, turn), None) for turn in range(5) for channel in CHANNELS]
    assert taken(client) == expected


def test_interleaved_repeats_notice_a_deleted_queue(client: Wire) -> None:
    for _ in range(3):
        send(client, *(published("q", b"x", channel=channel) for channel in CHANNELS))
    client.call(1, "queue.delete", queue="q")
    send(client, *(published("q", b"x", channel=channel) for channel in CHANNELS))
    client.declare("q")
    assert taken(client) == []


def test_keys_that_differ_only_in_their_first_bytes_are_distinguished(client: Wire) -> None:
    for queue in ("a.a.long.end", "b.a.long.end"):
        client.declare(queue)
    for _ in range(4):
        send(client, published("a.a.long.end", b"a"), published("a.a.long.end", b"a"), published("b.a.long.end", b"b"))
    assert (client.depth("a.a.long.end"), client.depth("b.a.long.end")) == (8, 4)


def interleaved(client: Wire, data: bytes, key: str = "q", bits: int = 0) -> bytes:
    """Return the interleaved frames of one message on each of the first two channels."""
    publish = b"\0\x3c\0\x28\0\0\0" + bytes([len(key)]) + key.encode() + bytes([bits])
    methods = [frame(METHOD, channel, publish) for channel in (1, 2)]
    headers = [header(channel, len(data)) for channel in (1, 2)]
    return b"".join([*methods, *headers, *(body(channel, data) for channel in (1, 2))])


def test_repeated_framed_messages_differ_in_their_bodies(client: Wire) -> None:
    for data in (b"one", b"two", b"three", b"four", b"five5"):
        assert send(client, interleaved(client, data)) == []
    assert taken(client) == [(data, 2) for data in (b"one", b"two", b"three", b"four", b"five5") for _ in range(2)]
    assert client.connection.published == 10


@pytest.mark.parametrize("bits", [0, 1], ids=["", "mandatory"])
def test_repeated_framed_messages_notice_a_deleted_queue(client: Wire, bits: int) -> None:
    for _ in range(4):
        assert send(client, interleaved(client, b"x", bits=bits)) == []
    client.call(1, "queue.delete", queue="q")
    answers = send(client, interleaved(client, b"y", bits=bits))
    assert [got.name for got in answers] == ["basic.return"] * 2 * bits
    client.declare("q")
    assert send(client, interleaved(client, b"z", bits=bits)) == []
    assert taken(client) == [(b"z", 2)] * 2


def test_repeated_framed_messages_use_their_own_key(client: Wire) -> None:
    client.declare("r")
    for key in "qqqrrrqr":
        send(client, interleaved(client, key.encode(), key))
    assert (client.depth("q"), client.depth("r")) == (8, 8)
    assert {got for got, _ in taken(client)} == {b"q"}


def test_a_repeated_framed_message_with_immediate_is_refused(client: Wire) -> None:
    for _ in range(4):
        send(client, interleaved(client, b"x"))
    (closed,) = send(client, interleaved(client, b"x", bits=2))
    assert (closed.name, closed.arguments["reply_code"]) == ("connection.close", 540)


def test_repeated_framed_messages_are_confirmed(client: Wire) -> None:
    client.call(2, "confirm.select")
    confirmed = 0
    for _ in range(5):
        for got in send(client, interleaved(client, b"x")):
            assert (got.channel, got.name) == (2, "basic.ack")
            confirmed = got.arguments["delivery_tag"]
    assert confirmed == 5


def test_repeated_framed_messages_are_part_of_a_transaction(client: Wire) -> None:
    for _ in range(3):
        send(client, interleaved(client, b"x"))
    client.call(1, "tx.select")
    send(client, interleaved(client, b"x"))
    assert client.depth("q") == 7
    client.call(1, "tx.commit")
    assert client.depth("q") == 8
