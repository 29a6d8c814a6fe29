"""Answers over HTTP that are not read: beyond the bound, the clients that have waited longest are dropped soon."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.server.answers import HURRIED_WRITE_S, WRITE_S

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: Tolerance for sums of seconds.
CLOSE_S = 1e-6


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each listener that counts unread bytes wrongly, or grants a client too much time."""
    most = process.broker.config.bounds.answers_bytes
    for server in process.http_servers():
        stalled = list(server.answers._stalled.values())
        size = sum(each.size for each in stalled)
        if size != server.answers._waiting_bytes:
            yield f"{server.listener} has {size} unread bytes, counted as {server.answers._waiting_bytes}"
        for index, each in enumerate(stalled, 1):
            hurried = size > most and index < len(stalled)
            if each.due > each.since + (HURRIED_WRITE_S if hurried else WRITE_S) + CLOSE_S:
                yield f"{server.listener} grants a client {each.due - each.since} s, with {size} unread bytes"
            size -= each.size
