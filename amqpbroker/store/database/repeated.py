"""A statement that is executed for each batch: prepared once, with binary values, in one round trip."""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, LiteralString

import psycopg
from psycopg import errors, generators, sql
from psycopg.pq import DiagnosticField, ExecStatus, Format
from psycopg.pq.abc import PGresult

#: Code of a prepared statement that the server does not know.
UNPREPARED: Final = "26000"

#: Number of statements that stay prepared, as in psycopg: for the newest file of the journal, and for streams.
MOST: Final = 100

Value = int | str | bytes


class Repeated:
    """A statement that changes rows.

    types: of its values $1, $2 and so on, each bigint, text or bytea. text: of the query; statements with the same text
    are the same one for a connection, such as those of a file that a broker writes again after some takeovers.
    """

    __slots__ = ("query", "text", "types")

    def __init__(self, query: sql.Composed, types: LiteralString) -> None:
        self.query = query
        self.types = types
        self.text = query.as_string(None)


class Repeating:
    """Executes such statements on one connection, which has the last ones prepared.

    A cursor of psycopg executes one in two to three times the processor time.
    """

    def __init__(self) -> None:
        #: Text of a statement -> the name that the server knows it by; the one that was used last is the last.
        self._prepared: OrderedDict[str, bytes] = OrderedDict()
        #: Number of names so far: each is used once.
        self._names: int = 0

    def change(self, connection: psycopg.Connection[Any], statement: Repeated, values: Sequence[Value]) -> int:
        """Execute a statement outside of a transaction; return the number of rows that it has changed.

        Raises psycopg.Error.
        """
        encoded = [_encoded(value) for value in values]
        if statement.text in self._prepared:
            self._prepared.move_to_end(statement.text)
        else:
            self._prepare(connection, statement)
        result = self._execute(connection, statement, encoded)
        if result.error_field(DiagnosticField.SQLSTATE) == UNPREPARED.encode():
            # psycopg deallocates all prepared statements after a rollback or a changed table.
            self._prepare(connection, statement)
            result = self._execute(connection, statement, encoded)
        if result.status != ExecStatus.COMMAND_OK:
            raise errors.error_from_result(result)
        return result.command_tuples or 0

    def _prepare(self, connection: psycopg.Connection[Any], statement: Repeated) -> None:
        self._names += 1
        name = f"repeated{self._names}"
        prepare = sql.SQL("PREPARE {} ({}) AS {}")
        _run(connection, prepare.format(sql.Identifier(name), sql.SQL(statement.types), statement.query))
        self._prepared[statement.text] = name.encode()
        if len(self._prepared) > MOST:
            _, earliest = self._prepared.popitem(last=False)
            with suppress(errors.InvalidSqlStatementName):
                _run(connection, sql.SQL("DEALLOCATE {}").format(sql.Identifier(earliest.decode())))

    def _execute(self, connection: psycopg.Connection[Any], statement: Repeated, encoded: list[bytes]) -> PGresult:
        connection.pgconn.send_query_prepared(self._prepared[statement.text], encoded, [Format.BINARY] * len(encoded))
        return _result(connection)


def _run(connection: psycopg.Connection[Any], command: sql.Composed) -> None:
    """Execute a command. Raises psycopg.Error.

    `Connection.execute` would deallocate all prepared statements after it, if psycopg has that to do since a rollback.
    """
    connection.pgconn.send_query_params(command.as_bytes(connection), None)
    result = _result(connection)
    if result.status != ExecStatus.COMMAND_OK:
        raise errors.error_from_result(result)


def _result(connection: psycopg.Connection[Any]) -> PGresult:
    """Wait for the result of what was sent."""
    results: list[PGresult] = connection.wait(generators.execute(connection.pgconn))
    return results[-1]


def _encoded(value: Value) -> bytes:
    """Return a value in the server's binary format."""
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else value.to_bytes(8, "big", signed=True)
