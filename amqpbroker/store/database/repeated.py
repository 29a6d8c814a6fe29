"""A statement that is executed for each batch: prepared once, with binary values, in one round trip."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg import errors, generators, sql
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult

#: Code of a prepared statement that the server does not know.
UNPREPARED: Final = "26000"

Value = int | str | bytes


class Repeated(NamedTuple):
    """A statement that changes rows. types: of its values $1, $2 and so on, each bigint, text or bytea."""

    query: sql.Composed
    types: LiteralString


class Repeating:
    """Executes such statements on one connection. Only the last one stays prepared.

    A cursor of psycopg executes one in two to three times the processor time.
    """

    def __init__(self) -> None:
        self._prepared: Repeated | None = None
        #: The name that the server knows it by, and the number of names so far: each is used once.
        self._name: str = ""
        self._names: int = 0

    def change(self, connection: psycopg.Connection[Any], statement: Repeated, values: Sequence[Value]) -> int:
        """Execute a statement outside of a transaction; return the number of rows that it has changed.

        It is prepared unless the last call had the same object. Raises psycopg.Error.
        """
        encoded = [_encoded(value) for value in values]
        if statement is not self._prepared:
            self._prepare(connection, statement)
        result = self._execute(connection, encoded)
        if result.error_field(DiagnosticField.SQLSTATE) == UNPREPARED.encode():
            # psycopg deallocates all prepared statements after a rollback or a changed table.
            self._prepare(connection, statement)
            result = self._execute(connection, encoded)
        if result.status != ExecStatus.COMMAND_OK:
            raise errors.error_from_result(result)
        return result.command_tuples or 0

    def _prepare(self, connection: psycopg.Connection[Any], statement: Repeated) -> None:
        earlier, self._prepared = self._name, None
        self._names += 1
        self._name = f"repeated{self._names}"
        prepare = sql.SQL("PREPARE {} ({}) AS {}")
        connection.execute(prepare.format(sql.Identifier(self._name), sql.SQL(statement.types), statement.query))
        self._prepared = statement
        if earlier:
            with suppress(errors.InvalidSqlStatementName):
                connection.execute(sql.SQL("DEALLOCATE {}").format(sql.Identifier(earlier)))

    def _execute(self, connection: psycopg.Connection[Any], encoded: list[bytes]) -> PGresult:
        connection.pgconn.send_query_prepared(self._name.encode(), encoded, [Format.BINARY] * len(encoded))
        results: list[PGresult] = connection.wait(generators.execute(connection.pgconn))
        return results[-1]


def _encoded(value: Value) -> bytes:
    """Return a value in the server's binary format."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else value.to_bytes(8, "big", signed=True)
