"""The differences among the messages of an application, compared with one message that is repeated.

Each axis is measured in several kinds of load, step by step; no step may need much more CPU per message than another
one.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tests.bench.brokers import Running, amqpbroker
from tests.bench.client_processes import ClientProcesses, Measured, measure, medians
from tests.bench.clients import Consuming, consume
from tests.bench.refreshes import Api
from tests.bench.shapes import queues
from tests.bench.varied import FURTHER, Varied, bind, declare_with_alternate, lead_on, publish_varied

EXCHANGE = "bench.varied"
#: Exchanges before the measured one.
LEADING, ALTERNATE = "bench.leading", "bench.alternate"
#: Number of keys of a direct exchange that are sent in rotation, so that keys hardly ever repeat.
POOL = 100_000
SHARES = (0, 1, 10, 50, 90, 100)
#: Difference between the smallest and the largest body in bytes, around 1,000 bytes.
SIZE, SPREADS = 1_000, (0, 2, 20, 200, 1_000, 2_000)

Run = Callable[[Running, int, float], Measured]


@dataclass(frozen=True)
class Axis:
    """One axis.

    along: the varied property. steps: its values. kinds: by name, the measurement of a broker at a step.
    """

    along: str
    steps: tuple[int, ...]
    kinds: dict[str, Run]

    def measured(self, seconds: float, rounds: int) -> Iterator[tuple[int, dict[str, Measured]]]:
        """Measure step by step, with a new broker for each. Kinds alternate, and the median of the rounds is used."""
        for step in self.steps:
            with amqpbroker() as broker:
                found: dict[str, list[Measured]] = {kind: [] for kind in self.kinds}
                for _ in range(rounds):
                    for kind, run in self.kinds.items():
                        found[kind].append(run(broker, step, seconds))
                yield step, {kind: medians(each) for kind, each in found.items()}


def dearest(costs: list[float]) -> float:
    """Return the largest factor by which a step costs more than an earlier step."""
    least, found = costs[0], 1.0
    for cost in costs:
        found = max(found, cost / least)
        least = min(least, cost)
    return found


def flow(
    broker: Running,
    what: Varied,
    seconds: float,
    kind: str = "",
    pattern: str = "",
    connections: int = 1,
    prepare: Callable[[int], str] | None = None,
) -> Measured:
    """Measure one queue with one auto-ack consumer, behind an exchange of this kind, if one is named.

    pattern: key of the only binding; without it, each key is bound. prepare: declares an exchange before that one, and
    returns its name.
    """
    with queues(broker, 1) as names, ClientProcesses(broker.port) as processes:
        (queue,) = names
        if kind:
            what = replace(what, exchange=EXCHANGE)
            bind(broker.port, EXCHANGE, kind, queue, [pattern] if pattern else what.all_keys())
        else:
            what = replace(what, key=queue)
        if prepare is not None:
            what = replace(what, exchange=prepare(broker.port))
        taker = processes.add(consume, Consuming(tuple(names)))
        processes.ready()
        processes.add(publish_varied, what, taker.cells, connections)
        return measure([taker], broker.pids, seconds)


def _topic(pattern: str, varied: Callable[[int], Varied]) -> Run:
    def run(broker: Running, step: int, seconds: float) -> Measured:
        return flow(broker, replace(varied(step), key="a.{}"), seconds, "topic", pattern)

    return run


def _behind(prepare: Callable[[int], str]) -> Run:
    """Return the load of a topic exchange that is bound to another exchange."""

    def run(broker: Running, step: int, seconds: float) -> Measured:
        return flow(broker, Varied(fresh_keys=step, key="a.{}"), seconds, "topic", "a.*", prepare=prepare)

    return run


def _leading(port: int) -> str:
    lead_on(port, LEADING, EXCHANGE)
    return LEADING


def _alternate(port: int) -> str:
    declare_with_alternate(port, ALTERNATE, EXCHANGE)
    return ALTERNATE


def _permitted(write: str) -> Run:
    """Return the load of a topic exchange whose keys are restricted by a permission pattern."""

    def run(broker: Running, step: int, seconds: float) -> Measured:
        with contextlib.closing(Api(broker.management_port)) as api:
            path = "topic-permissions/%2F/guest"
            api.change("PUT", path, {"exchange": EXCHANGE, "write": write, "read": ".*"})
            try:
                return flow(broker, Varied(fresh_keys=step, key="a.{}"), seconds, "topic", "a.*")
            finally:
                api.change("DELETE", path)

    return run


def _further(name: str) -> Run:
    """Return the load of a queue with different messages, some of them with `FURTHER`, from an impersonator."""

    def run(broker: Running, step: int, seconds: float) -> Measured:
        what = Varied(properties=1, fresh_properties=100, further=step, further_name=name)
        with contextlib.closing(Api(broker.management_port)) as api:
            guest = {"password": "guest", "tags": "administrator"}
            api.change("PUT", "users/guest", guest | {"tags": "administrator,impersonator"})
            try:
                return flow(broker, what, seconds)
            finally:
                api.change("PUT", "users/guest", guest)

    return run


def _direct(varied: Callable[[int], Varied]) -> Run:
    def run(broker: Running, step: int, seconds: float) -> Measured:
        return flow(broker, varied(step), seconds, "direct")

    return run


def _one_queue(varied: Callable[[int], Varied], connections: Callable[[int], int] = lambda step: 1) -> Run:
    def run(broker: Running, step: int, seconds: float) -> Measured:
        return flow(broker, varied(step), seconds, connections=connections(step))

    return run


def _nowhere(broker: Running, step: int, seconds: float) -> Measured:
    """Measure the default exchange with names of queues that do not exist."""
    with ClientProcesses(broker.port) as processes:
        sender = processes.add(publish_varied, Varied(fresh_keys=step))
        processes.ready()
        return measure([sender], broker.pids, seconds)


def _consuming(prefetch: int, channel_wide: bool = False) -> Run:
    """Return the load of one connection that consumes from all queues, to which one publisher sends in rotation."""

    def run(broker: Running, step: int, seconds: float) -> Measured:
        with queues(broker, step) as names, ClientProcesses(broker.port) as processes:
            ack_every = max(1, prefetch // 4)
            taker = processes.add(consume, Consuming(tuple(names), prefetch, ack_every, channel_wide=channel_wide))
            processes.ready()
            processes.add(publish_varied, Varied(key="bench.{}", keys=step, digits=5), taker.cells)
            return measure([taker], broker.pids, seconds)

    return run


AXES = {
    "keys": Axis(
        "routing keys in turn",
        (1, 2, 10, 100, 1_000, 10_000, 20_000, 100_000),
        {
            "direct": _direct(lambda step: Varied(keys=step)),
            "topic, `#`": _topic("#", lambda step: Varied(keys=step)),
            "topic, `a.*`": _topic("a.*", lambda step: Varied(keys=step)),
        },
    ),
    "fresh-keys": Axis(
        "percent of routing keys that do not repeat",
        SHARES,
        {
            "direct": _direct(lambda step: Varied(fresh_keys=step, pool=POOL)),
            "topic, `#`": _topic("#", lambda step: Varied(fresh_keys=step)),
            "topic, `a.*`": _topic("a.*", lambda step: Varied(fresh_keys=step)),
            "default, no such queue": _nowhere,
        },
    ),
    "further-keys": Axis(
        "percent of routing keys that do not repeat",
        SHARES,
        {
            "topic permission `^a\\..*`": _permitted(r"^a\..*"),
            "topic permission `^(a|b)\\.[0-9]+$`": _permitted(r"^(a|b)\.[0-9]+$"),
            "exchange binding": _behind(_leading),
            "alternate exchange": _behind(_alternate),
        },
    ),
    "properties": Axis(
        "property lists in turn",
        (1, 2, 10, 100, 1_000, 10_000, 100_000),
        {"with headers": _one_queue(lambda step: Varied(properties=step))},
    ),
    "fresh-properties": Axis(
        "percent of property lists that do not repeat",
        SHARES,
        {"with headers": _one_queue(lambda step: Varied(properties=1, fresh_properties=step))},
    ),
    "further-properties": Axis(
        "percent of messages with a property that the broker acts on",
        SHARES,
        {name: _further(name) for name in FURTHER if name},
    ),
    "spread": Axis(
        "bytes between the smallest and the largest body",
        SPREADS,
        {"": _one_queue(lambda step: Varied(size=SIZE, spread=step))},
    ),
    "channels": Axis(
        "publishing channels of one connection",
        (1, 2, 10, 100),
        {
            "message by message": _one_queue(lambda step: Varied(channels=step)),
            "frame by frame": _one_queue(lambda step: Varied(channels=step, by_frame=True)),
        },
    ),
    "publishers": Axis(
        "publishing connections",
        (1, 2, 10, 100),
        {"": _one_queue(lambda step: Varied(), lambda step: step)},
    ),
    "consumed-queues": Axis(
        "queues of one consuming channel",
        (1, 2, 10, 100, 1_000),
        {
            "without acknowledgements": _consuming(0),
            "prefetch of each consumer": _consuming(1_000),
            "prefetch of the channel": _consuming(1_000, channel_wide=True),
        },
    ),
}
