"""Timers for the silence of clients: each open connection with heartbeats that is read has one."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.simulation.parts import connections

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each connection whose client may be silent forever."""
    for connection in connections(process):
        heartbeat, state = connection.heartbeat, connection.status.state
        if not state.open or state.held or heartbeat._on_silence is None:
            continue
        if heartbeat._monitor is None or heartbeat._monitor.callback is None:
            yield f"{connection.name} has heartbeats, and no timer waits for its silence"
