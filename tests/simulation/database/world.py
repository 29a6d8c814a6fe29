"""A world: several brokers, one engine, and faults, all from one seed."""

from collections.abc import Callable
from functools import partial

from amqpbroker.server.database import LOOK_S
from amqpbroker.store.database.leadership import GRACE_S
from tests.simulation.chance import Chance
from tests.simulation.database.broker import Broker
from tests.simulation.database.cluster import Cluster
from tests.simulation.database.ledger import Attempt, BrokenError, Ledger
from tests.simulation.database.path import SERVER_LOST_NS
from tests.simulation.database.skipping import Skipping
from tests.simulation.database.statements import READERS, STATEMENTS
from tests.simulation.scheduler import MS, SECOND

#: Interval in which the server looks for idle transactions, and the world for what it waits for.
SWEEP_NS = SECOND
STEP_NS = 50 * MS
#: Time after the end of all faults in which some broker leads and writes, besides the lease and the grace: calls that
#: wait for an answer, sessions and transactions of dead clients, restarts, retries.
REST_NS = 25 * SECOND

#: Time after which a broker that has started waits for the leadership.
CALM_NS = 700 * MS
#: Time after which the effects of a broker's fault are gone: it knows that connections are lost, and has new ones.
WELL_NS = 10 * SECOND
#: Time after which a leader has renewed its lease with a new connection.
RENEWED_NS = 3 * SECOND

#: Time that an attempt to take over needs at most, with some slow messages.
SLOW_S = 0.35


class World:
    """The world of a seed. takeovers, faults: number so far. faults_end_ns: end of all faults so far.

    rested: a leader has written after the end of all faults.

    lossy: a promotion has lost what was confirmed, and the world ends.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = chance = Chance(seed)
        self.scheduler = Skipping()
        self.lease_s = chance.choice((1.0, 2.0, 3.0, 10.0))
        self.look_s = chance.choice((LOOK_S, 2 * LOOK_S, 2 * LOOK_S))
        synchronous, asynchronous = chance.choice(((1, 0), (1, 1), (2, 0), (0, 0), (0, 1)))
        self.cluster = Cluster(self.scheduler, Chance(f"{seed} engine"), STATEMENTS, READERS, synchronous, asynchronous)
        self.has_asynchronous = asynchronous > 0
        count = chance.choice((2, 2, 2, 3))
        self.brokers = [
            Broker(name, self.lease_s, self.look_s, self.scheduler, self.cluster, Chance(f"{seed} {name}"), self)
            for name in "abc"[:count]
        ]
        self.ledger = Ledger()
        self.takeovers = 0
        self.faults = 0
        self.faults_end_ns = 0
        #: Number of sessions of leases that the engine has ended within a transaction, since their process hung.
        self.idle_leases = 0
        #: End of the last time in which there was no primary.
        self.outage_ns = 0
        self.rested = False
        self.lossy = False
        #: Time of the last acknowledged batch, -1 if there was none since the last faults.
        self.acknowledged_ns = -1
        self.acknowledged_epoch = 0
        #: Least epoch that leads after an orderly stop.
        self.wanted_epoch = 0
        #: The table and the key of the row with it.
        self.last_row = ("", 0)
        #: The broker, its life and its epoch that took over last.
        self.last_taken: tuple[Broker, int, int] | None = None
        #: Leaders whose confirmed batches were lost: name and life.
        self.must_stop: set[tuple[str, int]] = set()
        #: Epochs in which a broker leads or has led.
        self._epochs: set[int] = set()
        self._sequence = 0
        self._vhosts: set[str] = set()
        self._streamed: set[int] = set()
        self.cluster.on_stall = self._stalled
        self.cluster.on_terminate = self._terminated
        self.scheduler.after(SWEEP_NS, self._sweep)

    def begin(self) -> None:
        for broker in self.brokers:
            broker.start_later()

    # --- time ---------------------------------------------------------------------------------------------------------

    def run(self, duration: int) -> None:
        self.scheduler.run(self.scheduler.now + duration)

    def run_until(self, condition: Callable[[], bool], limit: int, wanted: str) -> None:
        """Run until a condition holds, checked from time to time. Raises BrokenError after `limit` nanoseconds."""
        end = self.scheduler.now + limit
        while not condition():
            if self.scheduler.now >= end:
                raise self.broken(f"{wanted} in {limit / SECOND} s")
            self.run(STEP_NS)

    def rest(self) -> None:
        """Run until all faults have ended and a leader has written a batch after that."""
        self.scheduler.run(self.scheduler.now)
        while self.faults_end_ns > self.scheduler.now:
            self.scheduler.run(self.faults_end_ns)
        self.acknowledged_ns = -1
        limit = int((self.lease_s + GRACE_S) * SECOND) + REST_NS
        self.run_until(
            lambda: self.acknowledged_ns >= 0 and self.acknowledged_epoch >= self.wanted_epoch,
            limit,
            "no broker leads and writes",
        )
        self.cluster.commit_faults.clear()
        self.rested = True

    @property
    def noticed_s(self) -> float:
        """Return the time in which a waiting broker takes what it may take."""
        return self.look_s + SLOW_S

    @property
    def is_calm(self) -> bool:
        """Return whether the last faults have ended, a leader writes, and another broker waits."""
        leader, now = self.leader, self.scheduler.now
        others = [broker for broker in self.brokers if broker.process is not None and broker.epoch == 0]
        return (
            self.rested
            and self.faults_end_ns <= now
            and leader is not None
            and any(now - broker.started_ns > CALM_NS and broker.disturbed_ns + WELL_NS < now for broker in others)
        )

    def expect_takeover(self, limit_s: float, rested: bool = False) -> None:
        """Check that a takeover follows in time, if everything was calm and no other fault comes meanwhile.

        rested: it is calm enough if another broker waits.
        """
        self.rested |= rested
        if self.is_calm:
            self.scheduler.after(int(limit_s * SECOND), partial(self._expected, self.takeovers, self.faults, limit_s))

    def _expected(self, takeovers: int, faults: int, limit_s: float) -> None:
        if self.takeovers == takeovers and self.faults == faults:
            raise self.broken(f"no takeover in {limit_s} s")

    def expect_none(self, leader: Broker, duration: int) -> None:
        """Check that nobody takes over in this time, if everything is calm and no other fault comes meanwhile.

        The leader may have lost its lock in an earlier fault, and not renewed yet, although it writes.
        The engine ends a session that hangs within a renewal, before the lease has ended.
        """
        if self.is_calm and leader.disturbed_ns + RENEWED_NS < self.scheduler.now:
            before = (self.faults, self.idle_leases)
            self.scheduler.after(duration, partial(self._expected_none, self.takeovers, before))

    def _expected_none(self, takeovers: int, before: tuple[int, int]) -> None:
        if self.takeovers != takeovers and (self.faults, self.idle_leases) == before:
            raise self.broken("a leader is replaced that hung for less than its lease")

    def inflict(self, fault: "Callable[[World], None]") -> None:
        """Begin a fault."""
        self.faults += 1
        fault(self)
        self.rested = False

    def fault_until(self, end_ns: int) -> None:
        self.faults_end_ns = max(self.faults_end_ns, end_ns)

    def _stalled(self, duration: int) -> None:
        self.faults += 1
        self.rested = False
        self.fault_until(self.scheduler.now + duration)

    def _sweep(self) -> None:
        if self.cluster.primary is not None:
            self.idle_leases += sum(name.endswith(" lease") for name in self.cluster.primary.end_idle())
        self.scheduler.after(SWEEP_NS, self._sweep)

    def broken(self, text: str) -> BrokenError:
        return BrokenError(f"at {self.scheduler.now / SECOND:.6f} s: {text}")

    # --- faults of brokers --------------------------------------------------------------------------------------------

    @property
    def leader(self) -> Broker | None:
        """The broker that leads and writes, as far as it knows itself; the newest of several."""
        leading = [broker for broker in self.brokers if broker.leads]
        return max(leading, key=lambda broker: broker.epoch, default=None)

    def die(self, broker: Broker, with_machine: bool) -> None:
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
            for connection in connections if all_of_them else connections[:1]:
                connection.cut()

    def lose_partitioned(self, broker: Broker, duration: int) -> None:
        """End the connections of a broker on the server, if a partition lasts."""
        if duration <= SERVER_LOST_NS or broker.process is None:
            return
        for connection in broker.process.connections:
            self.scheduler.after(SERVER_LOST_NS, connection.end_on_server)

    # --- checks -------------------------------------------------------------------------------------------------------

    def next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def took(self, broker: Broker) -> None:
        self.takeovers += 1
        if self.lossy:
            return
        if broker.epoch in self._epochs:
            raise self.broken(f"{broker.name} leads in epoch {broker.epoch}, which another one had")
        self._epochs.add(broker.epoch)
        if broker.epoch < max(self._epochs):
            # The answer was late, and another broker has taken over meanwhile.
            return
        last, self.last_taken = self.last_taken, (broker, broker.lives, broker.epoch)
        if last is None:
            return
        before, life, epoch = last
        if self._is_healthy(before, life, epoch) and self._is_well(broker):
            raise self.broken(f"{broker.name} replaces {before.name}, which leads and has no fault, after {epoch}")

    def _terminated(self, name: str, prefix: str) -> None:
        """Check that a broker ends the sessions only of one that has a fault."""
        if self.last_taken is None or self.lossy:
            return
        broker, life, epoch = self.last_taken
        other = next(each for each in self.brokers if name.startswith(f"amqpbroker {each.name}{each.lives} "))
        if self.outage_ns + int(self.lease_s * SECOND) + 12 * SECOND > self.scheduler.now:
            # A leader that has just connected again may be too late with its first renewal.
            return
        if (
            prefix == f"amqpbroker {broker.name}{life} "
            and self._is_healthy(broker, life, epoch)
            and self._is_well(other)
        ):
            raise self.broken(f"{other.name} ends the sessions of {broker.name}, which leads and has no fault")

    def _is_healthy(self, broker: Broker, life: int, epoch: int) -> bool:
        alive = broker.process is not None and broker.lives == life and broker.epoch == epoch
        return alive and broker.leads and not broker.is_stopping and self._is_well(broker)

    def _is_well(self, broker: Broker) -> bool:
        """Return whether a broker had no fault for some time, so that the effects of one are gone."""
        return broker.disturbed_ns + int(self.lease_s * SECOND) + 12 * SECOND < self.scheduler.now

    def recovered(self, broker: Broker, found: list[int], vhosts: list[str], streamed: list[int]) -> bool:
        if self.lossy:
            return True
        if self.cluster.epoch != broker.epoch:
            # It was replaced while it read, and may have found anything.
            self.scheduler.after(0, partial(self._die_if_same, broker, broker.lives))
            return False
        try:
            self.ledger.recover(broker.epoch, found)
        except BrokenError as error:
            raise self.broken(str(error)) from error
        if not self._vhosts <= set(vhosts):
            raise self.broken(f"{broker.name} does not find the vhosts {sorted(self._vhosts - set(vhosts))}")
        if not self._streamed <= set(streamed) or len(streamed) > len(set(streamed)):
            raise self.broken(f"{broker.name} finds {streamed} in the stream, which has {sorted(self._streamed)}")
        return True

    def _die_if_same(self, broker: Broker, life: int) -> None:
        if broker.lives == life:
            broker.die()

    def attempted(self, broker: Broker, attempt: Attempt) -> None:
        if not self.lossy:
            self.ledger.attempt(broker.epoch, attempt)

    def acknowledged(self, broker: Broker, sequence: int, row: tuple[str, int], vhost: str, streamed: bool) -> None:
        if (broker.name, broker.lives) in self.must_stop:
            raise self.broken(f"{broker.name} goes on, although the database has lost what it had confirmed")
        self.acknowledged_ns = self.scheduler.now
        self.acknowledged_epoch = broker.epoch
        self.last_row = row
        if self.lossy:
            return
        try:
            self.ledger.acknowledge(broker.epoch, sequence)
        except BrokenError as error:
            raise self.broken(str(error)) from error
        if vhost:
            self._vhosts.add(vhost)
        if streamed:
            self._streamed.add(sequence)

    def failed(self, broker: Broker, error: Exception) -> None:
        """Check that an error has a reason."""
        if self.lossy:
            self.must_stop.discard((broker.name, broker.lives))
            return
        replaced = self.cluster.epoch > broker.epoch > 0
        if not replaced:
            raise self.broken(f"{broker.name} ends in epoch {broker.epoch}: {type(error).__name__}: {error}")

    # --- the end ------------------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """Compare everything with what a last leader reads."""
        for broker in self.brokers:
            self.die(broker, with_machine=False)
        before = self.takeovers
        self.rest()
        if self.takeovers == before:
            raise self.broken("a broker leads without a takeover")

    def promote_lagging(self) -> None:
        """Promote an asynchronous standby. The leader must not go on if that lacks what was confirmed."""
        leader, cluster = self.leader, self.cluster
        self.lossy = cluster.would_lose(synchronous=False) > 0
        cluster.crash(silent=False)
        cluster.promote(synchronous=False)
        assert cluster.primary is not None
        table, key = self.last_row
        lost = key not in cluster.primary.tables.get(table, {})
        if lost and leader is not None:
            self.must_stop.add((leader.name, leader.lives))
        self.fault_until(self.scheduler.now + 3 * SECOND)
        self.rest()

    def end(self) -> None:
        """End all processes, so that their threads do not outlive the world."""
        for broker in self.brokers:
            if broker.process is not None:
                broker.process.die(with_machine=True)
