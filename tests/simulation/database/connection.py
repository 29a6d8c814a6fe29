"""A broker's end of a connection to the simulated engine: the part of psycopg that the product uses."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from psycopg import sql

from amqpbroker.store.database.repeated import Repeated
from tests.simulation.database.backend import NOTHING, Backend, Result, Statement
from tests.simulation.database.cluster import Cluster
from tests.simulation.database.path import CLIENT_LOST_NS, Path
from tests.simulation.database.server import Server
from tests.simulation.database.tasks import Task, current
from tests.simulation.database.transaction import Row, ServerError
from tests.simulation.scheduler import MS, SECOND

#: Time that an attempt to connect takes where nothing answers.
CONNECT_NS = 2 * SECOND


def parsed(query: Any) -> tuple[str, tuple[str, ...]]:
    """Return the text of a query, a string or an object of psycopg, with {} for each name, and the names."""
    if isinstance(query, str):
        return query, ()
    texts: list[str] = []
    names: list[str] = []
    _add(query, texts, names)
    return "".join(texts), tuple(names)


def _add(query: Any, texts: list[str], names: list[str]) -> None:
    for part in query._obj if type(query) is sql.Composed else (query,):
        kind = type(part)
        if kind is sql.SQL:
            texts.append(part._obj)
        elif kind is sql.Identifier:
            texts.append("{}")
            names.append(part._obj[-1])
        elif kind is sql.Composed:
            _add(part, texts, names)
        else:
            texts.append(part.as_string(None))


class Cursor:
    """A result, once it is known."""

    def __init__(self, result: Result = NOTHING) -> None:
        self._result = result

    def fill(self, result: Result) -> None:
        self._result = result

    @property
    def rowcount(self) -> int:
        return self._result.changed

    def fetchone(self) -> Row | None:
        return self._result.rows[0] if self._result.rows else None

    def fetchall(self) -> list[Row]:
        return self._result.rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self._result.rows)


class Pipeline:
    """A pipeline: one round trip at its end."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._connection.end_pipeline(kind is None)


class Connection:
    """A connection in autocommit mode. closed: as this end knows. name: of the session."""

    def __init__(self, path: Path, server: Server, name: str) -> None:
        self.closed = False
        self.name = name
        self._path = path
        self._backend: Backend = server.connect(name, self)
        self._deadline_s = 10.0
        #: The thread that waits for an answer, and the number of its call.
        self._task: Task | None = None
        self._call = 0
        self._waits = False
        self._is_watched = False
        self._reply: tuple[list[Result], ServerError | None] | None = None
        #: The last answer said so.
        self._in_transaction = False
        #: The server has ended the connection, after this error.
        self._broken = False
        self._last_error: ServerError | None = None
        self._pipeline: list[tuple[Statement, Cursor]] | None = None

    # --- calls --------------------------------------------------------------------------------------------------------

    def execute(self, query: str | sql.Composable, values: Any = (), *, binary: bool = False) -> Cursor:
        statement = Statement(*parsed(query), values)
        if self._pipeline is None:
            return Cursor(self._request([statement])[0])
        cursor = Cursor()
        self._pipeline.append((statement, cursor))
        return cursor

    def change(self, statement: Repeated, values: Any) -> int:
        return self._request([Statement(*parsed(statement.query), values)])[0].changed

    def pipeline(self) -> "Pipeline":
        self._pipeline = []
        return Pipeline(self)

    def end_pipeline(self, sends: bool) -> None:
        """Send the statements of a pipeline, if `sends`, and receive all results."""
        sent, self._pipeline = self._pipeline or [], None
        if not sends:
            return
        results = self._request([statement for statement, _ in sent])
        for (_, cursor), result in zip(sent, results, strict=True):
            cursor.fill(result)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.execute("BEGIN")
        try:
            yield
        except BaseException:
            if not self.closed:
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    def rollback(self) -> None:
        """End the transaction; nothing is sent if there is none."""
        if self._in_transaction:
            self.execute("ROLLBACK")

    def limit(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s

    @contextmanager
    def extended(self, further_s: float) -> Iterator[None]:
        self._deadline_s += further_s
        try:
            yield
        finally:
            self._deadline_s -= further_s

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._path.to_server(self._backend.hang_up)

    def lose(self) -> None:
        """End with the machine, without a word to the server."""
        self.closed = True

    def end_on_server(self) -> None:
        """End the session: the server takes the client for lost."""
        if not self._backend.has_ended:
            self._backend.end()

    @property
    def is_dead(self) -> bool:
        """Return whether the session has ended on the server, which the client has not noticed."""
        return not self.closed and not self._broken and self._backend.has_ended

    def cut(self) -> None:
        """Break the connection for both ends."""
        self.end_on_server()
        self.broken(None)

    def _request(self, statements: list[Statement]) -> list[Result]:
        """Return the results of a request. Raises psycopg.Error, TimeoutError."""
        if self.closed or self._broken:
            self._require_open()
        scheduler = self._path.scheduler
        end = scheduler.now + int(self._deadline_s * SECOND)
        self._task, self._reply, self._is_watched = current(), None, False
        self._call += 1
        self._path.to_server(self._arrive, statements)
        if self._reply is None and not self._broken:
            if self._path.is_cut:
                self._watch(CLIENT_LOST_NS)
            self._waits = True
            self._task.wait()
            self._waits = False
        self._task = None
        if scheduler.now > end:
            self.close()
            raise TimeoutError
        if self._reply is None:
            self._require_open()
            self.close()
            raise psycopg.OperationalError("the connection was lost")
        results, error = self._reply
        if error is not None:
            raise error.for_client()
        return results

    def _require_open(self) -> None:
        if self._broken:
            self.closed = True
            raise self._last_error.for_client() if self._last_error else psycopg.OperationalError("the server is gone")
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")

    # --- the other end ------------------------------------------------------------------------------------------------

    def _arrive(self, statements: list[Statement]) -> None:
        if not self._backend.has_ended:
            self._backend.receive(statements)
        elif self._backend.server.is_silent:
            self._watch(CLIENT_LOST_NS)
        else:
            self.broken(None)

    def answered(self, results: list[Result], error: ServerError | None) -> None:
        is_open = self._backend.transaction is not None
        self._path.to_client(self._answer, self._call, results, error, is_open)
        if self._path.is_cut:
            self._watch(CLIENT_LOST_NS)

    def _answer(self, call: int, results: list[Result], error: ServerError | None, in_transaction: bool) -> None:
        if self._task is not None and call == self._call:
            self._reply, self._in_transaction = (results, error), in_transaction
            if self._waits:
                self._task.wake()

    def is_late(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            self._watch(int(self._deadline_s * SECOND))

    def broken(self, error: ServerError | None) -> None:
        self._path.to_client(self._break, error)

    def _break(self, error: ServerError | None) -> None:
        self._broken, self._last_error = True, error
        if self._task is not None and self._waits:
            self._task.wake()

    def _watch(self, delay: int) -> None:
        """End the present call after this time."""
        self._path.scheduler.after(delay + MS, partial(self._expire, self._call))

    def _expire(self, call: int) -> None:
        if self._task is not None and self._waits and call == self._call and self._reply is None:
            self._task.wake()


def connect(cluster: Cluster, path: Path, name: str) -> Connection:
    """Connect as `psycopg.connect` does; return after the first round trip. Raises psycopg.OperationalError."""
    task = current()
    task.wait(2 * path.latency())
    if path.is_cut or (cluster.primary is None and cluster.is_silent):
        task.wait(CONNECT_NS)
        raise psycopg.OperationalError("no connection in time")
    if cluster.primary is None:
        raise psycopg.OperationalError("the server does not listen")
    return Connection(path, cluster.primary, name)
