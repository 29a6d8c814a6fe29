"""Properties of a message are as RabbitMQ would deliver them, regardless of the way it was published."""

import pytest

from amqpbroker.broker.publishing.inspection import inspect
from amqpbroker.message.message import Message
from amqpbroker.wire.frames import lone_content
from amqpbroker.wire.headers import normalised
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr

ADDRESS = b"\0\1q"
BODY = b"body"


def inspected(properties, in_frames):
    if in_frames:
        message = Message(ADDRESS, None, None, len(BODY), lone_content(1, properties, [BODY], len(BODY)), 1)
    else:
        message = Message(ADDRESS, properties, BODY)
    inspect(message, properties, None, None)
    assert message.body == BODY
    return message


def repeated():
    table = b"\1bI\0\0\0\1\1aI\0\0\0\2\1bI\0\0\0\3"
    return b"\x20\0" + len(table).to_bytes(4, "big") + table


@pytest.mark.parametrize("in_frames", [False, True], ids=["apart", "in frames"])
@pytest.mark.parametrize(
    "properties",
    [
        encode_properties({"headers": {"a": longstr("x"), "b": Field("I", 1)}, "priority": 3}),
        encode_properties({"headers": {"b": Field("I", 1), "a": longstr("x")}, "priority": 3}),
        encode_properties({"headers": {f"name-{number:02}": longstr("x") for number in range(20, 0, -1)}}),
        repeated(),
        encode_properties({"headers": {"b": Field("l", 1), "a": Field("x", b"x")}, "expiration": b"60000"}),
    ],
    ids=["sorted", "unsorted", "many", "repeated", "others"],
)
def test_published_headers_are_sorted_and_have_unique_names(properties, in_frames):
    message = inspected(properties, in_frames)
    assert message.properties == normalised(properties)
    assert set(message.headers) == set(inspected(normalised(properties), in_frames).headers)
