"""The state that metrics are made of, collected a few objects at a time so that the broker can work in between."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import neg
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from amqpbroker.broker.counters.stats import Counted, Totals, named, summed
from amqpbroker.broker.infos import ChannelInfo, ConnectionInfo

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.infos import QueueInfo
    from amqpbroker.broker.node import Node
    from amqpbroker.broker.queues.queue import Queue

#: Number of objects that are collected in one event loop iteration.
SLICE = 100

Member = TypeVar("Member")


class QueueRow(NamedTuple):
    """A queue. counters: in the order of QUEUE_COUNTERS."""

    vhost: str
    queue: "Queue"
    info: "QueueInfo"
    counters: tuple[int, ...]


class ChannelRow(NamedTuple):
    """A channel. counters: in the order of CHANNEL_COUNTERS."""

    vhost: str
    info: ChannelInfo
    counters: tuple[int, ...]


class ConnectionRow(NamedTuple):
    """A connection. counters: in the order of CONNECTION_COUNTERS."""

    vhost: str
    info: ConnectionInfo
    counted: Counted
    counters: tuple[int, ...]


class ExchangeRow(NamedTuple):
    """An exchange, with the number of messages published to it and the number of its bindings.

    deduplicated: number of dropped duplicates; None if the exchange accepts duplicates.
    """

    vhost: str
    name: str
    type: str
    internal: bool
    published: int
    bindings: int
    deduplicated: int | None = None


class NodeRow(NamedTuple):
    """The node."""

    open_files: int
    max_files: int
    memory_bytes: int
    memory_limit_bytes: int
    disk_free_bytes: int | None
    disk_free_limit_bytes: int
    uptime_s: float


class Snapshot:
    """The state for some metrics; parts that were not requested are empty.

    traffic, byte_totals, by_type: counters of all channels, all connections and all queues of each type since the
    broker started, by name. They never decrease.
    """

    def __init__(self, broker: "Broker", node: "Node") -> None:
        self.broker = broker
        self.node = node
        self.queues: list[QueueRow] = []
        self.channels: list[ChannelRow] = []
        self.connections: list[ConnectionRow] = []
        self.exchanges: list[ExchangeRow] = []
        self.traffic: dict[str, int] = {}
        self.byte_totals: dict[str, int] = {}
        self.by_type: dict[str, dict[str, int]] = {}

    def of_queues(self, name: str) -> int:
        """Return the sum of a counter over all queues."""
        return sum([counters[name] for counters in self.by_type.values()])

    def node_row(self) -> NodeRow:
        node = self.node
        return NodeRow(
            *node.files(),
            node.memory_bytes(),
            node.memory_limit_bytes,
            node.disk_free_bytes(),
            node.disk_free_limit_bytes,
            (self.broker.clock.now_ms() - node.started_ms) / 1000,
        )


async def collect(broker: "Broker", node: "Node", wanted: Iterable[str]) -> Snapshot:
    """Return a snapshot with the requested ones of `queues`, `channels`, `connections` and `exchanges`."""
    snapshot = Snapshot(broker, node)
    for name in sorted(set(wanted)):
        await _COLLECTORS[name](snapshot)
    return snapshot


async def _collect_queues(snapshot: Snapshot) -> None:
    rows = snapshot.queues
    for vhost in list(snapshot.broker.vhosts.values()):
        for some in _sliced(list(vhost.queues.values())):
            there = [queue for queue in some if vhost.queues.get(queue.name) is queue]
            rows += [QueueRow(vhost.name, queue, queue.info(), queue.counters()) for queue in there]
            await asyncio.sleep(0)
    for kind, totals in snapshot.broker.totals.queues.items():
        of_kind = [(row.queue, row.counters) for row in rows if row.queue.kind.name == kind]
        snapshot.by_type[kind] = await _totalled(totals, of_kind)


async def _collect_channels(snapshot: Snapshot) -> None:
    rows = snapshot.channels
    for some in _sliced(list(snapshot.broker.sessions)):
        for session in some:
            for info in session.channel_infos():
                rows.append(ChannelRow(info.vhost, info, info.counted.counters()))
                if not len(rows) % SLICE:
                    await asyncio.sleep(0)
        await asyncio.sleep(0)
    totals = snapshot.broker.totals.traffic
    snapshot.traffic = await _totalled(totals, [(row.info.counted, row.counters) for row in rows])


async def _collect_connections(snapshot: Snapshot) -> None:
    rows = snapshot.connections
    for some in _sliced(list(snapshot.broker.sessions)):
        for session in some:
            info = session.info()
            rows.append(ConnectionRow(info.vhost, info, session, session.counters()))
        await asyncio.sleep(0)
    snapshot.byte_totals = await _totalled(
        snapshot.broker.totals.byte_totals, [(row.counted, row.counters) for row in rows]
    )


async def _collect_exchanges(snapshot: Snapshot) -> None:
    for vhost in list(snapshot.broker.vhosts.values()):
        for some in _sliced(list(vhost.exchanges.values())):
            snapshot.exchanges += [
                ExchangeRow(
                    vhost.name,
                    each.name,
                    each.type.name,
                    each.internal,
                    each.counters()[0],
                    each.binding_count,
                    None if each.gate is None else each.gate.dropped,
                )
                for each in some
            ]
            await asyncio.sleep(0)


_COLLECTORS: dict[str, Callable[[Snapshot], Awaitable[None]]] = {
    "queues": _collect_queues,
    "channels": _collect_channels,
    "connections": _collect_connections,
    "exchanges": _collect_exchanges,
}


async def _totalled(totals: Totals, seen: Sequence[tuple[Counted, tuple[int, ...]]]) -> dict[str, int]:
    """Return the sum of the counters of deleted objects and of objects that were seen.

    An object that was deleted since it was seen counts as deleted, and an object that was created meanwhile counts next
    time, so no total ever decreases.
    """
    sums: tuple[int, ...] = (0,) * len(totals.counter_names)
    for some in _sliced(seen):
        sums = summed(sums, [counters for _, counters in some])
        await asyncio.sleep(0)
    members = totals.members
    went = [tuple(map(neg, counters)) for member, counters in seen if member not in members]
    return named(totals.counter_names, summed(sums, [totals.gone(), *went]))


def _sliced(members: Sequence[Member]) -> Iterable[Sequence[Member]]:
    return (members[start : start + SLICE] for start in range(0, len(members), SLICE))
