"""The listeners of a broker that waits until it leads: clients of AMQP reach the leader, those of HTTP get 503."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from amqpbroker.clock import SystemClock
from amqpbroker.config import Config
from amqpbroker.server import machine
from amqpbroker.server.forwarding import Forwarding
from amqpbroker.server.http import App, HttpListener
from amqpbroker.server.protocols import AMQP, AMQPS, HTTP, HTTPS, tls_contexts
from amqpbroker.server.timers import Timers
from amqpbroker.server.tls_listener import TlsListener
from amqpbroker.store.database.leadership import Leader, Target

#: Files that the forwarding of a connection keeps open, and files that are kept for other purposes.
_FILES_EACH = 2
_RESERVED_FILES = 64


class Waiting:
    """Serves the bound sockets until `close`, which leaves them open for the broker that leads next."""

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        bound: dict[str, list[socket.socket]],
        leader: Callable[[], Leader | None],
    ) -> None:
        self._leader = leader
        most = (machine.file_limit(raised=True) - _RESERVED_FILES) // _FILES_EACH
        passed_on = {protocol: bound[protocol] for protocol in (AMQP, AMQPS) if protocol in bound}
        self._forwarding = Forwarding(loop, passed_on, self._target, most)
        contexts = tls_contexts(config)
        clock = SystemClock()
        self._timers = Timers(loop, clock)

        def secured(protocol: str, sock: socket.socket, make: Callable[[], asyncio.BaseProtocol]) -> TlsListener:
            timeout_ms = config.ssl_handshake_timeout_ms
            return TlsListener(loop, clock, sock, contexts[protocol].context, timeout_ms, make, lambda count: False)

        self._web = [
            HttpListener(
                loop,
                # HttpListener closes its sockets, and the originals are needed later.
                [sock.dup() for sock in bound[protocol]],
                self._application,
                partial(secured, protocol) if protocol == HTTPS else None,
                bounds=config.bounds,
            )
            for protocol in (HTTP, HTTPS)
            if protocol in bound
        ]

    def start(self) -> None:
        self._forwarding.start()
        for listener in self._web:
            listener.start()

    async def close(self) -> None:
        await self._forwarding.close()
        for listener in self._web:
            await listener.stop()
        self._timers.close()

    def _application(self) -> App:
        from amqpbroker.management.waiting import build_waiting_app

        return build_waiting_app(self._facts)

    def _facts(self) -> dict[str, Any]:
        leader = self._leader()
        return {} if leader is None else {"node": leader.name, "address": leader.address}

    def _target(self) -> Target | None:
        leader = self._leader()
        return leader.target if leader is not None and leader.target.port else None
