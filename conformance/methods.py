"""AMQP 0-9-1 methods and content headers as bytes; ids, argument names and types are read from pamqp.commands."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pamqp import commands

from conformance.errors import MalformedFrameError
from conformance.values import Reader, encode_shortstr, encode_table, show_bytes, show_table

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = 0xCE


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its `name` as in the specification ("queue.declare-ok"), ids and (argument, type) pairs."""

    name: str
    class_id: int
    method_id: int
    arguments: tuple[tuple[str, str], ...]


def _spelled(name: str) -> str:
    """`Queue.DeclareOk` -> `queue.declare-ok`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def _read_methods() -> list[Method]:
    mapping: dict[int, Any] = commands.INDEX_MAPPING
    methods = [
        Method(
            _spelled(frame.name),
            index >> 16,
            index & 0xFFFF,
            tuple((argument, frame.amqp_type(argument)) for argument in frame.attributes()),
        )
        for index, frame in mapping.items()
    ]
    realm = ("realm", "shortstr")
    bits = tuple((name, "bit") for name in ("exclusive", "passive", "active", "write", "read"))
    methods.append(Method("access.request", 30, 10, (realm, *bits)))
    methods.append(Method("access.request-ok", 30, 11, (("ticket", "short"),)))
    return methods


BY_NAME = {method.name: method for method in _read_methods()}
BY_IDS = {(method.class_id, method.method_id): method for method in BY_NAME.values()}
PROPERTIES = tuple(
    (name, commands.Basic.Properties.amqp_type(name), flag) for name, flag in commands.Basic.Properties.flags.items()
)
_NUMBERS = {"octet": ">B", "short": ">H", "long": ">I", "longlong": ">Q", "timestamp": ">Q"}


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """One whole frame."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + bytes([FRAME_END])


def encode_method(name: str, arguments: Mapping[str, Any]) -> bytes:
    """Encode the payload of a method frame; missing arguments are zero, empty or false.

    Raises KeyError for unknown ones.
    """
    method = BY_NAME[name]
    unknown = set(arguments) - {argument for argument, _ in method.arguments}
    if unknown:
        raise KeyError(f"{name} has no argument {sorted(unknown)}")
    data = struct.pack(">HH", method.class_id, method.method_id)
    bits: list[bool] = []
    for argument, kind in method.arguments:
        if kind == "bit":
            bits.append(bool(arguments.get(argument, False)))
            continue
        data += _pack_bits(bits)
        bits = []
        data += _encode(kind, arguments.get(argument))
    return data + _pack_bits(bits)


def _pack_bits(bits: list[bool]) -> bytes:
    return bytes([sum(bit << place for place, bit in enumerate(bits))]) if bits else b""


def _encode(kind: str, value: Any) -> bytes:
    if kind in _NUMBERS:
        return struct.pack(_NUMBERS[kind], value or 0)
    if kind == "shortstr":
        return encode_shortstr(value or b"")
    if kind == "longstr":
        data = value.encode() if isinstance(value, str) else (value or b"")
        return struct.pack(">I", len(data)) + data
    return encode_table(value or {})


def decode_method(payload: bytes) -> tuple[str, dict[str, Any]]:
    """Decode name and arguments of a method frame, the arguments in the form of transcripts."""
    reader = Reader(payload)
    ids = (reader.unpack(">H"), reader.unpack(">H"))
    method = BY_IDS.get(ids)
    if method is None:
        raise MalformedFrameError(f"unknown method {ids}")
    arguments: dict[str, Any] = {}
    bits = place = 0
    for argument, kind in method.arguments:
        if kind == "bit":
            if place == 0:
                bits = reader.unpack(">B")
            arguments[argument] = bool(bits >> place & 1)
            place += 1
            continue
        place = 0
        arguments[argument] = _decode(reader, kind)
    if reader.at != len(payload):
        raise MalformedFrameError(f"{len(payload) - reader.at} bytes too many in {method.name}")
    return method.name, arguments


def _decode(reader: Reader, kind: str) -> Any:
    if kind in _NUMBERS:
        return reader.unpack(_NUMBERS[kind])
    if kind == "shortstr":
        return show_bytes(reader.shortstr())
    if kind == "longstr":
        return show_bytes(reader.longstr())
    return show_table(reader.table())


def encode_header(body_size: int, properties: Mapping[str, Any], class_id: int = 60) -> bytes:
    """Encode the payload of a content header frame. Raises KeyError for an unknown property."""
    unknown = set(properties) - {name for name, _, _ in PROPERTIES}
    if unknown:
        raise KeyError(f"no property {sorted(unknown)}")
    flags, data = 0, b""
    for name, kind, flag in PROPERTIES:
        if name in properties:
            flags |= flag
            data += _encode(kind, properties[name])
    return struct.pack(">HHQH", class_id, 0, body_size, flags) + data


def decode_header(payload: bytes) -> tuple[int, dict[str, Any]]:
    """Decode body size and properties of a content header frame, the properties in the form of transcripts."""
    reader = Reader(payload)
    class_id, weight, body_size = reader.unpack(">H"), reader.unpack(">H"), reader.unpack(">Q")
    flags = reader.unpack(">H")
    if class_id != 60 or weight != 0:
        raise MalformedFrameError(f"content header of class {class_id}, weight {weight}")
    properties = {name: _decode(reader, kind) for name, kind, flag in PROPERTIES if flags & flag}
    if reader.at != len(payload):
        raise MalformedFrameError(f"{len(payload) - reader.at} bytes too many in a content header")
    return body_size, properties
