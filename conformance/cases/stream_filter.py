"""Streams: filters. Each message is a chunk of its own, because RabbitMQ filters whole chunks."""

from __future__ import annotations

from typing import Any

from conformance.cases.queue_arguments import EVERY_TYPE
from conformance.cases.stream import fill, read, stream, until
from conformance.channel import Channel
from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value

HEADER = "x-stream-filter-value"
#: Bodies and filter values of messages; None: a message without a value.
VALUES: dict[str, Any] = {
    "0": "apple",
    "1": "banana",
    "2": None,
    "3": "cherry",
    "4": "apple",
    "5": "Apple",
    "6": "app",
    "7": "",
    "8": "žluť",
}


def publish(ch: Channel, queue: str, body: str, value: Any = None) -> None:
    """Publish a message with a filter value, and wait for its confirm; without one if it is None."""
    headers = {} if value is None else {"headers": {HEADER: value}}
    ch.publish_confirmed("", queue, body, **headers)


def filled(lab: Lab, **arguments: Any) -> Channel:
    """Return a confirming channel and fill a stream with messages with and without values."""
    ch = stream(lab, **arguments)
    for body, value in VALUES.items():
        publish(ch, lab.q(), body, value)
    return ch


FILTERS: dict[str, tuple[Any, str | None]] = {
    "one": ("apple", "apple"),
    "other": ("cherry", "cherry"),
    "prefix": ("app", "app"),
    "capital": ("Apple", "Apple"),
    "empty_text": ("", ""),
    "utf_8": ("žluť", "žluť"),
    "several": (["apple", "cherry"], "apple"),
    "several_other_order": (["cherry", "apple"], "apple"),
    "array_of_one": (["banana"], "banana"),
    "array_with_duplicates": (["banana", "banana"], "banana"),
    "array_with_unknown": (["banana", "nobody"], "banana"),
    "array_with_integer": (["banana", 5], "banana"),
    "array_with_void": ([None, "banana"], "banana"),
    "array_with_table": (["banana", {"a": "apple"}], "banana"),
    "array_with_array": (["banana", ["apple"]], "banana"),
    "array_with_binary": (["banana", Value("x", b"apple")], "banana"),
}


@family(FILTERS)
def filtered(lab: Lab, wanted: Any, last: str | None) -> None:
    """Only messages with a wanted value are delivered; their offsets are those of the stream."""
    ch = filled(lab)
    reader = read(lab, offset="first", filter=wanted)
    publish(ch, lab.q(), "end", last)
    until(reader, "end")


@case()
def filtered_by_an_unknown_value(lab: Lab) -> None:
    """Nothing is delivered if no message has the value."""
    filled(lab)
    read(lab, offset="first", filter="nobody")
    lab.quiet()


@family({name: (value,) for name, value in EVERY_TYPE.items() if name not in ("text", "empty", "array")})
def filter_of_type(lab: Lab, value: Any) -> None:
    """Filters of every wire type."""
    ch = stream(lab)
    publish(ch, lab.q(), "0", "5")
    publish(ch, lab.q(), "1", "abc")
    publish(ch, lab.q(), "2")
    reader = read(lab, offset="first", filter=value)
    if reader.connection.is_open(reader.number):
        publish(ch, lab.q(), "3", "5")
        lab.quiet()


@family(
    {
        "empty": ([],),
        "of_integers": ([1, 2],),
        "of_binary": ([Value("x", b"apple")],),
        "of_arrays": ([["apple"]],),
    }
)
def filter_array_without_text(lab: Lab, value: list[Any]) -> None:
    """Arrays in which no long string is."""
    ch = filled(lab)
    reader = read(lab, offset="first", filter=value, ch=lab.channel(lab.connect()))
    if reader.connection.is_open(reader.number):
        publish(ch, lab.q(), "end", "apple")
        lab.quiet()


UNFILTERED = ("bool", "int8", "int32", "zero", "double", "void", "text", "empty", "binary", "table", "array")


@family({"false": (False,), **{name: (EVERY_TYPE[name],) for name in UNFILTERED}})
def match_unfiltered(lab: Lab, value: Any) -> None:
    """Values of x-stream-match-unfiltered, which adds messages without a value."""
    ch = filled(lab)
    reader = read(lab, offset="first", filter="apple", unfiltered=value)
    publish(ch, lab.q(), "end", "apple")
    until(reader, "end")


@family({"true": (True,), "false": (False,)})
def match_unfiltered_alone(lab: Lab, value: bool) -> None:
    """Without a filter everything is delivered."""
    ch = filled(lab)
    reader = read(lab, offset="first", unfiltered=value)
    publish(ch, lab.q(), "end")
    until(reader, "end")


@case()
def match_unfiltered_with_an_unknown_value(lab: Lab) -> None:
    """A filter that nothing matches, with the messages without a value."""
    ch = filled(lab)
    reader = read(lab, offset="first", filter="nobody", unfiltered=True)
    publish(ch, lab.q(), "end")
    until(reader, "end")


@family(
    {
        "text": ("abc",),
        "empty": ("",),
        "number_as_text": ("5",),
        "255": ("v" * 255,),
        "256": ("v" * 256,),
        "4096": ("v" * 4096,),
        "comma": ("abc,5",),
        "spaces": (" abc ",),
        "line_break": ("a\nb",),
    }
)
def value(lab: Lab, value: Any) -> None:
    """Filter values: which filters find them."""
    ch = stream(lab)
    publish(ch, lab.q(), "0", value)
    publish(ch, lab.q(), "1", "5")
    publish(ch, lab.q(), "2", "abc")
    publish(ch, lab.q(), "3")
    for tag, arguments in {
        "all": {},
        "same": {"filter": value},
        "five": {"filter": "5"},
        "abc": {"filter": "abc"},
        "unfiltered": {"filter": "nobody", "unfiltered": True},
    }.items():
        read(lab, tag=tag, offset="first", **arguments)
        lab.quiet()


#: Filter values that crash RabbitMQ's channel.
CRASHING: dict[str, Any] = {
    **{name: value for name, value in EVERY_TYPE.items() if name not in ("text", "empty", "number_as_text", "void")},
    "void": Value("V"),
    "4097": "v" * 4097,
    "not_utf_8": Value("S", b"\xff\xfe"),
    "nul": "\0",
    "text_with_nul": "abc\0",
}


@family({name: (value,) for name, value in CRASHING.items()})
def value_that_is_no_text(lab: Lab, value: Any) -> None:
    """Filter values of other types, and texts that are too long or not valid: is the message stored?"""
    ch = stream(lab)
    other = lab.channel(lab.connect())
    reader = read(lab, ch=lab.channel(other.connection))
    publish(ch, lab.q(), "0", value)
    other.confirm()
    publish(other, lab.q(), "end")
    until(reader, "end")


@case()
def value_named_otherwise(lab: Lab) -> None:
    """Names of headers are compared exactly."""
    ch = stream(lab)
    for name in ("X-Stream-Filter-Value", "x-stream-filter", "filter-value"):
        ch.publish_confirmed("", lab.q(), name, headers={name: "apple"})
    publish(ch, lab.q(), "end", "apple")
    until(read(lab, offset="first", filter="apple"), "end")


@family({"absent": ({},), "next": ({"offset": "next"},), "zero": ({"offset": 0},), "two": ({"offset": 2},)})
def offset(lab: Lab, arguments: dict[str, Any]) -> None:
    """Filters apply from the offset on."""
    ch = filled(lab)
    reader = read(lab, filter="apple", **arguments)
    for body, value in VALUES.items():
        publish(ch, lab.q(), "again " + body, value)
    publish(ch, lab.q(), "end", "apple")
    until(reader, "end")


@family({"first": ("first",), "next": ("next",)})
def credit(lab: Lab, offset: str) -> None:
    """Messages that are filtered out take no credit."""
    ch = stream(lab)
    reader = None
    if offset == "next":
        reader = read(lab, 1, filter="apple")
    for number in range(12):
        publish(ch, lab.q(), str(number), "apple" if number % 4 == 3 else "banana")
    reader = reader or read(lab, 1, filter="apple", offset=offset)
    for tag in (1, 2, 3):
        reader.deliveries(1)
        reader.ack(tag)
    lab.quiet()


@case()
def several_consumers(lab: Lab) -> None:
    """Each consumer has its own filter."""
    ch = stream(lab)
    readers = {
        "apple": read(lab, tag="apple", filter="apple"),
        "banana": read(lab, tag="banana", filter="banana"),
        "both": read(lab, tag="both", filter=["apple", "banana"]),
        "unfiltered": read(lab, tag="unfiltered", filter="nobody", unfiltered=True),
        "all": read(lab, tag="all"),
    }
    for body, value in VALUES.items():
        publish(ch, lab.q(), body, value)
    for tag, count in {"apple": 2, "banana": 1, "both": 3, "unfiltered": 1, "all": 9}.items():
        readers[tag].deliveries(count)
    lab.quiet()


@family({"16": (16,), "64": (64,), "255": (255,)})
def filter_size(lab: Lab, size: int) -> None:
    """The size of the filter is not visible in the deliveries."""
    ch = filled(lab, stream_filter_size_bytes=size)
    publish(ch, lab.q(), "end", "cherry")
    until(read(lab, offset="first", filter="cherry"), "end")


@case()
def without_values(lab: Lab) -> None:
    """Messages without a value do not match a filter."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    read(lab, offset="first", filter="apple")
    lab.quiet()


@case()
def filter_of_a_dead_letter(lab: Lab) -> None:
    """A dead letter keeps its filter value."""
    ch = stream(lab)
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": lab.q(), "x-max-length": 0}
    ch.queue(lab.q("work"), arguments=dead)
    reader = read(lab, filter="apple")
    for body, value in (("0", "banana"), ("1", "apple")):
        publish(ch, lab.q("work"), body, value)
        lab.wait_ready(lab.q("work"), 0)
    reader.deliveries(1)
    lab.quiet()


@case()
def filter_through_an_exchange(lab: Lab) -> None:
    """The header is delivered by other queues, too, and filters nothing there."""
    ch = stream(lab)
    ch.exchange(lab.x(), "fanout")
    ch.queue(lab.q("classic"))
    for short in ("q", "classic"):
        ch.bind(lab.q(short), lab.x())
    ch.publish_confirmed(lab.x(), "", "0", headers={HEADER: "apple"})
    ch.publish_confirmed(lab.x(), "", "1", headers={HEADER: "banana"})
    read(lab, offset="first", filter="banana").deliveries(1)


@case()
def filter_twice(lab: Lab) -> None:
    """The argument is there twice."""
    filled(lab)
    reader = lab.channel()
    reader.qos(100)
    pairs: Any = [("x-stream-offset", "first"), ("x-stream-filter", "banana"), ("x-stream-filter", "cherry")]
    reader.consume(lab.q(), "a", arguments=pairs)
    lab.quiet()


@case()
def filter_elsewhere(lab: Lab) -> None:
    """A filter as an argument of the stream is unknown there, and does nothing."""
    ch = stream(lab, stream_filter="apple")
    publish(ch, lab.q(), "0", "banana")
    read(lab, offset="first").deliveries(1)
