"""Conversion of messages to the store's records, and decoding of what the broker needs from stored messages."""

from typing import Final

from amqpbroker.message.message import Message
from amqpbroker.store import record
from amqpbroker.wire.frames import content_properties, lone_content
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.property_flags import EXPIRATION, HEADERS
from amqpbroker.wire.property_walk import PropertyWalk

#: Property flags (in the high byte) whose properties must be decoded.
DECODED: Final = (HEADERS | EXPIRATION) >> 8
_EXPIRATION: Final = EXPIRATION >> 8

_WALK: Final = PropertyWalk()


def record_flags(message: Message) -> int:
    """Return the flags of a publish record for attributes of the message that its frames do not have."""
    return (record.DEATHS if message.died else 0) | (0 if message.persistent else record.TRANSIENT)


def frames_of(message: Message) -> bytes:
    """Return its content frames for some channel, with one body frame."""
    if message.frames is not None:
        return message.frames
    return lone_content(1, message.properties, message.body_parts(), message.size)


def content_of(message: Message, flags: int = 0) -> record.Content:
    """Return the part of a publish record for the message. flags: additional flags of the record."""
    return record.Content(
        message.address,
        frames_of(message),
        message.size,
        message.priority,
        message.extra_keys,
        message.cc_keys,
        flags | record_flags(message),
    )


def decode(message: Message) -> None:
    """Set the attributes of a message with DECODED properties: headers and expiration.

    Headers without an expiration are decoded later, when they are accessed.
    """
    assert message.frames is not None
    if not message.frames[record.PROPERTY_FLAGS_AT] & _EXPIRATION:
        message.undecoded = True
        return
    properties = content_properties(message.frames)
    if _WALK.walk(properties):
        message.undecoded = _WALK.has_headers
        message.expiration_ms = _WALK.expiration_ms
        return
    values = decode_properties(properties)
    message.headers = values.get("headers")
    if "expiration" in values:
        message.expiration_ms = int(values["expiration"])
