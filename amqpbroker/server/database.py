"""Storage of a broker in a database: waiting for its leadership, and the loss of it."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from amqpbroker import __version__
from amqpbroker.broker import node
from amqpbroker.broker.node import Listening
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.server.cluster import DatabaseCluster
from amqpbroker.server.control import token_of
from amqpbroker.server.data import Data, MakeCommitter, OnFailure, local_directory
from amqpbroker.server.database_listeners import DatabaseListeners
from amqpbroker.server.protocols import url_of
from amqpbroker.server.waiting import Waiting
from amqpbroker.server.waiting_control import WaitingControl
from amqpbroker.store.database import schema
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.database.follower import Follower
from amqpbroker.store.database.leadership import Leader, Leadership
from amqpbroker.store.database.members import Facts, Members
from amqpbroker.store.database.renewing import Renewing
from amqpbroker.store.database.reporting import Reporting
from amqpbroker.store.database.session import described
from amqpbroker.store.database.sessions import READING_DEADLINE_S, READING_REST_S, Sessions, session
from amqpbroker.store.database.storage import DatabaseStorage
from amqpbroker.store.database.vhost_logs import refuse_shared
from amqpbroker.store.directory.ownership import Ownership
from amqpbroker.store.files import Files
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import StoreError, UnwrittenError
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.spill import SpillFiles
from amqpbroker.store.store import Store
from amqpbroker.store.streams.streams import Streams

log = logging.getLogger(__name__)

#: Called with the listeners when clients can connect.
OnReady = Callable[[list[Listening]], None]

#: Interval between attempts to take the leadership.
LOOK_S = 0.25
#: Number of attempts to read everything after a takeover, and the time between two.
RECOVERIES = 20
RECOVER_AGAIN_S = 1.0


#: Warning about a database, with its URL.
NOT_SYNCHRONOUS = (
    "%s: no commit waits for a standby, so a failover of the database may lose confirmed messages; set"
    " synchronous_standby_names there, unless its disk is replicated"
)


class Database:
    """The database of a broker, which waits there for its leadership.

    Raises StoreError for a URL that is none, and ListenError.
    """

    def __init__(self, config: Config, process: str) -> None:
        """process: unique to this process, whose databases follow one another."""
        self._config = config
        self._url = described(config.store_url)
        self._process = process
        self.listeners = DatabaseListeners(config)
        name, address, lease_s = config.cluster_name, self.listeners.address, config.store_lease_ms / 1000
        self._lease = session(config.store_url, process, "lease")
        self._sessions = Sessions(config.store_url, process)
        self._leadership = Leadership(self._lease, LOG, Leader(name, address, process, self.listeners.target), lease_s)
        table = session(config.store_url, process, "brokers")
        table.limit(READING_DEADLINE_S, READING_REST_S)
        self._members = Members(table, Facts(process, name, address, __version__), lease_s)
        self._reporting: Reporting | None = None
        self._stopped = threading.Event()
        self._waits_for: str = ""
        self._leader: Leader | None = None
        #: The messages of the present leader, as far as this broker has read them.
        self._follower = Follower(LOG)
        #: Number of the connection that it reads from, and when it had read everything.
        self._followed_on: int = 0
        self._followed_s: float | None = None
        #: Number of the last batch that an earlier follower had.
        self._read: int = 0

    # --- leadership ---------------------------------------------------------------------------------------------------

    async def begin(self, on_ready: OnReady) -> bool:
        """Wait until this broker leads, and pass clients on meanwhile; return False if `stop` was called before.

        on_ready: called with the listeners. Raises StoreError.
        """
        loop = asyncio.get_running_loop()
        waiting = Waiting(self._config, loop, self.listeners.bound, lambda: self._leader, self._process)
        url = url_of(self.listeners.listening, self._config.management.path_prefix)
        control = WaitingControl(loop, local_directory(self._config), url, lambda: self._leader)
        waiting.start()
        control.start()
        on_ready(self.listeners.listening)
        try:
            await loop.run_in_executor(None, self._lead)
        finally:
            await waiting.close()
            control.close()
        if not self._stopped.is_set():
            return True
        self.listeners.close()
        await loop.run_in_executor(None, self._give_up)
        return False

    @property
    def is_stopped(self) -> bool:
        """Return whether `stop` was called."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End `begin`."""
        self._stopped.set()

    def _lead(self) -> None:
        """Return when this broker leads or is stopped. Raises StoreError."""
        make: Callable[[], None] = self._make_tables
        led_s = time.monotonic()
        while not self._stopped.is_set():
            try:
                make()
                make = _nothing
                if self._reporting is None:
                    self._reporting = Reporting(self._members, self._lag_s, lambda _: None)
                if self._leadership.try_take(self._members.may_lead):
                    log.warning("%s: this broker leads now, in epoch %d", self._url, self._leadership.epoch)
                    self._followed_s = None
                    return
                self._leader = leader = self._leadership.leader()
                self._follow()
                if leader is not None:
                    led_s = time.monotonic()
                    self._wait(f"{self._url}: waiting, since {leader.name} at {leader.address} leads")
                elif self._members.is_drained and time.monotonic() - led_s > self._leadership.lease_s:
                    self._wait(f"{self._url}: no broker leads, and this one is drained; start it again, or another one")
            except UnwrittenError as error:
                self._wait(f"{error}; retrying until the database answers")
            except OSError as error:
                raise StoreError(str(error)) from error
            self._stopped.wait(LOOK_S)

    def _make_tables(self) -> None:
        """Raises StoreError, OSError."""
        schema.make_tables(self._lease)
        self._lease.run(refuse_shared)

    def _follow(self) -> None:
        """Read a step of what the leader has written. Raises OSError."""
        try:
            if self._lease.run(self._follower.read_on):
                self._followed_s = time.monotonic()
            if self._lease.connections != self._followed_on:
                # Another server may lack what was read from the last one.
                self._followed_on = self._lease.connections
                self._follow_anew()
        except StoreError as error:
            # Segments were removed that were not read yet.
            log.info("%s: the journal is followed from its beginning again: %s", self._url, error)
            self._follow_anew()

    def _follow_anew(self) -> Follower:
        """Begin to follow the journal; return the earlier follower."""
        earlier, self._follower = self._follower, Follower(LOG)
        self._read = max(self._read, earlier.found.batches)
        return earlier

    def _lag_s(self) -> float | None:
        """Return how far this broker is behind the leader."""
        return None if self._followed_s is None else time.monotonic() - self._followed_s

    def _give_up(self) -> None:
        self._leave()
        with contextlib.suppress(OSError):
            self._leadership.release()
        self._leadership.close()

    def _leave(self, returns: bool = False) -> None:
        """End the reports, before the leadership is given up. returns: the process goes on, and will wait again."""
        if self._reporting is not None:
            self._reporting.close()
            if not returns:
                with contextlib.suppress(OSError):
                    self._members.remove()
        self._members.close()

    def _wait(self, reason: str) -> None:
        """Log the reason once."""
        if reason != self._waits_for:
            self._waits_for = reason
            log.warning("%s", reason)

    # --- storage ------------------------------------------------------------------------------------------------------

    @contextmanager
    def opened(self) -> Iterator[Data]:
        """Open the stored state that the broker starts from, after `begin`. At the end the leadership is given up.

        The local data directory has only what a broker needs while it runs: messages that were moved there to make room
        in memory, and the control file. Raises StoreError.
        """
        loop = asyncio.get_running_loop()
        losses, cluster = _Losses(loop), DatabaseCluster(loop, self._members)
        with (
            closing(Renewing(self._leadership, losses.lost)),
            self._reported(losses, cluster),
            closing(Ownership(local_directory(self._config), Files())) as owned,
            closing(SpillFiles(owned.directory / "spill", Files(), self._config.bounds.spill_bytes)) as spill,
            closing(self._sessions),
            contextlib.ExitStack() as opened,
        ):
            storage, journal, found = self._recovered()
            opened.enter_context(closing(storage))
            data = self._data(storage, journal, found, spill, owned.directory, losses)
            yield replace(data, cluster=cluster, token=token_of(self.listeners.target.secret))

    @contextmanager
    def _reported(self, losses: "_Losses", cluster: DatabaseCluster) -> Iterator[None]:
        """At the end, leave the other brokers, or the leadership to one of them."""
        try:
            yield
        finally:
            self._leave(returns=cluster.yield_leadership() or losses.occurred)

    def _recovered(self) -> tuple[DatabaseStorage, Journal, Recovered]:
        """Read the journal, again if the database has failed meanwhile, as when it fails together with a leader.

        Raises StoreError.
        """
        config = self._config
        for left in reversed(range(RECOVERIES)):
            storage = DatabaseStorage(self._sessions, self._leadership.epoch)
            try:
                self._sessions.connect()
                storage.open()
                journal = Journal(Path("/journal"), storage.files, config.bounds.segment_bytes, name=self._url)
                found = self._followed(storage, journal)
                if found is None:
                    found = journal.recover()
                self._check(found)
                storage.recovered()
            except BaseException as error:
                storage.close()
                if not isinstance(error, OSError):
                    raise
                if not isinstance(error, UnwrittenError) or not left:
                    raise StoreError(str(error)) from error
                log.warning("%s; the messages are read again", error)
                time.sleep(RECOVER_AGAIN_S)
            else:
                return storage, journal, found
        raise AssertionError("the last attempt returns or raises")

    def _followed(self, storage: DatabaseStorage, journal: Journal) -> Recovered | None:
        """Continue with what this broker has followed; return None if that cannot be used."""
        follower = self._follow_anew()
        if not follower.segments or self._lease.connections != self._followed_on:
            return None
        try:
            complete = storage.read_on(follower)
        except StoreError as error:
            log.info("%s: %s", self._url, error)
            complete = False
        if not complete:
            log.warning("%s: the journal was not followed to its end, and is read again", self._url)
            return None
        found, marks = follower.found, {number: kept.mark for number, kept in follower.segments.items()}
        journal.continue_from(found, marks)
        return found

    def _check(self, found: Recovered) -> None:
        """Report that batches are missing which this broker has read."""
        if found.batches < self._read:
            log.critical(
                "%s: messages that were confirmed may be lost: the last batch is %d, and this broker has read %d; was a"
                " standby promoted that did not have them? This broker leads without them",
                self._url, found.batches, self._read,
            )  # fmt: skip

    def _data(
        self,
        storage: DatabaseStorage,
        journal: Journal,
        found: Recovered,
        spill: SpillFiles,
        directory: Path,
        losses: "_Losses",
    ) -> Data:
        config, files, definitions = self._config, storage.files, storage.definitions
        streams = Streams(Path("/streams"), files, config.bounds.stream_cache_bytes, synced=False)

        def before_batch() -> None:
            definitions.sync()
            streams.write()
            files.flush()

        def store(committer: MakeCommitter, clock: Clock, on_failure: OnFailure) -> Store:
            made, waits = committer(journal, before_batch), config.durability != "none"
            kept = Persistence(journal, made, on_failure, clock, waits, config.bounds, streams, True)
            losses.watch(kept.writer.fail)
            return kept

        facts = node.Database(self._url, self._leadership.epoch, storage.synchronous)
        if not facts.synchronous:
            log.warning(NOT_SYNCHRONOUS, self._url)
        return Data(definitions, store, found, spill, directory, (directory,), facts)


class _Losses:
    """Tells the broker, on the event loop, that another one has taken over."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._on_lost: OnFailure | None = None
        self._error: OSError | None = None

    @property
    def occurred(self) -> bool:
        return self._error is not None

    def lost(self, error: OSError) -> None:
        """Called on any thread."""
        self._loop.call_soon_threadsafe(self._lost, error)

    def _lost(self, error: OSError) -> None:
        self._error = error
        if self._on_lost is not None:
            self._on_lost(error)

    def watch(self, on_lost: OnFailure) -> None:
        """Call `on_lost` with the error, now if it is known already."""
        self._on_lost = on_lost
        if self._error is not None:
            on_lost(self._error)


def _nothing() -> None:
    pass
