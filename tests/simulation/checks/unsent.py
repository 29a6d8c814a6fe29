"""Output of connections: everything that can be written is scheduled at the end of an event loop iteration."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.amqp.connection import Connection

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each client with output, or with frames to handle, that is not scheduled."""
    for client in process.service.clients.there():
        connection = client._connection
        if not isinstance(connection, Connection) or client._transport is None:
            continue
        output = connection.output
        if len(output) and output.writable and not output.dirty:
            yield f"{client.name} has {len(output)} bytes of output that are not scheduled to be written"
        if output.dirty and not client.marked:
            yield f"{client.name} has output, and is not called at the end of the iteration"
        if client.marked and not process.service.tick.pending:
            yield f"{client.name} waits for the end of an iteration without being registered"
        status = connection.status
        if status.suspended:
            # Messages of the unfinished method are settled, or expire, in the next iterations.
            if process.broker.clock.next_due_ms() is None:
                yield f"{client.name} waits for a method that no timer finishes"
        elif status.paused and not status.state.held and output.writable and not output.dirty:
            yield f"{client.name} is not read, and nothing that it waits for happens"
        if status.state.outrun and connection not in process.broker.storage.awaiting_sync:
            yield f"{client.name} waits for the disk, and is not notified"
