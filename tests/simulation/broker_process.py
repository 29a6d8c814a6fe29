"""A broker from its start to its end, put together as a server does, but for sockets, threads and the machine."""

import random
from dataclasses import replace
from pathlib import Path

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import SystemClock
from amqpbroker.config import Config
from amqpbroker.server.clients import Clients
from amqpbroker.server.tick import Tick
from amqpbroker.server.timers import Timers
from amqpbroker.server.transport import ClientTransport
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.spill import SpillFiles
from tests.simulation.committer import SimulatedCommitter
from tests.simulation.disk import Disk
from tests.simulation.event_loop import SimulatedLoop
from tests.simulation.machine_time import MachineTime
from tests.simulation.processor import Processor
from tests.simulation.scheduler import Scheduler

DIRECTORY = Path("/simulated")
MOST_CLIENTS = 1000


class BrokerProcess:
    """One process. failed: the store could not go on, so that the broker ends."""

    def __init__(
        self,
        config: Config,
        disk: Disk,
        scheduler: Scheduler,
        time: MachineTime,
        processor: Processor,
        chance: random.Random,
    ) -> None:
        self.failed: Exception | None = None
        self.loop = SimulatedLoop(scheduler, processor, chance)
        self.clock = SystemClock(time.monotonic_ns, time.wall_ns)
        journal = Journal(DIRECTORY / "journal", disk, config.bounds.segment_bytes)
        found = journal.recover()
        spill = SpillFiles(DIRECTORY / "spill", disk, config.bounds.spill_bytes)
        self.committer = SimulatedCommitter(
            journal, disk.definitions.sync, disk, self.loop, scheduler, processor, chance
        )
        self.store = Persistence(journal, self.committer, self._fail, self.clock, bounds=config.bounds)
        self.broker = Broker(config, self.clock, self.store, disk.definitions, spill)
        self.timers = Timers(self.loop, self.clock)
        self.tick = Tick(self.loop.call_soon, self.broker.sync, self._fail)
        self.store.drive(self.tick.request)
        disk.definitions.watch(self.store.definitions_changed)
        self.store.definitions_changed()
        self.recovered = self.store.restore(found, self.broker.holders(), self.broker.lost_ids)
        self.clients = Clients(self.broker, self.clock, self.tick, self.loop, MOST_CLIENTS)

    def accept(self) -> ClientTransport:
        """Return what serves the next client."""
        return self.clients.come()

    def kill(self) -> None:
        """The process is gone, wherever it was."""
        self.committer.kill()
        self.loop.kill()
        self.timers.close()

    def stop(self) -> None:
        """End in order, as a stop does once its clients have gone or the time for that is over."""
        self.loop.kill()
        self.timers.close()
        if self.failed is None:
            self.store.close()

    def _fail(self, error: Exception) -> None:
        self.failed = error


def configured(bounds: dict[str, int], settings: dict[str, object]) -> Config:
    """Return the settings with lowered bounds."""
    config = Config(**settings)
    return replace(config, bounds=replace(config.bounds, **bounds))
