"""Field value types, properties, header order and bodies as they come back to a consumer (2.2)."""

from __future__ import annotations

from typing import Any

from conformance import methods
from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value

TYPES: dict[str, tuple[Any]] = {
    "bool_true": (True,),
    "bool_false": (False,),
    "int8": (Value("b", -5),),
    "int8_min": (Value("b", -128),),
    "uint8": (Value("B", 200),),
    "int16": (Value("s", -300),),
    "uint16": (Value("u", 65535),),
    "int32": (Value("I", -70000),),
    "uint32": (Value("i", 4294967295),),
    "int64": (Value("l", -(2**63)),),
    "int64_capital": (Value("L", 2**63 - 1),),
    "float": (Value("f", 1.5),),
    "double": (Value("d", 0.1),),
    "double_huge": (Value("d", 1e300),),
    "decimal": (Value("D", (2, 314)),),
    "longstr": ("text",),
    "longstr_empty": ("",),
    "longstr_binary": (Value("S", b"\x00\xff\xfe"),),
    "longstr_utf8": ("žluť 🐇",),
    "binary": (Value("x", b"\x00\xff"),),
    "array": ([1, "two", None, True, 2.5],),
    "array_empty": ([],),
    "array_nested": ([[1, [2, []]], {"a": [3]}],),
    "timestamp": (Value("T", 1700000000),),
    "timestamp_zero": (Value("T", 0),),
    "timestamp_large": (Value("T", 2**63 - 1),),
    "table": ({"a": 1, "b": {"c": "d"}},),
    "table_empty": ({},),
    "void": (None,),
}


@family(TYPES)
def header(lab: Lab, value: Any) -> None:
    """One header value of one type through a classic queue."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), headers={"h": value})
    ch.get_when_there(lab.q(), no_ack=True)


@case()
def header_every_type_quorum(lab: Lab) -> None:
    """Header values of every type through a quorum queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.publish("", lab.q(), headers={name: value for name, (value,) in TYPES.items()}, delivery_mode=2)
    ch.get_when_there(lab.q(), no_ack=True)


@case()
def header_every_type_persistent(lab: Lab) -> None:
    """Header values of every type of a persistent message in a durable classic queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True)
    ch.publish("", lab.q(), headers={name: value for name, (value,) in TYPES.items()}, delivery_mode=2)
    ch.get_when_there(lab.q(), no_ack=True)


@family(
    {
        "nan": (b"\x01hf\x7f\xc0\x00\x00",),
        "infinity": (b"\x01hd\x7f\xf0\x00\x00\x00\x00\x00\x00",),
        "bool_2": (b"\x01ht\x02",),
        "timestamp_64_bits": (b"\x01hT\xff\xff\xff\xff\xff\xff\xff\xff",),
        "unknown_type": (b"\x01h?\x00",),
        "key_empty": (b"\x00I\x00\x00\x00\x01",),
        "key_not_utf8": (b"\x01\xffI\x00\x00\x00\x01",),
        "cut_short": (b"\x01hI\x00\x00",),
    }
)
def header_raw(lab: Lab, entries: bytes) -> None:
    """A header table made of these bytes."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.cast("basic.publish", routing_key=lab.q())
    empty = methods.encode_header(1, {"headers": {}})
    payload = empty[:-4] + len(entries).to_bytes(4, "big") + entries
    ch.connection.send_frame(2, ch.number, payload)
    ch.connection.send_frame(3, ch.number, b"m")
    lab.quiet()


@family(
    {
        "classic": (False, "classic"),
        "classic_persistent": (True, "classic"),
        "quorum": (True, "quorum"),
    }
)
def headers_order(lab: Lab, durable: bool, kind: str) -> None:
    """Headers sent in no order, with a nested table in no order."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=durable, arguments={"x-queue-type": kind})
    nested = Value("F", [("z", 1), ("y", 2), ("x", [3])])
    headers = [("m", 1), ("z", nested), ("a", 2), ("B", 3), ("x-own", 4), ("á", 5), ("aa", 6), ("", 7)]
    ch.publish("", lab.q(), headers=headers, delivery_mode=2 if durable else 1)
    ch.get_when_there(lab.q(), no_ack=True)


@family(
    {
        "same_type": ([("k", 1), ("k", 2)],),
        "other_type": ([("k", "s"), ("a", 0), ("k", 2)],),
        "three": ([("k", 3), ("k", 1), ("k", 2)],),
        "nested": ([("t", Value("F", [("k", 1), ("k", 2)]))],),
    }
)
def headers_twice(lab: Lab, headers: list[tuple[str, Any]]) -> None:
    """A header key that occurs more than once."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), headers=headers)
    ch.get_when_there(lab.q(), no_ack=True)


@case()
def headers_many(lab: Lab) -> None:
    """A hundred headers."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), headers={f"h{number}": number for number in range(100)})
    ch.get_when_there(lab.q(), no_ack=True)


@case()
def headers_empty_table(lab: Lab) -> None:
    """An empty header table is not the same as none."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), headers={})
    ch.get_when_there(lab.q(), no_ack=True)


@case()
def headers_larger_than_a_frame(lab: Lab) -> None:
    """Headers that fill a frame of the publisher, for a consumer with small frames."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), headers={"h": "x" * 20000})
    ch.sync()
    lab.channel(lab.connect(frame_max=4096)).get(lab.q(), no_ack=True)


ALL_PROPERTIES: dict[str, Any] = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "headers": {"a": 1},
    "delivery_mode": 2,
    "priority": 5,
    "correlation_id": "corr",
    "reply_to": "answers",
    "expiration": "60000",
    "message_id": "id-1",
    "timestamp": 1700000000,
    "message_type": "kind",
    "user_id": "guest",
    "app_id": "app",
    "cluster_id": "cluster",
}


@family({"classic": ("classic",), "quorum": ("quorum",)})
def properties_all(lab: Lab, kind: str) -> None:
    """Every property at once."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.publish("", lab.q(), **ALL_PROPERTIES)
    ch.get_when_there(lab.q(), no_ack=True)


@family({name: (name, value) for name, value in ALL_PROPERTIES.items() if name != "headers"})
def property_alone(lab: Lab, name: str, value: Any) -> None:
    """One property and no other."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), **{name: value})
    ch.get_when_there(lab.q(), no_ack=True)


@family(
    {
        "delivery_mode_0": ({"delivery_mode": 0},),
        "delivery_mode_1": ({"delivery_mode": 1},),
        "delivery_mode_3": ({"delivery_mode": 3},),
        "delivery_mode_255": ({"delivery_mode": 255},),
        "priority_0": ({"priority": 0},),
        "priority_255": ({"priority": 255},),
        "empty_strings": (
            {"content_type": "", "correlation_id": "", "message_id": "", "message_type": "", "app_id": ""},
        ),
        "cluster_id_empty": ({"cluster_id": ""},),
        "reply_to_empty": ({"reply_to": ""},),
        "timestamp_0": ({"timestamp": 0},),
        "timestamp_64_bits": ({"timestamp": 2**64 - 1},),
        "longest_strings": ({"correlation_id": "c" * 255, "message_id": "m" * 255},),
        "unicode": ({"message_id": "žluť", "app_id": "🐇"},),
        "not_utf8": ({"message_id": b"\xff\xfe"},),
        "content_type_not_utf8": ({"content_type": b"\xff\xfe"},),
    }
)
def property_odd(lab: Lab, properties: dict[str, Any]) -> None:
    """Properties at the edge of what they may hold."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), **properties)
    ch.sync()
    ch.get_when_there(lab.q(), no_ack=True)


@family(
    {
        "nul": (b"\0",),
        "binary": (bytes(range(256)),),
        "utf8": ("žluť 🐇".encode(),),
        "frame": (b"\x01\x00\x01\x00\x00\x00\x00\xce",),
        "300000": (b"abc" * 100000,),
    }
)
def body(lab: Lab, data: bytes) -> None:
    """A body comes back byte for byte."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.publish("", lab.q(), data)
    ch.get_when_there(lab.q(), no_ack=True)


@case()
def body_large_quorum(lab: Lab) -> None:
    """A body of several frames through a quorum queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "quorum"})
    ch.publish("", lab.q(), b"xyz" * 100000, delivery_mode=2)
    ch.get_when_there(lab.q(), no_ack=True)


@case()
def body_large_persistent(lab: Lab) -> None:
    """A persistent body of several frames in a durable classic queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True)
    ch.publish("", lab.q(), b"xyz" * 100000, delivery_mode=2)
    ch.get_when_there(lab.q(), no_ack=True)


@case()
def routing_key_unicode(lab: Lab) -> None:
    """A routing key of UTF-8 text is delivered as it was sent."""
    ch = lab.channel()
    ch.exchange(lab.x(), "fanout")
    ch.queue(lab.q())
    ch.bind(lab.q(), lab.x())
    ch.publish(lab.x(), "žluť.🐇")
    ch.publish(lab.x(), "")
    ch.publish(lab.x(), "k" * 255)
    ch.sync()
    ch.get_all(lab.q())
