"""Memory of operations that wait for the disk."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.server.reading import LARGE_READ_BYTES
from tests.simulation.parts import connections, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: Memory of an operation over the bytes of its frames, for each queue: of the shortest publish.
AMPLIFIED = 6
#: Bytes that timers may add beyond it: dead-lettered messages.
TIMERS_BYTES = 1_000_000


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield the excess over the bound.

    Above it each client is paused, after it has added what was read from it at once.
    """
    waiting = process.store.waiting_bytes
    bound = process.broker.config.bounds.unwritten_bytes
    if waiting <= bound:
        return
    copies = AMPLIFIED * max(1, sum(queue.durable for queue in queues(process)))
    read = sum(min(connection.frame_loop.recv_oct, LARGE_READ_BYTES) for connection in connections(process))
    most = bound + TIMERS_BYTES + 2 * read * copies
    if waiting > most:
        yield f"{waiting} bytes wait for the disk, more than {most}"
