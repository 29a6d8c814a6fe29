"""A backlog that grows to millions and is consumed: the cost of each message, and the delay of other clients.

Meanwhile another connection queries the depth of its own queue every millisecond: its longest round trip is the longest
time for which the broker did not respond.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from statistics import median

from tests.bench.brokers import amqpbroker
from tests.bench.client_processes import BEGIN_WITHIN_S, CONTEXT, Client, ClientProcesses
from tests.bench.clients import COUNT, READY, Cells, Consuming, consume, probe, publish
from tests.bench.processes import cpu_s, resident_bytes
from tests.bench.sending import Repeated
from tests.bench.shapes import queues

LEVELS = (100_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000)
PROBE_EVERY_S = 0.001
SAMPLES = 500_000
REST_S = 2.0
ALL_WITHIN_S = 180.0
SIZE = 100


@dataclass(frozen=True)
class Stretch:
    """The part between two depths: cost per message, resident memory at its end, longest round trip."""

    depth: int
    rate: float
    cpu_us: float
    memory_bytes: int
    stall_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Backlog:
    """Results.

    empty: before any message. filled: up to each level. rest: with all messages. drained: from each level.
    """

    empty: Stretch
    filled: list[Stretch]
    rest: Stretch
    drained: list[Stretch]


class Watch:
    """Divides the measurement into stretches."""

    def __init__(self, pids: list[int], prober: Client, samples_ns: Cells) -> None:
        self.pids = pids
        self.prober = prober
        self.samples_ns = samples_ns
        self.begin()

    def begin(self) -> None:
        self.since = time.monotonic()
        self.cpu_s = cpu_s(self.pids)
        self.sample = self.prober.count

    def stretch(self, depth: int, messages: int) -> Stretch:
        """Return the measurement since the last stretch."""
        took_s = time.monotonic() - self.since
        spent_s = cpu_s(self.pids) - self.cpu_s
        trips = sorted(self.samples_ns[self.sample : self.prober.count]) or [0]
        each_us = spent_s / messages * 1e6 if messages else 0.0
        stall_ms, p99_ms = trips[-1] / 1e6, trips[len(trips) * 99 // 100] / 1e6
        found = Stretch(depth, messages / took_s, each_us, resident_bytes(self.pids), stall_ms, p99_ms)
        self.begin()
        return found


def typical(rounds: list[Backlog]) -> Backlog:
    """Return the medians of several rounds of the same levels, with the longest stall of all."""

    def of(stretches: Iterable[Stretch]) -> Stretch:
        same = list(stretches)
        middle = {
            figure: median([getattr(each, figure) for each in same])
            for figure in ("rate", "cpu_us", "memory_bytes", "p99_ms")
        }
        return replace(same[0], **middle, stall_ms=max(each.stall_ms for each in same))

    return Backlog(
        of(each.empty for each in rounds),
        [of(same) for same in zip(*(each.filled for each in rounds), strict=True)],
        of(each.rest for each in rounds),
        [of(same) for same in zip(*(each.drained for each in rounds), strict=True)],
    )


def measured(persistent: bool, levels: tuple[int, ...], show: Callable[[str, Stretch], None]) -> Backlog:
    """Measure with a new broker. Raises TimeoutError if it takes too long."""
    deadline = time.monotonic() + ALL_WITHIN_S
    samples_ns = CONTEXT.RawArray("Q", SAMPLES)
    filled: list[Stretch] = []
    drained: list[Stretch] = []
    with amqpbroker() as broker, queues(broker, 1, persistent) as names, ClientProcesses(broker.port) as probers:
        prober = probers.add(probe, "bench.probe", samples_ns, PROBE_EVERY_S)
        prober.wait(lambda client: client.cells[COUNT] > 100, BEGIN_WITHIN_S)
        watch = Watch(broker.pids, prober, samples_ns)
        time.sleep(REST_S)
        empty = watch.stretch(0, 0)
        show("at rest with", empty)
        what = Repeated(tuple(names), size=SIZE, persistent=persistent, in_flight=5_000, count=levels[-1])
        with ClientProcesses(broker.port) as processes:
            filler = processes.add(publish, what)
            filler.wait(lambda client: bool(client.cells[READY]), BEGIN_WITHIN_S)
            watch.begin()
            for before, level in zip((0, *levels), levels, strict=False):
                filler.wait(lambda client, level=level: client.count >= level, deadline - time.monotonic())
                filled.append(watch.stretch(level, level - before))
                show("filled to", filled[-1])
        watch.begin()
        time.sleep(REST_S)
        rest = watch.stretch(levels[-1], 0)
        show("at rest with", rest)
        with ClientProcesses(broker.port) as processes:
            taker = processes.add(consume, Consuming(tuple(names), prefetch=1_000, ack_every=250, count=levels[-1]))
            taker.wait(lambda client: bool(client.cells[READY]), BEGIN_WITHIN_S)
            watch.begin()
            downwards = levels[::-1]
            for level, below in zip(downwards, (*downwards[1:], 0), strict=True):
                taken = levels[-1] - below
                taker.wait(lambda client, taken=taken: client.count >= taken, deadline - time.monotonic())
                drained.append(watch.stretch(level, level - below))
                show("consumed from", drained[-1])
    return Backlog(empty, filled, rest, drained[::-1])
