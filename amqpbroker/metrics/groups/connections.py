"""Metrics of connections."""

from collections.abc import Callable, Sequence

from amqpbroker.broker.counters.stats import CONNECTION_COUNTERS
from amqpbroker.metrics.family import COUNTER, GAUGE, Family, Group, Labels
from amqpbroker.metrics.snapshot import ConnectionRow, Snapshot


def _rows(snapshot: Snapshot) -> Sequence[ConnectionRow]:
    return snapshot.connections


def _labels(row: ConnectionRow) -> Labels:
    """Return the labels. RabbitMQ names the connection `channel`, too."""
    return (("channel", row.info.name),)


def _counter(name: str, text: str, counter: str) -> Family:
    place = CONNECTION_COUNTERS.index(counter)

    def of(row: ConnectionRow) -> int:
        return row.counters[place]

    def total(snapshot: Snapshot) -> int:
        return snapshot.byte_totals[counter]

    return Family(name, COUNTER, text, of, total)


def _gauge(name: str, text: str, of: Callable[[ConnectionRow], float]) -> Family:
    return Family(name, GAUGE, text, of)


def _group(name: str, *families: Family) -> Group:
    return Group(name, families, frozenset({"connections"}), _rows, _labels, ("channel",), summed=True)


# fmt: off
COARSE = _group(
    "connection_coarse_metrics",
    _counter("connection_incoming_bytes_total", "Total number of bytes received on a connection", "recv_oct"),
    _counter("connection_outgoing_bytes_total", "Total number of bytes sent on a connection", "send_oct"),
)

METRICS = _group(
    "connection_metrics",
    _counter("connection_incoming_packets_total", "Total number of packets received on a connection", "recv_cnt"),
    _counter("connection_outgoing_packets_total", "Total number of packets sent on a connection", "send_cnt"),
    _gauge("connection_pending_packets", "Number of packets waiting to be sent on a connection",
           lambda row: row.info.send_pend),
    _gauge("connection_channels", "Channels on a connection", lambda row: row.info.channels),
)
# fmt: on
