"""The management API of a simulated broker: the real application behind the real HTTP connections."""

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.node import Node
from amqpbroker.management.app import build_app
from amqpbroker.server.answers import Answers
from amqpbroker.server.http import make_server

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


class HttpServer:
    """Serves HTTP connections of one broker. It is made for the first of them, as a broker does."""

    def __init__(self, broker: Broker, loop: "SimulatedLoop") -> None:
        bounds = broker.config.bounds
        node = SimulatedNode()
        node.started_ms = broker.clock.now_ms()
        server = make_server(
            lambda: build_app(broker, node), Answers(loop, None, bounds.answers_bytes), bounds.http_connections
        )
        protocol: Any = server.config.http_protocol_class
        self._state = server.server_state
        self._make = partial(protocol, server.config, server.server_state, {}, loop)
        broker.rates.start()

    def accept(self) -> asyncio.BaseProtocol:
        """Return what serves the next connection."""
        made: asyncio.BaseProtocol = self._make()
        return made

    def kill(self) -> None:
        """The process is gone: end what is under way now, and not whenever its memory is freed."""
        for connection in self._state.connections:
            cycle: Any = getattr(connection, "cycle", None)
            if cycle is not None:
                cycle.disconnected = True
        for task in self._state.tasks:
            with contextlib.suppress(ValueError):  # one that ends the process itself
                task.get_coro().close()  # type: ignore[union-attr]
