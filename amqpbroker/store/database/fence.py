"""Transactions that only the present leader of a log can commit."""

from collections.abc import Sequence
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import sql

from amqpbroker.store.database.session import Session, TimedConnection

#: Fails with a division by zero if the epoch is another one, so that a whole transaction needs one round trip. The lock
#: makes a broker that takes over wait for the transaction, whose effects it then finds. Transactions of one leader
#: share it.
_GUARD: Final[LiteralString] = (
    "SELECT 1 / count(*) FROM (SELECT 1 FROM fence WHERE log = %s AND epoch = %s FOR SHARE) AS held"
)


class Statement(NamedTuple):
    """A statement and its values."""

    query: LiteralString | sql.Composed
    values: tuple[Any, ...] = ()


class Fence:
    """Writes as the leader of a log, in one transaction for each call. Used by a thread at a time."""

    def __init__(self, session: Session, log: str, epoch: int) -> None:
        self._session = session
        self._log = log
        self._epoch = epoch

    def write(self, statements: Sequence[Statement]) -> None:
        """Commit these statements in one transaction, which is durable as the server's `synchronous_commit` says.

        Raises UnwrittenError, after which the same statements, which must have the same effect if they are repeated,
        may be passed again; FencedError if another broker leads; another OSError for an error that does not end by
        itself.
        """

        def commit(connection: TimedConnection) -> None:
            with connection.pipeline(), connection.transaction():
                connection.execute(_GUARD, (self._log, self._epoch))
                for query, values in statements:
                    connection.execute(query, values)

        self._session.run(commit)
