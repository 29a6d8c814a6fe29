"""Declaring, inspecting and deleting queues."""

from __future__ import annotations

from conformance.lab import Lab
from conformance.registry import case


@case()
def declare(lab: Lab) -> None:
    """A plain declare, and the same again."""
    ch = lab.channel()
    ch.queue(lab.q())
    ch.queue(lab.q())


@case()
def passive_missing(lab: Lab) -> None:
    """A passive declare of a queue that is not there closes the channel."""
    lab.channel().queue(lab.q(), passive=True)


@case()
def server_named(lab: Lab) -> None:
    """An empty name makes the server choose one."""
    ch = lab.channel()
    name = ch.queue("", exclusive=True).arguments["queue"]
    ch.publish("", name, "hi", headers={"a": 1, "b": [1, "x", {"c": None}]}, delivery_mode=2)
    ch.consume(name)
    ch.deliveries(1)
