"""The state that metrics are made of, collected a few objects at a time so that the broker can work in between."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from operator import neg
from typing import TYPE_CHECKING, NamedTuple

from amqpbroker.broker.counters.stats import Counted, Totals, named, summed
from amqpbroker.broker.infos import ChannelInfo, ConnectionInfo
from amqpbroker.row_slices import RowSlices

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.infos import QueueInfo
    from amqpbroker.broker.node import Node
    from amqpbroker.broker.queues.queue import Queue

#: Number of counters that are added up in the time of one row.
ADDED_PER_ROW = 20


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

    rows: maximum number of rows that are handled in one event loop iteration. traffic, byte_totals, by_type: counters
    of all channels, all connections and all queues of each type since the broker started, by name. They never decrease.
    """

    def __init__(self, broker: "Broker", node: "Node") -> None:
        self.broker = broker
        self.node = node
        self.rows = broker.config.bounds.rows
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
    slices = RowSlices(snapshot.rows)
    for name in sorted(set(wanted)):
        await _COLLECTORS[name](snapshot, slices)
    return snapshot


async def _collect_queues(snapshot: Snapshot, slices: RowSlices) -> None:
    seen: dict[str, list[tuple[Counted, tuple[int, ...]]]] = {kind: [] for kind in snapshot.broker.totals.queues}
    for vhost in list(snapshot.broker.vhosts.values()):
        async for some in slices.of(list(vhost.queues.values())):
            there = [queue for queue in some if vhost.queues.get(queue.name) is queue]
            for queue in there:
                counters = queue.counters()
                snapshot.queues.append(QueueRow(vhost.name, queue, queue.info(), counters))
                seen[queue.kind.name].append((queue, counters))
    for kind, totals in snapshot.broker.totals.queues.items():
        snapshot.by_type[kind] = await _totalled(snapshot, totals, seen[kind])


async def _collect_channels(snapshot: Snapshot, slices: RowSlices) -> None:
    rows = snapshot.channels
    async for some in slices.of(info for session in list(snapshot.broker.sessions) for info in session.channel_infos()):
        rows += [ChannelRow(info.vhost, info, info.counted.counters()) for info in some]
    totals = snapshot.broker.totals.traffic
    snapshot.traffic = await _totalled(snapshot, totals, [(row.info.counted, row.counters) for row in rows])


async def _collect_connections(snapshot: Snapshot, slices: RowSlices) -> None:
    rows = snapshot.connections
    async for some in slices.of(list(snapshot.broker.sessions)):
        for session in some:
            info = session.info()
            rows.append(ConnectionRow(info.vhost, info, session, session.counters()))
    totals = snapshot.broker.totals.byte_totals
    snapshot.byte_totals = await _totalled(snapshot, totals, [(row.counted, row.counters) for row in rows])


async def _collect_exchanges(snapshot: Snapshot, slices: RowSlices) -> None:
    for vhost in list(snapshot.broker.vhosts.values()):
        async for some in slices.of(list(vhost.exchanges.values())):
            snapshot.exchanges += [
                ExchangeRow(
                    vhost.name,
                    each.name,
                    each.type.name,
                    each.internal,
                    each.counters()[0],
                    each.binding_count,
                    None if each.duplicate_filter is None else each.duplicate_filter.dropped,
                )
                for each in some
            ]


_COLLECTORS: dict[str, Callable[[Snapshot, RowSlices], Awaitable[None]]] = {
    "queues": _collect_queues,
    "channels": _collect_channels,
    "connections": _collect_connections,
    "exchanges": _collect_exchanges,
}


async def _totalled(
    snapshot: Snapshot, totals: Totals, seen: Sequence[tuple[Counted, tuple[int, ...]]]
) -> dict[str, int]:
    """Return the sum of the counters of deleted objects and of objects that were seen.

    An object that was deleted since it was seen counts as deleted, and an object that was created meanwhile counts next
    time, so no total ever decreases.
    """
    sums: tuple[int, ...] = (0,) * len(totals.counter_names)
    async for some in RowSlices(ADDED_PER_ROW * snapshot.rows).of(seen):
        sums = summed(sums, [counters for _, counters in some])
    members = totals.members
    went = [tuple(map(neg, counters)) for member, counters in seen if member not in members]
    return named(totals.counter_names, summed(sums, [totals.gone(), *went]))
