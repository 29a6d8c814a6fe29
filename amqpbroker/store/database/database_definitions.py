"""Definitions in tables of a database. Changes are gathered, and written with the next batch."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, LiteralString

from psycopg import sql

from amqpbroker import errors
from amqpbroker.store.database.fence import LOG, Fence, Statement
from amqpbroker.store.database.session import Session, TimedConnection
from amqpbroker.store.definitions.definitions import (
    KEYS,
    OBJECTS,
    BindingDefinition,
    D,
    Definition,
    Definitions,
    ExchangeDefinition,
    QueueDefinition,
    VhostDefinition,
)
from amqpbroker.store.definitions.tables import CODECS, TABLES, Codec, decoded, encoded
from amqpbroker.store.log import StoreError
from amqpbroker.store.record import MAX_ID

#: Statements of the transactions that store and remove the definition of a vhost, for its log (see vhost_logs). They
#: may be repeated.
_ADD_LOG: Final[LiteralString] = (
    "INSERT INTO vhost_log (vhost) SELECT %s WHERE NOT EXISTS"
    " (SELECT 1 FROM vhost_log WHERE vhost = %s AND NOT removed)"
)
_REMOVE_LOG: Final[LiteralString] = "UPDATE vhost_log SET removed = true WHERE vhost = %s AND NOT removed"


class DatabaseDefinitions(Definitions):
    """The definitions of a database whose tables exist, for the leader of the log `log`.

    A change survives the process after the next `sync`, not before: whoever reports it to a client waits for that.

    epoch: of the leadership.
    """

    def __init__(self, log: str, reading: Session, fence: Fence) -> None:
        """reading: for the thread that reads. fence: for the thread that calls `sync`. Raises OSError, StoreError."""
        super().__init__()
        self.epoch: int = fence.epoch
        self._log = log
        self._reading = reading
        self._fence = fence
        #: The definitions by kind between `read` and `discard_read`.
        self._read: dict[type[Any], list[Any]] = {}
        #: Statements that are not written yet, by write, and those of the open transaction.
        self._writes: list[list[Statement]] = [[]]
        self._open: list[Statement] | None = None
        #: The open transaction ends a write.
        self._ends_write: bool = False
        self._changing = threading.Lock()
        found = reading.run(
            lambda connection: connection.execute("SELECT id FROM last_id WHERE log = %s", [log]).fetchone()
        )
        self.last_id = found[0] if found else 0

    # --- changes ------------------------------------------------------------------------------------------------------

    def new_id(self) -> int:
        """Return a new id. Raises AmqpError 506 if all ids that the journal can represent are used."""
        if self.last_id >= MAX_ID:
            raise errors.not_stored(f"all {MAX_ID} queue ids are used; start with a new database")
        return super().new_id()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._open is not None:
            yield
            return
        self._open, self._ends_write = [], False
        try:
            yield
            changes = self._open
        finally:
            self._open = None
        if changes:
            with self._changing:
                self._writes[-1] += changes
                if self._ends_write:
                    self._writes.append([])
            self._on_change()

    def put(self, *definitions: Definition) -> None:
        with self.transaction():
            for definition in definitions:
                kind = type(definition)
                log = (self._log,) if kind in OBJECTS else ()
                self._change(_PUT[kind], (self._key(definition), *encoded(definition, _CODECS), *log))
                if isinstance(definition, QueueDefinition | ExchangeDefinition) and definition.id:
                    self._change(_LAST_ID, (self._log, definition.id))
                if isinstance(definition, VhostDefinition):
                    self._change(_ADD_LOG, (to_text(definition.name), to_text(definition.name)))

    def add(self, *statements: Statement) -> None:
        """Write these statements with the other changes of the transaction. They may be repeated."""
        with self.transaction():
            for query, values in statements:
                self._change(query, values)

    def write_number(self) -> None:
        """Write nothing but a number with the next `sync`.

        This fails if the database lacks what was written last, and the session has a new connection since then.
        """
        self.add(Statement("SELECT 1"))

    def remove(self, *definitions: Definition) -> None:
        with self.transaction():
            for definition in definitions:
                kind = type(definition)
                self._change(sql.SQL("DELETE FROM {} WHERE key = %s").format(_name(kind)), (self._key(definition),))

    def remove_bindings(self, vhost: str, is_exchange: bool, name: str) -> None:
        with self.transaction():
            ended = sql.SQL("DELETE FROM {} WHERE log = %s AND vhost = %s AND to_exchange = %s AND destination = %s")
            table, place = _name(BindingDefinition), (self._log, to_text(vhost))
            self._change(ended.format(table), (*place, is_exchange, to_text(name)))
            if is_exchange:
                begun = sql.SQL("DELETE FROM {} WHERE log = %s AND vhost = %s AND source = %s")
                self._change(begun.format(table), (*place, to_text(name)))

    def remove_vhost(self, name: str) -> None:
        with self.transaction():
            for kind in TABLES:
                if kind in OBJECTS:
                    objects = sql.SQL("DELETE FROM {} WHERE log = %s AND vhost = %s")
                    self._change(objects.format(_name(kind)), (self._log, to_text(name)))
                elif "vhost" in kind._fields:
                    self._change(sql.SQL("DELETE FROM {} WHERE vhost = %s").format(_name(kind)), (to_text(name),))
            self.remove(VhostDefinition(name))
            self._change(_REMOVE_LOG, (to_text(name),))
            # Repeated together with a creation of the same vhost, it would remove the log of the new one.
            self._ends_write = True

    def _key(self, definition: Definition) -> bytes:
        """Return a digest of the fields that are the key, which may be longer than what an index can have.

        Two logs may have an object of the same vhost and name: one of them is of a vhost that is deleted.
        """
        kind = type(definition)
        parts = [value.hex() if isinstance(value, bytes) else value for value in definition[: KEYS[kind]]]
        log = [self._log] if kind in OBJECTS and self._log != LOG else []
        return hashlib.sha256(json.dumps(log + parts).encode()).digest()

    def _change(self, query: LiteralString | sql.Composed, values: tuple[Any, ...]) -> None:
        assert self._open is not None, "within a transaction"
        self._open.append(Statement(query, values))

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self) -> None:
        """Read all definitions, so that another thread can have them from `all` at once. Raises StoreError."""
        kinds = TABLES if self._log == LOG else OBJECTS
        self._read = {kind: self.all(kind) for kind in kinds}

    def discard_read(self) -> None:
        """Remove from memory what was read."""
        self._read = {}

    def all(self, kind: type[D]) -> list[D]:
        """Return all definitions of one kind that are written, in the order in which they were put."""
        if kind in self._read:
            return self._read[kind]
        try:
            return self._reading.run(partial(read_all, kind, log_name=self._log if kind in OBJECTS else None))
        except OSError as error:
            raise StoreError(f"{TABLES[kind]}: {error}") from error

    # --- safety -------------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        while changes := self._first_write():
            self._fence.write(changes)
            with self._changing:
                del self._writes[0][: len(changes)]

    def _first_write(self) -> list[Statement]:
        """Return the statements to write first, none if all are written."""
        with self._changing:
            if not self._writes[0] and len(self._writes) > 1:
                del self._writes[0]
            return self._writes[0].copy()

    def close(self) -> None:
        pass


_ALL: Final = sql.SQL("SELECT {} FROM {} ORDER BY place")
_OF_LOG: Final = sql.SQL("SELECT {} FROM {} WHERE log = %s ORDER BY place")


def read_all(kind: type[D], connection: TimedConnection, log_name: str | None = None) -> list[D]:
    """Return all definitions of one kind, in the order in which they were put. Raises StoreError for a damaged one.

    log_name: of the log in which they are, for a kind of `OBJECTS`.
    """
    fields, values = sql.SQL(", ").join(map(sql.Identifier, kind._fields)), [] if log_name is None else [log_name]
    query = _ALL if log_name is None else _OF_LOG
    try:
        rows = connection.execute(query.format(fields, _name(kind)), values, binary=True).fetchall()
        return [decoded(kind, row, _CODECS) for row in rows]
    except ValueError as error:
        raise StoreError(f"{TABLES[kind]}: {error}") from error


def _name(kind: type[Any]) -> sql.Identifier:
    return sql.Identifier(TABLES[kind])


def _upsert(kind: type[Definition]) -> sql.Composed:
    """Return a statement that changes nothing where the definition is unchanged, as in a repeated import."""
    fields = [sql.Identifier(field) for field in (*kind._fields, *(["log"] if kind in OBJECTS else []))]
    return sql.SQL(
        "INSERT INTO {table} (key, {fields}) VALUES (%s, {values}) ON CONFLICT (key) DO UPDATE"
        " SET place = DEFAULT, {changes} WHERE ({old}) IS DISTINCT FROM ({new})"
    ).format(
        table=_name(kind),
        fields=sql.SQL(", ").join(fields),
        values=sql.SQL(", ").join([sql.Placeholder()] * len(fields)),
        changes=sql.SQL(", ").join([sql.SQL("{0} = excluded.{0}").format(field) for field in fields]),
        old=sql.SQL(", ").join([sql.SQL("{}.{}").format(_name(kind), field) for field in fields]),
        new=sql.SQL(", ").join([sql.SQL("excluded.{}").format(field) for field in fields]),
    )


def to_text(value: str) -> str:
    """Encode a name, which may have characters that PostgreSQL cannot store: NUL and surrogates.

    Most names stay as they are.
    """
    return json.dumps(value, ensure_ascii=True)[1:-1] if "\\" in value or not value.isprintable() else value


def from_text(text: str) -> str:
    """Decode a name."""
    return str(json.loads(f'"{text}"')) if "\\" in text else text


_CODECS: Final[dict[Any, Codec]] = {**CODECS, str: (to_text, from_text)}


_PUT: Final = {kind: _upsert(kind) for kind in TABLES}
_LAST_ID: Final = sql.SQL(
    "INSERT INTO {table} (log, id) VALUES (%s, %s)"
    " ON CONFLICT (log) DO UPDATE SET id = greatest({table}.id, excluded.id)"
).format(table=sql.Identifier("last_id"))
