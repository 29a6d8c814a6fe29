"""Counters for limits of vhosts and users: their connections and channels."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each count that differs from the actual number."""
    limits = process.broker.limits
    vhosts: Counter[str] = Counter()
    users: Counter[str] = Counter()
    of_users: Counter[str] = Counter()
    for session in process.broker.sessions:
        vhosts[session.vhost.name] += 1
        users[session.user.name] += 1
        of_users[session.user.name] += len(session.channels)
    for name, counted, there in (
        ("connections by vhost", limits._connections_of_vhosts, vhosts),
        ("connections by user", limits._connections_of_users, users),
        ("channels by user", limits._channels_of_users, +of_users),
    ):
        if dict(counted) != dict(there):
            yield f"{name} are {dict(there)}, counted as {dict(counted)}"
    if limits._channels != of_users.total():
        yield f"{of_users.total()} channels are open, counted as {limits._channels}"
