"""The pages of metrics: the groups of each page, their names and their text."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from amqpbroker.metrics.exposition import Format, head, label_text, line
from amqpbroker.metrics.family import Family, Group
from amqpbroker.metrics.groups import GROUPS, queues
from amqpbroker.metrics.snapshot import ADDED_PER_ROW, Snapshot, collect
from amqpbroker.row_slices import RowSlices

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.node import Node

METRICS = "metrics"
PER_OBJECT = "per-object"
DETAILED = "detailed"
MEMORY_BREAKDOWN = "memory-breakdown"

#: Number of samples that are written in the time of one row.
SAMPLES_PER_ROW = 5


class Page:
    """One page, as requested. names: groups of /metrics/detailed. vhosts: empty for all."""

    def __init__(self, name: str, names: Iterable[str] = (), vhosts: Iterable[str] = ()) -> None:
        self._name = name
        self._names = frozenset(names)
        self._vhosts = frozenset(vhosts)
        self.groups: list[Group] = [group for group in GROUPS if self._has(group)]

    def _has(self, group: Group) -> bool:
        if self._name in group.pages:
            return True
        if self._name != DETAILED or not group.name:
            return False
        covered = group is queues.CONSUMER_COUNT and queues.METRICS.name in self._names
        return group.name in self._names and not covered

    def prefix(self, group: Group) -> str:
        """Return the prefix of the family names of a group on this page."""
        if self._name != DETAILED or not group.name:
            return group.prefix
        return f"{group.prefix}{'cluster' if group.cluster else 'detailed'}_"

    async def text(self, broker: "Broker", node: "Node", style: Format) -> AsyncIterator[bytes]:
        """Iterate over the pieces of the text."""
        wanted = [need for group in self.groups for need in group.needs]
        snapshot = await collect(broker, node, wanted)
        slices = RowSlices(SAMPLES_PER_ROW * snapshot.rows)
        sums = RowSlices(ADDED_PER_ROW * snapshot.rows)
        for group in self.groups:
            prefix = self.prefix(group)
            if group.optional and self._name in group.pages and not group.rows(snapshot):
                continue
            if group.summed and self._name == METRICS:
                async for piece in _sums(group, prefix, snapshot, style, sums):
                    yield piece
            else:
                rows = await _rows(group, self._vhosts, snapshot, slices)
                for family in group.families:
                    yield head(family, prefix, style).encode()
                    async for piece in _samples(prefix, family, rows, slices):
                        yield piece
        yield style.end.encode()


async def _rows(group: Group, vhosts: frozenset[str], snapshot: Snapshot, slices: RowSlices) -> list[tuple[str, Any]]:
    """Return the objects, and their labels as text."""
    rows: Sequence[Any] = group.rows(snapshot)
    if vhosts and group.filtered:
        rows = [row for row in rows if row.vhost in vhosts]
    return [(label_text(group.labels(row)), row) async for some in slices.of(rows) for row in some]


async def _samples(prefix: str, family: Family, rows: list[tuple[str, Any]], slices: RowSlices) -> AsyncIterator[bytes]:
    name, of = prefix + family.name, family.of
    if of is None:
        return
    async for some in slices.of(rows):
        yield "".join([line(name, labels, of(row)) for labels, row in some]).encode(errors="replace")


async def _sums(
    group: Group, prefix: str, snapshot: Snapshot, style: Format, slices: RowSlices
) -> AsyncIterator[bytes]:
    rows = group.rows(snapshot)
    for family in group.families:
        value = family.total(snapshot) if family.total is not None else None
        if family.total is None and family.of is not None:
            value = sum([family.of(row) or 0 async for some in slices.of(rows) for row in some])
        yield (head(family, prefix, style) + line(prefix + family.name, "", value)).encode()
