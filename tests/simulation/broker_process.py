"""A broker from its start to its end, put together as a server does, but for sockets, threads and the machine."""

import asyncio
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
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
from tests.simulation.http_server import HttpServer
from tests.simulation.scheduler import MS, Scheduler

DIRECTORY = Path("/simulated")
#: When a world begins, in milliseconds since the Unix epoch.
EPOCH_MS = 1_700_000_000_000
MOST_CLIENTS = 1000


class BrokerProcess:
    """One process. failed: the store could not go on, so that the broker ends. began_ms: when it started.

    definitions_synced_ns: when the definitions were synced last.
    """

    def __init__(self, config: Config, disk: Disk, scheduler: Scheduler, chance: random.Random) -> None:
        self.failed: Exception | None = None
        self.loop = SimulatedLoop(scheduler, chance)
        self.began_ms = EPOCH_MS + scheduler.now // MS
        self.clock = ManualClock(self.began_ms)
        self.disk = disk
        self.scheduler = scheduler
        self.definitions_synced_ns = 0
        self.loop.before_iteration = self._set_time
        journal = Journal(DIRECTORY / "journal", disk, config.bounds.segment_bytes)
        found = journal.recover()
        spill = SpillFiles(DIRECTORY / "spill", disk, config.bounds.spill_bytes)
        self.committer = SimulatedCommitter(journal, self._sync_definitions, disk, self.loop, scheduler, chance)
        self.store = Persistence(journal, self.committer, self._fail, self.clock, bounds=config.bounds)
        self.broker = Broker(config, self.clock, self.store, disk.definitions, spill)
        self.timers = Timers(self.loop, self.clock)
        self.tick = Tick(self.loop.call_soon, self.broker.sync, self._fail)
        self.store.drive(self.tick.request)
        disk.definitions.watch(self.store.definitions_changed)
        self.store.definitions_changed()
        self.recovered = self.store.restore(found, self.broker.holders(), self.broker.lost_ids)
        self.clients = Clients(self.broker, self.clock, self.tick, self.loop, MOST_CLIENTS)
        self._http: dict[str, HttpServer] = {}
        self.broker.rates.start()

    def accept(self) -> ClientTransport:
        """Return what serves the next client."""
        return self.clients.come()

    def accept_http(self, listener: str) -> asyncio.BaseProtocol:
        """Return what serves the next client of an HTTP listener."""
        if listener not in self._http:
            self._http[listener] = HttpServer(self.broker, self.loop, listener)
        return self._http[listener].accept()

    def http_servers(self) -> list[HttpServer]:
        """Return the HTTP servers that have been asked."""
        return list(self._http.values())

    def kill(self) -> None:
        """The process is gone, wherever it was."""
        self.committer.kill()
        self.loop.kill()
        self.timers.close()
        for server in self._http.values():
            server.kill()

    def stop(self) -> None:
        """End in order, as a stop does once its clients have gone or the time for that is over."""
        self.loop.kill()
        self.timers.close()
        for server in self._http.values():
            server.kill()
        if self.failed is None:
            self.store.close()

    def _sync_definitions(self) -> None:
        self.disk.definitions.sync()
        self.definitions_synced_ns = self.scheduler.now

    def _set_time(self) -> None:
        self.clock._now_ms = EPOCH_MS + self.scheduler.now // MS

    def _fail(self, error: Exception) -> None:
        self.failed = error


def configured(bounds: dict[str, int], settings: dict[str, Any]) -> Config:
    """Return the settings with lowered bounds. compat is the name of a release series; transient queues are permitted
    in each."""
    compat = COMPATS[settings.get("compat", "4.0")].configured({"transient_nonexcl_queues": True})
    config = Config(**{**settings, "compat": compat})
    return replace(config, bounds=replace(config.bounds, **bounds))
