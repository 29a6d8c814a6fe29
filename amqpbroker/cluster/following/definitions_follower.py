"""Following the definitions that another broker writes: what has changed since they were read last."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString, NamedTuple

from amqpbroker.store.database.database_definitions import read_all
from amqpbroker.store.database.session import TimedConnection
from amqpbroker.store.definitions.definitions import KEYS, Definition

#: Tells whether anything was written: each write of definitions alone leaves a number (see fence).
_LAST: Final[LiteralString] = "SELECT epoch, number FROM proof WHERE log = %s"


#: Definitions by kind, each by its key.
Found = Mapping[type[Any], Mapping[tuple[Any, ...], Definition]]


class Changes(NamedTuple):
    """Definitions that are new or changed, in the order of their kinds, and definitions that are no longer there."""

    put: list[Definition]
    removed: list[Definition]


class DefinitionsFollower:
    """The definitions of some kinds in the database, as they were read last.

    found: it is replaced as a whole, so that other threads may read it.
    """

    def __init__(self, log: str, kinds: Sequence[type[Any]]) -> None:
        """log: with whose leadership they are written. kinds: none of which is part of another log."""
        self.found: Found = {kind: {} for kind in kinds}
        self._log = log
        #: Epoch and number of the last write that was read, and the connection: another server may lack the write.
        self._read: tuple[int, int] | None = None
        self._read_from: TimedConnection | None = None

    def read_on(self, connection: TimedConnection) -> Changes:
        """Read the definitions if any were written since the last call; return the changes. Raises StoreError."""
        last = connection.execute(_LAST, [self._log]).fetchone()
        if last == self._read and connection is self._read_from:
            return Changes([], [])
        with connection.transaction():
            # All as after the same write.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            last = connection.execute(_LAST, [self._log]).fetchone()
            now = {
                kind: {definition[: KEYS[kind]]: definition for definition in read_all(kind, connection)}
                for kind in self.found
            }
        before, self.found, self._read, self._read_from = self.found, now, last, connection
        put = [
            definition
            for kind in now
            for key, definition in now[kind].items()
            if key not in before[kind] or before[kind][key] != definition
        ]
        removed = [before[kind][key] for kind in now for key in before[kind] if key not in now[kind]]
        return Changes(put, removed)
