from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.broker.deadletter import dead_lettered
from amqpbroker.broker.deaths import Death, recorded
from amqpbroker.broker.message import Message
from amqpbroker.broker.pieces import Pieces
from amqpbroker.wire.frames import content
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field, longstr

ADDRESS = b"\1x\3key"
PROPERTIES = encode_properties(
    {"content_type": b"text/plain", "headers": {"a": longstr("1"), "b": Field("V", None)}, "delivery_mode": 2}
)
BODY = b"body" * 3


def from_bytes() -> Message:
    return Message(ADDRESS, PROPERTIES, BODY)


def from_pieces() -> Message:
    pieces = Pieces()
    for start in range(0, len(BODY), 5):
        pieces.add(BODY[start : start + 5])
    return Message(ADDRESS, PROPERTIES, pieces)


def from_frames() -> Message:
    return Message(ADDRESS, None, None, len(BODY), content(7, PROPERTIES, BODY, 0), 7)


def delivered() -> Message:
    message = from_bytes()
    message.frames, message.frames_channel = content(3, PROPERTIES, BODY, 0), 3
    return message


SOURCES = pytest.mark.parametrize("make", [from_bytes, from_pieces, from_frames, delivered])
Make = Callable[[], Message]


def parts(message: Message) -> tuple[Any, ...]:
    return (
        message.address,
        message.properties,
        message.body,
        message.size,
        message.headers,
        message.persistent,
        message.priority,
        message.expiration_ms,
        message.extra_keys,
        message.cc_keys,
        message.deaths,
    )


@SOURCES
@given(st.data())
def test_a_splice_replaces_bytes_of_the_properties(make: Make, data: st.DataObject) -> None:
    at, end = sorted(data.draw(st.tuples(*[st.integers(2, len(PROPERTIES))] * 2)))
    octets = data.draw(st.binary(max_size=5))
    message = make()
    message.splice(at, end, octets)
    expected = PROPERTIES[:at] + octets + PROPERTIES[end:]
    assert (message.properties, message.body, message.size) == (expected, BODY, len(BODY))
    if message.frames is not None:
        assert message.frames == content(message.frames_channel, expected, BODY, 0)


@SOURCES
@pytest.mark.parametrize("headers_known", [True, False])
def test_a_copy_is_equal(make: Make, headers_known: bool) -> None:
    message = make()
    message.undecoded = True
    if headers_known:
        assert message.headers is not None
    message.persistent, message.priority, message.expiration_ms = True, 4, 900
    message.extra_keys, message.cc_keys = (b"k2", b"k3"), 1
    message.deaths = recorded(None, Death("q", "expired", 1, 1, "x", (b"k",), -1))
    copy = message.copied()
    assert parts(copy) == parts(message)
    assert copy.frames_channel == message.frames_channel


@SOURCES
def test_a_splice_leaves_the_message_that_was_copied(make: Make) -> None:
    message = make()
    message.copied().splice(2, len(PROPERTIES), b"")
    assert (message.properties, message.body) == (PROPERTIES, BODY)


def test_a_copy_of_a_dead_letter_has_its_headers() -> None:
    letter = dead_lettered(
        from_frames(), queue_name="q", reason="expired", now_ms=1000, exchange="dlx", routing_key=None
    )
    copy = letter.copied()
    assert copy.headers == letter.headers == decode_properties(letter.properties)["headers"]
    assert copy.headers is not None
    assert "x-death" in copy.headers


def test_a_copy_without_headers_has_none() -> None:
    assert Message(ADDRESS, b"\0\0", b"").copied().headers is None
