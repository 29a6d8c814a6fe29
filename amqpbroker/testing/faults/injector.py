"""The active faults, and their place between the broker's sockets and connections."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import cast

from amqpbroker.amqp.connection import Connection
from amqpbroker.amqp.peer import Peer
from amqpbroker.broker.events.tap import Tap, TappedDestination, TappedVhost, Via
from amqpbroker.message.message import Message
from amqpbroker.server.app import Server
from amqpbroker.server.transport import ClientTransport, Connect, Served
from amqpbroker.testing.faults.connection_faults import ConnectionFaults
from amqpbroker.testing.faults.fault import Fault
from amqpbroker.testing.faults.index import Index
from amqpbroker.testing.faults.line import Line
from amqpbroker.testing.faults.target import Struck, Target
from amqpbroker.testing.hints import nearest

#: Number of faults and strikes that a failing test shows.
SHOWN = 30


class Injector(Tap):
    """The active faults of one broker. They stay active over a restart of the broker.

    Without faults, nothing stands between sockets and connections. All methods are for the loop's thread. target: the
    broker that the faults act on.
    """

    def __init__(self, target: Target | None = None) -> None:
        self.target = target or Target()
        #: Active faults in the order in which they were added.
        self._faults: dict[Fault, None] = {}
        self._index = Index()
        self._count = 0
        self._ordered = 0
        self._server: Server | None = None
        self._direct: Connect | None = None

    # --- changes ------------------------------------------------------------------------------------------------------

    def attach(self, server: Server, restart: Callable[[float], None]) -> None:
        """Act on a broker that is about to start. restart: restarts it after so many seconds."""
        self._server, self._direct = server, None
        self.target.attach(server.broker, restart)
        if self._faults:
            self._stand_between()
        for fault in self._faults:
            fault.begin()

    def detach(self) -> None:
        """Release the references to the broker, which has ended, so that its faults do not keep it alive."""
        self._server = self._direct = None
        self.target.detach()

    def add(self, fault: Fault) -> None:
        """Activate a fault. Raises ValueError if it does not apply to this broker."""
        self._ordered += 1
        fault.activate(self._ordered, self.target)
        self._stand_between()
        fault.begin()
        self._faults[fault] = None
        self._index.add(fault)
        self._notify_lines()

    def remove(self, faults: Iterable[Fault]) -> None:
        """Deactivate the active ones of these faults. Confirms that they held back are sent."""
        gone = dict.fromkeys(sorted([each for each in faults if each in self._faults], key=lambda fault: fault.id))
        for fault in gone:
            del self._faults[fault]
        self._index.remove(gone)
        for fault in gone:
            fault.end()
        if not self._faults:
            self.target.remove_copies()
        if not self._faults and self._server is not None and self._direct is not None:
            self._server.clients.connect, self._direct = self._direct, None
            self._server.broker.untap(self)
        self._notify_lines()

    def _notify_lines(self) -> None:
        for line in self.target.lines.values():
            line.faults_changed()

    # --- connections --------------------------------------------------------------------------------------------------

    def _stand_between(self) -> None:
        server = self._server
        if server is None or self._direct is not None:
            return
        self._direct, server.clients.connect = server.clients.connect, self._connect
        server.broker.tap(self)
        for client in server.clients.there():
            client.interpose(partial(self._before, client))

    def _connect(self, peer: Peer, client: ClientTransport) -> Served:
        assert self._direct is not None
        return self._before(client, self._direct(peer, client))

    def _before(self, client: ClientTransport, served: Served) -> Served:
        if isinstance(served, Line):  # from earlier faults
            return served
        connection = cast(Connection, served)
        if connection.peer.user is not None:  # connections of the broker itself have no line
            return connection
        return self.line(client, connection)

    def line(self, client: ClientTransport, connection: Connection) -> Line:
        """Return a line between a client and its connection."""
        self._count += 1
        line = Line(ConnectionFaults(self._index, self.target), client, connection, self._count)
        self.target.lines[connection.name] = line
        return line

    # --- queries ------------------------------------------------------------------------------------------------------

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The active faults in the order in which they were added."""
        return tuple(self._faults)

    @property
    def active(self) -> list[Fault]:
        """The faults that may still trigger."""
        return [fault for fault in self.faults if not fault.is_spent]

    @property
    def happened(self) -> deque[Struck]:
        """The last strikes, oldest first."""
        return self.target.happened

    def report(self) -> str:
        """Return the text on faults that a failing test shows, empty without faults."""
        active = [f"{fault}{self._hint(fault)}" for fault in self.active]
        more = [f"and {len(active) - SHOWN} others"] if len(active) > SHOWN else []
        parts = [f"active faults: {', '.join([*active[:SHOWN], *more])}"] if active else []
        struck = list(self.happened)
        if struck:
            before = f", the last {SHOWN} times" if len(struck) > SHOWN else ""
            parts.append("\n  ".join([f"faults that triggered{before}:", *map(str, struck[-SHOWN:])]))
        return "\n".join(parts)

    def _hint(self, fault: Fault) -> str:
        """Return the queue or exchange that a fault without a trigger probably meant, in brackets; empty if none."""
        broker = self.target.broker
        if fault.struck or broker is None:
            return ""
        # Lists, because a test may call this on another thread.
        vhosts = list(broker.vhosts.values())
        queues = {name for vhost in vhosts for name in list(vhost.queues)}
        exchanges = {name for vhost in vhosts for name in list(vhost.exchanges)}
        for argument, names in (("queue", queues), ("routing_key", queues), ("exchange", exchanges)):
            given = getattr(fault, argument, None)
            found = None if not given or given in names else nearest(given, names)
            if found is not None:
                return f" (has not triggered; did you mean {argument}={found!r}?)"
        return ""

    # --- events of the broker -----------------------------------------------------------------------------------------

    def published(
        self, vhost: TappedVhost, message: Message, destinations: Sequence[TappedDestination], via: Via
    ) -> None:
        """Ignore it."""

    def delivered(self, vhost: TappedVhost, message: Message, queue: str, redelivered: bool, via: Via) -> None:
        copied = self.target.copy_delivered(message)
        line = self.target.lines.get(via.connection)
        if line is not None and not redelivered and not copied:
            line.faults.delivered(line, vhost, message, queue, via)
