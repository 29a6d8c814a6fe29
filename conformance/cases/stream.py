"""Streams: declaration, redeclaration, deletion, and the operations that they refuse."""

from __future__ import annotations

from typing import Any

from conformance.cases.queue_arguments import EVERY_TYPE, short
from conformance.channel import Channel
from conformance.client import DEFAULT_CAPABILITIES
from conformance.decoder import Event
from conformance.lab import Lab
from conformance.registry import case, family
from conformance.values import Value

STREAM = {"x-queue-type": "stream"}


def stream(lab: Lab, name: str = "q", **arguments: Any) -> Channel:
    """Return a confirming channel that has declared a stream; keywords are arguments without their `x-`.

    The stream is hidden: RabbitMQ refuses to get its messages, and its count is as late as all statistics.
    """
    ch = lab.channel()
    more = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
    ch.queue(lab.q(name), durable=True, arguments=STREAM | more)
    lab.hide(lab.q(name))
    ch.confirm()
    return ch


def fill(ch: Channel, queue: str, count: int, start: int = 0, **properties: Any) -> None:
    """Publish numbers, each confirmed before the next, so that each is a chunk of its own."""
    for number in range(start, start + count):
        ch.publish_confirmed("", queue, str(number), **properties)


def read(
    lab: Lab, prefetch: int = 100, tag: str = "a", *, queue: str = "q", ch: Channel | None = None, **arguments: Any
) -> Channel:
    """Return a channel with a consumer; keywords are its arguments, `offset` is x-stream-offset.

    RabbitMQ sends consume-ok before it decides where reading begins, so another round trip follows.
    """
    ch = ch or lab.channel()
    names = {"offset": "x-stream-offset", "filter": "x-stream-filter", "unfiltered": "x-stream-match-unfiltered"}
    ch.qos(prefetch)
    reply = ch.consume(lab.q(queue), tag, arguments={names[key]: value for key, value in arguments.items()})
    if reply.name == "basic.consume-ok":
        ch.sync()
    return ch


def until(ch: Channel, body: str) -> None:
    """Wait for deliveries until one has this body."""
    while (event := ch.deliveries(1)[0]).name == "basic.deliver" and event.body != body.encode():
        pass


def declare(lab: Lab, arguments: dict[str, Any], name: str = "q", **flags: Any) -> Event:
    """Declare a queue on a channel of its own, since the broker may close that."""
    reply = lab.channel().queue(lab.q(name), arguments=arguments, **({"durable": True} | flags))
    lab.hide(lab.q(name))
    return reply


@family(
    {
        "durable": ({"durable": True},),
        "transient": ({},),
        "exclusive": ({"durable": True, "exclusive": True},),
        "auto_delete": ({"durable": True, "auto_delete": True},),
        "transient_exclusive": ({"exclusive": True},),
        "transient_auto_delete": ({"auto_delete": True},),
        "exclusive_auto_delete": ({"durable": True, "exclusive": True, "auto_delete": True},),
        "all": ({"exclusive": True, "auto_delete": True},),
        "nowait": ({"durable": True, "nowait": True},),
        "passive": ({"durable": True, "passive": True},),
    }
)
def declared(lab: Lab, flags: dict[str, bool]) -> None:
    """Properties of a stream."""
    ch = lab.channel()
    ch.queue(lab.q(), arguments=STREAM, **flags)
    lab.hide(lab.q())
    if flags.get("nowait"):
        ch.sync()


@family(
    {
        "capital": ("Stream",),
        "module": ("rabbit_stream_queue",),
        "spaces": (" stream",),
        "binary": (Value("x", b"stream"),),
    }
)
def type_name(lab: Lab, name: Any) -> None:
    """Other names of the type."""
    lab.channel().queue(lab.q(), durable=True, arguments={"x-queue-type": name})
    lab.hide(lab.q())


@family(
    {
        "plain": ({"durable": True}, {}),
        "transient": ({}, {}),
        "exclusive": ({"exclusive": True}, {}),
        "unsupported": ({"durable": True}, {"x-message-ttl": 5}),
        "max_age_bad": ({"durable": True}, {"x-max-age": "1x"}),
    }
)
def server_named(lab: Lab, flags: dict[str, bool], arguments: dict[str, Any]) -> None:
    """Declaration without a name, and other reasons to refuse it."""
    lab.channel().queue("", arguments=STREAM | arguments, **flags)


@case()
def reserved_name(lab: Lab) -> None:
    """A name that is reserved for the server."""
    lab.channel().queue("amq.stream", durable=True, arguments=STREAM)


#: Arguments of streams, with a valid value of each.
FULL: dict[str, Any] = {
    "x-max-length-bytes": 5000,
    "x-max-age": "1h",
    "x-stream-max-segment-size-bytes": 5000,
    "x-stream-filter-size-bytes": 32,
    "x-initial-cluster-size": 1,
    "x-queue-leader-locator": "balanced",
}
EACH = {short(argument): (argument,) for argument in FULL}
#: Values that crash RabbitMQ's channel have cases of their own.
CRASHING = ("text", "empty")


def _types(argument: str) -> dict[str, Any]:
    without = CRASHING if argument == "x-max-age" else ()
    return {name: value for name, value in EVERY_TYPE.items() if name not in without}


@family(EACH)
def declared_with_every_type(lab: Lab, argument: str) -> None:
    """New stream with one argument of every wire type, with and without other arguments."""
    ch = lab.channel()
    for value in _types(argument).values():
        for others in ({}, {"x-my-own": 1}, {"x-message-ttl": 5}, {"x-queue-leader-locator": "wrong"}):
            declare(lab, STREAM | others | {argument: value})
            ch.delete(lab.q())


@family(EACH)
def redeclared_with_every_type(lab: Lab, argument: str) -> None:
    """Stream declared again with one argument of every wire type."""
    declare(lab, STREAM | FULL, "full")
    declare(lab, STREAM, "bare")
    for value in _types(argument).values():
        declare(lab, STREAM | FULL | {argument: value}, "full")
        declare(lab, STREAM | {argument: value}, "bare")
    declare(lab, STREAM | {name: value for name, value in FULL.items() if name != argument}, "full")


@case()
def all_arguments(lab: Lab) -> None:
    """Every argument at once, declared twice."""
    declare(lab, STREAM | FULL)
    declare(lab, STREAM | FULL)
    declare(lab, STREAM)


@family(
    {
        "years": ("1Y",),
        "months": ("2M",),
        "days": ("3D",),
        "hours": ("4h",),
        "minutes": ("5m",),
        "seconds": ("6s",),
        "leading_zero": ("007s",),
        "large": ("99999999Y",),
        "zero": ("0s",),
        "zero_years": ("0Y",),
        "no_unit": ("5",),
        "other_unit": ("1x",),
        "lower_case_years": ("1y",),
        "lower_case_days": ("1d",),
        "upper_case_hours": ("1H",),
        "upper_case_seconds": ("1S",),
        "weeks": ("1w",),
        "two_units": ("1h30m",),
        "long_unit": ("1hour",),
        "space_between": ("1 h",),
        "space_after": ("1h ",),
        "fraction": ("1.5h",),
        "binary": (Value("x", b"1h"),),
        "space_before": (" 1h",),
        "negative": ("-1h",),
        "plus": ("+1h",),
        "unit_only": ("h",),
        "text": ("abc",),
        "empty": ("",),
    }
)
def max_age(lab: Lab, value: Any) -> None:
    """Values of x-max-age."""
    declare(lab, STREAM | {"x-max-age": value})


@family(
    {
        "max_length_bytes_large": ("x-max-length-bytes", Value("l", 2**63 - 1)),
        "max_length_bytes_negative": ("x-max-length-bytes", Value("l", -(2**63))),
        "segment_size_most": ("x-stream-max-segment-size-bytes", Value("l", 3_000_000_000)),
        "segment_size_too_large": ("x-stream-max-segment-size-bytes", Value("l", 3_000_000_001)),
        "segment_size_32_bits": ("x-stream-max-segment-size-bytes", Value("i", 3_000_000_001)),
        "segment_size_negative": ("x-stream-max-segment-size-bytes", -1),
        "segment_size_zero": ("x-stream-max-segment-size-bytes", 0),
        "filter_size_15": ("x-stream-filter-size-bytes", 15),
        "filter_size_16": ("x-stream-filter-size-bytes", 16),
        "filter_size_16_as_int8": ("x-stream-filter-size-bytes", Value("b", 16)),
        "filter_size_255": ("x-stream-filter-size-bytes", 255),
        "filter_size_255_as_uint8": ("x-stream-filter-size-bytes", Value("B", 255)),
        "filter_size_255_as_int64": ("x-stream-filter-size-bytes", Value("l", 255)),
        "filter_size_256": ("x-stream-filter-size-bytes", 256),
        "filter_size_text": ("x-stream-filter-size-bytes", "16"),
        "cluster_size_1": ("x-initial-cluster-size", 1),
        "cluster_size_3": ("x-initial-cluster-size", 3),
        "cluster_size_zero": ("x-initial-cluster-size", 0),
        "locator_client_local": ("x-queue-leader-locator", "client-local"),
        "locator_balanced": ("x-queue-leader-locator", "balanced"),
        "locator_random": ("x-queue-leader-locator", "random"),
        "locator_least_leaders": ("x-queue-leader-locator", "least-leaders"),
        "locator_other": ("x-queue-leader-locator", "min-masters"),
        "locator_capital": ("x-queue-leader-locator", "Balanced"),
    }
)
def value(lab: Lab, argument: str, value: Any) -> None:
    """Values at the limits of an argument."""
    declare(lab, STREAM | {argument: value})


#: Arguments that streams refuse or ignore, with a value that is valid for other types of queue.
OTHERS: dict[str, Any] = {
    "x-expires": 60000,
    "x-message-ttl": 60000,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "k",
    "x-dead-letter-strategy": "at-most-once",
    "x-max-length": 5,
    "x-max-priority": 5,
    "x-overflow": "drop-head",
    "x-delivery-limit": 5,
    "x-single-active-consumer": True,
    "x-single-active-consumer-false": False,
    "x-queue-mode": "lazy",
    "x-queue-version": 2,
    "x-queue-master-locator": "min-masters",
    "x-max-in-memory-length": 5,
    "x-max-in-memory-bytes": 5,
    "x-quorum-initial-group-size": 1,
    "x-quorum-target-group-size": 1,
    "x-consumer-timeout": 60000,
    "x-ha-policy": "all",
    "x-stream-offset": "first",
    "x-my-own": 1,
    "my-own": {"a": [1]},
}


@family({short(argument): (argument.removesuffix("-false"), it) for argument, it in OTHERS.items()})
def other_argument(lab: Lab, argument: str, value: Any) -> None:
    """Argument of another type of queue, or of none, when a stream is declared and when it is declared again."""
    arguments = {"x-dead-letter-exchange": ""} if argument.startswith("x-dead-letter") else {}
    declare(lab, STREAM | {argument: value}, "new")
    declare(lab, STREAM | arguments | {argument: value}, "more")
    declare(lab, STREAM | {argument: value, "x-max-age": "1x"}, "bad")
    declare(lab, STREAM, "there")
    declare(lab, STREAM | {argument: value}, "there")


@case()
def other_argument_of_a_wrong_type(lab: Lab) -> None:
    """Arguments that streams refuse, each with a value that no queue accepts."""
    for argument in OTHERS:
        declare(lab, STREAM | {argument: Value("f", 1.5)}, short(argument))


@family(
    {
        "unsupported_twice": ({"x-message-ttl": 5, "x-expires": 5},),
        "unsupported_twice_other_order": ({"x-expires": 5, "x-message-ttl": 5},),
        "max_age_and_filter_size": ({"x-max-age": "1x", "x-stream-filter-size-bytes": 5},),
        "filter_size_and_max_age": ({"x-stream-filter-size-bytes": 5, "x-max-age": "1x"},),
        "segment_size_and_filter_size": (
            {"x-stream-max-segment-size-bytes": Value("l", 3_000_000_001), "x-stream-filter-size-bytes": 5},
        ),
        "unsupported_and_filter_size": ({"x-message-ttl": 5, "x-stream-filter-size-bytes": 5},),
        "unsupported_and_segment_size": (
            {"x-message-ttl": 5, "x-stream-max-segment-size-bytes": Value("l", 3_000_000_001)},
        ),
        "locator_and_max_length_bytes": ({"x-queue-leader-locator": "no", "x-max-length-bytes": -1},),
        "max_age_and_segment_size": ({"x-max-age": "1x", "x-stream-max-segment-size-bytes": -1},),
    }
)
def two_bad(lab: Lab, arguments: dict[str, Any]) -> None:
    """Two arguments that are refused."""
    declare(lab, STREAM | arguments)


@family(
    {
        "unsupported": ({"x-message-ttl": 5},),
        "max_age": ({"x-max-age": "1x"},),
        "filter_size": ({"x-stream-filter-size-bytes": 5},),
        "segment_size": ({"x-stream-max-segment-size-bytes": Value("l", 3_000_000_001)},),
        "locator": ({"x-queue-leader-locator": "no"},),
    }
)
def bad_flags_and_argument(lab: Lab, arguments: dict[str, Any]) -> None:
    """A property and an argument that are refused."""
    declare(lab, STREAM | arguments, durable=False)
    declare(lab, STREAM | arguments, auto_delete=True)


EQUIVALENCE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "same": (STREAM, STREAM),
    "max_length_bytes_added": (STREAM, STREAM | {"x-max-length-bytes": 5}),
    "max_length_bytes_missing": (STREAM | {"x-max-length-bytes": 5}, STREAM),
    "max_length_bytes_other": (STREAM | {"x-max-length-bytes": 5}, STREAM | {"x-max-length-bytes": 6}),
    "max_length_bytes_int64": (
        STREAM | {"x-max-length-bytes": 5},
        STREAM | {"x-max-length-bytes": Value("l", 5)},
    ),
    "max_length_bytes_int64_first": (
        STREAM | {"x-max-length-bytes": Value("l", 5)},
        STREAM | {"x-max-length-bytes": Value("b", 5)},
    ),
    "max_age_added": (STREAM, STREAM | {"x-max-age": "1h"}),
    "max_age_missing": (STREAM | {"x-max-age": "1h"}, STREAM),
    "max_age_other": (STREAM | {"x-max-age": "1h"}, STREAM | {"x-max-age": "2h"}),
    "max_age_same_time": (STREAM | {"x-max-age": "1h"}, STREAM | {"x-max-age": "60m"}),
    "max_age_bad": (STREAM, STREAM | {"x-max-age": "1x"}),
    "segment_size_added": (STREAM, STREAM | {"x-stream-max-segment-size-bytes": 5000}),
    "segment_size_default_added": (STREAM, STREAM | {"x-stream-max-segment-size-bytes": 500_000_000}),
    "segment_size_missing": (STREAM | {"x-stream-max-segment-size-bytes": 5000}, STREAM),
    "segment_size_other": (
        STREAM | {"x-stream-max-segment-size-bytes": 5000},
        STREAM | {"x-stream-max-segment-size-bytes": 6000},
    ),
    "segment_size_too_large": (STREAM, STREAM | {"x-stream-max-segment-size-bytes": Value("l", 3_000_000_001)}),
    "filter_size_added": (STREAM, STREAM | {"x-stream-filter-size-bytes": 32}),
    "filter_size_missing": (STREAM | {"x-stream-filter-size-bytes": 32}, STREAM),
    "filter_size_other": (STREAM | {"x-stream-filter-size-bytes": 32}, STREAM | {"x-stream-filter-size-bytes": 64}),
    "filter_size_bad": (STREAM, STREAM | {"x-stream-filter-size-bytes": 5}),
    "cluster_size_added": (STREAM, STREAM | {"x-initial-cluster-size": 1}),
    "cluster_size_other": (STREAM | {"x-initial-cluster-size": 1}, STREAM | {"x-initial-cluster-size": 3}),
    "locator_added": (STREAM, STREAM | {"x-queue-leader-locator": "balanced"}),
    "locator_other": (
        STREAM | {"x-queue-leader-locator": "balanced"},
        STREAM | {"x-queue-leader-locator": "client-local"},
    ),
    "unsupported_added": (STREAM, STREAM | {"x-message-ttl": 5}),
    "unsupported_and_max_age_added": (STREAM, STREAM | {"x-message-ttl": 5, "x-max-age": "1h"}),
    "unknown_added": (STREAM, STREAM | {"x-my-own": 1}),
    "unknown_missing": (STREAM | {"x-my-own": 1}, STREAM),
    "type_missing": (STREAM, {}),
    "type_classic": (STREAM, {"x-queue-type": "classic"}),
    "type_quorum": (STREAM, {"x-queue-type": "quorum"}),
    "type_unknown": (STREAM, {"x-queue-type": "other"}),
    "type_void": (STREAM, {"x-queue-type": None}),
    "classic_first": ({"x-queue-type": "classic"}, STREAM),
    "default_first": ({}, STREAM),
    "quorum_first": ({"x-queue-type": "quorum"}, STREAM),
    "classic_first_max_age": ({}, STREAM | {"x-max-age": "1h"}),
    "classic_max_age_added": ({}, {"x-max-age": "1h"}),
}


@family(EQUIVALENCE)
def equivalence(lab: Lab, first: dict[str, Any], second: dict[str, Any]) -> None:
    """A second declaration whose arguments differ from the first."""
    declare(lab, first)
    declare(lab, second)


@family(
    {
        "transient": ({"durable": False}, {}),
        "exclusive": ({"exclusive": True}, {}),
        "auto_delete": ({"auto_delete": True}, {}),
        "transient_and_argument": ({"durable": False}, {"x-max-age": "1h"}),
        "exclusive_of_another_type": ({"exclusive": True}, {"x-queue-type": "classic"}),
        "transient_of_another_type": ({"durable": False}, {"x-queue-type": "classic"}),
        "transient_without_type": ({"durable": False}, {"x-queue-type": None}),
        "another_type_and_length": ({}, {"x-queue-type": "classic", "x-max-length-bytes": 5}),
        "another_type_and_age": ({}, {"x-queue-type": "classic", "x-max-age": "1h"}),
        "another_type_and_segments": ({}, {"x-queue-type": "quorum", "x-stream-max-segment-size-bytes": 5000}),
        "passive": ({"passive": True}, {}),
        "passive_with_other_arguments": ({"passive": True, "durable": False}, {"x-max-age": "1h"}),
        "nowait": ({"nowait": True}, {}),
    }
)
def redeclared(lab: Lab, flags: dict[str, bool], arguments: dict[str, Any]) -> None:
    """Stream declared again with other properties."""
    declare(lab, STREAM)
    ch = lab.channel()
    ch.queue(lab.q(), arguments=STREAM | arguments, **({"durable": True} | flags))
    if flags.get("nowait"):
        ch.sync()


@case()
def redeclared_by_another_connection(lab: Lab) -> None:
    """Streams belong to no connection."""
    stream(lab)
    lab.channel(lab.connect()).queue(lab.q(), durable=True, arguments=STREAM)


@case()
def counts(lab: Lab) -> None:
    """Declare-ok never counts the consumers of a stream; its messages it counts, settled or not."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    reader = read(lab, offset="first")
    reader.deliveries(3)
    reader.ack(2, multiple=True)
    lab.wait_ready(lab.q(), 3)
    ch.queue(lab.q(), passive=True)
    ch.queue(lab.q(), durable=True, arguments=STREAM)


# Deletion


@family(
    {
        "empty": (0, {}),
        "full": (3, {}),
        "if_empty": (3, {"if_empty": True}),
        "if_unused": (3, {"if_unused": True}),
        "if_empty_and_unused": (3, {"if_empty": True, "if_unused": True}),
        "empty_if_empty": (0, {"if_empty": True}),
        "nowait": (3, {"nowait": True}),
    }
)
def delete(lab: Lab, count: int, flags: dict[str, bool]) -> None:
    """Deletion ignores if-empty, and counts no messages."""
    ch = stream(lab)
    fill(ch, lab.q(), count)
    if count:
        lab.wait_ready(lab.q(), count)
    ch.delete(lab.q(), **flags)
    ch.queue(lab.q(), passive=True)


@family({"plain": ({},), "if_unused": ({"if_unused": True},), "nowait": ({"nowait": True},)})
def delete_with_consumers(lab: Lab, flags: dict[str, bool]) -> None:
    """Consumers are cancelled, also by a deletion that is to happen only without consumers."""
    ch = stream(lab)
    fill(ch, lab.q(), 2)
    readers = [read(lab, 1, "a", offset="first"), read(lab, 1, "b", offset="first")]
    for reader in readers:
        reader.deliveries(1)
    ch.delete(lab.q(), **flags)
    for reader in readers:
        reader.wait("basic.cancel")
    ch.queue(lab.q(), passive=True)


@case()
def delete_without_cancel_capability(lab: Lab) -> None:
    """A client that does not know basic.cancel from the server is sent nothing."""
    ch = stream(lab)
    fill(ch, lab.q(), 1)
    capabilities = {**DEFAULT_CAPABILITIES, "consumer_cancel_notify": False}
    reader = read(lab, ch=lab.channel(lab.connect(capabilities=capabilities)), offset="first")
    reader.deliveries(1)
    ch.delete(lab.q())
    lab.quiet()
    reader.ack(1)
    reader.sync()


@family({"ack": ("ack",), "nack": ("nack",), "recover": ("recover",)})
def delete_before_settling(lab: Lab, how: str) -> None:
    """Deliveries of a deleted stream are settled without an error."""
    ch = stream(lab)
    fill(ch, lab.q(), 2)
    reader = read(lab, 2, offset="first")
    reader.deliveries(2)
    ch.delete(lab.q())
    reader.wait("basic.cancel")
    match how:
        case "ack":
            reader.ack(2, multiple=True)
        case "nack":
            reader.nack(2, multiple=True)
        case _:
            reader.recover()
    reader.sync()


@case()
def delete_and_declare_again(lab: Lab) -> None:
    """A stream declared anew begins at offset 0, without the old messages."""
    ch = stream(lab)
    fill(ch, lab.q(), 3)
    ch.delete(lab.q())
    ch.queue(lab.q(), durable=True, arguments=STREAM)
    reader = read(lab, offset="first")
    fill(ch, lab.q(), 1, start=10)
    reader.deliveries(1)


@case()
def delete_and_declare_classic(lab: Lab) -> None:
    """The name of a deleted stream is free for another type of queue."""
    ch = stream(lab)
    fill(ch, lab.q(), 1)
    ch.delete(lab.q())
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": "classic"})
    fill(ch, lab.q(), 1)
    ch.get_when_there(lab.q())


@case()
def deleted_with_its_bindings(lab: Lab) -> None:
    """Bindings go with the stream."""
    ch = stream(lab)
    ch.exchange(lab.x(), "topic")
    ch.bind(lab.q(), lab.x(), "#")
    ch.delete(lab.q())
    ch.publish(lab.x(), "k", mandatory=True)
    ch.wait("basic.return")
    ch.exchange_delete(lab.x(), if_unused=True)


@case()
def bind_and_unbind(lab: Lab) -> None:
    """Bindings are those of any queue."""
    ch = stream(lab)
    ch.exchange(lab.x(), "topic")
    reader = read(lab)
    ch.bind(lab.q(), lab.x(), "a.*", arguments={"n": 1})
    ch.publish_confirmed(lab.x(), "a.b", "1")
    ch.unbind(lab.q(), lab.x(), "a.*", arguments={"n": 1})
    ch.publish_confirmed(lab.x(), "a.c", "2")
    reader.deliveries(1)
