"""A broker that is killed with SIGKILL repeatedly, and clients that record its promises.

Data in the kernel survives SIGKILL, so this test covers answers, writes and recovery under load. Files that lose
unsynced data test that confirmed messages are also synced (tests/store/test_persistence.py). `ledger.py` defines the
promises of each queue, and the files of the extensions define more. `make crash` runs 50 rounds, or ROUNDS=n; SEED=n
varies times and sizes.
"""

import logging
import os
import random
import signal
import subprocess
import sys
import time

import pika
import pytest
from click.testing import CliRunner

from amqpbroker.cli.main import main
from amqpbroker.wire.values import longstr
from tests.crash import (
    batches,
    delivery_times,
    duplicates,
    expiry,
    groups,
    last_values,
    locks,
    pairs,
    pika_clients,
    returns,
    streams,
)
from tests.crash.clients import Address, RawConsumer, RawPublisher, Workload, events_of
from tests.crash.ledger import Ledger
from tests.crash.returns import DELAY_S
from tests.load.client import LoadClient, request
from tests.process import ENVIRONMENT, PATIENCE_S, BrokerProcess

ROUNDS = int(os.environ.get("ROUNDS", "5"))
SEED = int(os.environ.get("SEED", "1"))

#: Lifetime of a broker in seconds, from the time when its clients work. Some brokers are killed while clients connect.
LIFE_S = (0.1, 1.0)
CONNECTING_S = (0.0, 0.3)


def is_broken_connection(error):
    # LoadClient asserts that the awaited answer arrives.
    return isinstance(error, OSError | pika.exceptions.AMQPError) or "the broker closed" in str(error)


def address_at(broker, vhost="/"):
    """Return the address of a vhost at a broker."""
    return Address(broker.port, broker.port_of("http"), vhost)


class Rounds:
    """Brokers on one data directory, their clients and their ledgers."""

    def __init__(self, tmp_path, seed=SEED):
        self.seed = seed
        self.chance = random.Random(seed)
        self.data = tmp_path / "data"
        self.brokers = tmp_path
        self.starts = 0
        lock_ledgers = locks.ledgers()
        group_ledgers = groups.ledgers()
        batch_ledgers = batches.ledgers(self.chance)
        #: Clients that run once before the drain.
        self.last = [
            *[locks.HungConsumer(self.chance, ledger) for ledger in lock_ledgers],
            *[groups.GroupRedriver(self.chance, ledger, last=True) for ledger in group_ledgers],
            *[batches.LetterRedriver(self.chance, ledger, last=True) for ledger in batch_ledgers],
        ]
        self.pair = pairs.workload(self.chance)
        self.workloads = [
            self.pair,
            pika_clients.workload(self.chance),
            self.plain_workload(Ledger("classic")),
            self.plain_workload(Ledger("quorum", **{"x-queue-type": longstr("quorum")})),
            *returns.workloads(self.chance),
            *duplicates.workloads(self.chance),
            *[locks.workload(self.chance, ledger) for ledger in lock_ledgers],
            *expiry.workloads(self.chance),
            *last_values.workloads(self.chance),
            *delivery_times.workloads(self.chance),
            *[groups.workload(self.chance, ledger) for ledger in group_ledgers],
            *[batches.workload(self.chance, ledger) for ledger in batch_ledgers],
            *streams.workloads(self.chance),
        ]
        self.ledgers = [ledger for each in self.workloads for ledger in each.ledgers]

    def plain_workload(self, ledger):
        """Return a queue without extensions."""
        return Workload([RawPublisher(self.chance, ledger), RawConsumer(self.chance, ledger)], [ledger])

    def chosen(self):
        """Return the clients of a round in a random order: of half of the workloads, and first of untested ones."""
        workloads = self.chance.sample(self.workloads, len(self.workloads))
        workloads.sort(key=Workload.is_tested)
        clients = [client for each in workloads[: len(workloads) // 2] for client in each.clients]
        return self.chance.sample(clients, len(clients))

    def broker(self, in_order=True):
        self.starts += 1
        directory = self.brokers / str(self.starts)
        directory.mkdir()
        return BrokerProcess(directory, "--data-dir", str(self.data), in_order=in_order)

    def kill_while_starting(self):
        command = [sys.executable, "-m", "amqpbroker", "serve", "--port", "0", "--data-dir", str(self.data)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=ENVIRONMENT) as process:
            time.sleep(self.chance.uniform(0.05, 0.4))
            process.kill()

    def round(self):
        """Run a broker and its clients until the broker is killed."""
        clients = self.chosen()
        with self.broker(in_order=False) as broker:
            for client in clients:
                client.start(address_at(broker))
            if self.chance.random() < 0.15:
                time.sleep(self.chance.uniform(*CONNECTING_S))
            else:
                for client in clients:
                    assert client.working.wait(PATIENCE_S)
                time.sleep(self.chance.uniform(*LIFE_S))
            early = [(client, client.join()) for client in clients if not client.is_running()]
            broker.signal(signal.SIGKILL)
            assert broker.wait() == -signal.SIGKILL, broker.log
            late = [client.join() for client in clients]
        assert early == [], broker.log
        assert [error for error in late if not is_broken_connection(error)] == []
        assert "Traceback" not in broker.log

    def drain(self):
        """Consume all remaining messages from a broker that is stopped in order."""
        with self.broker() as broker:
            for client in self.last:
                client.start(address_at(broker, client.ledger.vhost))
            time.sleep(DELAY_S)  # no message is delayed any more
            assert [client.join() for client in self.last] == [None] * len(self.last)
            for ledger in self.ledgers:
                self.drain_queue(broker, ledger)
        left = {}
        with self.broker() as broker:
            for ledger in self.ledgers:
                if not isinstance(ledger, streams.StreamLedger):
                    with LoadClient(broker.port, vhost=ledger.vhost) as client:
                        left[ledger.queue] = client.depth(ledger.queue)
        assert left == dict.fromkeys(left, 0)

    def drain_queue(self, broker, ledger):
        if isinstance(ledger, streams.StreamLedger):
            ledger.drain(address_at(broker, ledger.vhost))
            return
        with LoadClient(broker.port, vhost=ledger.vhost) as client:
            left = client.depth(ledger.queue)
            session = ledger.session()
            client.send(request("basic.consume", queue=ledger.queue, no_ack=True))
            events = events_of(client)
            assert next(events).name == "basic.consume-ok"
            client.socket.settimeout(PATIENCE_S)
            for number in range(left):
                try:
                    event = next(events)
                except TimeoutError:
                    ledger.wrong.append(f"{ledger.queue}: only {number} of {left} messages are delivered")
                    return
                ledger.drained.add(session.delivered(event.body, event.arguments["redelivered"]))
            client.close()

    def untested(self):
        """Return the queues that have not had enough traffic for meaningful results."""
        return [ledger.counts() for ledger in self.ledgers if not ledger.is_tested()]

    def journal_bytes(self):
        return sum(path.stat().st_size for path in (self.data / "journal").iterdir())


@pytest.fixture(autouse=True)
def _quiet_pika(caplog):
    """Silence pika's log, which has several lines for each broken connection."""
    caplog.set_level(logging.CRITICAL, "pika")


def test_confirmed_messages_are_never_lost_and_synced_acks_never_undone(tmp_path):
    rounds = Rounds(tmp_path)
    lives = kills = torn = 0
    # On a busy machine little may happen in a short life.
    while lives < ROUNDS or (lives < 5 * ROUNDS and rounds.untested()):
        if rounds.chance.random() < 0.3 and rounds.starts:
            rounds.kill_while_starting()
            kills += 1
        rounds.round()
        lives += 1
        kills += 1
        checked = CliRunner().invoke(main, ["store", "check", str(rounds.data)])
        assert checked.exit_code == 0, checked.output
        torn += "torn" in checked.output
        wrong = [text for ledger in rounds.ledgers for text in ledger.wrong]
        assert wrong == []
    before = rounds.journal_bytes()
    rounds.drain()
    for ledger in rounds.ledgers:
        ledger.settle_accounts()
    print(f"\n{lives} lives, {kills} kills (seed {SEED}), {torn} torn ends")
    print(f"journal {before} bytes, {rounds.journal_bytes()} drained")
    for ledger in rounds.ledgers:
        print(ledger.counts())
    wrong = [text for ledger in rounds.ledgers for text in ledger.wrong]
    assert wrong == []
    one, other = rounds.pair.ledgers
    assert one.drained == other.drained
    assert rounds.untested() == []
