"""Field table values that retain their wire type: encoding, decoding and their form in transcripts."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.errors import MalformedFrameError


@dataclass(frozen=True, slots=True)
class Value:
    """A field table value: `type` is its one-letter wire type, `value` what that type holds.

    `S` and `x` hold bytes (a str is encoded as UTF-8), `F` a table, `A` a list, `D` a pair (scale, unscaled), `V` None,
    `t` a bool; the others a number.
    """

    type: str
    value: Any = None


Table = Mapping[str, Any] | Sequence[tuple[str, Any]]
Pairs = list[tuple[str, Value]]

LONG_BYTES = 100
_WHITE = {ord(one): None for one in "\t\r\n"}
_FIXED = {
    "b": ">b",
    "B": ">B",
    "s": ">h",
    "u": ">H",
    "I": ">i",
    "i": ">I",
    "l": ">q",
    "L": ">q",
    "f": ">f",
    "d": ">d",
    "T": ">Q",
}


def typed(value: Any) -> Value:
    """Return the value with the wire type that clients commonly choose; a `Value` is returned as it is."""
    if isinstance(value, Value):
        return value
    if value is None:
        return Value("V")
    if isinstance(value, bool):
        return Value("t", value)
    if isinstance(value, int):
        return Value("I" if -(2**31) <= value < 2**31 else "l", value)
    if isinstance(value, float):
        return Value("d", value)
    if isinstance(value, str):
        return Value("S", value.encode())
    if isinstance(value, bytes):
        return Value("x", value)
    if isinstance(value, Mapping):
        return Value("F", value)
    if isinstance(value, Sequence):
        return Value("A", value)
    raise TypeError(f"no wire type for {value!r}")


def encode_value(value: Any) -> bytes:
    """Encode type letter and payload of one value."""
    it = typed(value)
    letter = it.type.encode()
    if it.type in _FIXED:
        return letter + struct.pack(_FIXED[it.type], it.value)
    match it.type:
        case "t":
            return letter + bytes([it.value])
        case "D":
            scale, unscaled = it.value
            return letter + struct.pack(">BI", scale, unscaled)
        case "S" | "x":
            data = it.value.encode() if isinstance(it.value, str) else it.value
            return letter + struct.pack(">I", len(data)) + data
        case "F":
            return letter + encode_table(it.value)
        case "A":
            data = b"".join(encode_value(one) for one in it.value)
            return letter + struct.pack(">I", len(data)) + data
        case "V":
            return letter
    raise ValueError(f"unknown field value type {it.type!r}")


def encode_table(table: Table) -> bytes:
    """Encode a field table with its length. Pairs instead of a mapping allow duplicate keys and any order."""
    pairs = table.items() if isinstance(table, Mapping) else table
    data = b"".join(encode_shortstr(key) + encode_value(value) for key, value in pairs)
    return struct.pack(">I", len(data)) + data


def encode_shortstr(text: str | bytes) -> bytes:
    """Encode a short string with its length octet."""
    data = text.encode() if isinstance(text, str) else text
    return bytes([len(data)]) + data


class Reader:
    """Reads wire values from `data`, one after the other; raises MalformedFrameError at the end of the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        end = self.at + count
        if end > len(self.data):
            raise MalformedFrameError(f"{count} bytes wanted at {self.at} of {len(self.data)}")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def unpack(self, layout: str) -> Any:
        """Return the next value of a one-item struct layout."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def shortstr(self) -> bytes:
        """Return the next short string."""
        return self.take(self.take(1)[0])

    def longstr(self) -> bytes:
        """Return the next long string."""
        return self.take(self.unpack(">I"))

    def table(self) -> Pairs:
        """Return the next field table, as (key, value) pairs in wire order."""
        inner = Reader(self.longstr())
        pairs = []
        while inner.at < len(inner.data):
            key = inner.shortstr().decode("utf-8", "backslashreplace")
            pairs.append((key, inner.value()))
        return pairs

    def value(self) -> Value:
        """Return the next field table value."""
        letter = chr(self.take(1)[0])
        if letter in _FIXED:
            return Value(letter, self.unpack(_FIXED[letter]))
        match letter:
            case "t":
                return Value(letter, self.take(1) != b"\0")
            case "D":
                return Value(letter, (self.unpack(">B"), self.unpack(">I")))
            case "S" | "x":
                return Value(letter, self.longstr())
            case "F":
                return Value(letter, self.table())
            case "A":
                inner = Reader(self.longstr())
                items = []
                while inner.at < len(inner.data):
                    items.append(inner.value())
                return Value(letter, items)
            case "V":
                return Value(letter)
        raise MalformedFrameError(f"unknown field value type {letter!r}")


def show_long(data: bytes) -> str:
    """Show bytes like `show_bytes`, or length and SHA-256 if there are more than 100."""
    if len(data) > LONG_BYTES:
        return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"
    return show_bytes(data)


def show_bytes(data: bytes) -> str:
    """Return printable text as it is, anything else as `hex:...`."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "hex:" + data.hex()
    return text if text.translate(_WHITE).isprintable() else "hex:" + data.hex()


def show_value(value: Value) -> Any:
    """Return the JSON form: an object for a table, a list for an array, `"<type>:<value>"` for everything else."""
    match value.type:
        case "F":
            return show_table(value.value)
        case "A":
            return [show_value(one) for one in value.value]
        case "S" | "x":
            return f"{value.type}:{show_long(value.value)}"
        case "t":
            return "t:true" if value.value else "t:false"
        case "D":
            scale, unscaled = value.value
            return f"D:{unscaled}e-{scale}"
        case "V":
            return "V:"
    return f"{value.type}:{value.value!r}"


def show_table(pairs: Pairs) -> dict[str, Any]:
    """Return a JSON object in wire order; the second occurrence of a key is shown as `key (2)`."""
    shown: dict[str, Any] = {}
    for key, value in pairs:
        name, count = key, 1
        while name in shown:
            count += 1
            name = f"{key} ({count})"
        shown[name] = show_value(value)
    return shown
