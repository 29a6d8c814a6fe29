"""Definitions in a SQLite database. See docs/store-format.md, "Definitions"."""

import contextlib
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amqpbroker import errors
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.store.definitions.definitions import (
    KEYS,
    D,
    Definition,
    Definitions,
    VhostDefinition,
)
from amqpbroker.store.definitions.sqlite_log import SqliteLog
from amqpbroker.store.definitions.tables import CODECS, TABLES, Codec, decoded, encoded
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError
from amqpbroker.store.record import MAX_ID

log = logging.getLogger(__name__)

#: Migrations from each version to the next, from none (0) to the current one, which is the number of migrations.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE vhost (
        name TEXT NOT NULL PRIMARY KEY);
    CREATE TABLE user (
        name TEXT NOT NULL PRIMARY KEY, password_hash BLOB NOT NULL, tags TEXT NOT NULL);
    CREATE TABLE permission (
        user TEXT NOT NULL, vhost TEXT NOT NULL,
        configure TEXT NOT NULL, write TEXT NOT NULL, read TEXT NOT NULL,
        PRIMARY KEY (user, vhost));
    CREATE TABLE topic_permission (
        user TEXT NOT NULL, vhost TEXT NOT NULL, exchange TEXT NOT NULL,
        write TEXT NOT NULL, read TEXT NOT NULL,
        PRIMARY KEY (user, vhost, exchange));
    CREATE TABLE exchange (
        vhost TEXT NOT NULL, name TEXT NOT NULL,
        type TEXT NOT NULL, auto_delete INTEGER NOT NULL, internal INTEGER NOT NULL, arguments BLOB NOT NULL,
        PRIMARY KEY (vhost, name));
    CREATE TABLE queue (
        vhost TEXT NOT NULL, name TEXT NOT NULL,
        id INTEGER PRIMARY KEY AUTOINCREMENT, auto_delete INTEGER NOT NULL, arguments BLOB NOT NULL,
        UNIQUE (vhost, name));
    CREATE TABLE binding (
        vhost TEXT NOT NULL, source TEXT NOT NULL, to_exchange INTEGER NOT NULL, destination TEXT NOT NULL,
        routing_key BLOB NOT NULL, arguments BLOB NOT NULL,
        PRIMARY KEY (vhost, source, to_exchange, destination, routing_key, arguments));
    """,
    # Exchanges that delay messages store them in the journal, so they have ids from the same sequence as queues. The
    # last id, even of a deleted queue, is the sequence of the queues' table. Existing exchanges get ids here.
    """
    ALTER TABLE exchange ADD COLUMN id INTEGER NOT NULL DEFAULT 0;
    INSERT INTO sqlite_sequence (name, seq)
        SELECT 'queue', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'queue');
    UPDATE exchange SET id = (SELECT seq FROM sqlite_sequence WHERE name = 'queue')
        + (SELECT count(*) FROM exchange AS before
           WHERE before.type = exchange.type AND before.rowid <= exchange.rowid)
        WHERE type = 'x-delayed-message';
    UPDATE sqlite_sequence SET seq = max(seq, (SELECT coalesce(max(id), 0) FROM exchange)) WHERE name = 'queue';
    CREATE TRIGGER exchange_id AFTER INSERT ON exchange BEGIN
        UPDATE sqlite_sequence SET seq = max(seq, NEW.id) WHERE name = 'queue';
    END;
    """,
    # Policies and parameters, and the attributes of vhosts and users besides their names.
    """
    ALTER TABLE vhost ADD COLUMN description TEXT NOT NULL DEFAULT '';
    ALTER TABLE vhost ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE vhost ADD COLUMN default_queue_type TEXT NOT NULL DEFAULT '';
    ALTER TABLE vhost ADD COLUMN protected INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE user ADD COLUMN limits TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE parameter (
        component TEXT NOT NULL, vhost TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (component, vhost, name));
    CREATE TABLE global_parameter (
        name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
    """,
    # Users may be imported from other brokers, with hashes of other algorithms.
    """
    ALTER TABLE user ADD COLUMN hashing TEXT NOT NULL DEFAULT 'rabbit_password_hashing_sha256';
    """,
    # Offsets that streams remember for their consumers.
    """
    CREATE TABLE stream_offset (
        vhost TEXT NOT NULL, queue TEXT NOT NULL, consumer TEXT NOT NULL,
        offset INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
        PRIMARY KEY (vhost, queue, consumer));
    """,
    # Sizes of the segments of streams.
    """
    ALTER TABLE queue ADD COLUMN segment_bytes INTEGER NOT NULL DEFAULT -1;
    """,
)


def _put_statement(kind: type[Definition]) -> str:
    """Return a statement that writes nothing if the row is unchanged, so that a repeated import needs no disk space.

    It takes the values twice: Python 3.12.0 to 3.12.3 warn of numbered parameters.
    """
    table = TABLES[kind]
    fields = ", ".join(kind._fields)
    marks = ", ".join("?" for _ in kind._fields)
    same = " AND ".join(f"{field} = ?" for field in kind._fields)
    wanted = f"SELECT {marks} WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 - our own names
    return f"INSERT OR REPLACE INTO {table} ({fields}) {wanted}"


def _remove_statement(kind: type[Definition]) -> str:
    key = kind._fields[: KEYS[kind]]
    return f"DELETE FROM {TABLES[kind]} WHERE " + " AND ".join(f"{field} = ?" for field in key)  # noqa: S608


_PUT = {kind: _put_statement(kind) for kind in TABLES}
_REMOVE = {kind: _remove_statement(kind) for kind in TABLES}


class SqliteDefinitions(Definitions):
    """Definitions in the file `path`, which is created if it does not exist.

    A commit writes to SQLite's log (WAL) without syncing it, so it does not block the event loop (except for the log's
    header, whenever the log restarts). `sync` syncs the log and moves it into the database. `migrations` is an argument
    for tests. Raises StoreError if the file is of a newer version, or is not a definitions database.
    """

    def __init__(
        self, path: Path, files: Files, bounds: Bounds = BOUNDS, migrations: Sequence[str] = MIGRATIONS
    ) -> None:
        """bounds: limits of the log's size."""
        super().__init__()
        self._path = path
        self._files = files
        try:
            # The database has password hashes. SQLite gives its log the file mode of the database.
            with contextlib.suppress(FileExistsError):
                files.close(files.create(path))
            self._connection = self._connect()
            try:
                self._open(migrations)
                self._log = SqliteLog(path, files, self._connect(), bounds)
            except BaseException:
                self._connection.close()
                raise
        except (sqlite3.Error, OSError) as error:
            busy = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY
            advice = "; end the other program that has it open" if busy else ""
            raise StoreError(f"{path}: {error}{advice}") from error

    def _connect(self) -> sqlite3.Connection:
        """Open a connection that excludes all other processes, unless this is Windows, where SQLite cannot.

        SQLite then holds the index of the log in memory instead of a file, which would need disk space; and a long read
        of another process cannot prevent the log from being emptied.
        """
        uri = self._path.absolute().as_uri()
        try:
            connection = _connected(f"{uri}?vfs=unix-excl")
        except sqlite3.OperationalError as error:
            if "no such vfs" not in str(error):
                raise
            connection = _connected(uri)
        # Effective on macOS, where SQLite's syncs otherwise leave data in the cache of the disk.
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        return connection

    def _open(self, migrations: Sequence[str]) -> None:
        execute = self._connection.execute
        if execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StoreError(f"{self._path}: SQLite cannot keep a write-ahead log there; use a local file system")
        execute("PRAGMA synchronous = NORMAL")
        execute("PRAGMA wal_autocheckpoint = 0")
        version: int = execute("PRAGMA user_version").fetchone()[0]
        newest = len(migrations)
        if version > newest:
            raise StoreError(
                f"{self._path}: version {version} of the definitions was written by a newer amqpbroker;"
                f" this one reads up to version {newest}"
            )
        for number in range(version, newest):
            if number:
                log.info("%s: migrating from version %d to %d", self._path, number, number + 1)
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {migrations[number]}; PRAGMA user_version = {number + 1}; COMMIT"
            )
        (self.last_id,) = execute("SELECT seq FROM sqlite_sequence WHERE name = 'queue'").fetchone()

    # --- changes ----------------------------------------------------------------------------------------------------

    def new_id(self) -> int:
        """Return a new id. Raises AmqpError 506 if all ids that the journal can represent are used."""
        if self.last_id >= MAX_ID:
            raise errors.not_stored(f"all {MAX_ID} queue ids are used; start with a new data directory")
        return super().new_id()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._connection.in_transaction:
            yield
            return
        self._make_room()
        with self._log.writing:
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
        self._log.changed()
        self._on_change()

    def put(self, *definitions: Definition) -> None:
        with self.transaction():
            for definition in definitions:
                self._execute(_PUT[type(definition)], encoded(definition, _CODECS) * 2)

    def remove(self, *definitions: Definition) -> None:
        with self.transaction():
            for definition in definitions:
                kind = type(definition)
                self._execute(_REMOVE[kind], encoded(definition, _CODECS)[: KEYS[kind]])

    def remove_bindings(self, vhost: str, is_exchange: bool, name: str) -> None:
        with self.transaction():
            ended = "DELETE FROM binding WHERE vhost = ? AND to_exchange = ? AND destination = ?"
            self._execute(ended, (vhost, is_exchange, name))
            if is_exchange:
                self._execute("DELETE FROM binding WHERE vhost = ? AND source = ?", (vhost, name))

    def remove_vhost(self, name: str) -> None:
        with self.transaction():
            for kind, table in TABLES.items():
                if "vhost" in kind._fields:
                    self._execute(f"DELETE FROM {table} WHERE vhost = ?", (name,))  # noqa: S608 - our own names
            self.remove(VhostDefinition(name))

    def _make_room(self) -> None:
        try:
            self._log.make_room()
        except sqlite3.Error as error:
            raise self._not_stored(error) from error

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        try:
            self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise self._not_stored(error) from error

    def _not_stored(self, error: sqlite3.Error) -> errors.AmqpError:
        self._log.refused()
        log.error("%s: %s", self._path, error)
        return errors.not_stored(str(error))

    def _roll_back(self) -> None:
        # After some errors SQLite has already rolled back.
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    # --- reading ----------------------------------------------------------------------------------------------------

    def all(self, kind: type[D]) -> list[D]:
        table = TABLES[kind]
        try:
            rows = self._connection.execute(f"SELECT {', '.join(kind._fields)} FROM {table} ORDER BY rowid")  # noqa: S608
            return [decoded(kind, row, _CODECS) for row in rows]
        except (sqlite3.Error, ValueError) as error:
            raise StoreError(f"{self._path}: {error}") from error

    # --- safety -----------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        self._log.sync()

    def close(self) -> None:
        self._log.close()
        self._connection.close()


def _connected(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, check_same_thread=False)


#: SQLite has no booleans.
_CODECS: dict[Any, Codec] = {**CODECS, bool: (bool, bool)}
