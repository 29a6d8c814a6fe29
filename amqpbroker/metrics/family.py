"""Families of metrics, and groups of families that have the same objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from amqpbroker.metrics.snapshot import Snapshot

COUNTER = "counter"
GAUGE = "gauge"
UNTYPED = "unknown"

#: Names and values.
Labels = tuple[tuple[str, str], ...]
#: None if there is no value.
Value = float | None


@final
@dataclass(frozen=True, slots=True)
class Family:
    """A family of metrics. name: RabbitMQ's, without a prefix; the name of most counters ends in _total.

    of: returns the value of one object; None if only the total is known. total: returns the total of all objects; None
    if it is the sum.
    """

    name: str
    kind: str
    help: str
    of: Callable[[Any], Value] | None
    total: Callable[[Snapshot], Value] | None = None


def _none(_: Any) -> Labels:
    return ()


def _one(snapshot: Snapshot) -> Sequence[Any]:
    return [snapshot]


@final
@dataclass(frozen=True, slots=True)
class Group:
    """Families with the same objects.

    name: name in /metrics/detailed; empty if the group does not occur there. needs: objects that the snapshot must
    have. rows: returns the objects; by default the snapshot is the only one. labels: returns the labels of an object.
    summed: /metrics has totals instead of objects. filtered: /metrics/detailed can select the objects of some vhosts.
    cluster: /metrics/detailed has another prefix for them. optional: omitted without objects. pages: other pages with
    this group.
    """

    name: str
    families: tuple[Family, ...]
    needs: frozenset[str] = frozenset()
    rows: Callable[[Snapshot], Sequence[Any]] = _one
    labels: Callable[[Any], Labels] = _none
    label_names: tuple[str, ...] = ()
    summed: bool = False
    filtered: bool = False
    cluster: bool = False
    optional: bool = False
    prefix: str = "rabbitmq_"
    pages: tuple[str, ...] = field(default=("metrics", "per-object"))
