"""Streams: operations and consumers that they refuse."""

from __future__ import annotations

from typing import Any

from conformance.cases.queue_arguments import EVERY_TYPE, short
from conformance.cases.stream import fill, read, stream
from conformance.lab import Lab
from conformance.registry import case, family


@family(
    {
        "empty": (0, {}),
        "full": (1, {}),
        "no_ack": (1, {"no_ack": True}),
    }
)
def get(lab: Lab, count: int, flags: dict[str, bool]) -> None:
    """basic.get is refused."""
    ch = stream(lab)
    fill(ch, lab.q(), count)
    ch.get(lab.q(), **flags)


@family({"empty": (0, {}), "full": (1, {}), "nowait": (1, {"nowait": True})})
def purge(lab: Lab, count: int, flags: dict[str, bool]) -> None:
    """queue.purge is refused."""
    ch = stream(lab)
    fill(ch, lab.q(), count)
    if ch.purge(lab.q(), **flags).name != "connection.close":
        ch.closed()


@case()
def refused_operations_beside_a_consumer(lab: Lab) -> None:
    """A refused operation closes its own connection only."""
    ch = stream(lab)
    reader = read(lab, ch=lab.channel(lab.connect()))
    lab.channel(lab.connect()).get(lab.q())
    lab.channel(lab.connect()).purge(lab.q())
    fill(ch, lab.q(), 1)
    reader.deliveries(1)


@family(
    {
        "prefetch_none": ([], {}, {}),
        "prefetch_zero": ([(0, False)], {}, {}),
        "prefetch_zero_again": ([(5, False), (0, False)], {}, {}),
        "prefetch_none_no_ack": ([], {"no_ack": True}, {}),
        "prefetch_none_priority": ([], {}, {"x-priority": 1}),
        "prefetch_none_bad_offset": ([], {}, {"x-stream-offset": "1x"}),
        "prefetch_global": ([(5, True)], {}, {}),
        "prefetch_global_no_ack": ([(5, True)], {"no_ack": True}, {}),
        "prefetch_both": ([(5, False), (5, True)], {}, {}),
        "prefetch_both_no_ack": ([(5, False), (5, True)], {"no_ack": True}, {}),
        "prefetch_both_bad_offset": ([(5, False), (5, True)], {}, {"x-stream-offset": "1x"}),
        "prefetch_global_zero": ([(5, False), (5, True), (0, True)], {}, {}),
        "no_ack": ([(5, False)], {"no_ack": True}, {}),
        "no_ack_exclusive": ([(5, False)], {"no_ack": True, "exclusive": True}, {}),
        "no_ack_nowait": ([(5, False)], {"no_ack": True, "nowait": True}, {}),
        "no_ack_priority": ([(5, False)], {"no_ack": True}, {"x-priority": 1}),
        "no_ack_bad_offset": ([(5, False)], {"no_ack": True}, {"x-stream-offset": "1x"}),
        "priority_bad_offset": ([(5, False)], {}, {"x-priority": 1, "x-stream-offset": "1x"}),
        "unknown": ([(5, False)], {}, {"x-my-own": 1}),
        "cancel_on_ha_failover": ([(5, False)], {}, {"x-cancel-on-ha-failover": True}),
        "no_local": ([(5, False)], {"no_local": True}, {}),
        "exclusive": ([(5, False)], {"exclusive": True}, {}),
        "nowait": ([(5, False)], {"nowait": True}, {}),
        "prefetch_most": ([(65535, False)], {}, {}),
    }
)
def consume(lab: Lab, qos: list[tuple[int, bool]], flags: dict[str, bool], arguments: dict[str, Any]) -> None:
    """Conditions of a stream's consumer."""
    publisher = stream(lab)
    ch = lab.channel(lab.connect())
    for count, whole_channel in qos:
        ch.qos(count, whole_channel=whole_channel)
    ch.consume(lab.q(), "a", arguments=arguments, **flags)
    if flags.get("no_ack") and flags.get("nowait"):
        ch.closed()
    if ch.connection.is_open(ch.number):
        ch.sync()
        fill(publisher, lab.q(), 1)
        ch.deliveries(1)


@case()
def consume_with_a_priority_of_every_type(lab: Lab) -> None:
    """A stream refuses x-priority, whatever its value."""
    stream(lab)
    for value in EVERY_TYPE.values():
        ch = lab.channel()
        ch.qos(5)
        ch.consume(lab.q(), "a", arguments={"x-priority": value})


@family(
    {
        f"{kind}_{short(argument)}": (kind, argument, value)
        for kind in ("classic", "quorum")
        for argument, value in {
            "x-stream-offset": "first",
            "x-stream-filter": "a",
            "x-stream-match-unfiltered": True,
        }.items()
    }
)
def consumer_argument_elsewhere(lab: Lab, kind: str, argument: str, value: Any) -> None:
    """Consumer arguments of streams are refused by other types of queue."""
    ch = lab.channel()
    ch.queue(lab.q(), durable=True, arguments={"x-queue-type": kind})
    ch.qos(5)
    ch.consume(lab.q(), "a", arguments={argument: value})


@case()
def consumer_tags(lab: Lab) -> None:
    """The server chooses a tag, and a tag in use closes the connection."""
    stream(lab)
    ch = lab.channel()
    ch.qos(5)
    tag = ch.consume(lab.q()).arguments["consumer_tag"]
    lab.observe("length of the tag", len(tag))
    ch.consume(lab.q(), "a")
    ch.consume(lab.q(), "a")
