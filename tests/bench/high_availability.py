"""Brokers with one PostgreSQL database beside three nodes of RabbitMQ with a quorum queue, on this machine.

usage: python -m tests.bench.high_availability [--seconds N] [--rounds N] [--waiting N] [rabbitmq] [amqpbroker]

It is also a group of `make bench`, which writes both into docs/performance.md (high_availability_report.py).

The database has one synchronous standby, and both servers sync. Measures persistent messages with confirms, 1,000 of
them open: those of an application, which differ in size and properties, and equal ones of 100 bytes. Then the time of a
confirm at 500 messages a second (percentiles of each round, and their medians), and the time from `kill -9` of the
leader until a client that connects again has a confirm, with N messages of 100 bytes waiting (1,000,000 by default).

The brokers of amqpbroker share the vhosts. All messages are in the default one, and its leader is the one that fails.
For amqpbroker, also the time from other failures to a confirm: SIGSTOP of the leader, whose lease is ten seconds, a cut
between the leader and its database that loses what is sent and closes nothing, and the promotion of a standby after
`kill -9` of the primary.
"""

import argparse
import contextlib
import os
import queue
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from amqpbroker.wire.values import Table, longstr
from conformance.rabbitmq import Node, install
from tests.bench.brokers import OURS, THEIRS
from tests.bench.client_processes import ClientProcesses, measure, measure_all
from tests.bench.clients import publish
from tests.bench.processes import family, with_environment
from tests.bench.sending import Different, Load, Repeated
from tests.bench.shapes import percentiles_ms
from tests.failover.cluster import Broker, Brokers, Databases
from tests.harness import published
from tests.load.client import LoadClient
from tests.postgresql import programs

IN_FLIGHT = 1_000
RATE = 500
SIZE = 100
QUEUE = "bench"
#: The one in which all clients are.
VHOST = "/"
LOADS: dict[str, Load] = {
    "persistent messages of an application": Different((QUEUE,), persistent=True, in_flight=IN_FLIGHT),
    f"equal persistent messages of {SIZE} B": Repeated((QUEUE,), size=SIZE, persistent=True, in_flight=IN_FLIGHT),
}
COOKIE = "bench"
#: Lease of the brokers, which is not waited for after `kill -9`.
LEASE_S = 10.0
WITHIN_S = 300.0
REST_S = 10.0
#: Time in which a client waits for an answer before it connects again.
ATTEMPT_S = 1.0
WAITING = 1_000_000
#: The failure that both have.
KILL = "`kill -9` of the leader"


@dataclass
class Found:
    """Figures of one of both. version: of the broker. seconds, rounds: of the rates. waiting: number of messages.

    rates: messages a second, by the name of the load. confirm_ms: by percentile. failover_s: times to a confirm, by the
    failure.
    """

    version: str
    seconds: float
    rounds: int
    waiting: int
    rates: dict[str, float] = field(default_factory=dict)
    confirm_ms: dict[float, float] = field(default_factory=dict)
    failover_s: dict[str, float] = field(default_factory=dict)


class Cluster(Protocol):
    """Several brokers. arguments: of the queue. ports: of all brokers that run."""

    name: str
    arguments: Table

    @property
    def ports(self) -> list[int]: ...
    @property
    def pids(self) -> list[int]: ...
    def leader_port(self) -> int:
        """Return the port of the broker that has the queue."""

    def kill_leader(self) -> None: ...

    def other_failures(self) -> Iterator[tuple[str, Callable[[], float]]]:
        """Yield further failures, each with a function that causes it, and returns when it began."""


class Own:
    """Three brokers of this project, of which one leads the vhost with the queue. ports: of those that can lead it."""

    name = OURS
    arguments: Table = {}

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._leader = brokers.settled()[VHOST]
        self._hung: Broker | None = None

    @property
    def ports(self) -> list[int]:
        return [broker.port() for broker in self._brokers if broker.is_running and broker is not self._hung]

    @property
    def pids(self) -> list[int]:
        return [os.getpid()]

    def leader_port(self) -> int:
        return self._leader.port()

    def kill_leader(self) -> None:
        self._leader.kill()

    def other_failures(self) -> Iterator[tuple[str, Callable[[], float]]]:
        for broker in self._brokers:
            # Proxies can cut, and cost too little to be seen in seconds.
            broker.kill()
            broker.proxied = True
        for text, cause in (
            ("SIGSTOP of the leader", self._stop_leader),
            ("a cut of the leader from its database", self._cut_leader),
            ("the promotion of a standby", self._fail_over),
        ):
            self._restore()
            yield text, cause

    def _stop_leader(self) -> float:
        self._hung = self._leader
        self._leader.signal(signal.SIGSTOP)
        return time.monotonic()

    def _cut_leader(self) -> float:
        self._hung = self._leader
        for proxy in self._leader.proxies.values():
            proxy.requests = proxy.answers = False
        return time.monotonic()

    def _fail_over(self) -> float:
        self._brokers.databases.fail_over()
        return self._brokers.databases.promoted_s

    def _restore(self) -> None:
        """Run three brokers again, of which one follows the leader."""
        if self._hung is not None:
            self._hung.kill()
            for proxy in self._hung.proxies.values():
                proxy.heal()
        self._hung = None
        self._brokers.start_missing()
        self._leader = self._brokers.settled()[VHOST]
        # Another broker reads what is waiting.
        time.sleep(REST_S)


class ClusterNode(Node):
    """A node that knows the names of the others."""

    def __init__(self, base: Path) -> None:
        super().__init__(base, "[].", "")
        self.erlang_name = self._environment["RABBITMQ_NODENAME"]
        self._environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = f"-setcookie {COOKIE}"
        self._ports = self._ports[:1]

    def join(self, names: list[str]) -> None:
        lines = [f"cluster_formation.classic_config.nodes.{number} = {name}" for number, name in enumerate(names, 1)]
        with (self._base / "rabbitmq.conf").open("a") as file:
            file.write("\n".join(["cluster_formation.peer_discovery_backend = classic_config", *lines]) + "\n")


class RabbitMq:
    """Three nodes; the queue is led by the one where it is declared."""

    name = THEIRS
    arguments: Table = {"x-queue-type": longstr("quorum")}

    def __init__(self, nodes: list[ClusterNode]) -> None:
        self._nodes = nodes

    @property
    def ports(self) -> list[int]:
        return [node.target.port for node in self._nodes]

    @property
    def pids(self) -> list[int]:
        return [
            pid for port in self.ports for pid in family(with_environment("beam.smp", f"RABBITMQ_NODE_PORT={port}"))
        ]

    def leader_port(self) -> int:
        return self._nodes[0].target.port

    def kill_leader(self) -> None:
        self._nodes.pop(0).kill()

    def other_failures(self) -> Iterator[tuple[str, Callable[[], float]]]:
        yield from ()


@contextmanager
def own_cluster() -> Iterator[Own]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        databases = Databases(standbys=1)
        # Without proxies, which run in this process and would be measured with it.
        brokers = Brokers(Path(folder), databases, 3, LEASE_S, proxied=False)
        try:
            yield Own(brokers)
        finally:
            brokers.close()
            databases.close()


@contextmanager
def rabbitmq_cluster() -> Iterator[RabbitMq]:
    install()
    with contextlib.ExitStack() as open_:
        folders = [
            open_.enter_context(tempfile.TemporaryDirectory(prefix="rabbitmq-", ignore_cleanup_errors=True))
            for _ in range(3)
        ]
        nodes = [ClusterNode(Path(folder)) for folder in folders]
        for node in nodes:
            node.join([each.erlang_name for each in nodes])
            open_.callback(node.stop)
        starting = [threading.Thread(target=node.start) for node in nodes]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        yield RabbitMq(nodes)


def throughput(cluster: Cluster, load: Load, seconds: float) -> float:
    """Return the number of confirmed messages a second."""
    with ClientProcesses(cluster.leader_port()) as processes:
        return measure([processes.add(publish, load)], cluster.pids, seconds).rate


def confirm_ms(cluster: Cluster, seconds: float) -> dict[float, float]:
    """Return percentiles of the time of a confirm at RATE messages a second."""
    samples_ns: list[int] = []
    sent_ns: dict[int, int] = {}
    with LoadClient(cluster.leader_port()) as client:
        client.call("confirm.select", "confirm.select-ok")
        count = int(RATE * seconds)

        def receive() -> None:
            last = 0
            while last < count:
                _, payload = next(client.frames())
                tag, now = int.from_bytes(payload[4:12], "big"), time.monotonic_ns()
                first = last + 1 if payload[12] else tag
                samples_ns.extend(now - sent_ns.pop(each) for each in range(first, tag + 1))
                last = tag

        receiving = threading.Thread(target=receive)
        receiving.start()
        start = time.monotonic()
        for number in range(1, count + 1):
            time.sleep(max(0.0, start + number / RATE - time.monotonic()))
            sent_ns[number] = time.monotonic_ns()
            client.send(published(QUEUE, b"%100d" % number, delivery_mode=2))
        receiving.join(WITHIN_S)
    return percentiles_ms(samples_ns)


def fill(cluster: Cluster, count: int) -> None:
    with ClientProcesses(cluster.leader_port()) as processes:
        load = Repeated((QUEUE,), size=SIZE, persistent=True, in_flight=IN_FLIGHT, count=count)
        measure_all(processes.add(publish, load), cluster.pids, WITHIN_S)


def failover_s(cluster: Cluster) -> float:
    """Kill the leader; return the time until a client has a confirm from another one."""
    cluster.kill_leader()
    start_s = time.monotonic()
    return first_confirm_s(cluster) - start_s


def first_confirm_s(cluster: Cluster) -> float:
    """Return when one of several clients, each of which connects to one of the brokers, has a confirm."""
    end = time.monotonic() + WITHIN_S
    found: queue.SimpleQueue[float] = queue.SimpleQueue()

    def attempt(port: int) -> None:
        while found.empty() and time.monotonic() < end:
            # A broker may have passed the client on to a leader that hangs.
            with contextlib.suppress(OSError, AssertionError), LoadClient(port, timeout_s=ATTEMPT_S) as client:
                client.call("confirm.select", "confirm.select-ok")
                client.send(published(QUEUE, b"after", delivery_mode=2))
                for _ in client.frames():
                    found.put(time.monotonic())
                    return
            time.sleep(0.02)

    attempts = [threading.Thread(target=attempt, args=(port,)) for port in cluster.ports]
    for thread in attempts:
        thread.start()
    for thread in attempts:
        thread.join()
    return found.get_nowait()


def measured(cluster: Cluster, seconds: float, rounds: int, waiting: int) -> Found:
    """Measure one of both. Each figure is printed at once, so that it is not lost if the next one fails."""
    # The system still frees the files of those that ran before.
    os.sync()
    time.sleep(REST_S)
    with LoadClient(cluster.leader_port()) as client:
        version = client.server_properties["version"].value.decode()
        found = Found(version, seconds, rounds, waiting)
        client.declare(QUEUE, durable=True, arguments=cluster.arguments)
        for name, load in LOADS.items():
            rates = []
            for _ in range(rounds):
                rates.append(throughput(cluster, load, seconds))
                client.call("queue.purge", "queue.purge-ok", queue=QUEUE)
            found.rates[name] = statistics.median(rates)
            print(f"{cluster.name}: {name}: {found.rates[name]:,.0f} confirmed messages/s", flush=True)
    # The servers are still flushing and removing earlier messages.
    time.sleep(REST_S)
    confirms = [confirm_ms(cluster, seconds) for _ in range(rounds)]
    found.confirm_ms |= {percent: statistics.median(each[percent] for each in confirms) for percent in confirms[0]}
    p50, p99 = found.confirm_ms[50.0], found.confirm_ms[99.0]
    rounds_ms = ", ".join(f"{each[99.0]:.2f}" for each in confirms)
    print(f"{cluster.name}: confirm at {RATE}/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms ({rounds_ms})", flush=True)
    fill(cluster, waiting)
    found.failover_s[KILL] = failover_s(cluster)
    print(f"{cluster.name}: {found.failover_s[KILL]:.2f} s from {KILL} to a confirm, {waiting:,} messages waiting")
    for failure, cause in cluster.other_failures():
        start_s = cause()
        found.failover_s[failure] = first_confirm_s(cluster) - start_s
        print(f"{cluster.name}: {found.failover_s[failure]:.2f} s from {failure} to a confirm", flush=True)
    return found


def missing() -> str:
    """Return why this cannot be measured, "" if it can."""
    if programs() is None:
        return "PostgreSQL is not installed (Debian: apt install postgresql)"
    return ""


#: Both, in the order in which they are measured.
MAKERS = {THEIRS: rabbitmq_cluster, OURS: own_cluster}


def main() -> None:
    makers = {name.lower(): make for name, make in MAKERS.items()}
    parser = argparse.ArgumentParser(prog="python -m tests.bench.high_availability", description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waiting", type=int, default=WAITING)
    parser.add_argument("brokers", nargs="*", default=[*makers])
    given = parser.parse_args()
    for name in given.brokers:
        with makers[name]() as cluster:
            measured(cluster, given.seconds, given.rounds, given.waiting)


if __name__ == "__main__":
    main()
