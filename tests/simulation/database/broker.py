"""A simulated broker: the product's sharing of vhosts, in lives that end and begin again."""

import asyncio
import random
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

from amqpbroker.broker.cluster import Cluster as SharedCluster
from amqpbroker.cluster.shared_database import SharedDatabase
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.errors import AmqpError
from amqpbroker.store.committer import ThreadCommitter
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.log import StoreError
from amqpbroker.store.persistence import Persistence
from tests.simulation.database import threading_module, vhost
from tests.simulation.database.cluster import Cluster
from tests.simulation.database.connection import Connection, connect
from tests.simulation.database.domain import Domain
from tests.simulation.database.event_loop import Loop, LoopClock
from tests.simulation.database.path import Path
from tests.simulation.database.skipping import Skipping
from tests.simulation.database.tasks import Process
from tests.simulation.database.vhost import Vhost
from tests.simulation.scheduler import MS, SECOND

URL = "postgresql://database/broker"
#: Size of a segment of a journal: one is removed soon, or after some takeovers.
SEGMENT_BYTES = (1_500, 5_000)
#: Time until an ended process is started again.
RESTART_NS = (10 * MS, SECOND)
#: Time between two requests of an administrator at a broker.
ADMINISTERED_S = (0.1, 4.0)
#: Interval at which an administrator looks whether a request is done, and a drained broker tries to be revived.
LOOK_S = 0.05
RETRY_S = 0.5


class Watching(vhost.Watching, Protocol):
    """Checks of a world, which a broker calls."""

    def took(self, broker: "Broker", log: str, epoch: int) -> None:
        """Check a takeover."""

    def cluster_of(self, process_name: str) -> SharedCluster | None:
        """Return the brokers as one of them sees them, None if that one does not run, or hangs."""

    def has_ended(self, process_name: str) -> bool:
        """Return whether the machine of a process refuses connections to the port that the process had."""

    def complained(self, broker: "Broker", text: str) -> None:
        """Check an error that a broker reports."""

    def choose(self, names: list[str]) -> "Request | None":
        """Return the next request of an administrator, None for none. names: of all vhosts that the broker knows."""

    def requested(self, broker: "Broker", request: "Request") -> None:
        """Record that a broker is about to write what was requested."""

    def done(self, request: "Request", epoch: int) -> None:
        """Record that a request has succeeded. epoch: in which it was written."""


class Request(NamedTuple):
    """A request of an administrator. deletes, creates: the vhost `name`; with both, it is deleted and created again."""

    name: str
    deletes: bool
    creates: bool


class BrokerProcess(Process):
    """The process of one life of a broker. owner: the broker."""

    def __init__(self, scheduler: Skipping, cluster: Cluster, path: Path, owner: "Broker") -> None:
        super().__init__(scheduler)
        self.owner = owner
        self.loop = Loop(self, owner.failed)
        self._cluster = cluster
        self._path = path
        self._connections: list[Connection] = []

    def connect(self, name: str) -> Connection:
        made = connect(self._cluster, self._path, name)
        self._connections = [*self.connections, made]
        return made

    @property
    def connections(self) -> list[Connection]:
        return [connection for connection in self._connections if not connection.closed]

    def exit(self) -> None:
        """End after the last statement of the main thread; its daemon threads end with it."""
        self.die(with_machine=False)

    def die(self, with_machine: bool) -> list[Connection]:
        """End at once; return the connections that the server does not know to be closed."""
        open_ones = self.connections
        for connection in open_ones:
            if with_machine:
                connection.lose()
            else:
                connection.close()
        self.kill()
        self.loop.discard()
        return open_ones if with_machine else []


class Broker:
    """One broker. lives: number of its processes so far. started_ns: time of the last start.

    is_stopping: it was told to end. is_drained: an operator has drained it. disturbed_ns: time until which something
    of its own keeps it from working.
    """

    def __init__(
        self,
        name: str,
        lease_s: float,
        scheduler: Skipping,
        cluster: Cluster,
        chance: random.Random,
        checks: Watching,
    ) -> None:
        self.name = name
        self.lives = 0
        self.started_ns = 0
        self.is_stopping = False
        self.is_drained = False
        self.disturbed_ns = 0
        self.path = Path(scheduler, chance)
        self.process: BrokerProcess | None = None
        self.database: SharedDatabase | None = None
        self.domain: Domain | None = None
        self.cluster: SharedCluster | None = None
        self._stopped: asyncio.Event | None = None
        #: Begin of a takeover that is under way.
        self._scheduler = scheduler
        self._cluster = cluster
        self._chance = chance
        self.checks = checks
        self._config = Config(
            store_url=URL,
            store_lease_ms=int(lease_s * 1000),
            cluster_name=name,
            default_users=(),
            bounds=BOUNDS._replace(segment_bytes=chance.choice(SEGMENT_BYTES)),
        )

    # --- what it serves -----------------------------------------------------------------------------------------------

    @property
    def process_name(self) -> str:
        return f"{self.name}{self.lives}"

    @property
    def served(self) -> list[Vhost]:
        """Vhosts that it serves, as far as it knows itself."""
        return list(self.domain.vhosts.values()) if self.domain is not None else []

    @property
    def writing(self) -> Any:
        """Return the storage of the definitions of all vhosts while this broker writes them, otherwise None."""
        return None if self.domain is None else self.domain.written_definitions

    @property
    def leads(self) -> bool:
        """Return whether it serves a vhost, or writes the definitions of all."""
        return bool(self.served) or self.writing is not None

    def epoch_of(self, log: str) -> int:
        """Return the epoch in which it serves a log, 0 if it does not."""
        if log == LOG:
            return vhost.leadership_of(self.writing)[1] if self.writing is not None else 0
        return next((each.epoch for each in self.served if each.log == log), 0)

    # --- lives --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        if self.process is not None:
            return
        self.lives += 1
        self.started_ns = self._scheduler.now
        self.is_stopping = self.is_drained = False
        self._stopped = asyncio.Event()
        self.process = BrokerProcess(self._scheduler, self._cluster, self.path, self)
        self.process.start(self._live)

    def start_later(self) -> None:
        self._scheduler.after(self._chance.randint(*RESTART_NS), self.start)

    def die(self, with_machine: bool = False) -> list[Connection]:
        """End the process at once, and start another one later; return connections that seem open to the server."""
        process, self.process = self.process, None
        self.domain = None
        if process is None:
            return []
        self.start_later()
        return process.die(with_machine)

    def stop(self) -> None:
        """End the process in order, and start another one later."""
        if self.process is not None and not self.is_stopping:
            self.is_stopping = True
            if self.database is not None:
                self.database.stop()
            assert self._stopped is not None
            self.process.loop.call_soon_threadsafe(self._stopped.set)

    def hang(self, duration: int) -> None:
        """Stop the process, as SIGSTOP does, for some time."""
        if self.process is not None:
            self.process.rests_until = self._scheduler.now + duration

    def drain(self, drained: bool) -> None:
        """Drain or revive the broker, as soon as the database answers."""
        if self.process is not None and self.database is not None and self.domain is not None:
            self.is_drained = True
            self.process.start(partial(self._drain, self.database, drained))

    def _drain(self, database: SharedDatabase, drained: bool) -> None:
        while True:
            try:
                database._members.set_drained(database._members.facts.process, drained)
            except OSError:
                threading_module.sleep(RETRY_S)
            else:
                self.is_drained = drained
                return

    def failed(self, error: BaseException) -> None:
        """Report an internal error."""
        self.checks.complained(self, f"internal error: {error!r}")

    def _live(self) -> None:
        process = self.process
        assert process is not None
        self.database = SharedDatabase(self._config, self.process_name)
        try:
            process.loop.run(self._run(process, self.database))
        except (StoreError, OSError) as error:
            self.checks.complained(self, f"{type(error).__name__}: {error}")
        except Exception as error:
            self.failed(error)
        self.process = self.domain = self.cluster = None
        self._scheduler.after(0, process.exit)
        self.start_later()

    async def _run(self, process: BrokerProcess, database: SharedDatabase) -> None:
        """Take part in the sharing until the end, as `serve` does. Raises StoreError."""
        if not await database.begin():
            return
        loop, chance, config = process.loop, self._chance, self._config
        clock = LoopClock(loop, process)
        with database.opened() as data:
            assert data.share is not None
            assert self._stopped is not None
            self.domain = domain = Domain(config, data.definitions, loop, clock, self, chance, self.checks)

            def committer(log: Any, before: Any) -> ThreadCommitter:
                return ThreadCommitter(log, loop.call_soon_threadsafe, before)

            clients: Any = SimpleNamespace(is_full=bool)
            tick: Any = SimpleNamespace(request=partial(loop.call_soon, domain.sync))
            shared = data.share(domain, clients, committer, tick, clock, _ignore)  # type: ignore[arg-type]
            self.cluster = shared.cluster
            administration = loop.create_task(self._administer(domain))
            await self._stopped.wait()
            administration.cancel()
            await shared.prepare_end(bool)
            await shared.close()

    # --- an administrator ---------------------------------------------------------------------------------------------

    async def _administer(self, domain: Domain) -> None:
        """Create and delete vhosts while this broker writes the definitions."""
        while True:
            await asyncio.sleep(self._chance.uniform(*ADMINISTERED_S))
            storage = self.writing
            if storage is None or (request := self.checks.choose(list(domain.defined_vhosts))) is None:
                continue
            try:
                if request.deletes:
                    domain.remove_vhost(request.name)
                if request.creates:
                    domain.add_vhost(request.name)
            except AmqpError:
                # It has just stopped to write them.
                continue
            store, number, epoch = storage.store, storage.store.defined, vhost.leadership_of(storage)[1]
            assert isinstance(store, Persistence)
            self.checks.requested(self, request)
            while store.synced < number and not storage.is_closed:
                await asyncio.sleep(LOOK_S)
            if store.synced >= number:
                self.checks.done(request, epoch)


def _ignore(_: object) -> None:
    pass
