"""Brokers with one database, of which the leader, the database or the network fails, and clients that record promises.

The promises are those of the crash test. `make failover` runs 50 rounds, or ROUNDS=n; SEED=n varies times and sizes.
Each round has one fault; afterwards a broker leads, and the clients start again with it.
"""

import os
import signal
import time

from amqpbroker.store.database.session import LOST
from amqpbroker.store.database.sessions import DEADLINE_S
from tests.crash.test_kill import SEED, Rounds, is_broken_connection
from tests.disk import reason_against
from tests.failover.cluster import LEASE_S, Brokers, Databases
from tests.failover.test_lagging_standby import MAY_BE_LOST
from tests.failover.test_takeover import until
from tests.load.client import LoadClient
from tests.process import PATIENCE_S

ROUNDS = int(os.environ.get("FAILOVER_ROUNDS", "2"))

#: Rounds after which each queue has had enough traffic.
ENOUGH = 30

#: Time for which clients work before the fault, in seconds.
LIFE_S = (0.3, 1.5)


def is_expected(error):
    """Return whether a client's connection broke or was closed, or the HTTP API could not read without the database."""
    return is_broken_connection(error) or any(text in str(error) for text in ("service_unavailable", "code': 320"))


class FailoverRounds(Rounds):
    """Three brokers, a primary and two standbys."""

    def __init__(self, tmp_path):
        super().__init__(tmp_path)
        without = reason_against()
        self.databases = Databases(standbys=2, disk_for="" if without else "data")
        self.faults = [fault for fault in self.FAULTS if fault is not FailoverRounds.fill_disk or not without]
        if without:
            print(f"\nwithout fill_disk: {without}", end="", flush=True)
        self.brokers_at_work = Brokers(tmp_path / "brokers", self.databases, count=3)
        self.counts = {}

    # --- faults -------------------------------------------------------------------------------------------------------

    def kill_leader(self, leader):
        leader.kill()

    def kill_primary(self, leader):
        """The clients go on with the same broker, which finds the new primary."""
        self.databases.fail_over()
        time.sleep(self.chance.uniform(0.5, 3.0))
        leader.kill()
        self.databases.replace_lost()

    def kill_leader_and_primary(self, leader):
        leader.kill()
        self.databases.fail_over()
        self.databases.replace_lost()

    def stop_leader(self, leader):
        """Stop a broker for less or more than its lease; it finds out by itself that it was replaced."""
        leader.signal(signal.SIGSTOP)
        pause_s = self.chance.uniform(0.5, 3 * LEASE_S)
        time.sleep(pause_s)
        leader.signal(signal.SIGCONT)
        time.sleep(0.5)
        if leader.leads:
            leader.kill()

    def cut_leader(self, leader):
        """Cut a broker off from the database, in both directions or in one."""
        way = self.chance.choice(("both", "requests", "answers"))
        for proxy in leader.proxies.values():
            if way == "both":
                proxy.cut()
            elif way == "requests":
                proxy.requests = False
            else:
                proxy.answers = False
        time.sleep(self.chance.uniform(0.5, 2 * LEASE_S))
        for proxy in leader.proxies.values():
            proxy.heal()
        self.end_by_kill(leader)

    def delay_leader(self, leader):
        """Slow the connections to the database down, and kill the broker in the middle of it."""
        for proxy in leader.proxies.values():
            proxy.delay_s = self.chance.uniform(0.001, 0.1)
        time.sleep(self.chance.uniform(0.5, 2.0))
        leader.kill()
        for proxy in leader.proxies.values():
            proxy.heal()

    def stop_primary(self, leader):
        """The database answers nothing for a while, and goes on."""
        self.databases.primary.pause()
        time.sleep(self.chance.uniform(0.5, 8.0))
        self.databases.primary.resume()
        time.sleep(0.5)
        self.end_by_kill(leader)

    def stop_standbys(self, leader):
        """Nothing is confirmed while no standby answers, and nobody takes over."""
        standbys = self.databases.servers[1:]
        for standby in standbys:
            standby.pause()
        time.sleep(0.5)
        before = self.confirmed()
        time.sleep(self.chance.uniform(0.5, 1.5 * DEADLINE_S))
        confirmed = self.confirmed()
        for standby in standbys:
            standby.resume()
        assert confirmed == before
        assert leader.leads
        time.sleep(1.0)
        self.end_by_kill(leader)

    def confirmed(self):
        return sum(len(ledger.confirmed) for ledger in self.ledgers)

    def fill_disk(self, leader):
        """Fill the disk of the primary. The leader goes on when there is room, and is killed later."""
        disk, before = self.databases.primary.disk, len(leader.log)
        disk.fill()
        until(lambda: "No space left on device" in leader.log[before:])
        time.sleep(self.chance.uniform(0.0, 2 * LEASE_S))
        disk.free()
        until(lambda: "the disk accepts data again" in leader.log[before:])
        assert leader.leads
        self.end_by_kill(leader)

    def promote_lagging(self, leader):
        """Promote a standby that lacks what was confirmed last. Only for rounds after which no promise is left."""
        standby = self.databases.cut_standby()
        time.sleep(self.chance.uniform(0.5, 1.5))
        if self.chance.random() < 0.5:
            # A broker that waits reads what the leader writes four times a second.
            leader.kill()
        self.databases.fail_over(standby)
        self.databases.replace_lost()

    def hand_over(self, leader):
        assert leader.stop() == 0, leader.log

    def end_by_kill(self, leader):
        """Kill a broker, whether or not it still leads."""
        time.sleep(self.chance.uniform(0.0, 1.0))
        leader.kill()

    FAULTS = (
        kill_leader,
        kill_primary,
        kill_leader_and_primary,
        stop_leader,
        cut_leader,
        delay_leader,
        stop_primary,
        stop_standbys,
        fill_disk,
        hand_over,
    )

    # --- rounds -------------------------------------------------------------------------------------------------------

    def round(self):
        clients = self.chosen()
        brokers = self.brokers_at_work
        brokers.start_missing()
        leader = brokers.leader()
        if not self.counts:
            # In few rounds, not all clients are chosen, and the drain needs all queues.
            with LoadClient(leader.port()) as client:
                for ledger in self.ledgers:
                    ledger.declare(client)
        for client in clients:
            client.start(leader.port(), leader.port("http"))
        for client in clients:
            assert client.working.wait(PATIENCE_S)
        time.sleep(self.chance.uniform(*LIFE_S))
        early = [(client, client.join()) for client in clients if not client.is_running()]
        assert early == [], leader.log
        fault = self.faults[sum(self.counts.values()) % len(self.faults)]
        print(f"\n{fault.__name__}", end="", flush=True)
        fault(self, leader)
        self.counts[fault.__name__] = self.counts.get(fault.__name__, 0) + 1
        late = [client.join() for client in clients]
        assert [error for error in late if not is_expected(error)] == []
        self.check_logs(brokers.logs)

    def check_logs(self, logs):
        assert "Traceback" not in logs, logs
        assert LOST not in logs, logs
        assert MAY_BE_LOST not in logs, logs

    def broker(self, in_order=True):
        return Leading(self.brokers_at_work)

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
        self.last = []

    def check_logs(self, logs):
        assert "Traceback" not in logs, logs

    def chosen(self):
        return [client for each in self.workloads for client in each.clients]


class Leading:
    """The broker that leads, as `BrokerProcess` is used: it is replaced at the end of the context."""

    def __init__(self, brokers):
        self._brokers = brokers

    def __enter__(self):
        self._brokers.start_missing()
        self._leader = self._brokers.leader()
        self.port = self._leader.port()
        return self

    def port_of(self, protocol):
        return self._leader.port(protocol)

    def __exit__(self, *raised):
        if raised[0] is None:
            assert self._leader.stop() == 0, self._leader.log


def test_confirmed_messages_survive_failures_of_brokers_and_databases(tmp_path):
    rounds = FailoverRounds(tmp_path)
    try:
        for _ in range(ROUNDS):
            rounds.round()
            wrong = [text for ledger in rounds.ledgers for text in ledger.wrong]
            assert wrong == [], rounds.counts
        rounds.drain()
    finally:
        rounds.close()
    assert wrong_in_the_end(rounds) == []
    if ROUNDS >= ENOUGH:
        assert rounds.untested() == []


def wrong_in_the_end(rounds):
    """Return all complaints after the drain."""
    for ledger in rounds.ledgers:
        ledger.settle_accounts()
    print(f"\n{rounds.counts} (seed {SEED})")
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
    assert not wrong or LOST in logs or MAY_BE_LOST in logs, logs
