"""A broker with what tests look at and turn: all of it is for the loop's thread."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from amqpbroker.clock import TravelClock
from amqpbroker.config import Config
from amqpbroker.server.app import STOP_MS, Server
from amqpbroker.server.data import Data
from amqpbroker.testing.faults.injector import Injector
from amqpbroker.testing.kept import carry
from amqpbroker.testing.recorder import Recorder
from amqpbroker.testing.sight import Sight
from amqpbroker.testing.travel import Travel

if TYPE_CHECKING:
    from amqpbroker.management.resource import Resource


class Lab:
    """A server whose time can be moved on, and at which faults strike. embedded, stop_ms: as of Server.

    Its management API has the testing API too. before: one that has ended and whose place it takes. Time goes on, what
    came by is remembered, and durable queues have their messages still if `kept` has their definitions.
    """

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        kept: Data,
        settings: Mapping[str, str],
        embedded: bool = False,
        stop_ms: int = STOP_MS,
        faults: Injector | None = None,
        before: "Lab | None" = None,
    ) -> None:
        self.clock: TravelClock = TravelClock() if before is None else before.clock
        self.clock.clear()
        self.server = Server(config, self.clock, loop, kept, settings, embedded, stop_ms)
        self.broker = self.server.broker
        self.travel = Travel(self.clock, self.server)
        self.recorder: Recorder = Recorder() if before is None else before.recorder
        self.broker.tap(self.recorder)
        self.faults = faults or Injector()
        self.faults.attach(self.server)
        self.sight = Sight(self.broker, self.recorder, self.faults.report)
        if before is not None:
            carry(before.broker, self.broker)
        self.server.more_resources = self._resources

    def _resources(self) -> "list[Resource]":
        # What only an API needs is not imported before.
        from amqpbroker.testing.routes import ROUTES

        return [route.resource(self) for route in ROUTES]


def make_server(config: Config, loop: asyncio.AbstractEventLoop, kept: Data, settings: Mapping[str, str]) -> Server:
    """For `server.app.run`: with the testing API."""
    return Lab(config, loop, kept, settings).server
