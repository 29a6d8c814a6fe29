"""Listening sockets of a broker with a database: for its clients, and for the connections that others pass on."""

import asyncio
import logging
import secrets
import socket
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from amqpbroker.broker.node import Listening
from amqpbroker.config import Config, Listener
from amqpbroker.config.accepted import LISTENER
from amqpbroker.server.clients import Clients
from amqpbroker.server.forwarding import ForwardedListener, PassedOn, Serve
from amqpbroker.server.http import HttpListener
from amqpbroker.server.listeners import listen, shown
from amqpbroker.server.protocols import AMQP, AMQPS, HTTP, HTTPS, RELAYED, bind
from amqpbroker.server.tls import TlsContexts
from amqpbroker.store.database.leadership import Target

log = logging.getLogger(__name__)

#: Hosts of listeners on all interfaces.
ANYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on


class DatabaseListeners:
    """Listening sockets of a broker with a database, which outlive the time when it waits.

    bound: those of its own clients, by protocol. target: for the connections that other brokers pass on.
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
            self._forwarded = listen([Listener(host, port or 0)], "--set store.address=HOST:PORT")[0]
            opened.enter_context(self._forwarded)
            self._opened = opened.pop_all()
        reached = socket.getfqdn() if host in ANYWHERE else host
        first = self.listening[0]
        #: Where clients reach the first listener.
        self.address = shown(reached if first.host in ANYWHERE else first.host, first.port)
        self.target = Target(reached, self._forwarded.getsockname()[1], secrets.token_hex(32))

    @property
    def listening(self) -> list[Listening]:
        """The sockets of clients."""
        return [
            Listening(protocol, *sock.getsockname()[:2]) for protocol, sockets in self.bound.items() for sock in sockets
        ]

    def serve(
        self,
        loop: asyncio.AbstractEventLoop,
        config: Config,
        clients: Clients,
        tls: Mapping[str, TlsContexts],
        web: Mapping[str, HttpListener],
    ) -> ForwardedListener:
        """Serve the connections that other brokers pass on, until `close` of what is returned. web: by protocol."""

        def plain(client: socket.socket, passed_on: PassedOn) -> None:
            come = partial(clients.come_for, passed_on.host, passed_on.port)
            self._start(loop, loop.connect_accepted_socket(come, client))

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

        def secured(client: socket.socket, passed_on: PassedOn) -> None:
            if len(self._connecting) >= config.bounds.handshakes or clients.is_full(len(self._connecting) + 1):
                client.close()
                return
            made = loop.connect_accepted_socket(
                partial(clients.come_for, passed_on.host, passed_on.port),
                client,
                ssl=tls[AMQPS].context,
                ssl_handshake_timeout=config.ssl_handshake_timeout_ms / 1000,
            )
            self._start(loop, made)

        def by_http(client: socket.socket, passed_on: PassedOn) -> None:
            protocol, host, port, process, *_ = passed_on
            context = tls[protocol].context if protocol in tls else None
            web[protocol].serve_passed_on(client, host, port, context, process)

        served: dict[str, Serve] = {AMQP: plain, RELAYED: relayed}
        if AMQPS in tls:
            served[AMQPS] = secured
        served |= {protocol: by_http for protocol in (HTTP, HTTPS) if protocol in web}
        listener = ForwardedListener(loop, self._forwarded, self.target.secret, served)
        listener.start()
        return listener

    def close(self) -> None:
        """Close the sockets of a broker that never served."""
        self._opened.close()

    def _start(self, loop: asyncio.AbstractEventLoop, connecting: Coroutine[Any, Any, object]) -> None:
        """Run a handshake, whose failure is the client's."""

        def done(task: "asyncio.Task[object]") -> None:
            self._connecting.discard(task)
            if not task.cancelled() and task.exception() is not None:
                log.info("a connection that another broker passed on failed: %s", task.exception())

        task = loop.create_task(connecting)
        self._connecting.add(task)
        task.add_done_callback(done)
