"""The table of the brokers that use a database: a row for each, which the broker itself writes.

It is operators' knowledge, so it waits for no standby, and is lost without harm: each broker writes its row again.
"""

import threading
from collections.abc import Callable
from typing import Any, Final, LiteralString, NamedTuple, TypeVar

from amqpbroker.cluster.leadership.leadership import Target, session_name
from amqpbroker.store.database.session import Session, TimedConnection

T = TypeVar("T")

#: The server shows a session's end at once.
_ROWS: Final[LiteralString] = (
    "SELECT process, node, address, version, pattern, host, port, secret,"
    " seen > clock_timestamp() - %s * interval '1 second'"
    " AND format(%s, process) = ANY(ARRAY(SELECT application_name FROM pg_stat_activity)),"
    " drained, round(extract(epoch FROM started) * 1000)::bigint,"
    " round(extract(epoch FROM seen) * 1000)::bigint, lag FROM brokers ORDER BY started, process"
)

#: Removes the row of an earlier process of the same broker, and waits for nothing.
_REPLACE: Final[LiteralString] = (
    "DELETE FROM brokers WHERE node = %s AND address = %s AND process <> %s"
    " RETURNING set_config('synchronous_commit', 'off', true)"
)
#: Writes the row of a broker, and removes rows that are old. It waits neither for a standby nor for the disk: the row
#: is written again soon.
_REPORT: Final[LiteralString] = (
    "WITH old AS (DELETE FROM brokers WHERE seen < clock_timestamp() - %(removed_s)s * interval '1 second'"
    " AND process <> %(process)s)"
    " INSERT INTO brokers (process, node, address, version, pattern, host, port, secret, drained, lag, started, seen)"
    " VALUES (%(process)s, %(node)s, %(address)s, %(version)s, %(pattern)s, %(host)s, %(port)s, %(secret)s,"
    " %(drained)s, %(lag)s, clock_timestamp(), clock_timestamp())"
    " ON CONFLICT (process) DO UPDATE SET node = excluded.node, address = excluded.address,"
    " version = excluded.version, pattern = excluded.pattern, host = excluded.host, port = excluded.port,"
    " secret = excluded.secret, lag = excluded.lag, seen = excluded.seen"
    " RETURNING drained, set_config('synchronous_commit', 'off', true)"
)

#: Time after which a row is removed whose broker has not written it again.
REMOVED_S: Final = 600.0


def _nothing(_: TimedConnection) -> None:
    pass


class Facts(NamedTuple):
    """Facts of a broker that do not change, except for the target.

    process: unique to it. node: its configured name. address: where its clients connect. pattern: of the vhosts that
    it prefers to lead, empty for none. target: its port for other brokers, while that is open.
    """

    process: str
    node: str
    address: str
    version: str
    pattern: str = ""
    target: Target = Target()


class Row(NamedTuple):
    """A row of the table.

    running: the broker has written its row within the lease, and has a session. lag_s: time since the broker had read
    all messages that it follows, None if that is not known. Times are milliseconds since the Unix epoch.
    """

    facts: Facts
    running: bool
    drained: bool
    started_ms: int
    seen_ms: int
    lag_s: float | None


class Members:
    """The table, for one of its brokers. Usable from any thread."""

    def __init__(self, session: Session, facts: Facts, lease_s: float) -> None:
        """session: for this object only. facts: of this broker. lease_s: of the leadership."""
        self.facts = facts
        self.lease_s = lease_s
        self._session = session
        self._reporting = threading.Lock()
        #: The state that the row had when it was last read, for a database that has lost it.
        self._drained: bool = False
        self._known: bool = False

    def report(self, lag_s: float | None, beside: Callable[[TimedConnection], None] = _nothing) -> None:
        """Write this broker's row, and remove rows that are old. Raises OSError.

        beside: makes further changes with the same session.
        """

        def write(connection: TimedConnection) -> bool:
            if not self._known:
                connection.execute(_REPLACE, [self.facts.node, self.facts.address, self.facts.process])
            facts = {**self.facts._asdict(), **self.facts.target._asdict()}
            values = {**facts, "drained": self._drained, "lag": lag_s, "removed_s": REMOVED_S}
            found = connection.execute(_REPORT, values).fetchone()
            assert found is not None
            beside(connection)
            drained: bool = found[0]
            return drained

        with self._reporting:
            self._drained = self._session.run(write)
            self._known = True

    def set_target(self, target: Target) -> None:
        """Show this port for other brokers from the next report on, or none."""
        self.facts = self.facts._replace(target=target)

    def rows(self) -> list[Row]:
        """Return the brokers, the oldest process first. Raises OSError."""
        return self._session.run(self._rows)

    def _rows(self, connection: TimedConnection) -> list[Row]:
        found = connection.execute(_ROWS, [self.lease_s, session_name("%s", "lease")]).fetchall()
        return [
            Row(Facts(process, node, address, version, pattern, Target(host, port, secret)), *state)
            for process, node, address, version, pattern, host, port, secret, *state in found
        ]

    def set_drained(self, process: str, drained: bool) -> None:
        """Drain or revive a broker. Raises OSError."""
        self._update("UPDATE brokers SET drained = %s WHERE process = %s", drained, process)

    def drain(self, process: str) -> bool:
        """Drain a broker unless no other one could lead; return whether that was done. Raises OSError."""

        def write(connection: TimedConnection) -> bool:
            with connection.transaction():
                _wait_for_no_standby(connection)
                # Two brokers that are drained at once could otherwise leave none.
                connection.execute("LOCK TABLE brokers IN SHARE ROW EXCLUSIVE MODE")
                rows = self._rows(connection)
                if not any(row.running and not row.drained for row in rows if row.facts.process != process):
                    return False
                connection.execute("UPDATE brokers SET drained = true WHERE process = %s", [process])
            return True

        return self._session.run(write)

    def run(self, task: Callable[[TimedConnection], T]) -> T:
        """Run a task of operators with the session of the table; return its result. Raises OSError."""
        return self._session.run(task)

    def remove(self) -> None:
        """Remove this broker's row. Raises OSError."""
        self._update("DELETE FROM brokers WHERE process = %s", self.facts.process)

    def _update(self, statement: Any, *values: object) -> None:
        def write(connection: TimedConnection) -> None:
            with connection.transaction():
                _wait_for_no_standby(connection)
                connection.execute(statement, values)

        self._session.run(write)

    def close(self) -> None:
        """End the session."""
        self._session.close()


def _wait_for_no_standby(connection: TimedConnection) -> None:
    connection.execute("SET LOCAL synchronous_commit TO local")
