"""Field tables and their values; the wire type of every value is preserved.

A value is a `Field`: its wire type and the Python value. Types (RabbitMQ's dialect of AMQP 0-9-1 section 4.2.1,
rabbit_binary_parser.erl): t bool, b int8, B uint8, s int16, u uint16, I int32, i uint32, l int64 (L is read as l), f,
d, D decimal as (scale, unscaled int32), S longstr as bytes, x binary as bytes, A array as list[Field], T timestamp in
seconds, F table, V void as None.
"""

import math
import struct
from typing import Any, NamedTuple


class Field(NamedTuple):
    """One typed value of a field table."""

    kind: str
    value: Any


#: A field table: names to values. If a name occurs twice, the first value is kept (as in rabbit_misc:table_lookup).
Table = dict[str, Field]

#: Wire type -> its name in RabbitMQ's error texts (rabbit_binary_parser.erl).
TYPE_NAMES = {
    "t": "bool",
    "b": "byte",
    "B": "unsignedbyte",
    "s": "short",
    "u": "unsignedshort",
    "I": "signedint",
    "i": "unsignedint",
    "l": "long",
    "f": "float",
    "d": "double",
    "D": "decimal",
    "S": "longstr",
    "x": "binary",
    "A": "array",
    "T": "timestamp",
    "F": "table",
    "V": "void",
}

INTEGER_KINDS = frozenset("bBsuIil")

#: Maximum nesting depth of tables and arrays.
MAX_DEPTH = 64
_U32 = struct.Struct(">I")
_FIXED = {
    "b": struct.Struct(">b"),
    "B": struct.Struct(">B"),
    "s": struct.Struct(">h"),
    "u": struct.Struct(">H"),
    "I": struct.Struct(">i"),
    "i": struct.Struct(">I"),
    "l": struct.Struct(">q"),
    "f": struct.Struct(">f"),
    "d": struct.Struct(">d"),
    "T": struct.Struct(">Q"),
}


class MalformedError(ValueError):
    """Bytes that do not follow the protocol."""


def longstr(value: str | bytes) -> Field:
    return Field("S", value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value)


def text(value: bytes) -> str:
    """Decode a string from the wire without loss: UTF-8, with other bytes as surrogate escapes."""
    return value.decode("utf-8", "surrogateescape")


def decode_table(data: bytes, offset: int, end: int) -> Table:
    """Return the table whose entries (without the length prefix) fill data[offset:end]. Raises MalformedError."""
    return _decode_table(data, offset, end, 0)


def _decode_table(data: bytes, offset: int, end: int, depth: int) -> Table:
    if depth > MAX_DEPTH:
        raise MalformedError("field table nested too deeply")
    table: Table = {}
    while offset < end:
        name_end = offset + 1 + data[offset]
        if name_end >= end:
            raise MalformedError("field name runs past its table")
        name = data[offset + 1 : name_end].decode("utf-8", "surrogateescape")
        value, offset = _decode_value(data, name_end, end, depth)
        if name not in table:
            table[name] = value
    return table


def decode_value(data: bytes, offset: int, end: int) -> Field:
    """Return the value whose type octet is at `offset`, within data[:end]. Raises MalformedError."""
    return _decode_value(data, offset, end, 0)[0]


def _decode_value(data: bytes, offset: int, end: int, depth: int) -> tuple[Field, int]:
    kind = chr(data[offset])
    offset += 1
    if kind == "L":
        kind = "l"
    fixed = _FIXED.get(kind)
    if fixed is not None:
        stop = offset + fixed.size
        if stop > end:
            raise MalformedError("field value runs past its table")
        value = fixed.unpack_from(data, offset)[0]
        if kind in "fd" and not math.isfinite(value):
            raise MalformedError("float is not a number")
        return Field(kind, value), stop
    if kind in "SxFA":
        if offset + 4 > end:
            raise MalformedError("field value runs past its table")
        start = offset + 4
        stop = start + _U32.unpack_from(data, offset)[0]
        if stop > end:
            raise MalformedError("field value runs past its table")
        if kind == "F":
            return Field("F", _decode_table(data, start, stop, depth + 1)), stop
        if kind == "A":
            return Field("A", _decode_array(data, start, stop, depth + 1)), stop
        return Field(kind, data[start:stop]), stop
    if kind == "t":
        if offset + 1 > end:
            raise MalformedError("field value runs past its table")
        return Field("t", data[offset] != 0), offset + 1
    if kind == "V":
        return Field("V", None), offset
    if kind == "D":
        if offset + 5 > end:
            raise MalformedError("field value runs past its table")
        return Field("D", (data[offset], struct.unpack_from(">i", data, offset + 1)[0])), offset + 5
    raise MalformedError(f"unknown field type {kind!r}")


def _decode_array(data: bytes, offset: int, end: int, depth: int) -> list[Field]:
    if depth > MAX_DEPTH:
        raise MalformedError("field array nested too deeply")
    values = []
    while offset < end:
        value, offset = _decode_value(data, offset, end, depth)
        values.append(value)
    return values


def encode_table(table: Table, depth: int = 0) -> bytes:
    """Return the table with its length prefix, in the order of the dict.

    Raises MalformedError if it is nested too deeply to be decoded again. depth: number of enclosing tables and arrays.
    """
    if depth > MAX_DEPTH:
        raise MalformedError("field table nested too deeply")
    parts = []
    for name, field in table.items():
        raw = name.encode("utf-8", "surrogateescape")
        parts += [bytes((len(raw),)), raw, encode_field(field, depth)]
    body = b"".join(parts)
    return _U32.pack(len(body)) + body


def encode_field(field: Field, depth: int = 0) -> bytes:
    """Return one value with its type octet. Raises MalformedError as encode_table() does."""
    kind, value = field
    if kind == "S":
        return b"S" + _U32.pack(len(value)) + bytes(value)
    tag = kind.encode()
    fixed = _FIXED.get(kind)
    if fixed is not None:
        packed: bytes = fixed.pack(value)
        return tag + packed
    if kind == "x":
        return tag + _U32.pack(len(value)) + bytes(value)
    if kind == "F":
        return tag + encode_table(value, depth + 1)
    if kind == "A":
        if depth >= MAX_DEPTH:
            raise MalformedError("field array nested too deeply")
        body = b"".join([encode_field(item, depth + 1) for item in value])
        return tag + _U32.pack(len(body)) + body
    if kind == "t":
        return b"t\1" if value else b"t\0"
    if kind == "D":
        return tag + struct.pack(">Bi", *value)
    return tag
