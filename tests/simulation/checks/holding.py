"""Clients that publish more than the disk accepts: each is paused when it adds to an excessive backlog."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.amqp.connection import Connection
from tests.simulation.parts import connections

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


class Holding:
    """Figures before an iteration."""

    def __init__(self, process: "BrokerProcess") -> None:
        self._process = process
        self._bound = process.broker.config.bounds.unwritten_bytes
        self._waiting = 0
        self._gathering = 0
        self._next_due_ms = 0
        self._received: dict[Connection, int] = {}

    def begin(self) -> None:
        """Record the amount that waits for the disk, and the bytes of each client."""
        process = self._process
        self._received.clear()
        self._waiting, self._gathering = process.store.waiting_bytes, process.store._number
        self._next_due_ms = process.clock.next_due_ms() or 0
        if self._waiting > self._bound:
            for connection in connections(process):
                self._received[connection] = connection.frame_loop.recv_oct

    def check(self) -> Iterator[str]:
        """Yield the client that has added to the backlog, and is not paused.

        Only if nothing else can have added anything: a timer, another client, or frames that had waited.
        """
        process, store = self._process, self._process.store
        senders = [
            connection
            for connection, before in self._received.items()
            if connection.frame_loop.recv_oct > before or connection.status.paused
        ]
        self._received.clear()
        is_alone = len(senders) == 1 and (not self._next_due_ms or self._next_due_ms > process.clock.now_ms())
        if not is_alone or store._number != self._gathering or store.waiting_bytes <= self._waiting:
            return
        status = senders[0].status
        if status.state.open and not status.state.outrun:
            waiting = store.waiting_bytes
            yield f"{senders[0].name} adds to the {waiting} bytes that wait for the disk, and is not held"
