"""Listening sockets of a broker with a database: for its clients, and for other brokers."""

import asyncio
import logging
import secrets
import socket
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from amqpbroker.broker.node import Listening
from amqpbroker.broker.users.users import is_loopback
from amqpbroker.cluster.leadership.leadership import Target
from amqpbroker.cluster.peers.peer_port import PassedOn, PeerPort, Serve
from amqpbroker.config import Config, Listener
from amqpbroker.config.accepted import LISTENER
from amqpbroker.server.clients import Clients
from amqpbroker.server.http import HttpListener
from amqpbroker.server.listeners import listen, shown
from amqpbroker.server.protocols import PEER, RELAYED, bind
from amqpbroker.server.shared_vhosts import SharedListeners
from amqpbroker.store.database.texts import hosts_of

log = logging.getLogger(__name__)

#: Warning about the address by which other brokers reach this one.
ONLY_HERE: Final = (
    "other brokers reach this one at %s, which is this machine only, and the database is on another one; if brokers run"
    " on several machines, set store.address=HOST:PORT to an address that they reach"
)

#: Hosts of listeners on all interfaces.
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on


def _is_here(host: str) -> bool:
    """Return whether a host, or the directory of a Unix socket, is certainly on this machine."""
    return host == "localhost" or host.startswith("/") or is_loopback(host)


class DatabaseListeners(SharedListeners):
    """Listening sockets of a broker with a database.

    bound: those of its own clients, by protocol. target: for other brokers.
    """

    def __init__(self, config: Config) -> None:
        """Raises ListenError."""
        host, port = LISTENER.parse(config.store_address) if config.store_address else ("", None)
        if not host:
            host = (*config.listeners, *config.tls_listeners)[0].host
        #: Handshakes in progress; the event loop alone does not keep a task.
        self._connecting: set[asyncio.Task[object]] = set()
        with ExitStack() as opened:
            self.bound = bind(config)
            for sockets in self.bound.values():
                for sock in sockets:
                    opened.enter_context(sock)
            flag = "--set store.address=HOST:PORT"
            self._peers = listen([Listener(host, port or 0)], flag, flag)[0]
            opened.enter_context(self._peers)
            opened.pop_all()
        reached = socket.getfqdn() if host in ANYWHERE else host
        first = self.listening[0]
        #: Where clients reach the first listener, or a proxy on its machine. Other brokers know this one by its node
        #: name and this address.
        self.address = shown(reached if first.host in ANYWHERE or _is_here(first.host) else first.host, first.port)
        self.target = Target(reached, self._peers.getsockname()[1], secrets.token_hex(32))
        # A machine may resolve its own name to 127.0.1.1.
        only_here = _is_here(reached) or is_loopback(self._peers.getsockname()[0])
        if only_here and not all(map(_is_here, hosts_of(config.store_url))):
            log.warning(ONLY_HERE, shown(*self.target[:2]))

    @property
    def listening(self) -> list[Listening]:
        """The sockets of clients."""
        return [
            Listening(protocol, *sock.getsockname()[:2]) for protocol, sockets in self.bound.items() for sock in sockets
        ]

    def serve(
        self,
        loop: asyncio.AbstractEventLoop,
        clients: Clients,
        web: Sequence[HttpListener],
    ) -> PeerPort:
        """Serve the connections of other brokers, until `close` of what is returned.

        web: listeners of the management API, none if it is disabled.
        """

        def relayed(client: socket.socket, passed_on: PassedOn) -> None:
            user = None
            if passed_on.inside is not None:
                user = clients.user_inside(passed_on.inside)
                if user is None:
                    # This broker may follow the definitions later.
                    client.close()
                    return
            come = partial(clients.come_relayed, passed_on.host, passed_on.port, passed_on.tls, user)
            self._start(loop, loop.connect_accepted_socket(come, client))

        def from_peer(client: socket.socket, passed_on: PassedOn) -> None:
            web[0].serve_peer(client, passed_on.host, passed_on.port)

        served: dict[str, Serve] = {RELAYED: relayed}
        if web:
            served[PEER] = from_peer
        listener = PeerPort(loop, self._peers, self.target.secret, served)
        listener.start()
        return listener

    def _start(self, loop: asyncio.AbstractEventLoop, connecting: Coroutine[Any, Any, object]) -> None:
        """Run a handshake, whose failure is the client's."""

        def done(task: "asyncio.Task[object]") -> None:
            self._connecting.discard(task)
            if not task.cancelled() and task.exception() is not None:
                log.info("a connection that another broker passed on failed: %s", task.exception())

        task = loop.create_task(connecting)
        self._connecting.add(task)
        task.add_done_callback(done)
