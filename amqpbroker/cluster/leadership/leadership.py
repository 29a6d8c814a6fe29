"""Leadership: which broker may write a log. Others wait for it, and take it over when its holder is gone.

A holder that dies is noticed at once, because the server then releases its session's advisory lock, and its port
refuses connections. One that hangs is noticed when it no longer renews its lease. None of these is what makes a
takeover safe: that is the epoch (see fence).
"""

import errno
import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Final, LiteralString, NamedTuple

from psycopg import errors

from amqpbroker.store.database.fence import LOG
from amqpbroker.store.database.session import Session, TimedConnection, lost
from amqpbroker.store.database.vhost_logs import is_removed
from amqpbroker.store.log import FencedError

#: Raises the epoch of a log above each that was seen.
_RAISE: Final[LiteralString] = (
    "INSERT INTO fence (log, epoch) VALUES (%(log)s, %(seen)s + 1) ON CONFLICT (log)"
    " DO UPDATE SET epoch = greatest(fence.epoch, %(seen)s) + 1 RETURNING epoch"
)
#: Keeps the log of a vhost from being removed until the end of the transaction. Fails with a division by zero if it is
#: removed already.
_KEEP: Final[LiteralString] = (
    "SELECT 1 / count(*) FROM (SELECT 1 FROM vhost_log WHERE 'v' || number = %s FOR SHARE) AS kept"
)
#: Writes the leader of the epoch that the same transaction has raised.
_LEAD: Final[LiteralString] = (
    "INSERT INTO leadership (log, epoch, holder, address, process, host, port, secret, released, until)"
    " SELECT log, epoch, %s, %s, %s, %s, %s, %s, false, clock_timestamp() + %s * interval '1 second'"
    " FROM fence WHERE log = %s"
)

#: Names of all sessions of brokers begin with it.
_PREFIX: Final = "amqpbroker "
#: Ends the sessions of the process that has a lock, unless the table of brokers shows that it runs: it may have
#: locks of rows, too. A broker that hangs has the lock if it leads the log, or if it was just about to take it.
_END_HOLDER: Final[LiteralString] = (
    "WITH holder AS (SELECT left(substr(application_name, length(%(prefix)s) + 1), -length(' lease')) AS process"
    " FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = %(lock)s AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND starts_with(application_name, %(prefix)s) AND pid <> pg_backend_pid())"
    " SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " JOIN holder ON starts_with(application_name, %(prefix)s || process || ' ')"
    " WHERE NOT EXISTS (SELECT FROM brokers WHERE brokers.process = holder.process"
    " AND seen > clock_timestamp() - %(lease_s)s * interval '1 second')"
)

#: Time in which a holder that lost its session, as in a failover of the database, can show that it is alive, unless its
#: process is known to have ended.
GRACE_S: Final = 1.0


class _RemovedError(Exception):
    """The log is that of a vhost that is deleted, and another broker has removed what was stored."""


class Target(NamedTuple):
    """The port of a leader for other brokers. secret: known only to readers of the database.

    port: 0 if there is none.
    """

    host: str = ""
    port: int = 0
    secret: str = ""


class Leader(NamedTuple):
    """The holder of a leadership.

    name: of its node. address: where its clients connect. process: unique to it. target: for other brokers. epoch:
    number of takeovers, with this one.
    """

    name: str
    address: str
    process: str
    target: Target = Target()
    epoch: int = 0


#: Returns whether the process of a broker has certainly ended. False if that is not known.
HasEnded = Callable[[Leader], bool]


def never(_: Leader) -> bool:
    """Find no process that has ended."""
    return False


class _Row(NamedTuple):
    """A row of the table. valid: the lease has not ended. released: the holder has given it up."""

    leader: Leader
    until: datetime
    valid: bool
    released: bool


class Leadership:
    """The leadership of one log. Used by a thread at a time.

    epoch: 0 until the leadership is taken; grows with each takeover.
    """

    def __init__(
        self,
        session: Session,
        log_name: str,
        holder: Leader,
        lease_s: float,
        now_s: Callable[[], float] = time.monotonic,
        has_ended: HasEnded = never,
    ) -> None:
        """session: for this object only. holder: this broker. lease_s: time without a renewal after which
        others take over. now_s: the clock of the grace, which a process that `has_ended` does not get.
        """
        self.epoch: int = 0
        self.lease_s = lease_s
        self._session = session
        self._log = log_name
        self._holder = holder
        self._now_s = now_s
        self._has_ended = has_ended
        digest = hashlib.sha256(f"amqpbroker {log_name}".encode()).digest()
        self._lock = int.from_bytes(digest[:8], "big", signed=True)
        #: The connection that has the lock.
        self._locked: TimedConnection | None = None
        self._locked_s: float = 0.0
        #: End of the holder's lease, and when it was seen first.
        self._until: datetime | None = None
        self._until_s: float = 0.0
        #: The highest epoch that was seen, maybe on a server that was replaced by one without it.
        self._seen_epoch: int = 0
        #: The connection of the last attempt.
        self._seen_on: TimedConnection | None = None

    def outrank(self, epoch: int) -> None:
        """Take the leadership only with a higher epoch than this one.

        A leader has had it, maybe on a server that was replaced by one without it.
        """
        self._seen_epoch = max(self._seen_epoch, epoch)

    def saw(self, until: datetime, at_s: float, connection: TimedConnection) -> None:
        """Continue from what this broker has seen before its first attempt, so that the grace need not begin anew.

        until: end of the holder's lease. at_s: when that was seen first, over the same connection.
        """
        self._until, self._until_s, self._seen_on = until, at_s, connection

    def leader(self) -> Leader | None:
        """Return the present holder, None if there is none. Raises OSError."""
        row = self._session.run(self._row)
        return row.leader if row is not None and row.valid and not row.released else None

    def try_take(self) -> bool:
        """Take the leadership unless another broker has it; return whether it was taken. Raises OSError."""
        return self._session.run(self._try_take)

    def _try_take(self, connection: TimedConnection) -> bool:
        row, now_s = self._row(connection), self._now_s()
        had_lock = self._locked is connection
        has_lock = self.lock(connection)
        if has_lock and not had_lock:
            self._locked_s = now_s
        renewed = row is not None and row.until != self._until
        if row is not None and (renewed or self._seen_on is not connection):
            # Where the database was away, its holder could not renew either.
            self._until, self._until_s = row.until, now_s
        self._seen_on = connection
        if has_lock and renewed and had_lock and not (row is not None and row.released):
            # The holder is alive, and has lost its lock together with its connection.
            self.unlock(connection)
            return False
        silent_s = now_s - max(self._until_s, self._locked_s if has_lock else self._until_s)
        if has_lock and (row is None or row.released or silent_s >= GRACE_S or self._has_ended(row.leader)):
            with suppress(_RemovedError):
                self._raise_epoch(connection)
                return True
        if not has_lock and row is not None and not row.valid and silent_s >= GRACE_S:
            values = {"lock": self._lock, "prefix": _PREFIX, "lease_s": self.lease_s}
            connection.execute(_END_HOLDER, values)
        return False

    def _raise_epoch(self, connection: TimedConnection) -> None:
        """Raise the epoch, which waits for transactions of the last holder, and refuses all that begin later.

        It becomes higher than each that was seen, so that two brokers do not have the same one after a standby was
        promoted that lacks a takeover. Raises _RemovedError if the log was removed meanwhile.
        """
        holder = self._holder
        try:
            # One round trip: on a busy machine, each of them may wait for a processor at both ends.
            with connection.pipeline():
                connection.execute("BEGIN")
                raised = connection.execute(_RAISE, {"log": self._log, "seen": self._seen_epoch})
                # After the row of the fence, as the broker locks them that removes the log.
                if self._log != LOG:
                    connection.execute(_KEEP, [self._log])
                connection.execute("DELETE FROM leadership WHERE log = %s", [self._log])
                connection.execute(
                    _LEAD, [holder.name, holder.address, holder.process, *holder.target, self.lease_s, self._log]
                )
                connection.execute("COMMIT")
        except BaseException as error:
            if not connection.closed:
                connection.rollback()
            if isinstance(error, errors.DivisionByZero):
                raise _RemovedError from error
            raise
        found = raised.fetchone()
        assert found is not None
        self.epoch = found[0]

    def renew(self) -> bool:
        """Renew the lease; return whether this broker also has its lock, which it may have lost with a connection.

        Raises FencedError if another broker has taken over, LostError if the database does not know of this
        leadership, another OSError.
        """
        # Its connection ends with an error: it may have got the lock, which other brokers need.
        self._session.run(self._renew)
        return self._locked is not None

    def _renew(self, connection: TimedConnection) -> None:
        self.lock(connection)
        with connection.transaction():
            # Where no standby answers, nothing is written, but the lease need not end.
            connection.execute("SET LOCAL synchronous_commit TO local")
            renewed = connection.execute(
                "UPDATE leadership SET until = clock_timestamp() + %s * interval '1 second'"
                " WHERE log = %s AND epoch = %s AND process = %s",
                [self.lease_s, self._log, self.epoch, self._holder.process],
            )
        if not renewed.rowcount:
            raise self.loss(connection)

    def loss(self, connection: TimedConnection) -> OSError:
        """Return the error of a leadership that cannot be renewed: FencedError, LostError."""
        row = self._row(connection)
        if row is None and is_removed(self._log, connection):
            return FencedError(errno.EPERM, "The vhost was deleted while another broker led it")
        # Epochs only grow, unless a standby was promoted that did not have the last takeover.
        if row is None or row.leader.epoch <= self.epoch:
            return lost()
        return FencedError(errno.EPERM, "Another broker leads now")

    def release(self, successor: str = "") -> None:
        """Give the leadership up, so that another broker takes it at once. Raises OSError.

        successor: process of the broker that is to take it, "" for any.
        """

        def end(connection: TimedConnection) -> None:
            with connection.transaction():
                # The leases of other logs end meanwhile where no standby answers.
                connection.execute("SET LOCAL synchronous_commit TO local")
                connection.execute(
                    "UPDATE leadership SET released = true, successor = %s"
                    " WHERE log = %s AND epoch = %s AND process = %s",
                    [successor, self._log, self.epoch, self._holder.process],
                )

        if self.epoch:
            self._session.run(end)

    def close(self) -> None:
        """End the session. Without `release`, others take over after the grace."""
        self._session.close()

    def lock(self, connection: TimedConnection) -> bool:
        """Return whether this session has the lock, after trying to get it."""
        if self._locked is not connection:
            found = connection.execute("SELECT pg_try_advisory_lock(%s)", [self._lock]).fetchone()
            self._locked = connection if found is not None and found[0] else None
        return self._locked is connection

    def unlock(self, connection: TimedConnection) -> None:
        """Release the lock, if this session has it."""
        if self._locked is connection:
            connection.execute("SELECT pg_advisory_unlock(%s)", [self._lock])
        self._locked = None

    def _row(self, connection: TimedConnection) -> _Row | None:
        found = connection.execute(
            "SELECT holder, address, process, host, port, secret, epoch, until, until > clock_timestamp(), released"
            " FROM leadership WHERE log = %s",
            [self._log],
        ).fetchone()
        if found is None:
            return None
        name, address, process, host, port, secret, epoch, *state = found
        self.outrank(epoch)
        return _Row(Leader(name, address, process, Target(host, port, secret), epoch), *state)


def session_name(process: str, use: str) -> str:
    """Return the name of a session of a process, as `pg_stat_activity` shows it."""
    return f"{_PREFIX}{process} {use}"
