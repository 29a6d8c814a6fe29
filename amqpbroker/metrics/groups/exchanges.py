"""Metrics of exchanges, and of their vhosts."""

from collections.abc import Callable, Sequence
from typing import Any

from amqpbroker.metrics.family import COUNTER, GAUGE, Family, Group, Labels
from amqpbroker.metrics.snapshot import ExchangeRow, Snapshot

EXCHANGES = frozenset({"exchanges"})


def _used(snapshot: Snapshot) -> Sequence[ExchangeRow]:
    return [row for row in snapshot.exchanges if row.published]


def _public(snapshot: Snapshot) -> Sequence[ExchangeRow]:
    return [row for row in snapshot.exchanges if row.name and not row.internal]


def _deduplicating(snapshot: Snapshot) -> Sequence[ExchangeRow]:
    return [row for row in snapshot.exchanges if row.deduplicated is not None]


def _labels(row: ExchangeRow) -> Labels:
    return ("vhost", row.vhost), ("exchange", row.name)


def _type_labels(row: ExchangeRow) -> Labels:
    return ("vhost", row.vhost), ("exchange", row.name), ("type", row.type)


def _counter(name: str, text: str, counter: str, of: Callable[[Any], float] | None = None) -> Family:
    def total(snapshot: Snapshot) -> int:
        return snapshot.traffic[counter]

    return Family(name, COUNTER, text, of, total)


def _cluster(name: str, family: Family) -> Group:
    labels = ("vhost", "exchange", "type")
    return Group(name, (family,), EXCHANGES, _public, _type_labels, labels, cluster=True, pages=())


# fmt: off
METRICS = Group(
    "exchange_metrics",
    (
        _counter("exchange_messages_published_total", "Total number of messages published into an exchange", "publish",
                 lambda row: row.published),
        _counter("exchange_messages_confirmed_total",
                 "Total number of messages published into an exchange and confirmed", "confirm"),
        _counter("exchange_messages_unroutable_returned_total",
                 "Total number of messages published as mandatory into an exchange and returned to the publisher as"
                 " unroutable", "return_unroutable"),
        _counter("exchange_messages_unroutable_dropped_total",
                 "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
                 "drop_unroutable"),
    ),
    EXCHANGES | {"channels"}, _used, _labels, ("vhost", "exchange"), summed=True, filtered=True,
)

DUPLICATES = Group(
    "exchange_deduplication_metrics",
    (Family("exchange_messages_deduplicated_total", COUNTER,
            "Total number of duplicates that an exchange dropped", lambda row: row.deduplicated,
            lambda snapshot: snapshot.broker.totals.deduplicated_by_exchanges),),
    EXCHANGES, _deduplicating, _labels, ("vhost", "exchange"), summed=True, filtered=True, optional=True,
)

NAMES = _cluster("exchange_names", Family(
    "exchange_name", GAUGE,
    "Enumerates exchanges without any additional info. This value is cluster-wide. A cheaper alternative to"
    " `exchange_bindings`", lambda _: 1,
))

BINDINGS = _cluster("exchange_bindings", Family(
    "exchange_bindings", GAUGE, "Number of bindings for an exchange. This value is cluster-wide.",
    lambda row: row.bindings,
))

VHOSTS = Group(
    "vhost_status",
    (Family("vhost_status", GAUGE, "Whether a given vhost is running", lambda _: 1),),
    rows=lambda snapshot: list(snapshot.broker.vhosts), labels=lambda name: (("vhost", name),), label_names=("vhost",),
    cluster=True, pages=(),
)
# fmt: on
