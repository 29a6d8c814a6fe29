"""The logs of vhosts: each vhost has one, from its creation until what it has stored is removed.

A vhost that is created with the name of a deleted one gets another log, so that their messages never meet.
"""

from typing import Final, LiteralString, NamedTuple

from psycopg import sql

from amqpbroker.store.database.database_definitions import from_text
from amqpbroker.store.database.fence import Fence, Statement
from amqpbroker.store.database.session import SCHEMA, TimedConnection

_ALL: Final[LiteralString] = "SELECT number, vhost, removed FROM vhost_log ORDER BY number"
_FILES: Final[LiteralString] = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND starts_with(tablename, %s)"
#: Tables with rows of a log. A row of the fence that is missing refuses late writes as a changed one does.
_TABLES: Final = ("exchange", "queue", "binding", "stream_offset", "last_id", "proof", "leadership", "fence")

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
        return f"v{self.number}"


def read_logs(connection: TimedConnection) -> list[VhostLog]:
    """Return the logs of all vhosts, the oldest first."""
    rows = connection.execute(_ALL).fetchall()
    return [VhostLog(number, from_text(vhost), removed) for number, vhost, removed in rows]


def remove_log(log: VhostLog, connection: TimedConnection, fence: Fence) -> None:
    """Remove everything that a deleted vhost has stored. Raises OSError; then what is left can be removed again.

    connection: for reading. fence: of the leader of the log, who can write nothing more.
    """
    names = [name for (name,) in connection.execute(_FILES, [SCHEMA, f"{log.name}/"]).fetchall()]
    drops = [Statement(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name))) for name in names]
    for first in range(0, len(drops), _FILES_AT_ONCE):
        fence.write(drops[first : first + _FILES_AT_ONCE])
    rows = [
        Statement(sql.SQL("DELETE FROM {} WHERE log = %s").format(sql.Identifier(table)), (log.name,))
        for table in _TABLES
    ]
    # The row by which the log is found comes with the last ones.
    fence.write([*rows, Statement("DELETE FROM vhost_log WHERE number = %s", (log.number,))], Statement("SELECT 1"))
