"""Changes to properties in their encoded form, so that all unchanged bytes stay as the publisher wrote them.

RabbitMQ decodes and encodes the properties of every message (mc_amqpl:protocol_state, rabbit_binary_parser and
rabbit_binary_generator of 4.0). This module applies the effects of that once, when a message is published.
"""

import struct
from collections.abc import Iterator

from amqpbroker.wire.properties import PROPERTIES
from amqpbroker.wire.property_edit import set_headers
from amqpbroker.wire.property_flags import HEADERS, TIMESTAMP
from amqpbroker.wire.raw_headers import value_end
from amqpbroker.wire.values import MAX_DEPTH, MalformedError, Table, encode_field

_U32 = struct.Struct(">I")

#: Type octet -> octets of the value, for the types of a fixed size.
_SIZES = {
    ord(kind): size for kind, size in zip("tbBsuIilLfdDTV", (1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 5, 8, 0), strict=True)
}
_BOOL, _LONG, _LONG_SYNONYM, _FLOAT, _DOUBLE = b"tlLfd"
_TABLE, _ARRAY = b"FA"
_COUNTED = frozenset(b"SxFA")


def normalised(properties: bytes) -> bytes:
    """Return properties with their headers as RabbitMQ delivers them; the same object if nothing changes.

    Headers are sorted by name, and the first of equal names is kept (top level only); L is written as l, true as 1
    (everywhere). Raises MalformedError for headers that RabbitMQ cannot read, including infinite and undefined floats.
    """
    if not properties[0] & HEADERS >> 8:
        return properties
    start, end = _headers(properties)
    patches: list[tuple[int, int]] = []
    ordered = True
    previous = b""
    offset = start
    while offset < end:
        value = offset + 1 + properties[offset]
        name = properties[offset + 1 : value]
        if name <= previous and offset > start:
            ordered = False
        previous = name
        offset = _value_end(properties, value, end, patches, 0)
    if patches:
        patched = bytearray(properties)
        for place, octet in patches:
            patched[place] = octet
        properties = bytes(patched)
    if ordered:
        return properties
    entries: dict[bytes, bytes] = {}
    for name, entry in _entries(properties, start, end):
        entries.setdefault(name, entry)
    table = b"".join([entries[name] for name in sorted(entries)])
    return properties[: start - 4] + _U32.pack(len(table)) + table + properties[end:]


def with_headers(properties: bytes, changes: Table) -> bytes:
    """Return normalised properties with these headers set, in their sorted positions."""
    raw = sorted([(name.encode("utf-8", "surrogateescape"), field) for name, field in changes.items()])
    return set_headers(properties, b"".join([bytes((len(name),)) + name + encode_field(field) for name, field in raw]))


def with_timestamp(properties: bytes, timestamp: int) -> bytes:
    """Return the properties with this timestamp."""
    place = end = _place(properties, TIMESTAMP)
    flags = properties[0] << 8 | properties[1]
    if flags & TIMESTAMP:
        end += 8
    head = (flags | TIMESTAMP).to_bytes(2, "big") + properties[2:place]
    return head + timestamp.to_bytes(8, "big") + properties[end:]


def _place(properties: bytes, wanted: int) -> int:
    """Return the position of the property with this flag, or the position where it would be inserted."""
    flags = properties[0] << 8 | properties[1]
    offset = 2
    for _, flag, kind in PROPERTIES:
        if flag == wanted:
            break
        if flags & flag:
            if kind == "shortstr":
                offset += 1 + properties[offset]
            elif kind == "octet":
                offset += 1
            elif kind == "timestamp":
                offset += 8
            else:
                offset += 4 + int.from_bytes(properties[offset : offset + 4], "big")
    return offset


def _headers(properties: bytes) -> tuple[int, int]:
    """Return the start and end of the entries of the headers table. Raises MalformedError."""
    try:
        start = _place(properties, HEADERS) + 4
    except IndexError:
        raise MalformedError("properties run past the content header") from None
    end = start + int.from_bytes(properties[start - 4 : start], "big")
    if end > len(properties):
        raise MalformedError("headers run past the content header")
    return start, end


def _entries(properties: bytes, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield name and whole bytes of each entry of a well-formed table."""
    while start < end:
        value = start + 1 + properties[start]
        stop = value_end(properties, value)
        yield properties[start + 1 : value], properties[start:stop]
        start = stop


def _value_end(data: bytes, offset: int, end: int, patches: list[tuple[int, int]], depth: int) -> int:
    """Return the end of the value whose type octet is at `offset`. Raises MalformedError.

    Adds to `patches` the positions of octets that RabbitMQ would write differently, with RabbitMQ's octets.
    """
    if offset >= end:
        raise MalformedError("field value runs past its table")
    kind = data[offset]
    offset += 1
    if kind in _COUNTED:
        start = offset + 4
        stop = start + int.from_bytes(data[offset:start], "big")
    else:
        size = _SIZES.get(kind)
        if size is None:
            raise MalformedError(f"unknown field type {chr(kind)!r}")
        start = offset
        stop = start + size
    if start > end or stop > end:
        raise MalformedError("field value runs past its table")
    if kind in (_TABLE, _ARRAY):
        if depth > MAX_DEPTH:
            raise MalformedError("field table nested too deeply")
        while start < stop:
            value = start + 1 + data[start] if kind == _TABLE else start
            start = _value_end(data, value, stop, patches, depth + 1)
    elif kind == _BOOL:
        if data[start] > 1:
            patches.append((start, 1))
    elif kind == _LONG_SYNONYM:
        patches.append((offset - 1, _LONG))
    elif kind == _FLOAT:
        if data[start] & 0x7F == 0x7F and data[start + 1] & 0x80:
            raise MalformedError("float is not a number")
    elif kind == _DOUBLE and data[start] & 0x7F == 0x7F and data[start + 1] & 0xF0 == 0xF0:
        raise MalformedError("double is not a number")
    return stop
