from collections.abc import Callable
from typing import Any

import pytest

from amqpbroker.message.message import Message
from amqpbroker.message.pieces import Pieces
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


SOURCES = pytest.mark.parametrize("make", [from_bytes, from_pieces, from_frames])
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
        message.died,
    )


CHANGED = encode_properties({"headers": {"c": Field("I", 7)}, "delivery_mode": 2, "app_id": b"shop"})
AFTER = pytest.mark.parametrize("after", [CHANGED, PROPERTIES, b"\0\0"], ids=["changed", "same", "none"])


@SOURCES
@AFTER
def test_replacing_properties_of_a_message_keeps_its_body(make: Make, after: bytes) -> None:
    message = make()
    message.replace_properties(after)
    assert (message.properties, message.body, message.size) == (after, BODY, len(BODY))
    if message.frames is not None:
        assert message.frames == content(message.frames_channel, after, BODY, 0)


@SOURCES
@AFTER
@pytest.mark.parametrize("headers_known", [True, False])
def test_rewritten_message_differs_only_in_address_and_properties(
    make: Make, after: bytes, headers_known: bool
) -> None:
    message = make()
    message.undecoded = True
    if headers_known:
        assert message.headers is not None
    message.persistent, message.priority, message.expiration_ms = True, 4, 900
    message.extra_keys, message.cc_keys = (b"k2", b"k3"), 1
    message.died = True
    rewritten = message.rewritten(b"\1y\1k", after)
    headers = decode_properties(after).get("headers")
    assert parts(rewritten) == (b"\1y\1k", after, *parts(message)[2:4], headers, *parts(message)[5:])
    assert (message.address, message.properties, message.body) == (ADDRESS, PROPERTIES, BODY)
