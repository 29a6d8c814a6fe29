"""A world: several brokers that share the vhosts of one engine, and faults, all from one seed."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from unittest.mock import patch

from psycopg.errors import UniqueViolation

from amqpbroker.broker.cluster import Cluster as SharedCluster
from amqpbroker.cluster import shared_database
from amqpbroker.cluster.leadership.leadership import GRACE_S
from amqpbroker.store.database.fence import LOG, ROWS_AT_ONCE
from amqpbroker.store.database.session import LOST
from amqpbroker.store.log import StoreError
from tests.simulation.chance import Chance
from tests.simulation.database.broker import Broker, Request
from tests.simulation.database.cluster import Cluster
from tests.simulation.database.ledger import Attempt, BrokenError, Contents, Ledger
from tests.simulation.database.path import SERVER_LOST_NS
from tests.simulation.database.skipping import Skipping
from tests.simulation.database.statements import READERS, STATEMENTS, is_ready
from tests.simulation.database.vhost import Vhost
from tests.simulation.database.vhosts import Vhosts
from tests.simulation.scheduler import MS, SECOND

#: Interval in which the server looks for idle transactions, and the world for what it waits for.
SWEEP_NS = SECOND
STEP_NS = 50 * MS
#: Time after the end of all faults in which all vhosts are served, besides the lease and the grace: calls that wait
#: for an answer, sessions and transactions of dead clients, restarts, retries.
REST_NS = 40 * SECOND

#: Time after which a broker that has started takes vhosts.
CALM_NS = 1_500 * MS
#: Time after which the effects of a broker's fault are gone: it knows that connections are lost, and has new ones.
WELL_NS = 10 * SECOND
#: Time after which a leader has renewed its leases with a new connection.
RENEWED_NS = 3 * SECOND

#: Probability that an attempt to connect to a process that has ended is refused.
REFUSED = 0.7

#: Time that an attempt to take over needs at most, with some slow messages.
SLOW_S = 0.35


class Log:
    """Facts about a log. name: of it. vhost: its vhost; "" for the log that all share.

    last_row: table and key of the last row of its journal that was acknowledged.
    """

    def __init__(self, name: str, vhost: str) -> None:
        self.name = name
        self.vhost = vhost
        self.ledger = Ledger()
        self.last_row = ("", 0)
        #: Time of the last acknowledged batch, -1 if there was none since the last faults.
        self.acknowledged_ns = -1
        self.acknowledged_epoch = 0
        #: Epochs in which a broker has led it, and the last of these brokers.
        self.epochs: set[int] = set()
        self.last_taken: tuple[Broker, int, int] | None = None


class World:
    """The world of a seed. takeovers, faults: number so far. faults_end_ns: end of all faults so far.

    rested: all vhosts were served after the end of all faults. lossy: a promotion has lost what was confirmed, and the
    world ends.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = chance = Chance(seed)
        self.scheduler = Skipping()
        self.lease_s = chance.choice((1.0, 2.0, 3.0, 10.0))
        self.step_s = chance.choice((0.25, 0.5))
        synchronous, asynchronous = chance.choice(((1, 0), (1, 1), (2, 0), (0, 0), (0, 1)))
        self.cluster = Cluster(self.scheduler, Chance(f"{seed} engine"), STATEMENTS, READERS, synchronous, asynchronous)
        self.has_asynchronous = asynchronous > 0
        count = chance.choice((2, 2, 3, 3, 4))
        self.brokers = [
            Broker(name, self.lease_s, self.scheduler, self.cluster, Chance(f"{seed} {name}"), self)
            for name in "abcd"[:count]
        ]
        self.logs: dict[str, Log] = {}
        self.vhosts = Vhosts(chance, chance.choice((2, 3, 5)))
        self.takeovers = 0
        self.faults = 0
        self.faults_end_ns = 0
        #: Number of sessions of leases that the engine has ended within a transaction, since their process hung.
        self.idle_leases = 0
        #: End of the last time in which there was no primary.
        self.outage_ns = 0
        self.rested = False
        self.lossy = False
        self.failure = ""
        #: Leaders whose confirmed batches were lost (name, life, log and epoch) -> the last message before that.
        self.must_stop: dict[tuple[str, int, str, int], int] = {}
        self._sequence = 0
        #: Processes that ended together with their machines, which refuse nothing.
        self._lost_machines: set[str] = set()
        self.cluster.on_stall = self._stalled
        self.cluster.on_terminate = self._terminated
        self.scheduler.after(SWEEP_NS, self._sweep)
        self._patches = ExitStack()
        # Looking more rarely makes more worlds a second.
        for name, value in (("STEP_S", self.step_s), ("LOOK_S", self.step_s / 2)):
            self._patches.enter_context(patch.object(shared_database, name, value))

    def begin(self) -> None:
        for broker in self.brokers:
            broker.start_later()

    # --- time ---------------------------------------------------------------------------------------------------------

    def run(self, duration: int) -> None:
        """Raises BrokenError."""
        self._run_to(self.scheduler.now + duration)

    def _run_to(self, end: int) -> None:
        self.scheduler.run(end)
        if self.failure:
            raise BrokenError(self.failure)

    def run_until(self, unmet: Callable[[], str], limit: int) -> None:
        """Run until `unmet` returns nothing, checked from time to time.

        Raises BrokenError after `limit` nanoseconds.
        """
        end = self.scheduler.now + limit
        while wanted := unmet():
            if self.scheduler.now >= end:
                raise self.broken(f"after {limit / SECOND} s without faults {wanted}")
            self.run(STEP_NS)

    def rest(self) -> None:
        """Run until all faults have ended, and all vhosts are served and have stored something after that."""
        self.run(0)
        while self.faults_end_ns > self.scheduler.now:
            self._run_to(self.faults_end_ns)
        for log in self.logs.values():
            log.acknowledged_ns = -1
        self.vhosts.pauses = True
        self.run_until(self._unserved, int((self.lease_s + GRACE_S) * SECOND) + REST_NS)
        self.vhosts.pauses = False
        self.cluster.commit_faults.clear()
        self.check_stored()
        self.rested = True

    def _unserved(self) -> str:
        """Return what is not as it should be after some time without faults, an empty text if there is nothing."""
        if self.epoch_of_writer(LOG) == 0:
            return "nobody writes the definitions"
        rows = self.cluster.rows("vhost_log")
        for number, (name, removed) in rows.items():
            log = f"v{number}"
            if removed:
                return f"log {log} of the deleted vhost {name} is not removed"
            known = self.logs.get(log)
            if known is None or known.acknowledged_ns < 0 or known.acknowledged_epoch != self.cluster.epoch(log):
                return f"nobody serves vhost {name} with log {log}"
        defined = {row[0] for row in self.cluster.rows("vhost").values()}
        logged = {name for name, _ in rows.values()}
        if defined != logged:
            return f"the vhosts {sorted(defined)} have the logs of {sorted(logged)}"
        for broker in self.brokers:
            if broker.domain is not None and not broker.is_stopping and defined != {*broker.domain.defined_vhosts}:
                return f"{broker.name} knows the vhosts {sorted(broker.domain.defined_vhosts)} of {sorted(defined)}"
        return ""

    def epoch_of_writer(self, log: str) -> int:
        """Return the newest epoch of the brokers that serve a log, 0 if there is none."""
        return max(broker.epoch_of(log) for broker in self.brokers)

    @property
    def noticed_s(self) -> float:
        """Return the time in which a broker takes what it may take."""
        return 2 * (self.step_s + SLOW_S)

    @property
    def is_calm(self) -> bool:
        """Return whether the last faults have ended, all vhosts are served, and other brokers can take them."""
        now = self.scheduler.now
        return (
            self.rested
            and self.faults_end_ns <= now
            and all(
                broker.domain is not None
                and now - broker.started_ns > CALM_NS
                and broker.disturbed_ns + WELL_NS < now
                and not broker.is_stopping
                and not broker.is_drained
                for broker in self.brokers
            )
        )

    def expect_takeovers(self, broker: Broker, limit_s: float, by_ready: bool = False) -> None:
        """Check that others take over from a broker in time, if all was calm and no other fault comes meanwhile.

        A session that was not used since an earlier fault may be dead. The broker waits for it when it ends.
        by_ready: only for logs for which another broker is ready, both at first and at the end: reading a journal again
        takes seconds.
        """
        connections = () if broker.process is None else broker.process.connections
        if self.is_calm and not any(connection.is_dead for connection in connections):
            led = [(each.log, each.epoch) for each in broker.served if self._may_leave(each.log, by_ready)]
            self.scheduler.after(int(limit_s * SECOND), partial(self._expected, led, self.faults, limit_s, by_ready))

    def _may_leave(self, log: str, by_ready: bool) -> bool:
        return not by_ready or is_ready(self.cluster.rows("leadership"), log)

    def _expected(self, led: list[tuple[str, int]], faults: int, limit_s: float, by_ready: bool) -> None:
        for log, epoch in led:
            exists = int(log[1:]) in self.cluster.rows("vhost_log")
            remains = exists and self.faults == faults and self.cluster.epoch(log) == epoch
            if remains and self._may_leave(log, by_ready):
                self.report(f"no takeover of {log} in {limit_s} s")

    def expect_none(self, broker: Broker, duration: int) -> None:
        """Check that nobody takes over from a broker in this time, if all is calm and no other fault comes meanwhile.

        It may have lost its locks in an earlier fault, and not renewed yet, although it writes.
        The engine ends a session that hangs within a renewal, before the lease has ended.
        """
        if self.is_calm and broker.disturbed_ns + RENEWED_NS < self.scheduler.now:
            before = (self.faults, self.idle_leases)
            led = [(each.log, each.epoch) for each in broker.served]
            self.scheduler.after(duration, partial(self._expected_none, led, before))

    def _expected_none(self, led: list[tuple[str, int]], before: tuple[int, int]) -> None:
        for log, epoch in led:
            if self.cluster.epoch(log) > epoch and (self.faults, self.idle_leases) == before:
                self.report(f"a leader of {log} is replaced that hung for less than its lease")

    def inflict(self, fault: "Callable[[World], None]") -> None:
        """Begin a fault."""
        self.faults += 1
        fault(self)
        self.rested = False

    def fault_until(self, end_ns: int) -> None:
        self.faults_end_ns = max(self.faults_end_ns, end_ns)

    def _stalled(self, name: str, duration: int) -> None:
        self.faults += 1
        self.rested = False
        self.fault_until(self.scheduler.now + duration)
        if name.endswith((" lease", " brokers")) and (broker := self._broker_of(name)) is not None:
            # It has the rows of leases locked, so that these cannot be renewed.
            self.disturb(broker, duration)

    def _sweep(self) -> None:
        if self.cluster.primary is not None:
            self.idle_leases += sum(name.endswith(" lease") for name in self.cluster.primary.end_idle())
        if not self.lossy:
            self._check_removals()
        self.scheduler.after(SWEEP_NS, self._sweep)

    def broken(self, text: str) -> BrokenError:
        return BrokenError(f"at {self.scheduler.now / SECOND:.6f} s: {text}")

    def report(self, text: str) -> None:
        """Record a broken promise; the first one ends the world."""
        self.failure = self.failure or str(self.broken(text))

    # --- faults of brokers --------------------------------------------------------------------------------------------

    @property
    def leaders(self) -> list[Broker]:
        """The brokers that serve something, as far as they know themselves."""
        return [broker for broker in self.brokers if broker.leads]

    def die(self, broker: Broker, with_machine: bool) -> None:
        if with_machine:
            self._lost_machines.add(broker.process_name)
        connections = broker.die(with_machine)
        for connection in connections:
            self.scheduler.after(SERVER_LOST_NS, connection.end_on_server)
        if connections:
            self.fault_until(self.scheduler.now + SERVER_LOST_NS)

    def disturb(self, broker: Broker, duration: int) -> None:
        """Record that a broker has a fault of its own for some time."""
        end = self.scheduler.now + duration
        broker.disturbed_ns = max(broker.disturbed_ns, end)
        self.fault_until(end)

    def break_connections(self, broker: Broker, all_of_them: bool) -> None:
        """Cut connections of a broker, one or all."""
        if broker.process is not None and self.cluster.primary is not None:
            connections = broker.process.connections
            for connection in connections if all_of_them else self.chance.sample(connections, min(len(connections), 1)):
                connection.cut()

    def lose_partitioned(self, broker: Broker, duration: int) -> None:
        """End the connections of a broker on the server, if a partition lasts."""
        if duration <= SERVER_LOST_NS or broker.process is None:
            return
        for connection in broker.process.connections:
            self.scheduler.after(SERVER_LOST_NS, connection.end_on_server)

    # --- checks of leaderships ----------------------------------------------------------------------------------------

    def took(self, broker: Broker, log: str, epoch: int) -> None:
        self.takeovers += 1
        if self.lossy:
            return
        known = self._log(log)
        if epoch in known.epochs:
            self.report(f"{broker.name} leads {log} in epoch {epoch}, which another one had")
        known.epochs.add(epoch)
        if epoch < max(known.epochs):
            # The answer was late, and another broker has taken over meanwhile.
            return
        last, known.last_taken = known.last_taken, (broker, broker.lives, epoch)
        if last is None:
            return
        before, life, earlier = last
        if self._is_healthy(before, life, log, earlier) and self._is_well(broker):
            self.report(f"{broker.name} takes {log} from {before.name}, which leads and has no fault, after {earlier}")

    def _terminated(self, name: str, prefix: str) -> None:
        """Check that a broker ends the sessions only of one that has a fault."""
        if self.lossy or self.outage_ns + int(self.lease_s * SECOND) + 12 * SECOND > self.scheduler.now:
            # A leader that has just connected again may be too late with its first renewal.
            return
        ending = self._broker_of(name)
        assert ending is not None
        victim = next((each for each in self.brokers if prefix == f"amqpbroker {each.process_name} "), None)
        if (
            victim is not None
            and victim.leads
            and not victim.is_stopping
            and self._is_well(victim)
            and self._is_well(ending)
        ):
            self.report(f"{ending.name} ends the sessions of {victim.name}, which leads and has no fault")

    def _broker_of(self, session: str) -> Broker | None:
        """Return the broker that runs with a session, None if it has ended."""
        return next((each for each in self.brokers if session.startswith(f"amqpbroker {each.process_name} ")), None)

    def cluster_of(self, process_name: str) -> SharedCluster | None:
        for each in self.brokers:
            if each.process_name == process_name and each.process is not None:
                return each.cluster if each.process.rests_until <= self.scheduler.now else None
        return None

    def has_ended(self, process_name: str) -> bool:
        runs = any(each.process_name == process_name and each.process is not None for each in self.brokers)
        # A firewall may answer nothing, and others wait for the grace.
        return not runs and process_name not in self._lost_machines and self.chance.random() < REFUSED

    def _is_healthy(self, broker: Broker, life: int, log: str, epoch: int) -> bool:
        alive = broker.process is not None and broker.lives == life and broker.epoch_of(log) == epoch
        return alive and not broker.is_stopping and self._is_well(broker)

    def _is_well(self, broker: Broker) -> bool:
        """Return whether a broker had no fault for some time, so that the effects of one are gone."""
        return broker.disturbed_ns + int(self.lease_s * SECOND) + 12 * SECOND < self.scheduler.now

    # --- checks of contents -------------------------------------------------------------------------------------------

    def _log(self, name: str, vhost: str = "") -> Log:
        known = self.logs.get(name)
        if known is None:
            known = self.logs[name] = Log(name, vhost)
        known.vhost = known.vhost or vhost
        return known

    def next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def recovered(self, vhost: Vhost) -> None:
        if self.lossy:
            return
        if self.cluster.epoch(vhost.log) != vhost.epoch:
            # It may have found anything, and is refused later.
            raise StoreError("it was replaced meanwhile")
        known = self._log(vhost.log, vhost.name)
        if known.vhost != vhost.name:
            self.report(f"vhost {vhost.name} has the log {vhost.log} of vhost {known.vhost}")
        contents = Contents(vhost.live, frozenset(vhost.others), vhost.streamed, vhost.last_id)
        self._check(vhost, partial(known.ledger.recover, vhost.epoch, contents))

    def attempted(self, vhost: Vhost, attempt: Attempt) -> None:
        if not self.lossy:
            self._log(vhost.log).ledger.attempt(vhost.epoch, attempt)

    def acknowledged(self, vhost: Vhost, sequence: int) -> None:
        broker = vhost.broker
        since = self.must_stop.get((broker.name, vhost.life, vhost.log, vhost.epoch))
        # The answer to an earlier one may have been on its way.
        if since is not None and sequence > since:
            self.report(f"{broker.name} goes on with {vhost.log}, although the database has lost what it had confirmed")
        known = self._log(vhost.log)
        known.acknowledged_ns, known.acknowledged_epoch = self.scheduler.now, vhost.epoch
        segment, offset = vhost.last_place
        table = f"{vhost.log}/journal/{segment:016x}.seg"
        known.last_row = table, max((start for start in self.cluster.rows(table) if start <= offset), default=-1)
        if not self.lossy:
            self._check(vhost, partial(known.ledger.acknowledge, vhost.epoch, sequence))

    def _check(self, vhost: Vhost, check: Callable[[], None]) -> None:
        try:
            check()
        except BrokenError as error:
            self.report(f"{vhost.broker.name}, {vhost.log} of {vhost.name}: {error}")

    def _check_removals(self) -> None:
        """Check that only logs of vhosts are removed that somebody has deleted."""
        rows = self.cluster.rows("vhost_log")
        gone: dict[str, int] = {}
        for log in self.logs.values():
            if log.ledger.acknowledged:
                row = rows.get(int(log.name[1:]))
                if row is None or row[1]:
                    gone[log.vhost] = gone.get(log.vhost, 0) + 1
        for name, count in gone.items():
            if count > self.vhosts.deletions(name):
                self.report(
                    f"{count} logs of vhost {name} are removed, which was deleted {self.vhosts.deletions(name)} times"
                )

    def check_stored(self) -> None:
        """Check what is stored, while all vhosts are served. Raises BrokenError."""
        if self.lossy:
            return
        self._check_removals()
        logs = {LOG, *(f"v{number}" for number in self.cluster.rows("vhost_log"))}
        for table, rows in self.cluster.tables.items():
            log, separator, _ = table.partition("/")
            if separator and log not in logs:
                self.report(f"{table} is stored, although its log is removed")
            if "/journal/" in table:
                self._check_rows(table, sorted(rows.items()))  # type: ignore[type-var] # offsets
        for table in ("fence", "leadership", "proof", "last_id"):
            if further := {*self.cluster.rows(table)} - logs:
                self.report(f"{table} has rows of the logs {sorted(map(str, further))}, which are removed")
        for table in ("queue", "exchange", "binding", "stream_offset"):
            if further := {row[-1] for row in self.cluster.rows(table).values()} - logs:
                self.report(f"{table} has rows of the logs {sorted(further)}, which are removed")
        defined = {row[0] for row in self.cluster.rows("vhost").values()}
        if wrong := self.vhosts.check(defined):
            self.report(wrong)
        if self.failure:
            raise BrokenError(self.failure)

    def _check_rows(self, table: str, rows: Sequence[tuple[int, tuple[bytes]]]) -> None:
        """Check that rows follow each other, up to those that were inserted at the same time as a lost one."""
        end = 0
        for at, (start, (data,)) in enumerate(rows):
            if start != end and len(rows) - at >= ROWS_AT_ONCE:
                self.report(f"{table} has a row at {start} after one that ends at {end}")
            end = start + len(data)

    # --- administrators -----------------------------------------------------------------------------------------------

    def choose(self, names: list[str]) -> Request | None:
        return self.vhosts.choose(names)

    def requested(self, broker: Broker, request: Request) -> None:
        self.vhosts.requested(request)
        if request.deletes and request.creates:
            # Its answer is lost, mostly: the writes of vhosts have the same sessions.
            self.cluster.commit_faults[f"amqpbroker {broker.process_name} ", "writing"] = "lost"
            self.faults += 1
            self.fault_until(self.scheduler.now + 2 * SECOND)

    def done(self, request: Request, epoch: int) -> None:
        if epoch == self.cluster.epoch(LOG):
            self.vhosts.done(request)

    # --- errors -------------------------------------------------------------------------------------------------------

    def complained(self, broker: Broker, text: str) -> None:
        """Check that an error has a reason."""
        if text.startswith("internal error") or UniqueViolation.sqlstate in text:
            # Two leaders have written to the same place.
            self.report(f"{broker.name}: {text}")
        if LOST in text and not self.lossy:
            self.report(f"{broker.name}: {text}")

    # --- the end ------------------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """Compare everything with what last leaders read."""
        for broker in self.brokers:
            self.die(broker, with_machine=False)
        before = {log: self.cluster.epoch(log) for log in self.logs}
        self.rest()
        for number in self.cluster.rows("vhost_log"):
            if self.cluster.epoch(f"v{number}") <= before.get(f"v{number}", 0):
                raise self.broken(f"a broker leads v{number} without a takeover")

    def promote_lagging(self) -> None:
        """Promote an asynchronous standby. A leader must not go on if that lacks what was confirmed."""
        cluster = self.cluster
        led = []
        for broker in self.brokers:
            for each in broker.served:
                table, last = self.logs[each.log].last_row
                rows = cluster.rows(table)
                # The segment of a last batch may be removed.
                if last in rows:
                    # They may have been committed in another order.
                    led.append((broker, each, table, {start for start in rows if start <= last}))  # type: ignore[operator] # offsets
        self.lossy = cluster.would_lose(synchronous=False) > 0
        cluster.crash(silent=False)
        cluster.promote(synchronous=False)
        assert cluster.primary is not None
        for broker, each, table, starts in led:
            if starts - {*cluster.primary.tables.get(table, {})}:
                self.must_stop[broker.name, broker.lives, each.log, each.epoch] = self._sequence
        self.fault_until(self.scheduler.now + 3 * SECOND)
        self.rest()

    def end(self) -> None:
        """End all processes, so that their threads do not outlive the world."""
        for broker in self.brokers:
            if broker.process is not None:
                broker.process.die(with_machine=True)
        self._patches.close()
