"""The key of a message, which assigns it to a message group."""

import contextlib
import hashlib
from typing import Final

from amqpbroker.message.message import Message
from amqpbroker.wire.raw_headers import find_header, value_end
from amqpbroker.wire.values import INTEGER_KINDS, decode_value

#: Maximum size of a key in bytes; longer ones are digests.
MOST_BYTES: Final = 256

#: Types of keys, as the management API names them. OTHER: shown in hexadecimal.
STRING: Final = "string"
INTEGER: Final = "integer"
OTHER: Final = "other"
KEY_TYPES: Final = (STRING, INTEGER, OTHER)

#: Values that are no keys: there is no value, or it is a list or a table.
_NO_KEYS: Final = b"VFA"


def group_key(message: Message, header: bytes) -> bytes | None:
    """Return the key of a message as bytes, None if it has none.

    header: name of the header that has the key; empty for the routing key. Keys are equal if they have the same type
    and the same value; integers of all sizes are one type.
    """
    if not header:
        return b"S" + message.routing_key
    properties = message.properties
    at = find_header(properties, header)
    if not at or properties[at] in _NO_KEYS:
        return None
    end = value_end(properties, at)
    kind = properties[at : at + 1]
    if kind in (b"S", b"x"):
        key = kind + properties[at + 5 : end]
        return key if len(key) <= MOST_BYTES else b"#" + hashlib.sha256(key).digest()
    if kind.decode() in INTEGER_KINDS:
        return b"I%d" % decode_value(properties, at, end).value
    return properties[at:end]


def shown_key(key: bytes) -> str:
    """Return a key as the management API shows it: a string or an integer as it is, other values in hexadecimal.

    A string that is not UTF-8, or too long for a key, is shown in hexadecimal, too.
    """
    if key[0] in b"SI":
        try:
            return key[1:].decode()
        except UnicodeDecodeError:
            pass
    return f"{chr(key[0])}:{key[1:].hex()}"


def key_type(key: bytes) -> str:
    """Return the type of a key: one of KEY_TYPES. The type and the text of `shown_key` identify a key."""
    if key[0] in b"I":
        return INTEGER
    return STRING if key[0] in b"S" and shown_key(key).encode() == key[1:] else OTHER


def possible_keys(shown: str) -> list[bytes]:
    """Return the keys that are shown like this, each of another type."""
    text = shown.encode("utf-8", "surrogateescape")
    found = [b"S" + text, b"I" + text]
    kind, colon, digits = shown.partition(":")
    if colon and len(kind) == 1:
        with contextlib.suppress(ValueError):
            found.append(kind.encode("latin-1") + bytes.fromhex(digits))
    return [key for key in found if shown_key(key) == shown]
