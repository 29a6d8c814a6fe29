"""Transactions that only the present leader of a log can commit."""

import errno
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, LiteralString, NamedTuple

from psycopg import errors, sql

from amqpbroker.store.database.repeated import Repeated
from amqpbroker.store.database.session import Session, TimedConnection, lost
from amqpbroker.store.log import FencedError

#: Name of the log that all brokers share.
LOG: Final = "0"

#: Fails with a division by zero if the epoch is another one, so that a whole transaction needs one round trip. The lock
#: makes a broker that takes over wait for the transaction, whose effects it then finds. Transactions of one leader
#: share it.
_GUARD: Final[LiteralString] = (
    "SELECT 1 / count(*) FROM (SELECT 1 FROM fence WHERE log = %s AND epoch = %s FOR SHARE) AS held"
)
#: Inserts a row of a file, or nothing if the epoch is another one: the same lock and the same check in one statement,
#: which is a transaction by itself. It takes half the time of a transaction of several statements.
_INSERT: Final[LiteralString] = (
    "INSERT INTO {} (start, data) SELECT $1, $2 FROM fence WHERE log = $3 AND epoch = $4 FOR SHARE"
)
#: Also numbers the write, for a file that may be removed, whose rows prove nothing.
_INSERT_NUMBERED: Final[LiteralString] = (
    "WITH numbered AS (INSERT INTO proof (log, epoch, number)"
    " SELECT $3, $4, $5 FROM fence WHERE log = $3 AND epoch = $4 FOR SHARE"
    " ON CONFLICT (log) DO UPDATE SET epoch = excluded.epoch, number = excluded.number RETURNING 1)"
    " INSERT INTO {} (start, data) SELECT $1, $2 FROM numbered"
)
#: Finds nothing if a later leader has taken over, or has removed the log.
_STILL: Final[LiteralString] = "SELECT 1 FROM fence WHERE log = %s AND epoch <= %s"

#: Numbers a write, and finds it again.
_NUMBER: Final[LiteralString] = (
    "INSERT INTO proof (log, epoch, number) VALUES (%s, %s, %s)"
    " ON CONFLICT (log) DO UPDATE SET epoch = excluded.epoch, number = excluded.number"
)
_FIND_NUMBER: Final[LiteralString] = "SELECT 1 FROM proof WHERE log = %s AND epoch = %s AND number >= %s"

#: Rows of a file that a leader may insert at the same time. Rows may follow a missing one, so readers look for a gap
#: among that many: a later version must not have a lower number.
ROWS_AT_ONCE: Final = 4

#: Least rate of a large transaction, by which its time limit grows.
_BYTES_PER_S: Final = 1_000_000


class Statement(NamedTuple):
    """A statement and its values."""

    query: LiteralString | sql.Composed
    values: tuple[Any, ...] = ()


#: Time that the removal of a table waits for its readers, such as a backup. It may be tried again.
REMOVAL_LOCK: Final = Statement("SET LOCAL lock_timeout TO '1s'")


def insertion(table: sql.Identifier) -> Repeated:
    """Return the statement of `Fence.insert` for the table of a file that is never removed."""
    return Repeated(sql.SQL(_INSERT).format(table), "bigint, bytea, text, bigint")


def numbered_insertion(table: sql.Identifier) -> Repeated:
    """Return the statement of `Fence.insert` for the table of a file that may be removed."""
    return Repeated(sql.SQL(_INSERT_NUMBERED).format(table), "bigint, bytea, text, bigint, bigint")


class Fence:
    """Writes as the leader of a log, in one transaction for each call, until `close`. Used by a thread at a time,
    except for `insert_row`.

    After a new connection, which may be to another server, the last write must still be there.
    """

    def __init__(
        self, session: Session, log: str, epoch: int, proves: bool = True, beside: Sequence[Session] = ()
    ) -> None:
        """session: may be shared by the fences of several logs. proves: only one object of a leader may; the others
        write what may be lost. beside: further sessions, for rows that are inserted at the same time.
        """
        self._session = session
        self._sessions = (session, *beside)
        #: Sessions that insert a row, and those whose last write had an error, and may still have an effect.
        self._inserting: set[Session] = set()
        self._in_doubt: set[Session] = set()
        self._choosing = threading.Lock()
        self._log = log
        self._epoch = epoch
        self._proves = proves
        self._caller = f"{log} {epoch}"
        #: Number of the last write that needs one as a proof.
        self._number: int = 0
        #: Queries that find something if the last write, and the last numbered one, are there.
        self._proof: Statement | None = None
        self._number_proof: Statement | None = None
        #: Number of the connection that was checked.
        self._checked_on: dict[Session, int] = dict.fromkeys(self._sessions, 0)

    @property
    def epoch(self) -> int:
        """Return the epoch of the leadership."""
        return self._epoch

    @property
    def concurrency(self) -> int:
        """Return the number of rows that may be inserted at the same time."""
        return len(self._sessions)

    def write(
        self,
        statements: Sequence[Statement],
        proof: Statement | None = None,
        also: Callable[[TimedConnection], Sequence[Statement]] | None = None,
        numbered: bool = False,
    ) -> None:
        """Commit these statements in one transaction, which is durable as the server's `synchronous_commit` says.

        proof: a query that finds something as long as this write is there, until the next write; None if there is no
        such query. also: returns further statements, which come last; called with the connection that commits.
        numbered: the query may also find what an earlier leader has written. Raises UnwrittenError, after which the
        same statements, which must have the same effect if they are repeated, may be passed again; FencedError if
        another broker leads; LostError if the last write is not there; another OSError for an error that does not end
        by itself.
        """
        number = None
        if self._proves and (numbered or proof is None):
            place = self._next_place()
            statements, number = [*statements, Statement(_NUMBER, place)], Statement(_FIND_NUMBER, place)
        size = sum(len(value) for _, values in statements for value in values if isinstance(value, bytes))

        def commit(connection: TimedConnection) -> None:
            further = [] if also is None else also(connection)
            try:
                # One round trip, unlike psycopg's transactions.
                with connection.extended(size / _BYTES_PER_S), connection.pipeline():
                    connection.execute("BEGIN")
                    connection.execute(_GUARD, (self._log, self._epoch))
                    for query, values in (*statements, *further):
                        connection.execute(query, values)
                    connection.execute("COMMIT")
            except BaseException:
                if not connection.closed:
                    connection.rollback()
                raise

        self._commit(commit)
        self._prove_with(proof, number)

    def _prove_with(self, proof: Statement | None, number: Statement | None) -> None:
        """Set the proof of the last write, which may have left a number."""
        self._number_proof = number or self._number_proof
        self.prove(proof or number)

    def _next_place(self) -> tuple[str, int, int]:
        """Return the number of a write, with its log and its epoch."""
        self._number += 1
        return self._log, self._epoch, self._number

    def insert(self, statement: Repeated, start: int, data: bytes, proof: Statement | None) -> None:
        """Commit one row of a file, whose table exists, as `write` does, for an object that proves.

        statement: `insertion` of the file if there is a proof, otherwise its `numbered_insertion`.
        """
        values: tuple[int | str | bytes, ...] = (start, data, self._log, self._epoch)
        number = None
        if proof is None:
            place = self._next_place()
            values, number = (start, data, *place), Statement(_FIND_NUMBER, place)
        self._insert(self._session, statement, values)
        self._prove_with(proof, number)

    def insert_row(self, statement: Repeated, start: int, data: bytes) -> None:
        """Commit one row as `insert` does, while up to `concurrency` rows are inserted by other threads.

        statement: `insertion` of the file. The caller passes the proof to `prove` when all earlier rows are there, too.
        """
        with self._choosing:
            free = [session for session in self._sessions if session not in self._inserting]
            # Other logs may use some of these sessions.
            session = next((session for session in free if not session.is_busy), free[0])
            self._inserting.add(session)
        try:
            self._insert(session, statement, (start, data, self._log, self._epoch))
        finally:
            self._inserting.discard(session)

    def prove(self, proof: Statement | None) -> None:
        """Set the query that finds something as long as the last write is there."""
        self._proof = proof

    def may_lack(self, connection: TimedConnection) -> bool:
        """Return whether the database of a connection seems to lack the last write.

        The result may be wrong during a write. Usable from any thread.
        """
        # Rows of the proof may be those of an earlier leader, which this one has replaced in a numbered write.
        proof, number = self._proof, self._number_proof
        proofs = (proof,) if number is proof else (proof, number)
        return any(each is not None and not _is_found(connection, each) for each in proofs)

    def end_doubtful(self) -> None:
        """End writes that had an error, so that they have no effect from now on. Raises OSError."""
        for session in list(self._in_doubt):
            # A new connection ends the old one first.
            session.run(_nothing, self._caller)
            self._in_doubt.discard(session)

    def _insert(self, session: Session, statement: Repeated, values: tuple[int | str | bytes, ...]) -> None:
        size = len(values[1]) if isinstance(values[1], bytes) else 0

        def commit(connection: TimedConnection) -> None:
            try:
                with connection.extended(size / _BYTES_PER_S):
                    inserted = connection.change(statement, values)
            except errors.UndefinedTable:
                # A later leader may have removed it.
                inserted = 0
                if self._still_leads(connection):
                    raise
            if not inserted:
                raise self._fenced()

        self._commit(commit, session)

    def _commit(self, commit: Callable[[TimedConnection], None], session: Session | None = None) -> None:
        """Call `commit` with a connection that has the last write. session: by default the first one."""
        used = session or self._session

        def checked(connection: TimedConnection) -> None:
            if used.connections != self._checked_on[used]:
                self._check(connection)
                self._checked_on[used] = used.connections
            commit(connection)

        try:
            used.run(checked, self._caller)
        except OSError:
            self._in_doubt.add(used)
            raise
        self._in_doubt.discard(used)

    def close(self) -> None:
        """Write nothing more. The sessions stay open, for others that share them."""
        for session in self._sessions:
            session.discard(self._caller)

    def _fenced(self) -> FencedError:
        return FencedError(errno.EPERM, "Another broker leads now")

    def _still_leads(self, connection: TimedConnection) -> bool:
        return connection.execute(_STILL, (self._log, self._epoch)).fetchone() is not None

    def _check(self, connection: TimedConnection) -> None:
        """Raises LostError if the server does not have the last write, FencedError if a later leader may have removed
        it.

        Also its table may be missing.
        """
        if self.may_lack(connection):
            raise lost() if self._still_leads(connection) else self._fenced()


def _nothing(connection: TimedConnection) -> None:
    pass


def _is_found(connection: TimedConnection, query: Statement) -> bool:
    try:
        return connection.execute(*query).fetchone() is not None
    except errors.UndefinedTable:
        return False
