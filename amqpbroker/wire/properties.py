"""The content header's properties: a quick scan for what the broker must know, and a full decoder and encoder.

AMQP 0-9-1 section 4.2.6.1: a 16 bit flag word (its lowest bit: another word follows), then the properties whose flag is
set, in order. Names, flags and types come from pamqp's Basic.Properties.
"""

import struct
from typing import Any

from pamqp.commands import Basic

from amqpbroker.wire.property_flags import DELIVERY_MODE, EXPIRATION, HEADERS, REPLY_TO, TIMESTAMP, USER_ID
from amqpbroker.wire.values import MalformedError, Table, decode_table, encode_table

#: (name, flag, type) in wire order. `cluster_id` is reserved but legal on the wire.
PROPERTIES: tuple[tuple[str, int, str], ...] = tuple(
    (name, Basic.Properties.flags[name], Basic.Properties.amqp_type(name)) for name in Basic.Properties.attributes()
)

#: Flags whose property must be read on publish, beyond delivery mode and priority.
SLOW = HEADERS | REPLY_TO | EXPIRATION | USER_ID

_DEFINED = sum(flag for _, flag, _ in PROPERTIES)


def flags_of(raw: bytes) -> int:
    """The flag word. Raises MalformedError on undefined flags or a second flag word (basic has no such properties)."""
    if len(raw) < 2:
        raise MalformedError("property flags missing")
    flags = raw[0] << 8 | raw[1]
    if flags & ~_DEFINED:
        raise MalformedError(f"undefined property flags {flags:#x}")
    return flags


def decode_properties(raw: bytes) -> dict[str, Any]:
    """The properties that are set: shortstrs as bytes, headers as Table, the others as int.

    `raw` is flags and property list, as in the content header behind the body size. Raises MalformedError.
    """
    flags = flags_of(raw)
    values: dict[str, Any] = {}
    offset = 2
    try:
        for name, flag, kind in PROPERTIES:
            if not flags & flag:
                continue
            if kind == "shortstr":
                stop = offset + 1 + raw[offset]
                values[name] = raw[offset + 1 : stop]
            elif kind == "octet":
                stop = offset + 1
                values[name] = raw[offset]
            elif kind == "timestamp":
                stop = offset + 8
                values[name] = struct.unpack_from(">Q", raw, offset)[0]
            else:
                stop = offset + 4 + struct.unpack_from(">I", raw, offset)[0]
                if stop > len(raw):
                    raise MalformedError("headers run past the content header")
                values[name] = decode_table(raw, offset + 4, stop)
            offset = stop
            if offset > len(raw):
                raise MalformedError(f"{name} runs past the content header")
    except (IndexError, struct.error):
        raise MalformedError("properties run past the content header") from None
    if offset != len(raw):
        raise MalformedError("bytes left behind the properties")
    return values


def headers_of(raw: bytes) -> Table | None:
    """Return the headers of properties that are known to be well-formed, None if there are no headers."""
    headers: Table | None = decode_properties(raw)["headers"] if flags_of(raw) & HEADERS else None
    return headers


def timestamp_of(raw: bytes) -> int | None:
    """Seconds since the epoch, as the publisher said, of properties that are known to be well-formed."""
    timestamp: int | None = decode_properties(raw)["timestamp"] if flags_of(raw) & TIMESTAMP else None
    return timestamp


def encode_properties(values: dict[str, Any]) -> bytes:
    """Return the properties as on the wire: the inverse of `decode_properties`. Raises ValueError for unknown names."""
    flags = 0
    parts = [b""]
    for name, flag, kind in PROPERTIES:
        if name not in values:
            continue
        flags |= flag
        value = values[name]
        if kind == "shortstr":
            parts.append(bytes((len(value),)) + value)
        elif kind == "octet":
            parts.append(bytes((value,)))
        elif kind == "timestamp":
            parts.append(struct.pack(">Q", value))
        else:
            table: Table = value
            parts.append(encode_table(table))
    if len(parts) <= len(values):
        unknown = values.keys() - {name for name, _, _ in PROPERTIES}
        raise ValueError(f"no properties of a message: {', '.join(sorted(unknown))}")
    parts[0] = struct.pack(">H", flags)
    return b"".join(parts)


def scan(raw: bytes, flags: int) -> tuple[int, int]:
    """(delivery mode, priority), 0 where absent, without decoding the rest; the list must fill `raw` exactly.

    Raises MalformedError.
    """
    offset = 2
    mode = priority = 0
    try:
        for _, flag, kind in PROPERTIES:
            if not flags & flag:
                continue
            if kind == "shortstr":
                offset += 1 + raw[offset]
            elif kind == "octet":
                if flag == DELIVERY_MODE:
                    mode = raw[offset]
                else:
                    priority = raw[offset]
                offset += 1
            elif kind == "timestamp":
                offset += 8
            else:
                offset += 4 + int.from_bytes(raw[offset : offset + 4], "big")
    except IndexError:
        offset = -1
    if offset != len(raw):
        raise MalformedError("properties do not fill the content header")
    return mode, priority
