"""The management API of a simulated broker: the real application with the real HTTP connections."""

import asyncio
import contextlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.node import Node
from amqpbroker.management.app import build_app as management_app
from amqpbroker.metrics.app import build_app as metrics_app
from amqpbroker.server.answers import Answers
from amqpbroker.server.http import STOP_S, make_server

if TYPE_CHECKING:
    from tests.simulation.event_loop import SimulatedLoop


class SimulatedNode(Node):
    """A machine that is the same in each run."""

    name = "rabbit@simulated"
    memory_limit_bytes = 1 << 30
    disk_free_limit_bytes = 50_000_000
    data_directory = "/simulated"

    def memory_bytes(self) -> int:
        return 100_000_000

    def disk_free_bytes(self) -> int | None:
        return 1 << 40

    def files(self) -> tuple[int, int]:
        return 10, 1024


#: Logs nothing.
SILENT = logging.Logger("silent", logging.CRITICAL + 1)
#: Listeners of a broker, in the order in which they stop.
MANAGEMENT, METRICS = LISTENERS = "management", "metrics"


class HttpServer:
    """Serves the connections of one listener of a broker. It is created for the first connection, as in a broker."""

    def __init__(self, broker: Broker, loop: "SimulatedLoop", listener: str) -> None:
        bounds = broker.config.bounds
        node = SimulatedNode()
        node.started_ms = broker.clock.now_ms()
        build, at_once = (management_app, None) if listener == MANAGEMENT else (metrics_app, bounds.pages)
        self.listener = listener
        self.answers = Answers(loop, at_once, bounds.answers_bytes)
        server = make_server(lambda: build(broker, node), self.answers, bounds.http_connections)
        protocol: Any = server.config.http_protocol_class
        server.servers = []
        server.lifespan = server.config.lifespan_class(server.config)
        self._server = server
        self._state = server.server_state
        self._make = partial(protocol, server.config, server.server_state, {}, loop)
        self._loop = loop
        self._most = bounds.http_connections

    @property
    def parts(self) -> tuple[object, ...]:
        """The objects that it consists of."""
        return self.answers, self._state, self._make

    @property
    def activities(self) -> dict[str, int]:
        """Numbers of what ends when no client is connected."""
        return {
            f"HTTP connections of {self.listener}": len(self._state.connections),
            f"HTTP requests of {self.listener}": len(self._state.tasks) + self.answers._under_way,
            f"HTTP requests of {self.listener} that wait": len(self.answers._queue),
            f"HTTP clients of {self.listener} that do not read": len(self.answers._stalled),
        }

    def accept(self) -> asyncio.BaseProtocol:
        """Return the protocol of the next connection."""
        made: asyncio.BaseProtocol = self._make()
        return made

    @property
    def has_too_many(self) -> bool:
        """Return whether it serves more connections than allowed."""
        served = [each for each in self._state.connections if not each.transport.is_closing()]  # type: ignore[union-attr]
        return len(served) > self._most

    async def stop(self, notice_s: float) -> None:
        """Close idle connections, and others after their answer, in limited time, like `HttpListener.stop`.

        notice_s: time until uvicorn notices that it has to stop.
        """
        await asyncio.sleep(notice_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.shutdown(), STOP_S + 1)

    def kill(self) -> None:
        """End current requests silently now, and not when the memory of the ended process is freed."""
        previous = asyncio._get_running_loop()
        asyncio._set_running_loop(self._loop)
        for task in list(self._state.tasks):
            coroutine: Any = task.get_coro()
            if coroutine is None or coroutine.cr_frame is None or coroutine.cr_running:
                continue
            cycle = coroutine.cr_frame.f_locals["self"]
            cycle.disconnected = True
            cycle.logger = SILENT
            coroutine.close()
        asyncio._set_running_loop(previous)
