"""Shapes of load in which one message is repeated; tests/bench/application_shapes.py has those of an application."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from amqpbroker.wire.values import Field, Table
from tests.bench.brokers import Running
from tests.bench.client_processes import CONTEXT, Client, ClientProcesses, Measured, measure, measure_all
from tests.bench.clients import Cells, Consuming, churn, consume, consume_timed, publish, publish_paced
from tests.bench.sending import Repeated
from tests.bench.topology import EXCHANGE, Binding, Topology

BACKLOG = 500_000
BACKLOG_WITHIN_S = 60.0
LATENCY_SAMPLES = 200_000
MIB = 1 << 20


@dataclass(frozen=True)
class Flow:
    """Publishers and consumers that never stop, on queues that are created for it and deleted afterwards.

    in_flight: messages that may wait for their confirm. prefetch: 0 for auto-ack.
    """

    size: int = 16
    publishers: int = 1
    consumers: int = 1
    queues: int = 1
    fanout: bool = False
    persistent: bool = False
    in_flight: int = 0
    prefetch: int = 0
    ack_every: int = 1
    arguments: Table = field(default_factory=dict)

    def run(self, broker: Running, seconds: float) -> dict[str, Measured]:
        made = queues(broker, self.queues, self.persistent, self.arguments, self.fanout)
        with made as names, ClientProcesses(broker.port) as processes:
            takers = [
                processes.add(consume, Consuming((names[i % len(names)],), self.prefetch, self.ack_every))
                for i in range(self.consumers)
            ]
            processes.ready()
            exchange, keys = (EXCHANGE, ["k"]) if self.fanout else ("", names)
            each = [
                Repeated((keys[i % len(keys)],), exchange, self.size, self.persistent, self.in_flight)
                for i in range(self.publishers)
            ]
            senders = [processes.add(publish, what) for what in each]
            measured = measure(takers or senders, broker.pids, seconds)
        return {"": measured}


def run_churn(broker: Running, seconds: float) -> dict[str, Measured]:
    with ClientProcesses(broker.port) as processes:
        return {"": measure([processes.add(churn)], broker.pids, seconds)}


def run_backlog(broker: Running, seconds: float, count: int = BACKLOG) -> dict[str, Measured]:
    """Measure a backlog, which has no fixed duration."""
    del seconds
    with queues(broker, 1, persistent=True) as names:
        with ClientProcesses(broker.port) as processes:
            what = Repeated(tuple(names), size=100, persistent=True, in_flight=5_000, count=count)
            published = measure_all(processes.add(publish, what), broker.pids, BACKLOG_WITHIN_S)
        with ClientProcesses(broker.port) as processes:
            what = Consuming(tuple(names), prefetch=1_000, ack_every=250, count=count)
            consumed = measure_all(processes.add(consume, what), broker.pids, BACKLOG_WITHIN_S)
    return {"publish": published, "consume": consumed}


@dataclass(frozen=True)
class Latency:
    """A publisher at a rate, and the age of messages when they are received, in ms by percentile."""

    rate: int
    persistent: bool

    def run(self, broker: Running, seconds: float) -> dict[float, float]:
        samples_ns = CONTEXT.RawArray("Q", LATENCY_SAMPLES)
        with queues(broker, 1, self.persistent) as names, ClientProcesses(broker.port) as processes:
            taker = processes.add(consume_timed, names[0], samples_ns)
            processes.ready()
            processes.add(publish_paced, Repeated(tuple(names), size=100, persistent=self.persistent), self.rate)
            return measure_latency(taker, samples_ns, broker, seconds)


def measure_latency(client: Client, samples_ns: Cells, broker: Running, seconds: float) -> dict[float, float]:
    """Return the percentiles of a client's samples in `seconds`."""
    measured = measure([client], broker.pids, seconds)
    count = min(int(measured.rate * seconds), client.count)
    return percentiles_ms(samples_ns[client.count - count : client.count])


PERCENTILES = (50.0, 99.0, 99.9)


def percentiles_ms(samples_ns: Sequence[int]) -> dict[float, float]:
    ordered = sorted(samples_ns)
    return {each: ordered[min(len(ordered) - 1, int(len(ordered) * each / 100))] / 1e6 for each in PERCENTILES}


@dataclass(frozen=True)
class Shape:
    """A load, and for each row the target as a multiple of RabbitMQ's rate, None for no target.

    run: returns the results by row; no rows if the broker does not support it.
    """

    what: str
    targets: dict[str, float | None]
    run: Callable[[Running, float], dict[str, Measured]]


SHAPES = {
    "transient": Shape("one publisher, one auto-ack consumer, 16 B", {"": 18}, Flow().run),
    "single-ack": Shape("each message acknowledged alone, prefetch 1,000, 16 B", {"": 8}, Flow(prefetch=1_000).run),
    "4x4": Shape(
        "four publishers, queues and consumers, 100 B",
        {"": 13},
        Flow(size=100, publishers=4, consumers=4, queues=4).run,
    ),
    "fanout10": Shape(
        "one publisher, ten queues, ten consumers, 100 B",
        {"": 12},
        Flow(size=100, consumers=10, queues=10, fanout=True).run,
    ),
    "pub-only": Shape("no consumer, 100 B", {"": 14}, Flow(size=100, consumers=0).run),
    "persistent": Shape(
        "confirms, 250 acknowledged at a time, 100 B",
        {"": 5},
        Flow(size=100, persistent=True, in_flight=1_000, prefetch=1_000, ack_every=250).run,
    ),
    "pub-persist": Shape(
        "persistent, confirms, no consumer, 100 B",
        {"": 4},
        Flow(size=100, consumers=0, persistent=True, in_flight=1_000).run,
    ),
    "priority": Shape("x-max-priority 10, 16 B", {"": 8}, Flow(arguments={"x-max-priority": Field("I", 10)}).run),
    "64KiB": Shape("transient, 64 KiB", {"": 2}, Flow(size=MIB // 16).run),
    "1MiB": Shape("transient, 1 MiB", {"": 1.5}, Flow(size=MIB).run),
    "churn": Shape("connect, open a channel, declare a queue, close", {"": 3}, run_churn),
    "backlog": Shape(f"{BACKLOG:,} persistent ones of 100 B", {"publish": 5, "consume": 10}, run_backlog),
}

LATENCIES = {
    "lat": ("transient, 2,000/s", Latency(2_000, persistent=False).run),
    "lat-persist": ("persistent, 500/s", Latency(500, persistent=True).run),
}


def queues(
    broker: Running, count: int, persistent: bool = False, arguments: Table | None = None, fanout: bool = False
) -> AbstractContextManager[list[str]]:
    """Declare queues without any message in them; see `Topology.declared`."""
    bindings = tuple(map(Binding, range(count))) if fanout else ()
    kind = "fanout" if fanout else ""
    return Topology(count, persistent, arguments or {}, kind, bindings=bindings).declared(broker)
