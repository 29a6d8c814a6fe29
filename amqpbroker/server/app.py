"""One broker behind its listeners, from start to an orderly end."""

import asyncio
import logging
import os
import platform
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from amqpbroker import __version__
from amqpbroker.broker.node import Listening as Listening  # cli looks no further down than here
from amqpbroker.broker.queues.lines.page_out import PageOut
from amqpbroker.clock import Clock, SystemClock, TravelClock
from amqpbroker.compiled import how_it_runs
from amqpbroker.config import Config
from amqpbroker.patterns import PatternError as PatternError
from amqpbroker.server import collector, data, machine
from amqpbroker.server.allocator import retain_freed_memory, trim
from amqpbroker.server.control_file import ControlFile
from amqpbroker.server.definitions import (
    UnusableDefinitionsError,
    import_definitions,
)
from amqpbroker.server.handshake_listener import HandshakeListener
from amqpbroker.server.http import App, HttpListener
from amqpbroker.server.listeners import shown, start_listening
from amqpbroker.server.node import ServerNode
from amqpbroker.server.protocols import AMQP, AMQPS, HTTP, HTTPS, METRICS, METRICS_TLS, bind, tls_contexts, url_of
from amqpbroker.server.resources import DiskMonitor, MemoryMonitor
from amqpbroker.server.service import Service
from amqpbroker.server.shovels import LazyShovels
from amqpbroker.server.signals import RELOAD, STOP, Signals
from amqpbroker.store.committer import ThreadCommitter
from amqpbroker.store.log import Log
from amqpbroker.wire.proxy_header import ProxyHeader

if TYPE_CHECKING:
    from amqpbroker.management.resource import Resource
    from amqpbroker.server.shared_vhosts import OpenSharedStore, SharedListeners, SharedVhosts

log = logging.getLogger(__name__)

#: How many connections the kernel completes before they are accepted: thousands of clients may come at once.
BACKLOG = 4096

#: How long clients get to answer connection.close and to fetch what was written to them when the broker stops.
STOP_MS = 3000

#: How often is looked whether a server that is to start again is stopped instead.
LOOK_S = 0.05

#: File descriptors kept back from clients.
RESERVED_FILES = 64

#: How much memory is thought to be there where the system does not say (vm_memory_monitor.erl).
UNKNOWN_MEMORY_BYTES = 1 << 30

#: Called with the listeners once clients can connect.
OnReady = Callable[[list[Listening]], None]

#: Makes what serves a broker.
MakeServer = Callable[[Config, asyncio.AbstractEventLoop, data.Data, Mapping[str, str]], "Server"]


def run(
    config: Config,
    on_ready: OnReady,
    settings: Mapping[str, str],
    make: MakeServer | None = None,
    open_shared: "OpenSharedStore | None" = None,
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status, with which the process is to end.

    settings: those in force, to be shown to administrators. make: makes the server, None for a plain one.
    open_shared: opens the database of the configuration; needed only for `store.url`.

    Raises UnusableDefinitionsError, ListenError, StoreError, TlsError, PatternError (one of the settings).
    """
    log.info(
        "amqpbroker %s (%s) on Python %s, compatible with RabbitMQ %s",
        *(__version__, how_it_runs(), platform.python_version(), config.compat.version),
    )
    collector.run_rarely()  # before the store is read, which creates millions of objects
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(config, on_ready, settings, make or make_server, open_shared))


def make_server(
    config: Config, loop: asyncio.AbstractEventLoop, storage: data.Data, settings: Mapping[str, str]
) -> "Server":
    return Server(config, SystemClock(), loop, storage, settings)


async def _serve(
    config: Config,
    on_ready: OnReady,
    settings: Mapping[str, str],
    make: MakeServer,
    open_shared: "OpenSharedStore | None",
) -> int:
    loop = asyncio.get_running_loop()
    process = secrets.token_hex(8)
    following: Config | None = config
    status = 0
    with closing(Signals(loop)) as signals:
        while following is not None:
            database = None
            if following.store_url:
                assert open_shared is not None, "a database needs `cluster`"
                database = open_shared(following, process)
            if database is not None:
                signals.handle(STOP, database.stop)
                if not await database.begin():
                    break
            current, following = following, None
            with data.opened(current) if database is None else database.opened() as storage:
                server = make(current, loop, storage, settings)
                signals.handle(STOP, server.stop)
                # A broker of somebody at a terminal, without certificates, ends as usual when that is closed.
                if server.has_tls or not os.isatty(0):
                    signals.handle(RELOAD, server.reload)
                try:
                    status = await server.serve(on_ready, None if database is None else database.listeners)
                    following = await server.successor()
                finally:
                    if following is None:
                        # The process is about to end: a further signal must not change how.
                        signals.ignore(STOP)
    return status


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop if it is installed. The default event loop of Windows has no `add_reader`, hence another one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.SelectorEventLoop
    return uvloop.new_event_loop


def _ignore(error: OSError | None) -> None:
    pass


class Server:
    """A broker, its listeners and its clients' sockets.

    embedded: the process is somebody else's, so nothing of it is watched or changed. stop_ms: how long clients get when
    the broker stops.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        storage: data.Data,
        settings: Mapping[str, str],
        embedded: bool = False,
        stop_ms: int = STOP_MS,
    ) -> None:
        self._config = config
        # A test that moves the broker's clock must not move socket timeouts, resource checks and rate sampling.
        self._clock = SystemClock() if isinstance(clock, TravelClock) else clock
        self._loop = loop
        self._embedded = embedded
        self._stop_ms = stop_ms
        self._tls = tls_contexts(config)
        self._max_files = machine.file_limit(raised=not embedded)
        most_clients = self._max_files - RESERVED_FILES
        self._service = Service(
            config, clock, self._clock, loop, storage, self._committer, most_clients, self._on_failure
        )
        self.broker = self._service.broker
        self.timers = self._service.timers
        self.tick = self._service.tick
        self.clients = self._service.clients
        # Told with `set` when memory is short and when it is no more.
        self._shortage = PageOut(self._clock, storage.spill, self.broker.queues, trim)
        self._directory = storage.directory
        self._share = storage.share
        #: None until `serve`, and if this broker shares no vhosts.
        self._shared: SharedVhosts | None = None
        #: Told of a store that cannot write, and with None when it can.
        self._on_stuck: Callable[[OSError | None], None] = _ignore
        self._node = self._watch_resources(storage.watched, storage.database is not None)
        self._node.settings.update(settings)
        self._node.database = storage.database
        self._update_certificates()
        self._handshakes: list[HandshakeListener] = []
        self._web: list[HttpListener] = []
        #: With what another is to take its place, and when that may start (as the loop's clock says).
        self._following: tuple[Config, float] | None = None
        #: Returns further resources of the management API.
        self.more_resources: Callable[[], Iterable[Resource]] = tuple
        self._shovels = LazyShovels(self.broker, self._clock, loop, self.clients.come_inside)
        self._stopping: asyncio.Future[None] = loop.create_future()
        self._status = 0

    def _watch_resources(self, watched: Iterable[Path], in_database: bool) -> ServerNode:
        """Make publishers wait while memory, or disk space for storage, is short. Returns the node's facts."""
        config, clock, alarms = self._config, self._clock, self.broker.alarms
        total_bytes = config.total_memory_bytes or machine.own_memory_bytes() or UNKNOWN_MEMORY_BYTES
        memory_bytes = min(config.vm_memory_high_watermark.of(total_bytes), total_bytes)
        log.info("memory high watermark set to %d bytes of %d", memory_bytes, total_bytes)
        if not self._embedded:
            memory = MemoryMonitor(clock, alarms, memory_bytes, machine.resident_bytes, trim)
            memory.on_short = self._shortage.set
            memory.check()
        disk_bytes = config.disk_free_limit.of(total_bytes)
        for directory in watched:
            log.info("disk free limit set to %d bytes", disk_bytes)
            disk = DiskMonitor(clock, alarms, disk_bytes, directory, machine.free_bytes, in_database)
            disk.check()
            self.broker.storage.store.watch_disk(disk.on_stuck)
            self._on_stuck = disk.on_stuck
        started_ms = self.broker.clock.now_ms()
        return ServerNode(config.cluster_name, started_ms, memory_bytes, disk_bytes, self._max_files, self._directory)

    def _committer(self, log: Log, before: Callable[[], None]) -> ThreadCommitter:
        return ThreadCommitter(log, self._loop.call_soon_threadsafe, before)

    async def serve(self, on_ready: OnReady, listeners: "SharedListeners | None" = None) -> int:
        """Listen, call `on_ready`, and serve until `stop`; returns the exit status.

        listeners: of a broker with a database. Raises UnusableDefinitionsError, ListenError.
        """
        if self._share is None:
            import_definitions(self.broker, self._config.definitions)
        else:
            self._shared = self._share(
                self.broker, self.clients, self._committer, self.tick, self._clock, self._on_stuck
            )
            self._node.cluster = self._shared.cluster
        bound = bind(self._config) if listeners is None else listeners.bound
        listening = self._node.listeners
        for protocol, sockets in bound.items():
            listening += [Listening(protocol, *sock.getsockname()[:2]) for sock in sockets]
        amqp = []
        slow = [(AMQPS, sock) for sock in bound.get(AMQPS, ())]
        if self._config.proxy_protocol:
            slow += [(AMQP, sock) for sock in bound.get(AMQP, ())]
        else:
            for sock in bound.get(AMQP, ()):
                start_listening(sock, BACKLOG)
                amqp.append(await self._loop.create_server(self.clients.come, sock=sock, backlog=BACKLOG))
        make_proxied = self.clients.come_proxied if self._config.proxy_protocol else None
        self._handshakes = [
            self._handshake_listener(protocol, sock, self.clients.come, make_proxied) for protocol, sock in slow
        ]
        for each in self._handshakes:
            each.start(BACKLOG)
        bounds = self._config.bounds
        web = {
            name: HttpListener(
                self._loop,
                bound[name],
                build,
                partial(self._handshake_listener, name) if name in self._tls else None,
                bounds.pages if name in (METRICS, METRICS_TLS) else None,
                bounds,
            )
            for name, build in self._applications()
            if name in bound
        }
        self._web = list(web.values())
        for listener in self._web:
            listener.start()
        peer_port = (
            None
            if listeners is None
            else listeners.serve(self._loop, self.clients, [web[name] for name in (HTTP, HTTPS) if name in web])
        )
        unusable = await self._import_shared()
        control = None if self._directory is None else ControlFile(self._directory, self._clock)
        if control is not None:
            control.write(url_of(listening, self._config.management.path_prefix), self._node.token)
        if self._web or not self._embedded:
            self.broker.rates.clock = self._clock
            self.broker.rates.start()
        if unusable is None:
            on_ready(listening)
        if not self._embedded:
            retain_freed_memory()
            collector.calm()
        if unusable is None:
            log.info("listening on %s", ", ".join(f"{name} {shown(host, port)}" for name, host, port in listening))
            log.info("Server startup complete; 0 plugins started.")  # RabbitMQ's words, which testcontainers waits for
        self.broker.shovels.run(self._shovels)
        await self._stopping
        if self._shared is not None:
            await self._shared.prepare_end(lambda: self.clients.gone)
            self.clients.close()
        await self._shovels.close(self._stop_ms / 1000)
        if peer_port is not None:
            await peer_port.close()
        for server in amqp:
            server.close()
        for each in self._handshakes:
            await each.close()
        for listener in self._web:
            await listener.stop()
        if control is not None:
            control.remove()
        if self._shared is not None:
            await self._shared.close()
        await self._service.end(self._stop_ms)
        if unusable is not None:
            raise unusable
        return self._status

    async def _import_shared(self) -> UnusableDefinitionsError | None:
        """Import definitions into vhosts that brokers share, once others reach this one.

        Returns the error of definitions that cannot be imported, with which this broker is to end.
        """
        if self._shared is None:
            return None
        importing = self._loop.create_task(self._shared.import_definitions(self._node))
        await asyncio.wait([importing, self._stopping], return_when=asyncio.FIRST_COMPLETED)
        if not importing.done():
            importing.cancel()
            return None
        error = importing.exception()
        if error is None:
            return None
        if not isinstance(error, UnusableDefinitionsError):
            raise error
        self._stop()
        return error

    def _applications(self) -> list[tuple[str, Callable[[], App]]]:
        """Return the HTTP applications and the functions that make them, which import their modules first."""

        def management() -> App:
            from amqpbroker.management.app import build_app
            from amqpbroker.management.routes import RESOURCES

            testing = tuple(self.more_resources())
            self._node.has_testing_api = bool(testing)
            shared = None if self._shared is None else self._shared.requests()
            return build_app(self.broker, self._node, (*RESOURCES, *testing), shared)

        def metrics() -> App:
            from amqpbroker.metrics.app import build_app

            return build_app(self.broker, self._node)

        return [(HTTP, management), (HTTPS, management), (METRICS, metrics), (METRICS_TLS, metrics)]

    def discard(self) -> None:
        """Release the broker's memory after `serve`, because another broker starts or the process goes on without."""
        self.broker.discard()

    def stop(self) -> None:
        """End in order: tell the clients, wait for them a little. Called again, end at once, with status 1.

        If the server is to be replaced, the first call only cancels that.
        """
        if self._following is not None:
            self._following = None
            return
        if self._stopping.done() and not self.clients.gone:
            self._status = 1
            self.clients.stop_waiting()
        self._stop()

    def replace_with(self, config: Config, down_s: float) -> None:
        """Stop, so that another server starts with `config` in `down_s` seconds. A later `stop` cancels that.

        A server that was stopped before stays stopped and is not replaced.
        """
        if not self.ends:
            self._following = config, self._loop.time() + down_s
            self._stop()

    @property
    def ends(self) -> bool:
        """Return whether the server was stopped and is not replaced."""
        return self._stopping.done() and self._following is None

    @property
    def is_replaced(self) -> bool:
        """Return whether another server is to start in place of this one."""
        return self._following is not None

    async def successor(self) -> Config | None:
        """Wait until the next server may start, and return its configuration; None if there is none."""
        while self._following is not None:
            config, start = self._following
            rest = start - self._loop.time()
            if rest <= 0:
                return config
            await asyncio.sleep(min(rest, LOOK_S))
        return None

    @property
    def listening(self) -> list[Listening]:
        """Return the open listeners; empty before the start."""
        return self._node.listeners

    @property
    def has_tls(self) -> bool:
        return bool(self._tls)

    def reload(self) -> None:
        """Read the certificates again, for the connections to come."""
        for contexts in self._tls.values():
            contexts.reload()
        self._update_certificates()

    def _update_certificates(self) -> None:
        self._node.certificates = {protocol: contexts.certificates for protocol, contexts in self._tls.items()}

    def _handshake_listener(
        self,
        protocol: str,
        sock: socket.socket,
        make: Callable[[], asyncio.BaseProtocol],
        make_proxied: Callable[[ProxyHeader], asyncio.BaseProtocol] | None = None,
    ) -> HandshakeListener:
        return HandshakeListener(
            self._loop,
            self._clock,
            sock,
            self._tls[protocol].context if protocol in self._tls else None,
            self._config.ssl_handshake_timeout_ms,
            make,
            lambda shaking: self.clients.is_full(shaking + 1),
            self._config.bounds,
            make_proxied,
        )

    def _on_failure(self) -> None:
        self._status = 1
        self._stop()

    def _stop(self) -> None:
        if self._shared is None:
            self.clients.close()
        if not self._stopping.done():
            self._stopping.set_result(None)
