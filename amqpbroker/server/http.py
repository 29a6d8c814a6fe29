"""Listeners for HTTP, whose server is only made when the first client connects.

A broker without such clients starts sooner and takes less memory.
"""

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.management.peer_requests import FROM_PEER
from amqpbroker.server.answers import Answers
from amqpbroker.server.handshake_listener import HandshakeListener
from amqpbroker.server.listeners import start_listening
from amqpbroker.server.resting import Resting

if TYPE_CHECKING:
    import uvicorn
    from uvicorn.server import ServerState

#: Makes a TLS listener of a bound socket and of what makes the protocol of a client that is through.
MakeTls = Callable[[socket.socket, Callable[[], asyncio.BaseProtocol]], HandshakeListener]

log = logging.getLogger(__name__)

#: An ASGI application.
App = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]

#: How many connections the kernel completes before they are accepted. As many as RabbitMQ allows for HTTP: a client
#: beyond them tries again only after a second.
BACKLOG = 1024

#: How long an idle connection is kept.
KEEP_ALIVE_S = 60

#: Time limit of the start of the HTTP server for a connection of another broker.
MAKE_S = 30

#: How long requests under way get when the broker stops.
STOP_S = 1


class HttpListener:
    """Bound sockets and their HTTP server. `build()` makes the application once, on a thread; it may import much.

    at_once: the most concurrent requests, None for any number.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: list[socket.socket],
        build: Callable[[], App],
        tls: MakeTls | None = None,
        at_once: int | None = None,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._loop = loop
        self._answers = Answers(loop, at_once, bounds.answers_bytes)
        self._most = bounds.http_connections
        self._sockets = sockets
        self._build = build
        self._tls = tls
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._made = asyncio.Event()
        self._from_peers: set[asyncio.Task[None]] = set()
        self._tls_listeners: list[HandshakeListener] = []
        self._stopped = False

    def start(self) -> None:
        """Listen from now on."""
        for sock in self._sockets:
            start_listening(sock, BACKLOG)
            self._loop.add_reader(sock, self._wake)

    def _wake(self) -> None:
        """The first client is there; it waits in the backlog meanwhile."""
        for sock in self._sockets:
            self._loop.remove_reader(sock)
        self._task = self._loop.create_task(self._serve())

    async def _serve(self) -> None:
        try:
            server = await self._loop.run_in_executor(None, make_server, self._build, self._answers, self._most)
            if self._stopped:
                return
            self._server = server
            self._made.set()
            if self._tls is None:
                await server.serve(self._sockets)
                return
            # uvicorn would neither limit who shakes hands by TLS nor let the time for it be set.
            make: Any = server.config.http_protocol_class
            make = functools.partial(make, server.config, server.server_state, {})
            self._tls_listeners = [self._tls(sock, make) for sock in self._sockets]
            for listener in self._tls_listeners:
                listener.start(BACKLOG)
            await server.serve([])
        except Exception:
            log.exception("the HTTP server failed")

    def serve_peer(self, client: socket.socket, host: str, port: int) -> None:
        """Serve a connection of another broker, without TLS, which sends a request of a client at this address.

        The application finds FROM_PEER in the state of the scope.
        """
        if self._stopped or len(self._from_peers) >= self._most:
            client.close()
            return
        if self._task is None:
            self._wake()
        task = self._loop.create_task(self._serve_peer(client, host, port))
        self._from_peers.add(task)
        task.add_done_callback(self._from_peers.discard)

    async def _serve_peer(self, client: socket.socket, host: str, port: int) -> None:
        try:
            await asyncio.wait_for(self._made.wait(), MAKE_S)
        except (TimeoutError, asyncio.CancelledError):
            client.close()
            raise
        assert self._server is not None
        made: Any = self._server.config.http_protocol_class
        protocol = made(self._server.config, self._server.server_state, {FROM_PEER: True})
        protocol.come_from(host, port)
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, client)
        except OSError as error:
            log.info("a connection of another broker failed: %s", error)

    async def stop(self) -> None:
        """Close, and give requests under way a moment."""
        self._stopped = True
        for task in self._from_peers:
            task.cancel()
        if self._task is None:
            for sock in self._sockets:
                self._loop.remove_reader(sock)
        for listener in self._tls_listeners:
            await listener.close()
        if self._server is not None:
            self._server.should_exit = True
        if self._task is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._task, STOP_S + 1)
        if self._server is None:
            for sock in self._sockets:
                sock.close()


def make_server(build: Callable[[], App], answers: Answers, most: int) -> "uvicorn.Server":
    """Return a server that does not listen yet. most: the most connections at a time."""
    import uvicorn

    from amqpbroker.server.http_protocol import READ_BYTES, HttpProtocol, HttpSocket

    class Server(uvicorn.Server):
        """uvicorn's server without signal handlers: signals are the broker's."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

        def install_signal_handlers(self) -> None:
            """Do nothing. uvicorn before 0.29 has this method in place of `capture_signals`."""

    buffer = memoryview(bytearray(READ_BYTES))
    resting = Resting()

    def connection(
        config: uvicorn.Config,
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.BaseProtocol:
        return HttpSocket(buffer, HttpProtocol(answers, most, resting, config, server_state, app_state, _loop))

    config = uvicorn.Config(
        build(),
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        http=connection,  # type: ignore[arg-type]
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        backlog=BACKLOG,
    )
    config.load()
    return Server(config)
