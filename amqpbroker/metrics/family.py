"""A family of metrics, and a group of families that have the same objects."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from amqpbroker.metrics.snapshot import Snapshot

COUNTER = "counter"
GAUGE = "gauge"
UNTYPED = "unknown"

#: Names and values.
Labels = tuple[tuple[str, str], ...]
#: None where there is nothing to tell.
Value = float | None


@final
@dataclass(frozen=True, slots=True)
class Family:
    """name: RabbitMQ's, without a prefix; that of a counter ends in _total. of: the value of one object; None where it
    is only known of all together. total: that of all together; None where that is the sum."""

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

    name: what /metrics/detailed calls it; empty where that does not have it. needs: what the snapshot must have for it.
    rows: the objects; the snapshot is the only one unless it is said. labels: of an object. summed: /metrics has totals
    rather than objects. filtered: /metrics/detailed can be asked for those of some vhosts. cluster: that has another
    prefix for them. pages: which pages have it, beside /metrics/detailed.
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
    prefix: str = "rabbitmq_"
    pages: tuple[str, ...] = field(default=("metrics", "per-object"))
