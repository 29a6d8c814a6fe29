"""Lookup of single headers, and of the message id, in the bytes of properties, without decoding the others.

All functions expect the properties of a message, flags and property list as in the content header, which are known to
be well-formed.
"""

from typing import Final

from mypy_extensions import i64

from amqpbroker.octets import read_i32_be
from amqpbroker.wire.property_flags import (
    CONTENT_ENCODING,
    CONTENT_TYPE,
    CORRELATION_ID,
    DELIVERY_MODE,
    EXPIRATION,
    HEADERS,
    MESSAGE_ID,
    PRIORITY,
    REPLY_TO,
)
from amqpbroker.wire.values import Field, MalformedError, decode_value

_U32: Final = 0xFFFFFFFF


def headers_start(data: bytes) -> i64:
    """Return the start of the entries of the headers table, after its length; 0 if there are no headers."""
    flags: i64 = i64(data[0]) << 8
    if not flags & HEADERS:
        return 0
    at: i64 = 2
    size: i64
    if flags & CONTENT_TYPE:
        size = data[at]
        at += 1 + size
    if flags & CONTENT_ENCODING:
        size = data[at]
        at += 1 + size
    return at + 4


def message_id(data: bytes) -> bytes:
    """Return the message id, empty if there is none."""
    flags: i64 = i64(data[0]) << 8 | i64(data[1])
    if not flags & MESSAGE_ID:
        return b""
    at: i64 = 2
    if flags & CONTENT_TYPE:
        at += 1 + i64(data[at])
    if flags & CONTENT_ENCODING:
        at += 1 + i64(data[at])
    if flags & HEADERS:
        size: i64 = i64(read_i32_be(data, at))
        at += 4 + (size & _U32)
    if flags & DELIVERY_MODE:
        at += 1
    if flags & PRIORITY:
        at += 1
    if flags & CORRELATION_ID:
        at += 1 + i64(data[at])
    if flags & REPLY_TO:
        at += 1 + i64(data[at])
    if flags & EXPIRATION:
        at += 1 + i64(data[at])
    return data[at + 1 : at + 1 + i64(data[at])]


def headers_end(data: bytes, start: i64) -> i64:
    """Return the end of the headers table whose entries start at `start`."""
    size: i64 = i64(read_i32_be(data, start - 4))
    return start + (size & _U32)


def value_end(data: bytes, at: i64) -> i64:
    """Return the end of the value whose type is at `at`. Raises MalformedError for an unknown type."""
    kind: i64 = data[at]
    if kind == 0x53 or kind == 0x78 or kind == 0x46 or kind == 0x41:  # S x F A
        size: i64 = i64(read_i32_be(data, at + 1))
        return at + 5 + (size & _U32)
    if kind == 0x49 or kind == 0x69 or kind == 0x66:  # I i f
        return at + 5
    if kind == 0x6C or kind == 0x4C or kind == 0x54 or kind == 0x64:  # l L T d
        return at + 9
    if kind == 0x74 or kind == 0x62 or kind == 0x42:  # t b B
        return at + 2
    if kind == 0x73 or kind == 0x75:  # s u
        return at + 3
    if kind == 0x44:  # D
        return at + 6
    if kind == 0x56:  # V
        return at + 1
    raise MalformedError(f"unknown field type {chr(kind)!r}")


def find_header(data: bytes, name: bytes) -> i64:
    """Return the position of the value's type of the first header with the name; 0 if there is none."""
    if name not in data:
        return 0
    at: i64 = headers_start(data)
    if at == 0:
        return 0
    end: i64 = headers_end(data, at)
    length: i64 = len(name)
    while at < end:
        size: i64 = data[at]
        value: i64 = at + 1 + size
        if size == length and data[at + 1 : value] == name:
            return value
        at = value_end(data, value)
    return 0


def header(data: bytes, name: bytes) -> Field | None:
    """Return the value of the first header with the name, None if there is none."""
    at = find_header(data, name)
    return decode_value(data, at, value_end(data, at)) if at else None


def longstrs(data: bytes, at: i64) -> tuple[bytes, ...]:
    """Return the longstrs in the array whose type is at `at`, without its other items."""
    end = value_end(data, at)
    at += 5
    found: list[bytes] = []
    while at < end:
        stop = value_end(data, at)
        if data[at] == 0x53:  # S
            found.append(data[at + 5 : stop])
        at = stop
    return tuple(found)
