"""A transaction of the simulated engine: changes of rows, which others see when it is committed."""

from collections.abc import Hashable
from typing import Any, Final

import psycopg

Row = tuple[Any, ...]
Rows = dict[Hashable, Row]
#: A table's name -> its rows, by their keys.
Tables = dict[str, Rows]


class BlockedError(Exception):
    """A statement has to wait: it is executed again when it may go on."""


class ServerError(Exception):
    """An error that a statement reports. code: its SQLSTATE. fatal: it ends the session too."""

    def __init__(self, code: str, fatal: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.fatal = fatal

    def for_client(self) -> psycopg.Error:
        return psycopg.errors.lookup(self.code)(f"simulated error {self.code}")


class Changes:
    """Changes of one transaction, which can be applied to the tables of several servers."""

    def __init__(self) -> None:
        #: Names of tables that it creates (True) or drops (False).
        self.tables: dict[str, bool] = {}
        #: Table -> key -> the new row, None for a deleted one.
        self.rows: dict[str, dict[Hashable, Row | None]] = {}

    def apply(self, tables: Tables) -> None:
        for name, exists in self.tables.items():
            if exists:
                tables[name] = {}
            else:
                tables.pop(name, None)
        for name, changed in self.rows.items():
            rows = tables.get(name)
            if rows is None:
                continue
            for key, row in changed.items():
                if row is None:
                    rows.pop(key, None)
                else:
                    rows[key] = row


#: The changes of a transaction that only reads or locks.
NONE: Final = Changes()


class Transaction:
    """An open transaction of a server with these tables.

    explicit: it was begun by a statement. failed: a statement of it has failed. local: its commit does not wait for
    standbys. wrote: it has changed or locked something. position: of its commit in the log, 0 before. locks: keys of
    the locks that it has. result: of the only statement, while its commit waits.
    """

    __slots__ = ("_tables", "changes", "explicit", "failed", "local", "locks", "position", "result", "wrote")

    def __init__(self, tables: Tables, explicit: bool) -> None:
        self.explicit = explicit
        self.failed = False
        self.local = False
        self.wrote = False
        self.position = 0
        self.locks: list[Hashable] = []
        self.result: Any = None
        self.changes = NONE
        self._tables = tables

    def freeze(self) -> None:
        """See no later commits of others from now on, in the tables that are not files. It must only read."""
        self._tables = {name: dict(rows) for name, rows in self._tables.items() if "/" not in name}

    def has(self, table: str) -> bool:
        """Return whether a table exists for this transaction."""
        return self.changes.tables.get(table, table in self._tables)

    def _write(self) -> Changes:
        """Return the changes, to add some."""
        self.wrote = True
        if self.changes is NONE:
            self.changes = Changes()
        return self.changes

    def rows(self, table: str) -> Rows:
        """Return the rows that this transaction sees. Raises ServerError if there is no such table."""
        if self.changes is NONE:
            found = self._tables.get(table)
            if found is None:
                raise ServerError("42P01")
            return found
        if not self.has(table):
            raise ServerError("42P01")
        changed = self.changes.rows.get(table)
        committed = {} if table in self.changes.tables else self._tables[table]
        if not changed:
            return committed
        merged = {**committed, **changed}
        return {key: row for key, row in merged.items() if row is not None}

    def set(self, table: str, key: Hashable, row: Row | None) -> None:
        """Insert or replace a row; with None, delete it."""
        self._write().rows.setdefault(table, {})[key] = row

    def insert(self, table: str, key: Hashable, row: Row) -> None:
        """Insert a row. Raises ServerError if there is one with its key."""
        if key in self.rows(table):
            raise ServerError("23505")
        self.set(table, key, row)

    def create(self, table: str) -> None:
        self._write().tables[table] = True

    def drop(self, table: str) -> None:
        changes = self._write()
        changes.tables[table] = False
        changes.rows.pop(table, None)
