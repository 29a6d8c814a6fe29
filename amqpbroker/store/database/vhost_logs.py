"""The logs of vhosts: each vhost has one, from its creation until what it has stored is removed.

A vhost that is created with the name of a deleted one gets another log, so that their messages never meet.
"""

from typing import Final, LiteralString, NamedTuple

from psycopg import sql

from amqpbroker.store.database.database_definitions import from_text
from amqpbroker.store.database.fence import LOG, REMOVAL_LOCK, Fence, Statement
from amqpbroker.store.database.session import SCHEMA, TimedConnection

_ALL: Final[LiteralString] = "SELECT number, vhost, removed FROM vhost_log ORDER BY number"
_FILES: Final[LiteralString] = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND starts_with(tablename, %s)"
#: Tables with rows of a log. A row of the fence that is missing refuses late writes as a changed one does.
_TABLES: Final = ("exchange", "queue", "binding", "stream_offset", "last_id", "proof", "leadership", "fence")

_MARK_REMOVED: Final[LiteralString] = (
    "UPDATE vhost_log SET removed = true WHERE NOT removed AND vhost NOT IN (SELECT name FROM vhost)"
)
_ADD_MISSING: Final[LiteralString] = (
    "INSERT INTO vhost_log (vhost) SELECT name FROM vhost WHERE name NOT IN"
    " (SELECT vhost FROM vhost_log WHERE NOT removed) ORDER BY place"
)
#: A log that is not removed, by its name.
_EXISTING: Final[LiteralString] = "SELECT 1 FROM vhost_log WHERE 'v' || number = %s AND NOT removed"

#: Fails as the guard of the fence does if a log is not removed: a promoted standby may lack the deletion of the vhost.
_STILL_REMOVED: Final[LiteralString] = (
    "SELECT 1 / count(*) FROM (SELECT 1 FROM vhost_log WHERE number = %s AND removed FOR UPDATE) AS found"
)

#: Files that are removed in one transaction: each needs a lock of the server.
_FILES_AT_ONCE: Final = 100


class VhostLog(NamedTuple):
    """The log of a vhost. removed: the vhost is deleted, and what it has stored is to be removed."""

    number: int
    vhost: str
    removed: bool

    @property
    def name(self) -> str:
        """The name by which brokers lead it. No other log begins with a letter."""
        return f"v{self.number}" if self.number else LOG


#: The log that all brokers share, as if it were that of a vhost without a name.
GLOBAL: Final = VhostLog(0, "", False)


def read_logs(connection: TimedConnection) -> list[VhostLog]:
    """Return the logs of all vhosts, the oldest first."""
    rows = connection.execute(_ALL).fetchall()
    return [VhostLog(number, from_text(vhost), removed) for number, vhost, removed in rows]


def is_removed(log: str, connection: TimedConnection) -> bool:
    """Return whether the vhost of a log is deleted."""
    return log != LOG and connection.execute(_EXISTING, [log]).fetchone() is None


def reconcile(fence: Fence) -> None:
    """Give each vhost a log, and mark the logs of others as removed, as the leader of the log that all share.

    A copied database, or an interrupted change, may lack one. Raises OSError.
    """
    fence.write([Statement(_MARK_REMOVED), Statement(_ADD_MISSING)])


def remove_log(log: VhostLog, connection: TimedConnection, fence: Fence) -> None:
    """Remove everything that a deleted vhost has stored. Raises OSError; then what is left can be removed again.

    Raises FencedError also if the database does not know of the deletion any more.

    connection: for reading. fence: of the leader of the log, who can write nothing more. Its session should not be one
    that writes messages: it waits a second for a table that a backup reads.
    """
    names = [name for (name,) in connection.execute(_FILES, [SCHEMA, f"{log.name}/"]).fetchall()]
    removed = Statement(_STILL_REMOVED, (log.number,))
    drops = [Statement(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name))) for name in names]
    for first in range(0, len(drops), _FILES_AT_ONCE):
        fence.write([REMOVAL_LOCK, removed, *drops[first : first + _FILES_AT_ONCE]])
    rows = [
        Statement(sql.SQL("DELETE FROM {} WHERE log = %s").format(sql.Identifier(table)), (log.name,))
        for table in _TABLES
    ]
    # The row by which the log is found comes with the last ones.
    row = Statement("DELETE FROM vhost_log WHERE number = %s", (log.number,))
    fence.write([removed, *rows, row], Statement("SELECT 1"))
