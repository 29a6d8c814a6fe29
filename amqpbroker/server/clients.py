"""Client connections: admission limits, protocol handlers and shutdown."""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from amqpbroker.amqp.connection import Connection
from amqpbroker.amqp.peer import Encryption, Peer, encryption
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.users.users import BROKER, User
from amqpbroker.clock import Clock
from amqpbroker.server.reading import Reading
from amqpbroker.server.tick import Tick
from amqpbroker.server.transport import ClientTransport, Connect, Served
from amqpbroker.wire.proxy_header import ProxyHeader

if TYPE_CHECKING:
    from amqpbroker.server.shared_vhosts import RelayedConnections

log = logging.getLogger(__name__)

#: The most event loop iterations until clients with dropped sockets are gone; with TLS it takes two.
_TURNS = 10


class Clients:
    """The clients of one broker. most: so many may be connected at a time.

    connect: what serves each client to come; a test puts something else before it.
    """

    def __init__(self, broker: Broker, clock: Clock, tick: Tick, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self.connect: Connect = self._connection
        #: Relays the connections whose vhosts other brokers lead.
        self.relaying: RelayedConnections | None = None
        self._broker = broker
        self._clock = clock
        self._tick = tick
        self._most = most
        self._reading = Reading(tick, clock)
        #: In the order in which they came.
        self._there: dict[ClientTransport, None] = {}
        self._insiders = itertools.count(1)
        self._refused = False
        self._closed = False
        #: Nobody is waited for any more.
        self._gone: asyncio.Future[None] = loop.create_future()

    def there(self) -> list[ClientTransport]:
        """In the order in which they came."""
        return list(self._there)

    def come(self) -> ClientTransport:
        """Serves a client whose socket is about to be there."""
        return self._serving(self.connect)

    def come_proxied(self, header: ProxyHeader) -> ClientTransport:
        """Serve a client whose addresses its proxy has named. TLS that ends here counts before that of the proxy.

        The client has the addresses of the socket if the proxy does not know its own.
        """

        def connect(peer: Peer, client: ClientTransport) -> Served:
            tls = encryption(header.tls[1], header.tls[0]) if peer.tls is None and header.tls is not None else peer.tls
            if not header.host:
                return self.connect(peer._replace(proxy_host=peer.host, is_nameless=True), client)
            named = peer._replace(
                host=header.host, port=header.port, local_host=header.local_host, local_port=header.local_port,
                tls=tls, proxy_host=peer.host,
            )  # fmt: skip
            return self.connect(named, client)

        return self._serving(connect)

    def come_relayed(self, host: str, port: int, tls: Encryption | None, user: User | None = None) -> ClientTransport:
        """Serve a client at this address, whose connection another broker relays.

        tls: between these two. user: of a connection from within that broker.
        """

        def connect(peer: Peer, client: ClientTransport) -> Served:
            return self.connect(peer._replace(host=host, port=port, tls=tls, user=user, relayed=True), client)

        return self._serving(connect)

    def user_inside(self, name: Sequence[str]) -> User | None:
        """Return the user of a connection from within another broker; None if it is not known here.

        name: empty for that broker itself, as in `PassedOn`.
        """
        if not name:
            return BROKER
        users = self._broker.users
        return users.user(name[0]) if users.has(name[0]) else None

    def come_inside(self, user: User) -> ClientTransport:
        """Serves a connection from within this process. Its name has a number where others have their port."""
        peer = Peer("127.0.0.1", next(self._insiders), "127.0.0.1", 0, user=user)
        return self._serving(lambda _, client: self._connection(peer, client))

    def is_full(self, coming: int = 0) -> bool:
        """Return whether no further client is admitted, beside `coming` ones that are not identified yet."""
        relayed = 0 if self.relaying is None else self.relaying.files
        if len(self._there) + relayed + coming < self._most:
            return False
        if not self._refused:
            log.error("refusing clients: %d are connected, and no more files may be open", len(self._there))
        self._refused = True
        return True

    def close(self) -> None:
        """Nobody may come any more."""
        self._closed = True

    async def drain(self, wait_ms: int) -> None:
        """Tell all that the broker stops, wait so long for them to go, and drop who is still there.

        Relayed connections end at once and without a word, since only their leaders know where their frames end.
        """
        if self.relaying is not None:
            await self.relaying.close()
        if not self._there:
            return
        log.info("stopping: closing %d connections", len(self._there))
        # Otherwise messages that the first clients have would go round all others, and count as delivered to each.
        for client in self.there():
            client.stop_deliveries()
        for client in self.there():
            client.shutdown()
        self._clock.after(wait_ms, self.stop_waiting)
        await self._gone
        for client in self.there():
            client.abort()
        for _ in range(_TURNS):
            if not self._there:
                break
            await asyncio.sleep(0)

    def stop_waiting(self) -> None:
        """Wait for no further client."""
        if not self._gone.done():
            self._gone.set_result(None)

    @property
    def gone(self) -> bool:
        """Return whether nobody is waited for any more: all have gone after `close`, or `stop_waiting` was called."""
        return self._gone.done()

    def _serving(self, connect: Connect) -> ClientTransport:
        return ClientTransport(self._reading, connect, self._clock, self._tick, self._admit, self._remove)

    def _connection(self, peer: Peer, client: ClientTransport) -> Served:
        if self.relaying is None:
            return Connection(self._broker, peer, client.on_dirty)
        # A relayed connection is not relayed again.
        elsewhere = self.relaying.wait if peer.relayed else partial(self.relaying.hand_over, client, peer)
        return Connection(self._broker, peer, client.on_dirty, elsewhere)

    def _admit(self, client: ClientTransport) -> bool:
        if self._closed or self.is_full():
            return False
        self._there[client] = None
        return True

    def _remove(self, client: ClientTransport) -> None:
        self._there.pop(client, None)
        self._refused = False
        if self._closed and not self._there:
            self.stop_waiting()
