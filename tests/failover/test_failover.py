"""Brokers that share the vhosts of a database, of which one broker, the database or the network fails.

Clients work in all vhosts, connected to any broker, and record promises, which are those of the crash test. Each
round has one fault, which hits one broker or the database. The vhosts of the other brokers go on meanwhile, and other
brokers take over those of the broker that fails. `make failover` runs 50 rounds, or ROUNDS=n; SEED=n varies times and
sizes.

Each message is sent once. If two brokers lead a vhost at the same time, one of them confirms messages that the other
one does not have, and these are lost at the end.
"""

import os
import signal
import time

from amqpbroker.cluster.shared_database import READY_S
from amqpbroker.store.database.session import LOST
from tests.crash import http_api
from tests.crash.batches import BatchLedger, LetterRedriver
from tests.crash.clients import Address, Workload, stop_all
from tests.crash.groups import GroupLedger, GroupRedriver
from tests.crash.locks import HangingConsumer
from tests.crash.pairs import UnreadLedger
from tests.crash.returns import LongDelayLedger
from tests.crash.test_kill import SEED, Rounds, is_broken_connection
from tests.disk import reason_against
from tests.failover.cluster import Brokers, Databases
from tests.failover.steady import SteadyPublisher
from tests.failover.test_lagging_standby import MAY_BE_LOST
from tests.failover.test_takeover import until
from tests.load.client import LoadClient
from tests.process import PATIENCE_S

ROUNDS = int(os.environ.get("FAILOVER_ROUNDS", "2"))

#: Rounds after which all queues are drained and others begin: nobody reads some of them before that, and a takeover
#: that has to read all messages takes longer, the more there are.
AGE = 25

#: Rounds after which each queue has had enough traffic.
ENOUGH = 30

#: Time for which clients work before the fault, in seconds.
LIFE_S = (0.3, 1.5)

VHOSTS = ("/", "a", "b", "c", "d")
BROKERS = 3
LEASE_S = 2.0
#: Time limits of a takeover, from the end of the lease, and of the longest time in which the vhosts of healthy brokers
#: confirm nothing. Both are for a machine with processors to spare.
TAKEOVER_S = 3.0
PAUSE_S = 2.0
#: Time in which all sessions of a broker have found a new primary.
RECONNECTED_S = 3.0
#: Time limit from the promotion of a standby to confirms of all vhosts.
CONFIRMED_S = 3.0
#: Longest time for which a broker hangs, or is cut off.
LONGEST_S = 30.0


def slowness():
    """Return how many processes want each processor, at least 1."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def is_expected(error):
    """Return whether a client's connection broke or was closed, or the HTTP API could not reach a leader or read."""
    return is_broken_connection(error) or any(text in str(error) for text in ("service_unavailable", "code': 320"))


class FailoverRounds(Rounds):
    """Three brokers, a primary and two standbys.

    leaders: of the vhosts when the fault begins. victim: the broker that fails. places: the broker to which each client
    is connected.
    """

    def __init__(self, tmp_path, seed=SEED):
        super().__init__(tmp_path, seed)
        # A broker that goes on delays what a dropped connection returns, and then the ledger takes it for lost.
        self.workloads = [each for each in self.workloads if not isinstance(each.ledgers[0], LongDelayLedger)]
        self.ledgers = [ledger for each in self.workloads for ledger in each.ledgers]
        without = reason_against()
        self.databases = Databases(standbys=2, disk_for="" if without else "data")
        self.faults = [fault for fault in self.FAULTS if fault is not FailoverRounds.fill_disk or not without]
        if without:
            print(f"\nwithout fill_disk: {without}", end="", flush=True)
        self.brokers_at_work = Brokers(tmp_path / "brokers", self.databases, BROKERS, LEASE_S, redirected=True)
        self.counts = {}
        self.takeovers_s = []
        self.leaders = {}
        self.victim = None
        self.places = {}
        self.vhost_of = {}
        self.steady = {}

    def spread(self):
        """Create the vhosts, and give each of them some of the workloads, and a steady publisher."""
        self.brokers_at_work.settled()
        port = self.brokers_at_work.all[0].port("http")
        for vhost in VHOSTS[1:]:
            http_api.call(port, "PUT", f"/api/vhosts/{vhost}", {})
        for number, workload in enumerate(self.chance.sample(self.workloads, len(self.workloads))):
            vhost = VHOSTS[number % len(VHOSTS)]
            for ledger in workload.ledgers:
                ledger.vhost = vhost
            self.vhost_of |= dict.fromkeys(workload.clients, vhost)
        for vhost in VHOSTS:
            ledger = UnreadLedger(f"steady {vhost}")
            ledger.vhost = vhost
            self.ledgers.append(ledger)
            self.steady[vhost] = SteadyPublisher(self.chance, ledger)
            self.vhost_of[self.steady[vhost]] = vhost
        leaders = self.brokers_at_work.settled()
        # In few rounds, not all clients are chosen, and the drain needs all queues.
        for ledger in self.ledgers:
            with LoadClient(leaders[ledger.vhost].port(), vhost=ledger.vhost) as client:
                ledger.declare(client)

    # --- faults -------------------------------------------------------------------------------------------------------

    def kill_broker(self):
        since = time.monotonic()
        self.victim.kill()
        self.await_takeover(since)
        self.check_others(since)

    def kill_primary(self):
        """The brokers go on and find the new primary; one of them is killed later."""
        self.databases.fail_over()
        self.await_confirms(self.databases.promoted_s)
        time.sleep(self.chance.uniform(0.5, 3.0))
        self.end_by_kill()
        self.databases.replace_lost()

    def kill_broker_and_primary(self):
        self.victim.kill()
        self.databases.fail_over()
        self.await_takeover(time.monotonic(), RECONNECTED_S)
        self.databases.replace_lost()

    def stop_broker(self):
        """Stop a broker for less or more than its lease; it finds out by itself that it was replaced."""
        since = time.monotonic()
        self.victim.signal(signal.SIGSTOP)
        self.outlast(since)
        self.check_others(since)
        self.victim.signal(signal.SIGCONT)

    def cut_broker(self):
        """Cut a broker off from the database, in both directions or in one."""
        since = time.monotonic()
        for proxy in self.victim.proxies.values():
            self.cut(proxy)
        self.outlast(since)
        self.check_others(since)
        for proxy in self.victim.proxies.values():
            proxy.heal()

    def delay_broker(self):
        """Slow the connections to the database down, and kill the broker in the middle of it."""
        for proxy in self.victim.proxies.values():
            proxy.delay_s = self.chance.uniform(0.001, 0.1)
        time.sleep(self.chance.uniform(0.5, 2.0))
        self.kill_broker()
        for proxy in self.victim.proxies.values():
            proxy.heal()

    def cut_relays(self):
        """Cut a broker off from the others, in both directions or in one. It goes on with the clients that it has."""
        since = time.monotonic()
        self.cut(self.victim.relay)
        time.sleep(self.chance.uniform(0.5, 2 * LEASE_S))
        relayed = {client for client, place in self.places.items() if self.leader_of(client) is not place}
        self.check_others(since, {*self.led_clients()} - relayed)
        self.check_leaders()
        self.victim.relay.heal()

    def delay_relays(self):
        """Slow the connections of other brokers to one down, and kill it in the middle of that."""
        since = time.monotonic()
        self.victim.relay.delay_s = self.chance.uniform(0.001, 0.1)
        time.sleep(self.chance.uniform(0.5, 2.0))
        self.check_others(since, self.led_clients())
        self.check_leaders()
        self.kill_broker()
        self.victim.relay.heal()

    def stop_primary(self):
        """The database answers nothing for a while, and goes on."""
        self.databases.primary.pause()
        time.sleep(self.chance.uniform(0.5, 6.0))
        self.databases.primary.resume()
        time.sleep(0.5)
        self.end_by_kill()

    def stop_standbys(self):
        """Nothing is confirmed while no standby answers, and nobody takes over."""
        standbys = self.databases.servers[1:]
        for standby in standbys:
            standby.pause()
        time.sleep(0.5)
        before = self.confirmed()
        time.sleep(self.chance.uniform(0.5, 2 * LEASE_S))
        confirmed = self.confirmed()
        for standby in standbys:
            standby.resume()
        assert confirmed == before
        self.check_leaders()
        self.end_by_kill()

    def confirmed(self):
        return sum(len(ledger.confirmed) for ledger in self.ledgers)

    def fill_disk(self):
        """Fill the disk of the primary. All brokers go on when there is room, and one is killed later."""
        primary, before = self.databases.primary, len(self.victim.log)

        def is_written():
            if not primary.is_running:
                # The server ends if it cannot write a checkpoint; whatever started it starts it again.
                assert "PANIC" in primary.log
                primary.start()
            return "data is written again" in self.victim.log[before:]

        primary.disk.fill()
        until(lambda: "No space left on device" in self.victim.log[before:] or not primary.is_running)
        time.sleep(self.chance.uniform(0.0, 2 * LEASE_S))
        primary.disk.free()
        until(is_written)
        self.check_leaders()
        self.end_by_kill()

    def promote_lagging(self):
        """Promote a standby that lacks what was confirmed last. Only for rounds after which no promise is left."""
        standby = self.databases.cut_standby()
        time.sleep(self.chance.uniform(0.5, 1.5))
        if self.chance.random() < 0.5:
            self.killed = self.victim
            self.victim.kill()
        self.databases.fail_over(standby)
        self.databases.replace_lost()

    def hand_over(self):
        since = time.monotonic()
        self.victim.signal(signal.SIGTERM)
        # It serves its vhosts until another broker is ready.
        self.await_takeover(since, READY_S)
        assert self.victim.wait() == 0, self.victim.log
        self.check_others(since)

    FAULTS = (
        kill_broker,
        kill_primary,
        kill_broker_and_primary,
        stop_broker,
        cut_broker,
        delay_broker,
        cut_relays,
        delay_relays,
        stop_primary,
        stop_standbys,
        fill_disk,
        hand_over,
    )

    # --- parts of faults ----------------------------------------------------------------------------------------------

    def cut(self, proxy):
        way = self.chance.choice(("both", "requests", "answers"))
        if way == "both":
            proxy.cut()
        elif way == "requests":
            proxy.requests = False
        else:
            proxy.answers = False

    def outlast(self, since):
        """Wait for less than a lease, or until others have taken over, and seldom for much longer."""
        if self.chance.random() < 0.4:
            time.sleep(self.chance.uniform(0.5, LEASE_S))
        else:
            self.await_takeover(since)
            longest_s = LONGEST_S if self.chance.random() < 0.2 else LEASE_S
            time.sleep(max(0.0, self.chance.uniform(0.0, longest_s) - (time.monotonic() - since)))

    def await_confirms(self, since):
        """Wait until all vhosts confirm again after a standby was promoted at a time."""
        waiting = set(self.steady)
        while waiting:
            waiting -= {
                vhost for vhost, steady in self.steady.items() if any(at > since for at in steady.confirms[-1:])
            }
            time.sleep(0.02)
            assert time.monotonic() < since + PATIENCE_S, self.brokers_at_work.logs
        paused_s = time.monotonic() - since
        print(f" {paused_s:.1f} s", end="", flush=True)
        limit_s = CONFIRMED_S * slowness()
        assert paused_s < limit_s, f"{paused_s:.1f} of {limit_s:.1f} s: {self.brokers_at_work.logs}"

    def await_takeover(self, since, further_s=0.0):
        """Wait until other brokers lead the vhosts of the one that has failed at a time.

        further_s: added to the limit of that.
        """
        others = [broker for broker in self.brokers_at_work if broker is not self.victim]
        left = set(self.led())
        while left:
            left -= {vhost for vhost in left for broker in others if broker.serves(vhost)}
            # The brokers need the processors.
            time.sleep(0.02)
            assert time.monotonic() < since + PATIENCE_S, self.brokers_at_work.logs
        taken_s = time.monotonic() - since
        print(f" {taken_s:.1f} s", end="", flush=True)
        self.takeovers_s.append(taken_s)
        limit_s = LEASE_S + further_s + TAKEOVER_S * slowness()
        assert taken_s < limit_s, f"{taken_s:.1f} of {limit_s:.1f} s: {self.brokers_at_work.logs}"

    def end_by_kill(self):
        """Kill the broker, whether or not it still leads anything."""
        time.sleep(self.chance.uniform(0.0, 1.0))
        self.victim.kill()

    def led(self):
        """Return the vhosts of the broker that fails."""
        return [vhost for vhost, leader in self.leaders.items() if leader is self.victim]

    def led_clients(self):
        """Return the clients in these vhosts."""
        return [client for client in self.places if self.leader_of(client) is self.victim]

    def leader_of(self, client):
        return self.leaders[self.vhost_of[client]]

    # --- checks -------------------------------------------------------------------------------------------------------

    def check_others(self, since, more=()):
        """Check that the clients go on that need only healthy brokers. since: when the fault began.

        more: clients that also go on.
        """
        others = {client for client, place in self.places.items() if self.victim not in (place, self.leader_of(client))}
        ended = {client: client.join() for client in others | {*more} if not client.is_running()}
        assert ended == {}, self.brokers_at_work.logs
        for vhost, steady in self.steady.items():
            if steady in others:
                assert steady.connections == 1, f"{vhost}: {self.brokers_at_work.logs}"
                pause_s = steady.longest_pause_s(since)
                limit_s = PAUSE_S * slowness()
                assert pause_s < limit_s, f"{vhost}: {pause_s:.1f} of {limit_s:.1f} s: {self.brokers_at_work.logs}"

    def check_leaders(self):
        """Check that all vhosts have their leaders still, which may answer late on a busy machine."""
        for vhost, leader in self.leaders.items():
            end = time.monotonic() + PATIENCE_S
            while not leader.serves(vhost):
                others = [broker for broker in self.brokers_at_work if broker is not leader and broker.serves(vhost)]
                assert others == [], f"another broker leads {vhost}: {self.brokers_at_work.logs}"
                assert time.monotonic() < end, f"nobody leads {vhost}: {self.brokers_at_work.logs}"

    def check_progress(self):
        """Check that all vhosts confirm after the fault, and that replaced leaders have closed all connections."""
        since = time.monotonic()
        end = time.monotonic() + PATIENCE_S
        while silent := [vhost for vhost, steady in self.steady.items() if steady.confirms[-1:] <= [since]]:
            assert time.monotonic() < end, f"no confirm in {silent}: {self.brokers_at_work.logs}"
            time.sleep(0.05)
        moved = {
            vhost for vhost, leader in self.leaders.items() if self.brokers_at_work.leader(vhost=vhost) is not leader
        }
        left = [
            client
            for client in self.places
            if self.vhost_of[client] in moved and client not in self.steady.values() and keeps_connection(client)
        ]
        end = time.monotonic() + PATIENCE_S
        while running := [type(client).__name__ for client in left if client.is_running()]:
            assert time.monotonic() < end, running
            time.sleep(0.05)

    def check_logs(self, logs):
        assert "Traceback" not in logs, logs
        assert LOST not in logs, logs
        assert MAY_BE_LOST not in logs, logs

    # --- rounds -------------------------------------------------------------------------------------------------------

    def chosen(self):
        """Return the workloads of a round: half of those of each vhost, and first untested ones."""
        found = []
        for vhost in VHOSTS:
            here = [each for each in self.workloads if each.ledgers[0].vhost == vhost]
            here = self.chance.sample(here, len(here))
            here.sort(key=Workload.is_tested)
            found += here[: len(here) // 2]
        return found

    def place(self):
        """Choose the broker of each client, in a random order."""
        brokers = self.brokers_at_work.all
        others = [broker for broker in brokers if broker is not self.victim]
        places = {steady: self.chance.choice(others) for steady in self.steady.values()}
        for workload in self.chosen():
            # Consumers of one queue lose their connections together, before others get what they had.
            together = (
                self.chance.choice(brokers) if isinstance(workload.ledgers[0], GroupLedger | BatchLedger) else None
            )
            for client in workload.clients:
                places[client] = together or self.chance.choice(brokers)
        clients = list(places)
        return {client: places[client] for client in self.chance.sample(clients, len(clients))}

    def round(self):
        brokers = self.brokers_at_work
        brokers.start_missing()
        if not self.steady:
            self.spread()
        self.leaders = brokers.settled()
        # A connection that a client has dropped ends a moment later.
        until(lambda: self.connections() == [])
        self.victim = self.chance.choice(list(self.leaders.values()))
        self.places = self.place()
        for client, place in self.places.items():
            client.start(Address(place.port(), place.port("http"), self.vhost_of[client]))
        for client in self.places:
            assert client.working.wait(PATIENCE_S)
        time.sleep(self.chance.uniform(*LIFE_S))
        early = {client: client.join() for client in self.places if not client.is_running()}
        for client, error in early.items():
            # A request may be the first one that finds a connection to an earlier primary.
            assert not keeps_connection(client), (error, brokers.logs)
            assert is_expected(error), (error, brokers.logs)
            del self.places[client]
        fault = self.faults[sum(self.counts.values()) % len(self.faults)]
        print(f"\n{fault.__name__}", end="", flush=True)
        fault(self)
        self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
        self.check_progress()
        stop_all(self.places)
        late = [client.join() for client in self.places]
        assert [error for error in late if not is_expected(error)] == [], brokers.logs
        self.check_logs(brokers.logs)

    def connections(self):
        """Return the connections of all brokers."""
        return http_api.call(self.brokers_at_work.all[0].port("http"), "GET", "/api/connections?columns=name")

    def broker(self, in_order=True):
        return AnyBroker(self.brokers_at_work, self.chance)

    def close(self):
        self.brokers_at_work.close()
        self.databases.close()


class LaggingRounds(FailoverRounds):
    """Queues without extensions, whose complaints can be told apart when messages and acks are lost."""

    FAULTS = (FailoverRounds.promote_lagging,)

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        plain = {"pika", "classic", "quorum", "one", "other"}
        self.workloads = [each for each in self.workloads if {ledger.queue for ledger in each.ledgers} <= plain]
        self.ledgers = [ledger for each in self.workloads for ledger in each.ledgers]
        self.killed = None

    def check_logs(self, logs):
        assert "Traceback" not in logs, logs

    def untold(self, logs):
        """Return the vhosts that lack confirmed messages, or acks, and of which no broker has said so.

        Where the leader is lost together with the primary, others have read what it wrote up to two seconds before.
        """
        return [
            vhost
            for vhost in {ledger.vhost for ledger in self.ledgers if ledger.wrong}
            if self.leaders[vhost] is not self.killed
            and f"vhost '{vhost}': {LOST}" not in logs
            and f"vhost '{vhost}': {MAY_BE_LOST}" not in logs
        ]

    def chosen(self):
        return self.workloads


class AnyBroker:
    """One of the brokers, as `BrokerProcess` is used: all of them are stopped at the end of the context."""

    def __init__(self, brokers, chance):
        self._brokers = brokers
        self._chance = chance

    def __enter__(self):
        self._brokers.start_missing()
        self._brokers.settled()
        self._broker = self._chance.choice(self._brokers.all)
        self.port = self._broker.port()
        return self

    def port_of(self, protocol):
        return self._broker.port(protocol)

    def __exit__(self, *raised):
        if raised[0] is None:
            for broker in self._brokers:
                assert broker.stop() == 0, broker.log


def keeps_connection(client):
    """Return whether a client works over one connection of AMQP.

    The others make requests of HTTP, or connect again when the broker has closed their channel: they may find the next
    leader without an error.
    """
    return not isinstance(client, LetterRedriver | GroupRedriver | HangingConsumer)


def test_confirmed_messages_survive_failures_of_brokers_and_databases(tmp_path):
    untested = []
    for first in range(0, ROUNDS, AGE):
        path = tmp_path / str(first)
        path.mkdir()
        rounds = FailoverRounds(path, SEED + first)
        try:
            for _ in range(min(AGE, ROUNDS - first)):
                rounds.round()
                wrong = [text for ledger in rounds.ledgers for text in ledger.wrong]
                assert wrong == [], rounds.counts
            rounds.drain()
        finally:
            rounds.close()
        assert wrong_in_the_end(rounds) == []
        untested.append({ledger.queue for ledger in rounds.ledgers if not ledger.is_tested()})
    if ROUNDS >= ENOUGH:
        assert set.intersection(*untested) == set()


def wrong_in_the_end(rounds):
    """Return all complaints after the drain."""
    for ledger in rounds.ledgers:
        ledger.settle_accounts()
    print(f"\n{rounds.counts} (seed {rounds.seed}); takeovers took {[round(each, 1) for each in rounds.takeovers_s]} s")
    for ledger in rounds.ledgers:
        print(ledger.counts())
    # Both queues have a transaction, or none has.
    one, other = rounds.pair.ledgers
    assert one.drained == other.drained
    return [text for ledger in rounds.ledgers for text in ledger.wrong]


#: Complaints that follow from the loss of messages and acks at the end of the journal.
OF_LOSS = ("was confirmed and is lost", "is back, though its ack was synced", "does not say that it is redelivered")


def test_the_promotion_of_a_standby_that_lags_is_reported_if_confirmed_messages_are_lost(tmp_path):
    """Everything else holds: order, whole transactions, intact messages."""
    rounds = LaggingRounds(tmp_path)
    try:
        rounds.round()
        rounds.drain()
        logs = rounds.brokers_at_work.logs
    finally:
        rounds.close()
    wrong = wrong_in_the_end(rounds)
    assert [text for text in wrong if not text.endswith(OF_LOSS)] == []
    assert rounds.untold(logs) == [], logs
