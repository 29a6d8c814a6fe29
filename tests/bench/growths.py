"""Broker processes under growing work: cost of a message with more queues, connections, bindings, bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.bench.brokers import Running, amqpbroker
from tests.bench.client_processes import ClientProcesses, Measured, measure
from tests.bench.clients import Consuming, circulate, consume, publish
from tests.bench.sending import Repeated
from tests.bench.shapes import Flow, queues
from tests.bench.varied import bind
from tests.load.client import allow_open_files

TOPIC = "bench.topic"
CIRCULATING = 20
MOST_KEYS = 1_000


@dataclass(frozen=True)
class Growth:
    """One growth.

    along: the growing quantity. steps: its values. run: measures a broker, which is new for each step.
    """

    along: str
    steps: tuple[int, ...]
    run: Callable[[Running, int, float], Measured]
    open_files: Callable[[int], int] = lambda step: 0

    def measured(self, seconds: float) -> Iterator[tuple[int, Measured]]:
        """Measure step by step, without steps that need more open files than this process may have."""
        for step in self.steps:
            wanted = self.open_files(step)
            if wanted and not allow_open_files(wanted):
                print(f"{step:,} {self.along}: left out, {wanted:,} files may not be open here (ulimit -Hn)")
                continue
            with amqpbroker() as broker:
                yield step, self.run(broker, step, seconds)


def many_queues(broker: Running, count: int, seconds: float) -> Measured:
    """Measure one publisher that uses the queues in rotation, and one connection that consumes from all of them."""
    with queues(broker, count) as names, ClientProcesses(broker.port) as processes:
        taker = processes.add(consume, Consuming(tuple(names)))
        processes.ready()
        processes.add(publish, Repeated(tuple(names), size=100))
        return measure([taker], broker.pids, seconds)


def many_connections(broker: Running, count: int, seconds: float) -> Measured:
    """Measure connections that each have a queue, through which they send 20 messages at a time."""
    with ClientProcesses(broker.port) as processes:
        ring = processes.add(circulate, count, CIRCULATING, 100)
        processes.ready()
        return measure([ring], broker.pids, seconds)


def many_bindings(broker: Running, count: int, seconds: float) -> Measured:
    """Measure bindings of one queue, half of them with `*` and half with `#`; keys match one of them each."""
    endings = (".*.created", ".#")
    with queues(broker, 1) as (queue,), ClientProcesses(broker.port) as processes:
        patterns = [f"{i:06}{endings[i % 2]}" for i in range(count)]
        bind(broker.port, TOPIC, "topic", queue, patterns)
        taker = processes.add(consume, Consuming((queue,)))
        processes.ready()
        keys = [f"{i:06}.eu.created" for i in range(0, count, max(1, count // MOST_KEYS))]
        processes.add(publish, Repeated(tuple(keys), TOPIC, size=100))
        return measure([taker], broker.pids, seconds)


def large_messages(broker: Running, size: int, seconds: float) -> Measured:
    """Measure one publisher and one auto-ack consumer."""
    return Flow(size=size).run(broker, seconds)[""]


GROWTHS = {
    "queues": Growth("queues", (1, 2, 10, 100, 1_000, 10_000, 20_000, 40_000), many_queues),
    "connections": Growth("connections", (10, 100, 1_000, 5_000), many_connections, lambda step: step + 200),
    "bindings": Growth("bindings", (10, 100, 1_000, 10_000, 100_000), many_bindings),
    "sizes": Growth("bytes", (16, 256, 4_000, 64_000, 1_000_000, 16_000_000), large_messages),
}
