"""A broker with what tests look at and turn: all of it is for the loop's thread."""

import asyncio

from amqpbroker.clock import TravelClock
from amqpbroker.config import Config
from amqpbroker.server.app import OnReady, Server
from amqpbroker.server.data import Data
from amqpbroker.store.definitions import MemoryDefinitions
from amqpbroker.testing.travel import Travel

#: How long clients get to answer when the broker stops. Many a test leaves connections open that nobody reads.
STOP_MS = 50


class Lab:
    """An embedded broker in memory."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self.clock = TravelClock()
        self.server = Server(config, self.clock, loop, Data(MemoryDefinitions()), {}, embedded=True, stop_ms=STOP_MS)
        self.broker = self.server.broker
        self.travel = Travel(self.clock, self.server)

    async def serve(self, on_ready: OnReady) -> None:
        """Until the server is stopped. Raises what `Server.serve` does."""
        await self.server.serve(on_ready)
