"""Names of the queues and exchanges with copies in the journal, from a data directory that is only read."""

import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

DATABASE = "definitions.sqlite"
_LOG = DATABASE + "-wal"
_LOG_HEAD_BYTES = 32
#: Version of the definitions since which exchanges have ids.
_EXCHANGE_IDS_SINCE = 2


class Name(NamedTuple):
    """The queue or exchange with an id. kind: queue or exchange."""

    kind: str
    vhost: str
    name: str


def read_names(directory: Path) -> dict[int, Name]:
    """Return the names by id; none if there are no definitions.

    SQLite writes files next to a database even for reading, so this function reads a copy of the database and its log.
    Raises sqlite3.Error, also if the database is damaged, and OSError.
    """
    if not (directory / DATABASE).exists():
        return {}
    with tempfile.TemporaryDirectory(prefix="amqpbroker-") as temporary:
        _copy(directory, Path(temporary))
        with closing(sqlite3.connect(Path(temporary) / DATABASE)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError(found)
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            rows = list(connection.execute("SELECT id, 'queue', vhost, name FROM queue"))
            if version >= _EXCHANGE_IDS_SINCE:
                rows += connection.execute("SELECT id, 'exchange', vhost, name FROM exchange WHERE id > 0")
            return {number: Name(*name) for number, *name in rows}


def _copy(directory: Path, to: Path) -> None:
    """Copy a consistent state of database and log.

    If a broker moves the log into the database meanwhile, copy again.
    """
    state = None
    while state is None or state != _state(directory):
        state = _state(directory)
        for name in (DATABASE, _LOG):
            (to / name).unlink(missing_ok=True)
            # The log is deleted when its database is closed.
            with suppress(FileNotFoundError):
                shutil.copyfile(directory / name, to / name)


def _state(directory: Path) -> tuple[int, int, bytes]:
    """Return values that change when the log is moved into the database. Additions to the log do not matter."""
    database = (directory / DATABASE).stat()
    head = b""
    with suppress(FileNotFoundError), (directory / _LOG).open("rb") as log:
        head = log.read(_LOG_HEAD_BYTES)
    return database.st_mtime_ns, database.st_size, head
