"""Metrics of a broker that shares the vhosts of a database."""

from collections.abc import Sequence
from typing import NamedTuple

from amqpbroker.metrics.family import GAUGE, Family, Group
from amqpbroker.metrics.snapshot import Snapshot


class DatabaseRow(NamedTuple):
    """The database as this broker sees it. vhosts: number of those that it leads. lag_s: None if it is not known."""

    synchronous: bool
    vhosts: int
    lag_s: float | None


def _databases(snapshot: Snapshot) -> Sequence[DatabaseRow]:
    """Return the database, if there is one."""
    database, cluster = snapshot.node.database, snapshot.node.cluster
    if database is None or cluster is None:
        return []
    return [DatabaseRow(database.synchronous, len(snapshot.broker.vhosts), cluster.lag_s())]


# fmt: off
METRICS = Group("database_metrics", (
    Family("database_synchronous", GAUGE,
           "is 1 if commits of the database wait for a standby, as far as its settings say, and 0 if none does",
           lambda row: int(row.synchronous)),
    Family("led_vhosts", GAUGE, "Number of vhosts that this broker leads and serves", lambda row: row.vhosts),
    Family("followed_vhosts_lag_seconds", GAUGE,
           "Time since this broker had read all messages of the vhosts for which it is the standby",
           lambda row: row.lag_s),
), rows=_databases, optional=True)
# fmt: on
