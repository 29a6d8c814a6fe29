"""Memory of one client: its output, unsent data, and input that is not handled yet."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.amqp.connection import Connection
from amqpbroker.server.reading import LARGEST_READ_BYTES
from amqpbroker.server.transport import WRITE_HIGH_BYTES

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: Tolerance of one message: frames of the largest message in any workload, and some heads.
MESSAGE_BYTES = 300_000
#: Largest frame that a client may send.
FRAME_BYTES = 131_072 + 8


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each client that uses more memory than allowed."""
    bounds = process.broker.config.bounds
    most = bounds.room_bytes + bounds.unread_bytes + MESSAGE_BYTES
    for client in process.service.clients.there():
        connection = client._connection
        if not isinstance(connection, Connection):
            continue
        output = connection.output
        if len(output) > most:
            yield f"{client.name} has {len(output)} bytes of output"
        if client.unwritten > WRITE_HIGH_BYTES + most:
            yield f"{client.name} has {client.unwritten} bytes that the kernel has not taken"
        if connection.frame_loop._waiting_size > FRAME_BYTES + LARGEST_READ_BYTES:
            yield f"{client.name} has sent {connection.frame_loop._waiting_size} bytes that are not handled"
