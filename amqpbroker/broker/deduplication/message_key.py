"""The id of a message, by which duplicates are recognised."""

import hashlib
from typing import Final

from amqpbroker.message.message import Message
from amqpbroker.wire.properties import decode_properties, flags_of
from amqpbroker.wire.property_flags import MESSAGE_ID
from amqpbroker.wire.raw_headers import find_header, header, value_end
from amqpbroker.wire.values import INTEGER_KINDS, decode_value

#: Maximum size of a key in bytes; keys of longer ids are digests.
MOST_BYTES: Final = 64

#: Values that are no ids: there is no value, or it is a list or a table.
_NO_IDS: Final = b"VFA"
_TTL_HEADER: Final = b"x-cache-ttl"


def message_key(message: Message, name: bytes | None) -> bytes | None:
    """Return the id of a message as bytes, None if it has none.

    name: of the header with the id; None for the property message-id. Ids are equal if they have the same type and the
    same value; integers of all sizes are one type.
    """
    properties = message.properties
    if name is None:
        if not flags_of(properties) & MESSAGE_ID:
            return None
        value: bytes = decode_properties(properties)["message_id"]
        return _short(b"S" + value)
    at = find_header(properties, name)
    if not at or properties[at] in _NO_IDS:
        return None
    end = value_end(properties, at)
    kind = properties[at : at + 1]
    if kind in (b"S", b"x"):
        return _short(kind + properties[at + 5 : end])
    if kind.decode() in INTEGER_KINDS:
        return b"I%d" % decode_value(properties, at, end).value
    return properties[at:end]


def message_ttl_ms(message: Message) -> int:
    """Return the time for which to remember the message's id, from its header x-cache-ttl; 0 if it has none.

    A value that is no positive integer counts as none.
    """
    field = header(message.properties, _TTL_HEADER)
    if field is None or field.kind not in INTEGER_KINDS or field.value <= 0:
        return 0
    ttl_ms: int = field.value
    return ttl_ms


def _short(key: bytes) -> bytes:
    return key if len(key) <= MOST_BYTES else b"#" + hashlib.sha256(key).digest()
