"""Brokers with one database, as nodes."""

from typing import Any

from amqpbroker.broker.cluster import Member
from amqpbroker.config.identity import OWN_NAME


def own_keys(member: Member) -> dict[str, Any]:
    """Return the keys of this broker that a node has besides those of RabbitMQ."""
    return {
        "name": member.name,
        "running": member.running,
        "being_drained": member.drained,
        "led_vhosts": member.led,
        "writes_definitions": member.leader,
        "drained": member.drained,
        "address": member.address,
        "process": member.process,
        "started": member.started_ms,
        "last_seen": member.seen_ms,
        "lag": member.lag_s,
    }


def other_node(member: Member) -> dict[str, Any]:
    """Return another broker than the one that answers the request, which knows little of it."""
    return {"type": "disc", **own_keys(member), OWN_NAME: {"version": member.version}}


def answering_node(member: Member, row: dict[str, Any]) -> dict[str, Any]:
    """Return the broker that answers the request. row: without database."""
    return {**row, **own_keys(member), "running": True}
