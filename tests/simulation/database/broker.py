"""A simulated broker: the product's leadership, recovery and journal, in lives that end and begin again."""

import random
from types import SimpleNamespace
from typing import Any, Protocol

from amqpbroker.server import database as server_database
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.database.follower import Follower
from amqpbroker.store.database.leadership import Leader, Leadership
from amqpbroker.store.database.members import Facts, Members
from amqpbroker.store.database.renewing import Renewing
from amqpbroker.store.database.sessions import READING_DEADLINE_S, READING_REST_S, Sessions, session
from amqpbroker.store.database.storage import DatabaseStorage
from amqpbroker.store.definitions.definitions import VhostDefinition
from amqpbroker.store.journal.journal import Journal, segment_name
from amqpbroker.store.log import StoreError, UnwrittenError
from amqpbroker.store.record import OFFSET_BITS, OFFSET_MASK
from tests.simulation.database import threading_module
from tests.simulation.database.batches import SEGMENT_BYTES, Batches
from tests.simulation.database.cluster import Cluster
from tests.simulation.database.connection import Connection, connect
from tests.simulation.database.ledger import Attempt
from tests.simulation.database.path import Path
from tests.simulation.database.skipping import Skipping
from tests.simulation.database.stream import Stream
from tests.simulation.database.tasks import Process
from tests.simulation.scheduler import MS, SECOND

URL = "postgresql://database/broker"
#: Time between two batches.
BATCH_S = (0.01, 0.8)
#: Time in which a broker ends that has lost its leadership.
CLOSING_S = (0.0, 2.0)
#: Time after which a batch is tried again, and an ended process started.
RETRY_S = 1.0
RESTART_NS = (10 * MS, SECOND)


class Watching(Protocol):
    """Checks of a world, which a broker calls."""

    def took(self, broker: "Broker") -> None:
        """Check a takeover."""

    def recovered(self, broker: "Broker", found: list[int], vhosts: list[str], streamed: list[int]) -> bool:
        """Check what a leader has found; return whether it may go on."""

    def attempted(self, broker: "Broker", attempt: Attempt) -> None:
        """Record the begin of a batch's write."""

    def acknowledged(self, broker: "Broker", sequence: int, row: tuple[str, int], vhost: str, streamed: bool) -> None:
        """Check an acknowledged batch. row: its table and key. vhost: name of one that was stored too, or empty.

        streamed: its number was appended to the stream.
        """

    def failed(self, broker: "Broker", error: Exception) -> None:
        """Check the error that ends a life."""

    def next_sequence(self) -> int:
        """Return the number of the next message."""


class BrokerProcess(Process):
    """The process of one life of a broker."""

    def __init__(self, scheduler: Skipping, cluster: Cluster, path: Path) -> None:
        super().__init__(scheduler)
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
        return open_ones if with_machine else []


class Looking(threading_module.Event):
    """The event for which a waiting broker waits between two attempts; another time makes more worlds a second."""

    def __init__(self, look_s: float) -> None:
        super().__init__()
        self._look_s = look_s

    def wait(self, timeout: float) -> bool:
        return super().wait(self._look_s)


class Database(server_database.Database):
    """The product's object without its sockets."""

    def __init__(self, config: Any, process: str) -> None:
        holder = Leader(config.cluster_name, "", process)
        self._config = config
        self._url = URL
        self._process = process
        lease_s = config.store_lease_ms / 1000
        self._lease = session(URL, process, "lease")
        self._sessions = Sessions(URL, process)
        self._leadership = Leadership(self._lease, LOG, holder, lease_s, threading_module.monotonic)
        table = session(URL, process, "brokers")
        table.limit(READING_DEADLINE_S, READING_REST_S)
        self._members = Members(table, Facts(process, config.cluster_name, "", ""), lease_s)
        self._reporting = None
        self._stopped = Looking(config.look_s)  # type: ignore[assignment]
        self._waits_for = ""
        self._leader = None
        self._follower = Follower(LOG)
        self._followed_on = 0
        self._followed_s = None
        self._read = 0

    @property
    def epoch(self) -> int:
        return self._leadership.epoch

    def wait_for_leadership(self) -> bool:
        """Return whether it leads; otherwise it was stopped."""
        self._lead()
        if not self._stopped.is_set():
            return True
        self._give_up()
        return False

    def renewing(self, on_lost: Any) -> Renewing:
        return Renewing(self._leadership, on_lost)

    def leave(self, returns: bool) -> None:
        self._leave(returns)

    def recovered(self) -> tuple[DatabaseStorage, Journal, Any]:
        return self._recovered()

    def close_sessions(self) -> None:
        self._sessions.close()


class Broker:
    """One broker. lives: number of its processes so far. started_ns: time of the last start.

    leads: it has recovered as the leader, and writes. is_stopping: it was told to end. disturbed_ns: time until which
    something of its own keeps it from working.
    """

    def __init__(
        self,
        name: str,
        lease_s: float,
        look_s: float,
        scheduler: Skipping,
        cluster: Cluster,
        chance: random.Random,
        checks: Watching,
    ) -> None:
        self.name = name
        self.lives = 0
        self.started_ns = 0
        self.leads = False
        self.is_stopping = False
        self.disturbed_ns = 0
        self.path = Path(scheduler, chance)
        self.process: BrokerProcess | None = None
        self.database: Database | None = None
        self._has_lost = False
        self._scheduler = scheduler
        self._cluster = cluster
        self._chance = chance
        self._checks = checks
        self._stopped = threading_module.Event()
        self._config = SimpleNamespace(
            store_url=URL,
            store_lease_ms=int(lease_s * 1000),
            cluster_name=name,
            look_s=look_s,
            bounds=SimpleNamespace(segment_bytes=SEGMENT_BYTES),
        )

    @property
    def epoch(self) -> int:
        return self.database.epoch if self.database is not None else 0

    # --- lives --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        if self.process is not None:
            return
        self.lives += 1
        self.started_ns = self._scheduler.now
        self.leads = self.is_stopping = self._has_lost = False
        self._stopped = threading_module.Event()
        self.process = BrokerProcess(self._scheduler, self._cluster, self.path)
        self.process.start(self._live)

    def start_later(self) -> None:
        self._scheduler.after(self._chance.randint(*RESTART_NS), self.start)

    def die(self, with_machine: bool = False) -> list[Connection]:
        """End the process at once, and start another one later; return connections that seem open to the server."""
        process, self.process = self.process, None
        self.leads = False
        if process is None:
            return []
        self.start_later()
        return process.die(with_machine)

    def stop(self) -> None:
        """End the process in order, and start another one later."""
        if self.process is not None:
            self.is_stopping = True
            self._stopped.set()
            if self.database is not None:
                self.database.stop()

    def hang(self, duration: int) -> None:
        """Stop the process, as SIGSTOP does, for some time."""
        if self.process is not None:
            self.process.rests_until = self._scheduler.now + duration

    def _live(self) -> None:
        self.database = Database(self._config, f"{self.name}{self.lives}")
        try:
            if self.database.wait_for_leadership():
                self._checks.took(self)
                self._lead(self.database)
        except (StoreError, OSError) as error:
            self._checks.failed(self, error)
        process, self.process = self.process, None
        self.leads = False
        assert process is not None
        self._scheduler.after(0, process.exit)
        self.start_later()

    def _lead(self, database: Database) -> None:
        """Lead until an error or the end; see `Database.opened`."""
        renewing = database.renewing(self._lost)
        try:
            storage, journal, found = database.recovered()
            try:
                batches = Batches(journal, found, self._chance)
                vhosts, stream = self._vhosts(storage), Stream(storage.files)
                streamed = stream.numbers() if vhosts is not None else None
                if (
                    vhosts is not None
                    and streamed is not None
                    and self._checks.recovered(self, batches.live, vhosts, streamed)
                ):
                    self.leads = True
                    self._write_all(storage, journal, batches, stream)
            finally:
                if self._has_lost:
                    # The server closes the connections of its clients first.
                    self.leads = False
                    threading_module.sleep(self._chance.uniform(*CLOSING_S))
                storage.close()
        finally:
            self.leads = False
            database.close_sessions()
            database.leave(returns=self._has_lost)
            renewing.close()

    def _vhosts(self, storage: DatabaseStorage) -> list[str] | None:
        """Return the names of all vhosts; None if the database fails, which ends the process."""
        try:
            return [each.name for each in storage.definitions.all(VhostDefinition)]
        except StoreError as error:
            # Only the journal is read again.
            if isinstance(error.__cause__, UnwrittenError):
                return None
            raise

    def _lost(self, error: OSError) -> None:
        self._has_lost = True
        self._stopped.set()
        self._checks.failed(self, error)

    # --- writing ------------------------------------------------------------------------------------------------------

    def _write_all(self, storage: DatabaseStorage, journal: Journal, batches: Batches, stream: Stream) -> None:
        """Write batches until the end. Raises OSError."""
        removing = False

        def remove() -> None:
            nonlocal removing
            journal.remove_freed()
            removing = False

        while not self._stopped.wait(self._chance.uniform(*BATCH_S)):
            sequence = self._checks.next_sequence()
            vhost = f"v{sequence}" if sequence % 8 == 0 else ""
            if vhost:
                storage.definitions.put(VhostDefinition(vhost))
            streamed = sequence % 2 == 1
            if streamed:
                stream.append(sequence)
            attempt, batch = batches.make(sequence)
            self._checks.attempted(self, attempt)
            while True:
                try:
                    # As the committer does.
                    storage.definitions.sync()
                    storage.files.flush()
                    journal.write(batch)
                    break
                except UnwrittenError:
                    if self._stopped.wait(RETRY_S):
                        return
            number, offset = batch.position >> OFFSET_BITS, batch.position & OFFSET_MASK
            self._checks.acknowledged(
                self, sequence, (f"{LOG}/journal/{segment_name(number)}", offset), vhost, streamed
            )
            if not removing and journal.free():
                removing = True
                threading_module.Thread(remove, "segments", True).start()
