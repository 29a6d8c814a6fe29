"""Following the journal of another leader, so that a takeover reads only what came last."""

from typing import Final, LiteralString, NamedTuple

from psycopg import errors, sql

from amqpbroker.store import record
from amqpbroker.store.database.database_files import find_ends, read_part
from amqpbroker.store.database.session import SCHEMA, TimedConnection
from amqpbroker.store.log import StoreError
from amqpbroker.store.recovered import Recovered

_SUFFIX: Final = ".seg"

#: Finds the tables between two names in an index, unlike `starts_with`: followers ask all the time.
_SEGMENTS: Final[LiteralString] = (
    "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename >= %s AND tablename < %s"
)

#: Bytes that one step reads, so that a takeover does not wait for a long one.
STEP_BYTES: Final = 16 << 20


class Followed(NamedTuple):
    """A segment. mark: of its batches. size: the bytes of it that were read."""

    mark: bytes
    size: int


class Follower:
    """Contents of the journal of a log, as far as they were read.

    found: the contents, which are not finished. segments: by number.
    """

    def __init__(self, log: str, step_bytes: int = STEP_BYTES) -> None:
        """step_bytes: most that one step reads, unless a batch is larger."""
        self.found = Recovered()
        self.segments: dict[int, Followed] = {}
        self._prefix = f"{log}/journal/"
        #: The first name after all that begin with the prefix.
        self._end = f"{log}/journal0"
        self._step_bytes = step_bytes

    def read_on(self, connection: TimedConnection) -> bool:
        """Read a step of what was appended since; return whether everything was read.

        Raises StoreError for what is no journal; then nothing that was found can be used.
        """
        try:
            return self._read_on(connection)
        except errors.UndefinedTable:
            # The leader has removed a segment meanwhile.
            return False

    def _read_on(self, connection: TimedConnection) -> bool:
        numbers = self._numbers(connection)
        if numbers and self.segments and numbers[0] > min(self.segments):
            self.found.discard_segments(numbers[0])
            self.segments = {number: kept for number, kept in self.segments.items() if number >= numbers[0]}
        newest = max(self.segments, default=0)
        return all(self._read_segment(connection, number) for number in numbers if number >= newest)

    def _numbers(self, connection: TimedConnection) -> list[int]:
        names = [row[0] for row in connection.execute(_SEGMENTS, [SCHEMA, self._prefix, self._end]).fetchall()]
        return sorted(int(name.removeprefix(self._prefix).removesuffix(_SUFFIX), 16) for name in names)

    def _read_segment(self, connection: TimedConnection, number: int) -> bool:
        """Read a step of a segment; return whether all of it was read."""
        table = sql.Identifier(f"{self._prefix}{number:016x}{_SUFFIX}")
        size, _ = find_ends(table, connection)
        step = self._step_bytes
        while True:
            before = self.segments.get(number, Followed(b"", 0))
            stop = min(before.size + step, size)
            if stop > before.size:
                self._visit(number, before, read_part(table, before.size, stop, connection))
            if stop == size or self.segments.get(number, before).size > before.size:
                return stop == size
            # One batch is larger than a step.
            step *= 4

    def _visit(self, number: int, before: Followed, data: bytes) -> None:
        """Read the whole batches in the next bytes of a segment. Raises StoreError."""
        mark, offset, found = before.mark, 0, self.found
        if not before.size:
            offset = record.SEGMENT_HEAD.size
            mark = record.read_mark(data, number) or b""
            if not mark:
                raise StoreError(f"segment {number} has no header")
        found.start_segment(number, before.size + len(data), before.size)
        while offset < len(data):
            batch = record.read_batch(data, offset, mark)
            start = offset + record.BATCH_HEAD.size
            if batch is None:
                if start > len(data):
                    break
                raise StoreError(f"segment {number} has no batch at {before.size + offset}")
            end = start + batch[1]
            if end > len(data):
                break
            if found.batches and batch[0] != found.batches + 1:
                raise StoreError(f"segment {number} has batch {batch[0]} after batch {found.batches}")
            if (wrong := record.damage(data, start, end)) is not None:
                raise StoreError(f"segment {number} is damaged at {before.size + offset}: {wrong}")
            try:
                record.visit(data, start, end, found)
            except record.DamagedError as error:
                raise StoreError(f"segment {number}: {error}") from error
            found.read_batch(batch[0])
            offset = end
        self.segments[number] = Followed(mark, before.size + offset)
