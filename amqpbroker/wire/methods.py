"""Methods as bytes: ids, field names and field types come from pamqp's generated commands.

Only the methods off the hot path are decoded and encoded here; publish, deliver and ack are read and written in place
by `amqp`.
"""

import struct
from typing import Any, NamedTuple

from pamqp import base, commands

from amqpbroker.wire.values import MalformedError, decode_table, encode_table

_INTEGERS = {"octet": (1, ">B"), "short": (2, ">H"), "long": (4, ">I"), "longlong": (8, ">Q"), "timestamp": (8, ">Q")}


class NotUtf8Error(MalformedError):
    """A shortstr whose bytes are no UTF-8."""


class Method(NamedTuple):
    """One AMQP method: its ids, its name such as "queue.declare-ok", and its fields as (name, type) in wire order."""

    class_id: int
    method_id: int
    name: str
    fields: tuple[tuple[str, str], ...]

    @property
    def ids(self) -> int:
        return self.class_id << 16 | self.method_id


def _dashed(name: str) -> str:
    return "".join("-" + c.lower() if c.isupper() and i else c.lower() for i, c in enumerate(name))


def _from_pamqp(command: type[base.Frame]) -> Method:
    class_name, method_name = command.name.split(".")
    fields = tuple((name, command.amqp_type(name)) for name in command.attributes())
    return Method(command.index >> 16, command.index & 0xFFFF, f"{class_name.lower()}.{_dashed(method_name)}", fields)


#: class id << 16 | method id -> Method. access.request (class 30, RabbitMQ's amqp0-9-1.extended.xml) is the one that
#: pamqp does not know: it left the specification, but old clients still send it.
METHODS: dict[int, Method] = {index: _from_pamqp(command) for index, command in commands.INDEX_MAPPING.items()}
for _method in (
    Method(
        30,
        10,
        "access.request",
        (
            ("realm", "shortstr"),
            ("exclusive", "bit"),
            ("passive", "bit"),
            ("active", "bit"),
            ("write", "bit"),
            ("read", "bit"),
        ),
    ),
    Method(30, 11, "access.request-ok", (("ticket", "short"),)),
):
    METHODS.setdefault(_method.ids, _method)

BY_NAME: dict[str, Method] = {method.name: method for method in METHODS.values()}

CLASS_IDS = frozenset(method.class_id for method in METHODS.values())


def decode(method: Method, payload: bytes, any_bytes: bool = False) -> dict[str, Any]:
    """Return the method's arguments from a method frame's payload (which starts with the two ids).

    shortstr comes as str, longstr as bytes, table as Table, bit as bool, the integers as int. any_bytes: take a
    shortstr that is not UTF-8 as surrogates. A client needs that for routing keys, in which a broker accepts any bytes;
    from clients it demands UTF-8 in everything that this function decodes.

    Raises MalformedError if the bytes do not fit the fields, NotUtf8Error for a shortstr that is not UTF-8.
    """
    values: dict[str, Any] = {}
    offset = 4
    bit = 0
    for name, kind in method.fields:
        if kind == "bit":
            if bit == 0:
                offset += 1
            if offset > len(payload):
                raise MalformedError(f"{method.name}: ends within {name}")
            values[name] = bool(payload[offset - 1] >> bit & 1)
            bit = (bit + 1) % 8
            continue
        bit = 0
        values[name], offset = _decode_argument(method, name, kind, payload, offset, any_bytes)
    if offset != len(payload):
        raise MalformedError(f"{method.name}: bytes left behind its fields")
    return values


def _decode_argument(
    method: Method, name: str, kind: str, payload: bytes, offset: int, any_bytes: bool
) -> tuple[Any, int]:
    left = len(payload) - offset
    if kind in _INTEGERS:
        size, layout = _INTEGERS[kind]
        if left < size:
            raise MalformedError(f"{method.name}: ends within {name}")
        return struct.unpack_from(layout, payload, offset)[0], offset + size
    if kind == "shortstr":
        stop = offset + 1 + payload[offset] if left else -1
        if not offset < stop <= len(payload):
            raise MalformedError(f"{method.name}: ends within {name}")
        try:
            return payload[offset + 1 : stop].decode("utf-8", "surrogateescape" if any_bytes else "strict"), stop
        except UnicodeDecodeError:
            raise NotUtf8Error(f"{method.name}: {name} is not UTF-8") from None
    stop = offset + 4 + int.from_bytes(payload[offset : offset + 4], "big")
    if left < 4 or stop > len(payload):
        raise MalformedError(f"{method.name}: ends within {name}")
    if kind == "table":
        return decode_table(payload, offset + 4, stop), stop
    return payload[offset + 4 : stop], stop


def encode(name: str, **arguments: Any) -> bytes:
    """The payload of a method frame: `encode("queue.declare-ok", queue="q", message_count=0, consumer_count=0)`.

    An argument not given is empty, 0 or false. shortstr as str or bytes (cut at 255 octets, on a character boundary),
    longstr as bytes or str, table as Table.
    """
    method = BY_NAME[name]
    parts = [struct.pack(">HH", method.class_id, method.method_id)]
    bits = count = 0
    for field, kind in method.fields:
        value = arguments.pop(field, None)
        if kind == "bit":
            bits |= bool(value) << count
            count += 1
            continue
        if count:
            parts.append(bytes((bits,)))
            bits = count = 0
        parts.append(_encode_argument(kind, value))
    if count:
        parts.append(bytes((bits,)))
    if arguments:
        raise TypeError(f"{name} has no argument {', '.join(arguments)}")
    return b"".join(parts)


def _encode_argument(kind: str, value: Any) -> bytes:
    if kind == "shortstr":
        return shortstr(value or b"")
    if kind == "table":
        return encode_table(value or {})
    if kind == "longstr":
        raw = value.encode() if isinstance(value, str) else bytes(value or b"")
        return len(raw).to_bytes(4, "big") + raw
    return struct.pack(_INTEGERS[kind][1], value or 0)


def shortstr(value: str | bytes) -> bytes:
    """A shortstr; what is longer than 255 octets is cut, without splitting a character."""
    raw = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if len(raw) > 255:
        raw = raw[:255].decode("utf-8", "ignore").encode()
    return bytes((len(raw),)) + raw
