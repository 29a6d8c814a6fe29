"""Large bodies that arrive in pieces, on a connection."""

import pytest

from amqpbroker import errors
from amqpbroker.amqp.body_stream import STREAMED
from tests.harness import Wire, make_broker, published

BODY = bytes(range(256)) * 400


@pytest.fixture
def client():
    wire = Wire(make_broker()).log_in()
    wire.declare("q")
    return wire


@pytest.mark.parametrize("frame_max", [131072, 40_000, STREAMED + 8, STREAMED + 7])
@pytest.mark.parametrize("step", [STREAMED, 5000, 1461, 65_536, 1_000_000])
def test_message_body_is_complete_however_its_bytes_arrive(client, frame_max, step):
    data = published("q", BODY, frame_max=frame_max) + published("q", b"next")
    for at in range(0, len(data), step):
        client.connection.feed(data[at : at + step])
    assert client.get("q").body == BODY
    assert client.get("q").body == b"next"
    assert client.connection.wanted == 0


def test_wanted_byte_count_covers_the_rest_of_a_body(client):
    data = published("q", BODY)
    client.connection.feed(data[:-50_000])
    assert client.connection.wanted == 50_000 - 1 + 8
    client.connection.feed(data[-50_000:-1])
    assert client.connection.wanted == 8
    client.connection.feed(data[-1:])
    assert client.connection.wanted == 0
    assert client.get("q").body == BODY


def test_wanted_byte_count_covers_further_frames_of_a_body(client):
    data = published("q", BODY, frame_max=40_000)
    first = data.index(b"\3\0\1") + 7
    client.connection.feed(data[: first + 10_000])
    assert client.connection.wanted == len(BODY) - 10_000 + 8


def test_wrong_end_byte_of_a_complete_large_frame_closes_the_connection(client):
    data = published("q", BODY, frame_max=40_000)
    second = data.index(b"\3\0\1", data.index(b"\3\0\1") + 40_000 - 1)
    client.connection.feed(data[: second - 1] + b"x" + data[second:])
    (told,) = client.receive()
    assert (told.name, told.arguments["reply_code"]) == ("connection.close", 501)


def test_wrong_frame_end_byte_closes_the_connection(client):
    data = published("q", BODY)
    client.connection.feed(data[:60_000])
    client.connection.feed(data[60_000:-1] + b"x")
    (told,) = client.receive()
    assert (told.name, told.arguments["reply_code"]) == ("connection.close", 501)
    assert told.arguments["reply_text"].startswith("FRAME_ERROR - type 3, first 16 octets = <<0,1,2,")


def test_a_body_frame_longer_than_the_body_closes_the_connection(client):
    data = published("q", b"y" * 20_000)
    header = published("q", b"y" * 19_999)
    start = header.index(b"\2\0\1")
    cut = data.index(b"\3\0\1")
    wrong = header[: header.index(b"\3\0\1", start)] + data[cut:]
    client.connection.feed(wrong[:-3])
    client.connection.feed(wrong[-3:])
    (told,) = client.receive()
    assert (told.name, told.arguments["reply_code"]) == ("connection.close", 501)


def test_body_for_a_channel_closed_before_it_arrives_is_ignored(client):
    data = published("q", BODY)
    client.connection.feed(data[:60_000])
    channel = client.connection.channels[1]
    client.connection.closer.fail(errors.precondition_failed("delivery acknowledgement timed out"), 1, 0)
    assert channel.closed
    client.connection.feed(data[60_000:])
    assert [got.name for got in client.receive()] == ["channel.close"]
    client.send(1, "channel.close-ok")
    client.call(1, "channel.open")
    assert client.depth("q") == 0


def test_an_unexpected_large_body_frame_is_refused_once_it_has_arrived(client):
    data = published("q", BODY)
    body = data[data.index(b"\3\0\1") :]
    client.connection.feed(body[:50_000])
    assert client.receive() == []
    client.connection.feed(body[50_000:])
    (told,) = client.receive()
    assert (told.name, told.arguments["reply_code"]) == ("connection.close", 505)


def waiting(client):
    """Return the message at the head of q."""
    entry = client.connection.channels[1].vhost.queues["q"].ready.peek()
    return entry.message


def held(parts):
    """Return the bytes of memory that parts of a body keep alive."""
    memory = {id(part): len(part) for part in (getattr(each, "obj", each) for each in parts)}
    return sum(memory.values())


@pytest.mark.parametrize("cut", [30_000, 60_000, 100_000])
def test_a_body_retains_little_more_than_its_size(client, cut):
    other = published("", b"small") * 5000
    data = published("q", BODY) + other
    for part in (other + data[:cut], data[cut:]):
        client.connection.feed(part)
    message = waiting(client)
    assert held(message.body_parts()) <= 2.1 * len(BODY)
    assert message.body == BODY


def test_a_body_that_fills_the_read_buffers_is_not_copied(client):
    data = published("q", BODY, frame_max=40_000)
    cut = data.index(b"\3\0\1") + 7 + 10_000
    rest = data[cut:] + published("", b"small")
    for part in (data[:cut], rest):
        client.connection.feed(part)
    message = waiting(client)
    assert [part.obj is rest for part in message.body_parts()[1:]] == [True, True, True]
    assert message.body == BODY


@pytest.mark.parametrize("size", [40_000, 65_536, 100_000])
def test_a_body_does_not_retain_a_larger_one_of_the_same_read(client, size):
    """The larger one is consumed, and the other one stays in the queue."""
    client.declare("larger")
    larger = published("larger", bytes(1_000_000))
    data = larger + published("q", BODY[:size]) + published("larger", BODY)
    cut = len(larger) + size // 2
    for part in (data[:50_000], data[50_000:cut], data[cut:]):
        client.connection.feed(part)
    message = waiting(client)
    assert held(message.body_parts()) <= 2.3 * size
    assert message.body == BODY[:size]


def test_a_body_does_not_retain_interleaved_frames(client):
    body = BODY * 10
    channels = range(1, 9)
    for channel in channels[1:]:
        client.call(channel, "channel.open")
    frames = [split(published("q", body, channel=channel, frame_max=20_000)) for channel in channels]
    data = b"".join(each for together in zip(*frames, strict=True) for each in together)
    for start in range(0, len(data), 200_000):
        client.connection.feed(data[start : start + 200_000])
    message = waiting(client)
    assert held(message.body_parts()) <= 2.5 * len(body)
    assert message.body == body


def split(data):
    """Return the frames in `data`."""
    frames = []
    while data:
        size = 8 + int.from_bytes(data[3:7], "big")
        frames.append(data[:size])
        data = data[size:]
    return frames
