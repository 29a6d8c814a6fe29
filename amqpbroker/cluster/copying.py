"""A database as the source or the target of a copy, with a part for the log of each vhost."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, LiteralString

from amqpbroker.cluster.leadership.taking import TOOL, TakenDatabase, taken
from amqpbroker.store.copying.interfaces import Part, Source, Target
from amqpbroker.store.database import schema
from amqpbroker.store.database.database_definitions import DatabaseDefinitions, to_text
from amqpbroker.store.database.database_files import DatabaseFiles
from amqpbroker.store.database.fence import LOG, Fence, Statement
from amqpbroker.store.database.session import SCHEMA, TimedConnection
from amqpbroker.store.database.texts import described
from amqpbroker.store.database.vhost_logs import VhostLog
from amqpbroker.store.definitions.definitions import KEYS, Definition

_ROOT: Final = Path("/")

_HAS_LOGS: Final[LiteralString] = (
    "SELECT 1 FROM vhost_log UNION ALL SELECT 1 FROM pg_tables WHERE schemaname = %s AND position('/' IN tablename) > 0"
    " LIMIT 1"
)
#: Numbers that no log has had, also if this copy is interrupted.
_NEW_NUMBERS: Final[LiteralString] = (
    "SELECT nextval(pg_get_serial_sequence('vhost_log', 'number')) FROM generate_series(1, %s)"
)
_ADD_LOG: Final[LiteralString] = "INSERT INTO vhost_log (number, vhost) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_FENCE: Final[LiteralString] = "INSERT INTO fence (log, epoch) VALUES (%s, 1) ON CONFLICT DO NOTHING"
#: As if the tool had led it and had given it up.
_RELEASED: Final[LiteralString] = (
    "INSERT INTO leadership (log, epoch, holder, address, process, host, port, secret, released, until)"
    " VALUES (%s, 1, %s, '', '', '', 0, '', true, clock_timestamp()) ON CONFLICT DO NOTHING"
)
#: Epoch of the logs of a copy.
_FIRST_EPOCH: Final = 1


@contextmanager
def database_source(url: str) -> Iterator[Source]:
    """Open a database for reading, without brokers. Raises StoreError, also if it has no store, and OSError."""
    with taken(url, makes_tables=False) as database:
        shared = DatabaseDefinitions(LOG, database.session, _fence(database, LOG))
        parts = [_part(database, log.name, _fence(database, log.name)) for log in database.logs]
        yield Source(described(url), shared, parts, database.check)


@contextmanager
def database_target(url: str) -> Iterator[Target]:
    """Open a database for writing, without brokers. Raises StoreError, OSError."""
    with taken(url) as database:
        yield DatabaseTarget(described(url), database)


class DatabaseTarget(Target):
    """An empty database. Each vhost gets a log, which no broker sees before everything is written."""

    def __init__(self, name: str, database: TakenDatabase) -> None:
        """Raises StoreError, OSError."""
        self.name = name
        self._database = database
        self._fence = _fence(database, LOG)
        self._shared = DatabaseDefinitions(LOG, database.session, self._fence)
        self._logs: list[VhostLog] = []

    def is_empty(self) -> bool:
        if any(self._shared.all(kind) for kind in KEYS):
            return False
        return self._database.session.run(lambda connection: connection.execute(_HAS_LOGS, [SCHEMA]).fetchone()) is None

    def begin(self, vhosts: Sequence[str]) -> dict[str, Part]:
        numbers = self._database.session.run(partial(_new_numbers, len(vhosts)))
        self._logs = [VhostLog(number, vhost, False) for number, vhost in zip(numbers, vhosts, strict=True)]
        first = [Statement(_FENCE, (log.name,)) for log in self._logs]
        released = [Statement(_RELEASED, (log.name, TOOL.name)) for log in self._logs]
        self._fence.write([Statement(schema.SET_VERSION, (schema.INCOMPLETE,)), *first, *released])
        session = self._database.session
        return {
            log.vhost: _part(self._database, log.name, Fence(session, log.name, _FIRST_EPOCH)) for log in self._logs
        }

    def end(self, definitions: Sequence[Definition]) -> None:
        with self._shared.transaction():
            # Before the vhosts, which would get other logs.
            self._shared.add(*[Statement(_ADD_LOG, (log.number, to_text(log.vhost))) for log in self._logs])
            self._shared.put(*definitions)
            self._shared.add(Statement(schema.SET_VERSION, (schema.VERSION,)))
        self._shared.sync()


def _fence(database: TakenDatabase, log: str) -> Fence:
    return Fence(database.session, log, database.epochs[log])


def _part(database: TakenDatabase, log: str, fence: Fence) -> Part:
    session = database.session
    files = DatabaseFiles(log, session, fence, fence)
    return Part(log, _ROOT, files, DatabaseDefinitions(log, session, fence))


def _new_numbers(count: int, connection: TimedConnection) -> list[int]:
    return [number for (number,) in connection.execute(_NEW_NUMBERS, [count]).fetchall()]
