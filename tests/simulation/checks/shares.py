"""Limits of the work in one event loop iteration, which prevent long delays."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.amqp.connection import Connection
from amqpbroker.broker.exchanges.held import HeldMessages
from amqpbroker.broker.queues.expiry import BEHIND
from amqpbroker.server.reading import LARGEST_READ_BYTES, LEAST_READ_BYTES, MOST_READ_BYTES, TURN_BYTES
from amqpbroker.server.transport import ClientTransport
from tests.simulation.checks.memory import MESSAGE_BYTES
from tests.simulation.parts import held_messages, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


class Shares:
    """Figures before an iteration."""

    def __init__(self, process: "BrokerProcess") -> None:
        self._process = process
        self._read: dict[ClientTransport, tuple[int, int]] = {}
        self._written: dict[Connection, int] = {}
        self._held: dict[HeldMessages, int] = {}
        self._delayed: dict[str, int] = {}
        #: By queue: messages that may expire at any position, and messages that came.
        self._expiring: dict[str, tuple[int, int]] = {}
        self._disposed: dict[str, int] = {}

    def begin(self) -> None:
        """Record the amounts before the iteration."""
        process = self._process
        clients = process.service.clients.there()
        waiting = sum(client._waits for client in clients)
        share = max(LEAST_READ_BYTES, min(MOST_READ_BYTES, TURN_BYTES // max(waiting, 1)))
        self._read.clear()
        self._written.clear()
        for client in clients:
            connection = client._connection
            if isinstance(connection, Connection):
                size = LARGEST_READ_BYTES if connection.wanted else share if client._waits else MOST_READ_BYTES
                self._read[client] = client.bytes_read, size
                self._written[connection] = _written(connection)
        self._held = {held: held.count for held in held_messages(process)}
        self._delayed = {queue.name: queue.delayed_count for queue in queues(process)}
        self._expiring = {
            queue.name: (queue.expiry.count, queue.ledger.came)
            for queue in queues(process)
            if queue.settings.expires_anywhere
        }
        self._disposed = {name: _disposed(process, name) for name in process.broker.vhosts}

    def check(self) -> Iterator[str]:
        """Yield everything that exceeded its limit since then."""
        process = self._process
        bounds = process.broker.config.bounds
        for client, (before, size) in self._read.items():
            if client.bytes_read - before > size:
                yield f"{client.bytes_read - before} bytes of {client.name} are read in one iteration, of {size}"
        # Deliveries continue after the output was taken; answers stop at their own bound, before and after that.
        most = 2 * (bounds.room_bytes + bounds.unread_bytes + MESSAGE_BYTES)
        for connection, before in self._written.items():
            if _written(connection) - before > most:
                yield f"{_written(connection) - before} bytes are made for {connection.name} in one iteration"
        for held, count in self._held.items():
            if 0 < held.count < count - bounds.releases:
                yield f"an exchange releases {count - held.count} messages in one iteration"
        for queue in queues(process):
            count = self._delayed.get(queue.name, 0)
            if 0 < queue.delayed_count < count - bounds.releases:
                yield f"{queue.name} releases {count - queue.delayed_count} returned messages in one iteration"
            left = queue.expiry.count
            count, came = self._expiring.get(queue.name, (0, 0))
            if 0 < left < count - bounds.expiries - BEHIND * max(0, queue.ledger.came - came):
                yield f"{count - left} messages of {queue.name} expire in one iteration"
        for name, count in self._disposed.items():
            if name in process.broker.vhosts and _disposed(process, name) < count - bounds.deferred_free:
                yield f"{count - _disposed(process, name)} messages of {name} are freed in one iteration"
        # References to disconnected clients are not retained here.
        self._read.clear()
        self._written.clear()
        self._held.clear()


def _written(connection: Connection) -> int:
    return connection.output.send_oct + len(connection.output)


def _disposed(process: "BrokerProcess", vhost: str) -> int:
    """Return the number of messages that wait to be freed."""
    return sum(len(line) for line in process.broker.vhosts[vhost].deferred_free._lines)
