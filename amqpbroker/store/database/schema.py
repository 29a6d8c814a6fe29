"""The tables of the store, and their version. A file is a table of its own: see database_files."""

from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from amqpbroker.store.database.session import SCHEMA, Session
from amqpbroker.store.definitions.definitions import OBJECTS
from amqpbroker.store.definitions.tables import TABLES
from amqpbroker.store.log import StoreError

#: Version of the tables. A broker refuses a database of another one.
VERSION: Final = 3
#: The version while a store is copied into the database, and afterwards if that was interrupted.
INCOMPLETE: Final = 0
SET_VERSION: Final[LiteralString] = "UPDATE format SET version = %s"

#: Key of the advisory lock under which the tables are made.
_MAKING: Final = 0x616D7170

#: Type of a field of a definition -> type of its column; other fields are JSON in a column of type text.
_COLUMNS: Final[dict[Any, str]] = {bytes: "bytea", bool: "boolean", int: "bigint"}

#: The log of each vhost. removed: the vhost is deleted, and what it has stored is not removed yet.
_VHOST_LOG: Final[LiteralString] = (
    "CREATE TABLE vhost_log (number bigserial PRIMARY KEY, vhost text NOT NULL, removed boolean NOT NULL DEFAULT false)"
)

_VHOST_LOG_INDEX: Final[LiteralString] = "CREATE UNIQUE INDEX vhost_log_vhost ON vhost_log (vhost) WHERE NOT removed"

#: Not part of the version, since nothing of the store is there. lag: in seconds. pattern: of the vhosts that the broker
#: prefers to lead. host, port, secret: of its port for other brokers.
_BROKERS: Final[LiteralString] = (
    "CREATE TABLE IF NOT EXISTS brokers (process text PRIMARY KEY, node text NOT NULL, address text NOT NULL,"
    " version text NOT NULL, drained boolean NOT NULL, lag double precision, started timestamptz NOT NULL,"
    " seen timestamptz NOT NULL, pattern text NOT NULL DEFAULT '', host text NOT NULL DEFAULT '',"
    " port integer NOT NULL DEFAULT 0, secret text NOT NULL DEFAULT '')"
)

#: Columns that tables of earlier brokers lack, and what adds them. These brokers ignore them.
_ADDED: Final[tuple[tuple[str, str, LiteralString], ...]] = (
    ("leadership", "ready", "ALTER TABLE leadership ADD COLUMN ready text NOT NULL DEFAULT ''"),
    (
        "brokers",
        "secret",
        "ALTER TABLE brokers ADD COLUMN host text NOT NULL DEFAULT '', ADD COLUMN port integer NOT NULL DEFAULT 0,"
        " ADD COLUMN secret text NOT NULL DEFAULT ''",
    ),
)
_FIND_COLUMN: Final[LiteralString] = (
    "SELECT 1 FROM information_schema.columns WHERE table_schema = %s AND table_name = %s AND column_name = %s"
)


def has_tables(connection: psycopg.Connection[Any]) -> bool:
    """Return whether a broker, or a copy, has made the tables."""
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{SCHEMA}.format"]).fetchone()
    return found == (True,)


def make_tables(session: Session) -> None:
    """Make the tables that are missing. Raises StoreError, also for an interrupted copy; OSError."""

    def make(connection: psycopg.Connection[Any]) -> int:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKING])
            known = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [SCHEMA]).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
            connection.execute("CREATE TABLE IF NOT EXISTS format (version integer NOT NULL)")
            found = connection.execute("SELECT version FROM format").fetchone()
            if found is None:
                for statement in _statements():
                    connection.execute(statement)
                connection.execute("INSERT INTO format (version) VALUES (%s)", [VERSION])
            connection.execute(_BROKERS)
            version: int = VERSION if found is None else found[0]
            if found is not None and version == VERSION:
                _add_columns(connection)
            return version

    version = session.run(make)
    if version == INCOMPLETE:
        raise StoreError(
            "the database has an incomplete copy of a store: wait until `amqpbroker store copy` ends; if it was"
            " interrupted, remove the schema amqpbroker, and copy again"
        )
    if version < VERSION:
        raise StoreError(
            f"the database has version {version} of the store, of an amqpbroker before its first release, in which all"
            " vhosts had one log: name another database, or remove the schema amqpbroker"
        )
    if version > VERSION:
        raise StoreError(
            f"the database has version {version} of the store, of a newer amqpbroker; this one reads up to version"
            f" {VERSION}"
        )


def _add_columns(connection: psycopg.Connection[Any]) -> None:
    """Add the columns that the tables of an earlier broker lack."""
    for table, column, statement in _ADDED:
        if connection.execute(_FIND_COLUMN, [SCHEMA, table, column]).fetchone() is None:
            # Statements of other brokers wait behind it, also while a dump reads the table. The caller tries again.
            connection.execute("SET LOCAL lock_timeout TO '100ms'")
            connection.execute(statement)


def _statements() -> list[sql.Composed]:
    """Return the statements that make all tables."""
    made = [
        # The writers of a log lock its row, and a broker that takes over changes it.
        "CREATE TABLE fence (log text PRIMARY KEY, epoch bigint NOT NULL)",
        # Renewed all the time, so it is not the row that writers lock.
        "CREATE TABLE leadership (log text PRIMARY KEY, epoch bigint NOT NULL, holder text NOT NULL,"
        " address text NOT NULL, process text NOT NULL, host text NOT NULL, port integer NOT NULL,"
        " secret text NOT NULL, released boolean NOT NULL, busy boolean NOT NULL DEFAULT false,"
        " successor text NOT NULL DEFAULT '', wanted text NOT NULL DEFAULT '',"
        " accepted boolean NOT NULL DEFAULT false, until timestamptz NOT NULL, ready text NOT NULL DEFAULT '')",
        "CREATE TABLE last_id (log text PRIMARY KEY, id bigint NOT NULL)",
        # A row of the last writer, which proves that its last write is there.
        "CREATE TABLE proof (log text PRIMARY KEY, epoch bigint NOT NULL, number bigint NOT NULL)",
        _VHOST_LOG,
        _VHOST_LOG_INDEX,
    ]
    tables = [sql.SQL(statement).format() for statement in made]
    for kind, table in TABLES.items():
        columns = [
            sql.SQL("{} {} NOT NULL").format(sql.Identifier(field), sql.SQL(_COLUMNS.get(wanted, "text")))
            for field, wanted in kind.__annotations__.items()
        ]
        columns += [sql.SQL("log text NOT NULL DEFAULT '0'").format()] if kind in OBJECTS else []
        tables.append(
            sql.SQL("CREATE TABLE {} (key bytea PRIMARY KEY, place bigserial, {})").format(
                sql.Identifier(table), sql.SQL(", ").join(columns)
            )
        )
    return tables
