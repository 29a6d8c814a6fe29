"""Files in a database, for the journal and the streams: a file is a table, and what one sync writes a row of it.

Segments are written at their ends, read in parts, and removed as a whole, so that a table never has dead rows, and the
space of a removed one is free at once.

Several rows of a segment may be inserted at the same time, each by its own transaction. If the first of them fails,
or is lost together with the leader, others follow a gap. They were not confirmed: readers end before the gap, and the
next write removes them.
"""

import errno
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from psycopg import sql

from amqpbroker.store.database.fence import REMOVAL_LOCK, ROWS_AT_ONCE, Fence, Statement, insertion, numbered_insertion
from amqpbroker.store.database.repeated import Repeated
from amqpbroker.store.database.session import SCHEMA, Session, TimedConnection
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError

#: Longest name of a table, in bytes.
_NAME_BYTES: Final = 63

#: Largest row.
_ROW_BYTES: Final = 4 << 20


class _Kept:
    """A file.

    size: its size for the broker. written: the bytes of it that are durable. rows: those that follow and are under way,
    by their starts. appended: what follows them, not written yet. exists: its table exists. has_rest: rows after
    `written` may exist that are not under way.
    """

    def __init__(self, table: str, size: int = 0, exists: bool = False, has_rest: bool = False) -> None:
        self.table = sql.Identifier(table)
        #: The newest file of the journal is never removed, unlike a stream.
        self.is_lasting = "/journal/" in table
        self.written = size
        self.rows: dict[int, bytes] = {}
        #: Starts of rows that are durable, while an earlier one is under way.
        self._ended: set[int] = set()
        self.appended: list[bytes] = []
        self.exists = exists
        self.has_rest = has_rest
        #: Starts of the last rows that are durable, without those of `write`.
        self._latest: deque[int] = deque(maxlen=ROWS_AT_ONCE)

    @property
    def size(self) -> int:
        return self._end + sum(map(len, self.appended))

    @property
    def _end(self) -> int:
        """The end of the last row that is durable or under way."""
        return self.written + sum(map(len, self.rows.values()))

    @cached_property
    def insertion(self) -> Repeated:
        """The statement of `Fence.insert`, which is made once."""
        return insertion(self.table) if self.is_lasting else numbered_insertion(self.table)

    @cached_property
    def _finding(self) -> sql.Composed:
        return sql.SQL("SELECT 1 FROM {} WHERE start = %s").format(self.table)

    @cached_property
    def _finding_all(self) -> sql.Composed:
        return sql.SQL("SELECT 1 WHERE %s = (SELECT count(*) FROM {} WHERE start = ANY(%s))").format(self.table)

    def append(self, parts: Iterable[bytes]) -> None:
        self.appended += [bytes(part) for part in parts if part]

    def write(self, size: int) -> None:
        """Record that all appended bytes, `size` in number, are written."""
        self.written += size
        self._latest.clear()
        self.appended.clear()
        self.exists, self.has_rest = True, False

    def begin_row(self) -> tuple[int, bytes]:
        """Return the start and the contents of a row that has all appended bytes, and is under way from now on."""
        start, data = self._end, b"".join(self.appended)
        self.rows[start] = data
        self.appended.clear()
        return start, data

    def end_row(self, start: int) -> Statement | None:
        """Record that a row is written; return a query that finds all rows, up to the last that has no gap before it.

        It looks only for those that may have been committed after others: the server may have lost any of the last
        ones. Return None if there are none, or if the row was cut off meanwhile.
        """
        if start not in self.rows:
            return None
        self._ended.add(start)
        proof = None
        while self.written in self._ended:
            self._ended.remove(self.written)
            self._latest.append(self.written)
            proof = Statement(self._finding_all, (len(self._latest), [*self._latest]))
            self.written += len(self.rows.pop(self.written))
        return proof

    def doubt(self) -> None:
        """Record that bytes may be written, although that was reported as failed."""
        self.has_rest = True

    def truncate(self, size: int) -> None:
        for start in [start for start in self.rows if start >= size]:
            del self.rows[start]
            self._ended.discard(start)
        rest = self.size - size
        while rest > 0 and self.appended:
            last = self.appended.pop()
            if len(last) > rest:
                self.appended.append(last[:-rest])
            rest -= len(last)
        if size < self.written:
            self.written = size
        # The last write may have had an effect, although it was reported as failed.
        self.has_rest = self.exists

    def proof(self) -> Statement:
        """Return a query that finds the row that `statements` inserts, until the file is removed."""
        return Statement(self._finding, (self.written,))

    def is_row(self, size: int) -> bool:
        """Return whether writing this number of appended bytes only inserts a row."""
        return self.exists and not self.has_rest and 0 < size <= _ROW_BYTES

    @property
    def may_replace(self) -> bool:
        """Return whether `statements` remove rows of an earlier leader, which may begin where the new ones do."""
        return self.has_rest or not self.exists

    def statements(self, data: bytes) -> list[Statement]:
        """Return what writes `data`, the appended bytes."""
        table = self.table
        made: list[Statement] = []
        if not self.exists:
            columns = sql.SQL("CREATE TABLE IF NOT EXISTS {} (start bigint PRIMARY KEY, data bytea NOT NULL)")
            made.append(Statement(columns.format(table)))
            # Not compressed, so that parts of a row can be read.
            made.append(Statement(sql.SQL("ALTER TABLE {} ALTER data SET STORAGE EXTERNAL").format(table)))
        if self.may_replace:
            end = self.written
            made.append(Statement(sql.SQL("DELETE FROM {} WHERE start >= %s").format(table), (end,)))
            cut = "UPDATE {} SET data = substr(data, 1, (%s - start)::int) WHERE start + length(data) > %s"
            made.append(Statement(sql.SQL(cut).format(table), (end, end)))
        if data:
            insert = sql.SQL("INSERT INTO {} (start, data) VALUES (%s, %s)").format(table)
            made += [
                Statement(insert, (self.written + at, data[at : at + _ROW_BYTES]))
                for at in range(0, len(data), _ROW_BYTES)
            ]
        return made


class DatabaseFiles(Files):
    """The files of one log, of which this broker is the leader. Paths begin at `/`.

    Appended bytes stay in memory until `flush`, which `sync` calls. Reads find everything that was appended. Raises
    UnwrittenError where the caller may try again.

    at_once: each query has a time limit.
    """

    at_once = 4 << 20

    def __init__(self, log: str, reading: Session, fence: Fence, removal: Fence) -> None:
        """log: of which the names of tables begin. reading: for the thread that reads. fence: for the thread that
        writes. removal: for the thread that removes files. Raises StoreError, OSError.
        """
        self._log = log
        self._reading = reading
        self._fence = fence
        self.concurrency = fence.concurrency
        self._removal = removal
        self._files: dict[Path, _Kept] = reading.run(self._found)
        #: Connections that have removed the last file, and that remove the next one.
        self._removed_on: TimedConnection | None = None
        self._removing_on: TimedConnection | None = None
        #: Files that the next `flush` writes.
        self._due: dict[_Kept, None] = {}
        #: Files that are being written alone.
        self._under_way: set[_Kept] = set()
        self._open: dict[int, Path] = {}
        self._next: int = 0
        #: Held while the fields of a file change, and while they are read by another thread.
        self._changing = threading.Lock()

    def _found(self, connection: TimedConnection) -> dict[Path, _Kept]:
        found = {}
        for path in self._paths(connection):
            table = self._table(path)
            end, last = find_ends(sql.Identifier(table), connection)
            found[path] = _Kept(table, end, exists=True, has_rest=last > end)
        return found

    def _paths(self, connection: TimedConnection) -> list[Path]:
        """Return the paths of the files that exist in the database."""
        prefix = f"{self._log}/"
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND starts_with(tablename, %s)", [SCHEMA, prefix]
        ).fetchall()
        return [Path("/") / name.removeprefix(prefix) for (name,) in found]

    def _table(self, path: Path) -> str:
        return f"{self._log}{path}"

    def read_with(self, reading: Session) -> None:
        """Read with another session from now on."""
        self._reading = reading

    # --- names --------------------------------------------------------------------------------------------------------

    def names(self, directory: Path) -> list[str]:
        return sorted(path.name for path in list(self._files) if path.parent == directory)

    def make_directory(self, directory: Path) -> None:
        pass

    def create(self, path: Path) -> int:
        if path in self._files:
            raise FileExistsError(str(path))
        table = self._table(path)
        if len(table.encode()) > _NAME_BYTES:
            raise StoreError(f"{table} is too long for the name of a table")
        with self._changing:
            self._files[path] = kept = _Kept(table)
            self._due[kept] = None
        return self.open(path)

    def open(self, path: Path, write: bool = False) -> int:
        if path not in self._files:
            raise FileNotFoundError(str(path))
        with self._changing:
            self._next += 1
            self._open[self._next] = path
            return self._next

    def close(self, descriptor: int) -> None:
        with self._changing:
            del self._open[descriptor]

    def remove(self, path: Path) -> None:
        kept = self._files.get(path)
        if kept is None:
            raise FileNotFoundError(str(path))
        with self._changing:
            if kept in self._under_way or kept.rows:
                raise OSError(errno.EBUSY, "it is being written", str(path))
            self._due.pop(kept, None)
        if kept.exists:
            self._removal.write([REMOVAL_LOCK, _table_removal(kept.table)], also=self._lost_removals)
            self._removed_on = self._removing_on
        with self._changing:
            del self._files[path]

    def _lost_removals(self, connection: TimedConnection) -> list[Statement]:
        """Return statements that remove files again that a server still has after a failover to it.

        Otherwise the next file that is removed would be missing between two others of the journal, or of a stream.
        """
        self._removing_on = connection
        if self._removed_on is None or self._removed_on is connection:
            return []
        stored = self._paths(connection)
        with self._changing:
            known = set(self._files)
        first: dict[str, str] = {}
        for path in known:
            first[_series(path)] = min(path.name, first.get(_series(path), path.name))
        # Not those behind the first one: a new file of which it is not known whether it was made may be made again.
        lost = [path for path in stored if path not in known and path.name < first.get(_series(path), "")]
        return [_table_removal(sql.Identifier(self._table(path))) for path in lost]

    # --- contents -----------------------------------------------------------------------------------------------------

    def write(self, descriptor: int, *parts: bytes) -> None:
        with self._changing:
            kept = self._kept(descriptor)
            kept.append(parts)
            self._due[kept] = None

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        """Do nothing: rows that can be read are as durable as the takeover, which was committed after them."""

    def truncate(self, descriptor: int, size: int) -> None:
        with self._changing:
            kept = self._kept(descriptor)
            kept.truncate(size)
            self._due[kept] = None

    def size(self, descriptor: int) -> int:
        with self._changing:
            return self._kept(descriptor).size

    def sync(self, descriptor: int) -> None:
        self.flush()

    def is_next_alone(self, descriptor: int) -> bool:
        with self._changing:
            kept = self._kept(descriptor)
            return not kept.exists or kept.has_rest

    def begin_sync(self, descriptor: int) -> Callable[[], None]:
        with self._changing:
            kept = self._kept(descriptor)
            if self._under_way:
                raise OSError(errno.EBUSY, "it is being written alone", str(self._open[descriptor]))
            if kept.is_lasting and [*self._due] == [kept] and kept.is_row(sum(map(len, kept.appended))):
                del self._due[kept]
                return partial(self._insert, kept, *kept.begin_row())
            if kept.rows:
                raise OSError(errno.EBUSY, "it has to be written alone", str(self._open[descriptor]))
            self._under_way = set(self._due)
        return self.flush

    def _insert(self, kept: _Kept, start: int, data: bytes) -> None:
        """Commit a row that was begun, while others may be under way.

        If that fails, the row stays under way until `truncate`, so that another one is never written in its place.
        """
        self._fence.insert_row(kept.insertion, start, data)
        with self._changing:
            proof = kept.end_row(start)
            if proof is not None:
                self._fence.prove(proof)

    def sync_directory(self, directory: Path) -> None:
        pass

    def flush(self) -> None:
        """Commit everything that was appended to all files, in one transaction; do nothing if there is nothing.

        Called on the thread that writes. Raises OSError as `Fence.write`; then everything is still to be written.
        """
        with self._changing:
            # Rows of a journal are removed only together with what replaces them: another broker may have read them.
            due = [(kept, b"".join(kept.appended)) for kept in self._due if kept.appended or not kept.is_lasting]
            self._under_way = {kept for kept, _ in due}
        if not due:
            return
        try:
            self._write(due)
        except OSError:
            # If only the answer was lost, the next attempt replaces the rows, so that it waits for the standbys.
            for kept, _ in due:
                kept.doubt()
            self._under_way = set()
            raise
        with self._changing:
            for kept, data in due:
                kept.write(len(data))
                self._due.pop(kept, None)
            self._under_way = set()

    def _write(self, due: list[tuple[_Kept, bytes]]) -> None:
        """Commit these bytes of files."""
        if any(kept.has_rest for kept, _ in due):
            self._fence.end_doubtful()
        kept, data = due[0]
        if len(due) == 1 and kept.is_row(len(data)):
            self._fence.insert(kept.insertion, kept.written, data, kept.proof() if kept.is_lasting else None)
            return
        statements = [statement for kept, data in due for statement in kept.statements(data)]
        proofs = [kept.proof() for kept, data in due if data and kept.is_lasting]
        numbered = any(kept.may_replace for kept, _ in due)
        self._fence.write(statements, proofs[-1] if proofs else None, numbered=numbered)

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        with self._changing:
            kept = self._kept(descriptor)
            written, appended = kept.written, b"".join([*kept.rows.values(), *kept.appended])
        end = offset + size
        stop = min(end, written)
        found = [
            self._reading.run(partial(read_part, kept.table, start, min(start + self.at_once, stop)))
            for start in range(offset, stop, self.at_once)
        ]
        return b"".join([*found, appended[max(0, offset - written) : max(0, end - written)]])

    def expect(self, descriptor: int, offset: int, size: int) -> None:
        pass

    def _kept(self, descriptor: int) -> _Kept:
        return self._files[self._open[descriptor]]


def _series(path: Path) -> str:
    """Return what the paths of the segments of a journal or of a stream have in common; their names have an order."""
    before, _, name = str(path).rpartition("/")
    return f"{before}/{name.rpartition('-')[0]}"


def _table_removal(table: sql.Identifier) -> Statement:
    return Statement(sql.SQL("DROP TABLE IF EXISTS {}").format(table))


def find_ends(table: sql.Identifier, connection: TimedConnection) -> tuple[int, int]:
    """Return the end of the bytes of a file that have no gap before them, and that of its last row."""
    query = sql.SQL("SELECT start, start + length(data) FROM {} ORDER BY start DESC LIMIT %s").format(table)
    rows = connection.execute(query, [ROWS_AT_ONCE]).fetchall()
    rows.reverse()
    # Rows before the last ones have no gap.
    end = rows[0][0] if len(rows) == ROWS_AT_ONCE else 0
    for start, stop in rows:
        if start != end:
            break
        end = stop
    return end, rows[-1][1] if rows else 0


def read_part(table: sql.Identifier, start: int, stop: int, connection: TimedConnection) -> bytes:
    """Return the bytes of a file from `start` on and before `stop`."""
    query = sql.SQL(
        "SELECT substr(data, greatest(%(start)s - start, 0)::int + 1,"
        " (%(stop)s - greatest(start, %(start)s))::int) FROM {table}"
        " WHERE start >= coalesce((SELECT max(start) FROM {table} WHERE start <= %(start)s), 0) AND start < %(stop)s"
        " ORDER BY start"
    ).format(table=table)
    values: dict[str, Any] = {"start": start, "stop": stop}
    rows: Sequence[tuple[bytes]] = connection.execute(query, values, binary=True).fetchall()
    return b"".join([row[0] for row in rows])
