"""A database whose vhosts several brokers share: the part of one broker, from its start to its end."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from amqpbroker import __version__
from amqpbroker.broker import node
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.following import FOLLOWED, follow
from amqpbroker.clock import Clock, SystemClock
from amqpbroker.cluster.database_cluster import DatabaseCluster
from amqpbroker.cluster.database_listeners import DatabaseListeners
from amqpbroker.cluster.database_storage import settings_to_change
from amqpbroker.cluster.definitions import import_first_definitions, import_shared_definitions
from amqpbroker.cluster.ended_leaders import EndedLeaders
from amqpbroker.cluster.finished_shovels import FinishedShovels
from amqpbroker.cluster.following.definitions_follower import Changes, DefinitionsFollower, Found
from amqpbroker.cluster.following.own_changes import OwnChanges
from amqpbroker.cluster.following.vhost_followers import VhostFollowers
from amqpbroker.cluster.leadership.leadership import Leader, Target
from amqpbroker.cluster.leadership.leaderships import Leaderships
from amqpbroker.cluster.leadership.members import Facts, Members
from amqpbroker.cluster.leadership.reporting import Reporting
from amqpbroker.cluster.leadership.sessions import READING_DEADLINE_S, Sessions, session
from amqpbroker.cluster.partition_monitor import PartitionMonitor
from amqpbroker.cluster.peers.http_peers import HttpPeers
from amqpbroker.cluster.placement.sharing import Sharing
from amqpbroker.cluster.placement.vhost_patterns import VhostPatterns, check_pattern
from amqpbroker.cluster.relaying.relaying import Relaying
from amqpbroker.cluster.vhost_following import VhostFollowing
from amqpbroker.cluster.vhost_serving import OnStuck, VhostServing
from amqpbroker.config import Config
from amqpbroker.server.clients import Clients
from amqpbroker.server.data import Data, MakeCommitter, local_directory
from amqpbroker.server.shared_vhosts import SharedStore, SharedVhosts
from amqpbroker.server.tick import Tick
from amqpbroker.store.database import schema
from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.database.fence import LOG, Fence
from amqpbroker.store.database.session import Session, TimedConnection
from amqpbroker.store.database.texts import described
from amqpbroker.store.database.vhost_logs import GLOBAL, VhostLog, read_logs
from amqpbroker.store.definitions.definitions import UserDefinition, VhostDefinition
from amqpbroker.store.definitions.followed_definitions import FollowedDefinitions
from amqpbroker.store.directory.ownership import Ownership
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError, UnwrittenError
from amqpbroker.store.spill import SpillFiles
from amqpbroker.store.store import MemoryStore

if TYPE_CHECKING:
    from amqpbroker.broker.node import Node
    from amqpbroker.management.shared_requests import SharedRequests

log = logging.getLogger(__name__)

#: Warning about a database, with its URL and the settings to change.
NOT_SYNCHRONOUS: Final = (
    "%s: no commit waits for a standby, so a failover of the database may lose confirmed messages; set %s"
    " there, unless its disk is replicated"
)

#: Interval between two steps, and while a request of HTTP waits for them.
STEP_S: Final = 0.25
AWAITED_STEP_S: Final = 0.05
#: Time for which the end of a broker waits until others are ready to take its vhosts.
READY_S: Final = 5.0
#: Interval at which is looked whether a step is done, and whether a vhost is to be released.
LOOK_S: Final = 0.02


class SharedDatabase(SharedStore):
    """The database, and what this broker has in it. Raises StoreError for a URL that is none, and ListenError."""

    def __init__(self, config: Config, process: str) -> None:
        """process: unique to this process."""
        check_pattern(config.store_vhosts)
        self._config = config
        self._url = described(config.store_url)
        self._process = process
        self.listeners = DatabaseListeners(config)
        name, address, lease_s = config.cluster_name, self.listeners.address, config.store_lease_ms / 1000
        self._here = Leader(name, address, process, self.listeners.target)
        self._leaderships = Leaderships(
            session(config.store_url, process, "lease"), self._here, lease_s, has_ended=EndedLeaders().has_ended
        )
        self._tables = session(config.store_url, process, "tables")
        self._sessions = Sessions(config.store_url, process)
        reported = session(config.store_url, process, "brokers")
        # Without a rest: takeovers wait for the first answer of a new primary.
        reported.limit(READING_DEADLINE_S, rest_s=0.0)
        facts = Facts(process, name, address, __version__, config.store_vhosts)
        self._members = Members(reported, facts, lease_s)
        self._reporting: Reporting | None = None
        self._following = VhostFollowing(VhostFollowers(session(config.store_url, process, "followers"), process))
        self._follower = DefinitionsFollower(LOG, FOLLOWED)
        self._definitions = FollowedDefinitions({})
        self._own_changes = OwnChanges()
        #: Until it is known otherwise, so that this is logged.
        self._facts = node.Database(self._url, synchronous=True)
        self._stopped = threading.Event()
        self._waits_for: str = ""

    # --- start --------------------------------------------------------------------------------------------------------

    async def begin(self) -> bool:
        """Wait until the definitions are there, or make them; return False if `stop` was called before.

        Raises StoreError, UnusableDefinitionsError.
        """
        await asyncio.get_running_loop().run_in_executor(None, self._begin)
        if self._stopped.is_set():
            await asyncio.get_running_loop().run_in_executor(None, self.leave)
        return not self._stopped.is_set()

    def stop(self) -> None:
        """End `begin`."""
        self._stopped.set()

    def _begin(self) -> None:
        """Raises StoreError, UnusableDefinitionsError."""
        while not self._stopped.is_set():
            try:
                schema.make_tables(self._tables)
                self._tables.run(self._follower.read_on)
                if self._follower.found[VhostDefinition] or self._follower.found[UserDefinition]:
                    if LOG not in self._leaderships.held:
                        # It may have the lock, which keeps others from leading.
                        self._leaderships.abandon(LOG)
                    self._members.report(None)
                    self._tables.run(self._see_standbys)
                    self._sessions.connect()
                    # Last, since its thread does the same, and nothing ends it if this is repeated.
                    self._reporting = Reporting(self._members, self._following.lag_s, self._report_beside)
                    return
                if LOG in self._leaderships.held or self._leaderships.try_take(LOG):
                    self._make_definitions()
                    continue
            except UnwrittenError as error:
                self._wait(f"{error}; retrying until the database answers")
            except OSError as error:
                raise StoreError(str(error)) from error
            self._stopped.wait(STEP_S)

    def _report_beside(self, connection: TimedConnection) -> None:
        self._leaderships.extend(connection)
        self._see_standbys(connection)

    def _see_standbys(self, connection: TimedConnection) -> None:
        """Find out whether commits wait for a standby. After a failover, the settings may be others."""
        changes = settings_to_change(connection)
        if changes and self._facts.synchronous:
            log.warning(NOT_SYNCHRONOUS, self._url, changes)
        self._facts.synchronous = not changes

    def _make_definitions(self) -> None:
        """Store the definitions of a blank broker, as the leader of the log that all brokers share.

        Raises OSError, UnusableDefinitionsError.
        """
        writing = session(self._config.store_url, self._process, "first")
        with closing(writing):
            made = DatabaseDefinitions(LOG, self._tables, Fence(writing, LOG, self._leaderships.held[LOG]))
            broker = Broker(self._config, SystemClock(), MemoryStore(), made, shares_vhosts=True)
            import_first_definitions(broker, self._config.definitions)
            broker.discard()
            made.sync()

    def _wait(self, reason: str) -> None:
        """Log the reason once."""
        if reason != self._waits_for:
            self._waits_for = reason
            log.warning("%s", reason)

    @contextmanager
    def opened(self) -> Iterator[Data]:
        """Open what this broker needs on its machine. At the end it leaves the other brokers. Raises StoreError."""
        self._definitions = FollowedDefinitions(
            {kind: list(definitions.values()) for kind, definitions in self._follower.found.items()}, self._own_changes
        )
        try:
            with (
                closing(Ownership(local_directory(self._config), Files())) as owned,
                closing(SpillFiles(owned.directory / "spill", Files(), self._config.bounds.spill_bytes)) as spill,
            ):
                yield Data(
                    self._definitions, spill=spill, directory=owned.directory, watched=(owned.directory,),
                    database=self._facts, share=self.start,
                )  # fmt: skip
        finally:
            self.leave()

    def leave(self) -> None:
        """End the reports and all sessions."""
        if self._reporting is not None:
            self._reporting.close()
            with suppress(OSError):
                self._members.remove()
        self._members.close()
        self._leaderships.close()
        self._tables.close()
        self._sessions.close()

    def start(
        self,
        broker: Broker,
        clients: Clients,
        committer: MakeCommitter,
        tick: Tick,
        clock: Clock,
        on_stuck: OnStuck,
    ) -> "SharedDatabaseVhosts":
        """Take part in the sharing from now on, with a broker and its clients."""
        loop = asyncio.get_running_loop()

        def served(vhost: str) -> None:
            if clients.relaying is not None:
                clients.relaying.leaders_changed([vhost])

        serving = VhostServing(
            self._config,
            loop,
            broker,
            clock,
            committer,
            tick.request,
            self._sessions,
            self._following,
            self._write_to,
            on_stuck,
            served,
        )
        return SharedDatabaseVhosts(
            loop, broker, clients, self._definitions, self._follower, self._here, self._leaderships, self._members,
            self._tables, serving, self._own_changes, self._following.lag_s,
        )  # fmt: skip

    def _write_to(self, definitions: DatabaseDefinitions | None) -> None:
        """Write the definitions of all vhosts from now on; None: another broker writes them."""
        self._definitions.write_to(definitions)
        self._own_changes.write_to(definitions)


class SharedDatabaseVhosts(SharedVhosts):
    """The sharing of vhosts by a running broker, on a thread, until `close`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        broker: Broker,
        clients: Clients,
        definitions: FollowedDefinitions,
        follower: DefinitionsFollower,
        here: Leader,
        leaderships: Leaderships,
        members: Members,
        tables: Session,
        serving: VhostServing,
        own_changes: OwnChanges,
        lag_s: Callable[[], float | None],
    ) -> None:
        """definitions: of the broker. tables: session for reading. own_changes: of these definitions.

        lag_s: returns the lag of this broker.
        """
        self._loop = loop
        self._broker = broker
        self._definitions = definitions
        self._follower = follower
        self._process = here.process
        self._members = members
        self._tables = tables
        self._serving = serving
        self._own_changes = own_changes
        self._sharing = Sharing(leaderships, here.process, self._logs, members.rows, serving, VhostPatterns().match)
        self._stopped = threading.Event()
        self._waits_for: str = ""
        #: Number of requests that wait for steps.
        self._waiting: int = 0
        self._peers = HttpPeers(here, self._leader_of, self._writer, self._others, self._catch_up)
        self.cluster = self._cluster = DatabaseCluster(
            loop,
            members,
            self._sharing,
            VhostPatterns().match,
            broker.vhosts.__contains__,
            lag_s,
            leaderships.may_have_ended,
            leaderships.may_be_taken,
        )
        prefix = broker.config.management.path_prefix
        self._partition_monitor = PartitionMonitor(
            self._peers, prefix, leaderships.may_have_ended, self._others, serving.overtaken
        )
        clients.relaying = self._relaying = Relaying(
            loop, self._target, broker.vhosts.__contains__, clients.is_full, here.process
        )
        # The port opens at once.
        members.set_target(here.target)
        self._finished = FinishedShovels(broker, self._peers)
        broker.shovels.finish_by(self._finished.delete)
        serving.start()
        if LOG in leaderships.held:
            serving.serve(GLOBAL, leaderships.held[LOG])
        self._thread = threading.Thread(target=self._run, name="sharing", daemon=True)
        self._thread.start()

    def requests(self) -> "SharedRequests":
        from amqpbroker.cluster.requests.sharing import Sharing as SharingOfRequests

        return SharingOfRequests(self._peers)

    async def import_definitions(self, node: "Node") -> None:
        await import_shared_definitions(self._broker, node, self.requests, self._broker.config.definitions)

    async def prepare_end(self, is_hurried: Callable[[], bool]) -> None:
        """Take no further vhost, and serve the others until other brokers are ready to take those that have clients."""
        end = self._loop.time() + READY_S
        draining = self._loop.run_in_executor(None, self._drain)
        while self._loop.time() < end and not is_hurried():
            if draining.done() and (not draining.result() or self._sharing.may_end):
                break
            await asyncio.sleep(LOOK_S)
        if draining.done() and draining.result():
            await self._loop.run_in_executor(None, self._withdraw_port)

    def _withdraw_port(self) -> None:
        """Keep other brokers from sending further requests to this one, except for vhosts that it leads."""
        self._members.set_target(Target())
        with suppress(OSError):
            self._members.report(None)

    def _drain(self) -> bool:
        """Drain this broker for its last seconds; return whether another one could lead."""
        try:
            return self._members.drain(self._process)
        except OSError as error:
            log.info("vhosts are left to other brokers without waiting for these: %s", error)
            return False

    async def close(self) -> None:
        """Leave all vhosts to other brokers, each when what is left is written."""
        self._finished.close()
        self._partition_monitor.close()
        self._sharing.end()
        await self._serving.close()
        self._stopped.set()
        await self._loop.run_in_executor(None, self._thread.join)
        await self._cluster.close()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._attempt(self._step)
            begun = time.monotonic()
            # A vhost that is handed over has no leader until it is released.
            while time.monotonic() < begun + self._interval_s and not self._stopped.wait(LOOK_S):
                self._attempt(self._release)
        self._attempt(self._release)

    @property
    def _interval_s(self) -> float:
        """The time between two steps."""
        return AWAITED_STEP_S if self._waiting else STEP_S

    def _attempt(self, task: Callable[[], None]) -> None:
        try:
            task()
        except (OSError, StoreError) as error:
            if str(error) != self._waits_for:
                self._waits_for = str(error)
                log.warning("%s; retrying until the database answers", error)
        except Exception:
            log.exception("internal error in the sharing of vhosts")

    def _step(self) -> None:
        self._release()
        before = self._sharing.leaders
        self._sharing.step()
        if changed := changed_leaders(before, self._sharing.leaders):
            self._loop.call_soon_threadsafe(self._relaying.leaders_changed, changed)
        changes = self._tables.run(self._follower.read_on)
        if any(changes) or not self._own_changes.are_read:
            # The writer is that of the step, before these were read.
            writer, found = self._writer(), self._follower.found
            self._loop.call_soon_threadsafe(self._follow, changes, found, 0 if writer is None else writer.epoch)

    def _release(self) -> None:
        while (released := self._serving.released()) is not None:
            self._sharing.released(*released)
        self._sharing.release()

    def _logs(self) -> list[VhostLog]:
        return [GLOBAL, *self._tables.run(read_logs)]

    # --- the event loop -----------------------------------------------------------------------------------------------

    def _follow(self, changes: Changes, found: Found, epoch: int) -> None:
        """Make the changes that another broker has written, and undo own ones that are not in the database.

        found: all definitions. epoch: of the broker that writes them, as it was known before they were read.
        """
        with self._definitions.following():
            follow(self._broker, *changes)
            undone = self._own_changes.compare(found, epoch)
            follow(self._broker, undone.put, undone.removed)
        # A vhost that is defined again may have been removed from memory here, while its log stays.
        defined = [definition.name for definition in changes.put if isinstance(definition, VhostDefinition)]
        for vhost in (*defined, *undone.returned):
            self._serving.reopen(vhost)

    def _leader_of(self, vhost: str) -> Leader | None:
        found = [
            leaders[vhost] for leaders in (self._sharing.leaders, self._partition_monitor.leaders) if vhost in leaders
        ]
        return max(found, key=lambda leader: leader.epoch, default=None)

    def _writer(self) -> Leader | None:
        leader = self._sharing.leaders.get(GLOBAL.vhost)
        if leader is not None and leader.process == self._process and not self._definitions.is_writing:
            # It is still reading what is stored.
            return None
        return leader

    def _others(self) -> list[Leader]:
        # Rows of brokers of an earlier version have no ports; those of leaders always had.
        known = [each for each in self._sharing.members if each.process in self._sharing.running and each.target.port]
        found = {each.process: Leader(each.node, each.address, each.process, each.target) for each in known}
        found |= {leader.process: leader for leader in self._sharing.leaders.values()}
        return [leader for process, leader in found.items() if process != self._process]

    def _target(self, vhost: str) -> Target | None:
        leader = self._leader_of(vhost)
        return None if leader is None or leader.process == self._process else leader.target

    async def _catch_up(self) -> None:
        """Wait for two more steps, the first of which may be under way."""
        wanted = self._sharing.steps + 2
        self._waiting += 1
        try:
            while self._sharing.steps < wanted:
                await asyncio.sleep(LOOK_S)
        finally:
            self._waiting -= 1


def changed_leaders(before: Mapping[str, Leader], now: Mapping[str, Leader]) -> list[str]:
    """Return the vhosts that have other leaders than before."""
    return [vhost for vhost in {**before, **now} if before.get(vhost) != now.get(vhost)]
