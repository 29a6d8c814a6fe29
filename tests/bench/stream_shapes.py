"""Shapes of load on a stream: publish with confirms, ten readers from the first message, and a reader at the end.

They are a part of the group `streams` of `make bench`; large_stream.py has its measurement of a large stream.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from amqpbroker.wire.values import Table, longstr
from tests.bench.brokers import Running
from tests.bench.client_processes import CONTEXT, ClientProcesses, Measured, measure, measure_all
from tests.bench.clients import Consuming, consume, consume_timed, publish, publish_paced
from tests.bench.sending import Different, Load, Repeated
from tests.bench.shapes import LATENCY_SAMPLES, Shape, measure_latency
from tests.bench.topology import Topology

STREAM: Table = {"x-queue-type": longstr("stream")}
FIRST: Table = {"x-stream-offset": longstr("first")}
TOPOLOGY = Topology(durable=True, arguments=STREAM)

IN_FLIGHT = 1_000
PREFETCH = 1_000
READERS = 10
#: Messages that are published before the readers start: more than they read while they are measured.
STORED = 5_000_000
STORED_WITHIN_S = 900.0
TAIL_RATE = 2_000


def repeated(name: str, count: int = 0) -> Load:
    return Repeated((name,), size=100, persistent=True, in_flight=IN_FLIGHT, count=count)


def different(name: str, count: int = 0) -> Load:
    return Different((name,), persistent=True, in_flight=IN_FLIGHT, count=count)


#: make(queue, count): returns the messages of a publisher; `count` is 0 for no end.
Make = Callable[..., Load]


def run_publish(make: Make, broker: Running, seconds: float) -> dict[str, Measured]:
    """Measure a publisher with confirms."""
    with TOPOLOGY.declared(broker) as names, ClientProcesses(broker.port) as processes:
        return {"": measure([processes.add(publish, make(names[0]))], broker.pids, seconds)}


def run_read(make: Make, broker: Running, seconds: float, count: int = STORED) -> dict[str, Measured]:
    """Measure ten readers that begin with the first of `count` messages."""
    with TOPOLOGY.declared(broker) as names:
        with ClientProcesses(broker.port) as processes:
            measure_all(processes.add(publish, make(names[0], count)), broker.pids, STORED_WITHIN_S)
        with ClientProcesses(broker.port) as processes:
            what = Consuming(tuple(names), PREFETCH, ack_every=250, arguments=FIRST)
            readers = [processes.add(consume, what) for _ in range(READERS)]
            processes.ready()
            return {"": measure(readers, broker.pids, seconds)}


@dataclass(frozen=True)
class Tail:
    """A publisher at a rate, and a reader that waits for each message: the age of messages when they are received."""

    rate: int

    def run(self, broker: Running, seconds: float) -> dict[float, float]:
        samples_ns = CONTEXT.RawArray("Q", LATENCY_SAMPLES)
        with TOPOLOGY.declared(broker) as names, ClientProcesses(broker.port) as processes:
            reader = processes.add(consume_timed, names[0], samples_ns, PREFETCH)
            processes.ready()
            processes.add(publish_paced, Repeated((names[0],), size=100, persistent=True), self.rate)
            return measure_latency(reader, samples_ns, broker, seconds)


SHAPES = {
    "stream": Shape("publisher with confirms, 1,000 open, 100 B", {"": 8}, partial(run_publish, repeated)),
    "stream-read": Shape(
        f"ten readers from the first of {STORED:,} messages, 100 B", {"": 10}, partial(run_read, repeated)
    ),
    "app-stream": Shape("publisher with confirms, 1,000 open", {"": None}, partial(run_publish, different)),
    "app-stream-read": Shape(
        f"ten readers from the first of {STORED:,} messages", {"": None}, partial(run_read, different)
    ),
}

LATENCIES = {"stream-tail": ("age of a message at the end, 2,000/s, 100 B", Tail(TAIL_RATE).run)}
