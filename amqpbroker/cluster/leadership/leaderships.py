"""The leaderships that one broker has of several logs, over one session, and what all brokers see of all logs."""

import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from functools import partial
from typing import Final, LiteralString, NamedTuple

from amqpbroker.cluster.leadership.leadership import GRACE_S, HasEnded, Leader, Leadership, Target, never
from amqpbroker.store.database.session import Session, TimedConnection

#: Renews the leases of all logs of a process at once, and tells which logs these are. It waits for no row: a takeover
#: locks one as long as it waits for a standby, and the leases of the other logs must not end meanwhile. It waits for no
#: standby and for no disk, so that commits of messages have these: a lease that a crash shortens is renewed soon.
_RENEW: Final[LiteralString] = (
    "WITH free AS (SELECT log AS name FROM leadership WHERE process = %(process)s AND log = ANY(%(logs)s)"
    " FOR NO KEY UPDATE SKIP LOCKED),"
    " renewed AS (UPDATE leadership SET until = clock_timestamp() + %(lease_s)s * interval '1 second',"
    " busy = log = ANY(%(busy)s) FROM free WHERE log = name)"
    " SELECT log, epoch, set_config('synchronous_commit', 'off', true)"
    " FROM leadership WHERE process = %(process)s AND log = ANY(%(logs)s)"
)
#: Extends the leases of logs of a process. It waits for nothing either.
_EXTEND: Final[LiteralString] = (
    "WITH free AS (SELECT leadership.log AS name FROM leadership"
    " JOIN unnest(%s::text[], %s::bigint[]) AS held (log, epoch)"
    " ON leadership.log = held.log AND leadership.epoch = held.epoch WHERE process = %s AND NOT released"
    " FOR NO KEY UPDATE OF leadership SKIP LOCKED)"
    " UPDATE leadership SET until = clock_timestamp() + %s * interval '1 second' FROM free WHERE log = name"
    " RETURNING set_config('synchronous_commit', 'off', true)"
)
_ALL: Final[LiteralString] = (
    "SELECT log, holder, address, process, host, port, secret, epoch, until > clock_timestamp() AND NOT released,"
    " busy, successor, wanted, accepted, ready, until FROM leadership"
)
#: Writes requests for moves, each only for the leader that had the log when the request was decided.
_REQUEST: Final[LiteralString] = (
    "UPDATE leadership SET wanted = given.wanted, accepted = false FROM unnest(%s::text[], %s::bigint[], %s::text[])"
    " AS given (log, epoch, wanted) WHERE leadership.log = given.log AND leadership.epoch = given.epoch"
    " AND NOT released RETURNING leadership.log"
)
#: Changes whether a process is the one that is ready to take logs. They wait for no row, since they are sent again, and
#: for no standby and no disk: if one is lost, a takeover only takes longer.
_SET_READY: Final[LiteralString] = (
    "WITH free AS (SELECT log AS name FROM leadership WHERE log = ANY(%s) FOR NO KEY UPDATE SKIP LOCKED)"
    " UPDATE leadership SET ready = %s FROM free WHERE log = name"
    " RETURNING set_config('synchronous_commit', 'off', true)"
)
_CLEAR_READY: Final[LiteralString] = (
    "WITH free AS (SELECT log AS name FROM leadership WHERE log = ANY(%s) AND ready = %s"
    " FOR NO KEY UPDATE SKIP LOCKED) UPDATE leadership SET ready = '' FROM free WHERE log = name"
    " RETURNING set_config('synchronous_commit', 'off', true)"
)
_ACCEPT_REQUESTS: Final[LiteralString] = "UPDATE leadership SET accepted = true WHERE wanted = %s AND log = ANY(%s)"
_CANCEL_REQUESTS: Final[LiteralString] = (
    "UPDATE leadership SET wanted = '', accepted = false WHERE process = %s AND log = ANY(%s)"
)


class Held(NamedTuple):
    """The leadership of a log, as all brokers see it.

    leader: the present holder, or the last one if `valid` is False. busy: it has clients. successor: process of the
    broker to which the last holder has handed the log over, "" if it has not. wanted: process of the broker to which
    an operator wants the leader to hand it over, "" for none; a takeover ends the request. accepted: that broker has
    read the journal, so that the leader may hand it over. ready: process of the broker that has read the journal, and
    reads on, "" for none; a takeover resets it. until: end of the lease.
    """

    log: str
    leader: Leader
    valid: bool
    busy: bool
    successor: str
    wanted: str = ""
    accepted: bool = False
    ready: str = ""
    until: datetime = datetime.max


def read_held(connection: TimedConnection) -> list[Held]:
    """Return the leaderships of all logs that have ever had a leader."""
    rows = connection.execute(_ALL).fetchall()
    return [
        Held(log, Leader(name, address, process, Target(*target), epoch), *state)
        for log, name, address, process, *target, epoch, valid, busy, successor, wanted, accepted, ready, until in rows
        for state in [(valid, busy, successor, wanted, accepted, ready, until)]
    ]


def request_moves(moves: Iterable[tuple[Held, str]], connection: TimedConnection) -> set[str]:
    """Ask the leaders of logs to hand them over; return the logs whose leaders have not changed meanwhile.

    moves: each log with the process of the broker that is to take it.
    """
    asked = [(held.log, held.leader.epoch, process) for held, process in moves]
    with connection.transaction():
        connection.execute("SET LOCAL synchronous_commit TO local")
        found = connection.execute(_REQUEST, [list(column) for column in zip(*asked, strict=True)]).fetchall()
    return {log for (log,) in found}


class Leaderships:
    """The logs that a broker leads, and those that it tries to take. Used by a thread at a time.

    held: names of the logs that it leads, with the epoch of each.
    """

    def __init__(
        self,
        session: Session,
        holder: Leader,
        lease_s: float,
        now_s: Callable[[], float] = time.monotonic,
        has_ended: HasEnded = never,
    ) -> None:
        """session: for this object only. holder: this broker. lease_s, now_s, has_ended: as of `Leadership`."""
        self.held: dict[str, int] = {}
        self.lease_s = lease_s
        self._session = session
        self._holder = holder
        self._now_s = now_s
        self._has_ended = has_ended
        self._by_log: dict[str, Leadership] = {}
        #: The end of the lease of each log, and when it was seen first, over one connection.
        self._leases: dict[str, tuple[datetime, float]] = {}
        self._leases_on: TimedConnection | None = None
        #: The highest epoch of each log that was seen, maybe on a server that was replaced by one without it.
        self._epochs: dict[str, int] = {}
        #: When the last renewal that succeeded began.
        self._renewed_s: float = now_s()

    @property
    def connections(self) -> int:
        """Return the number of connections to the database so far: each may be to another server."""
        return self._session.connections

    def run(self, task: Callable[[TimedConnection], None]) -> None:
        """Call a task with the connection of the leases. Raises OSError."""
        self._session.run(task)

    def may_have_ended(self) -> bool:
        """Return whether nothing was renewed for the time of a lease, so that others may have taken all logs over.

        Usable from any thread.
        """
        return self._now_s() - self._renewed_s > self.lease_s

    def may_be_taken(self) -> bool:
        """Return whether nothing was renewed for the time of a grace, so that others may take logs from now on.

        They do so before the end of the lease if the server has noticed the end of the session, which may be before
        this broker does. Usable from any thread.
        """
        return self._now_s() - self._renewed_s > GRACE_S

    def all(self) -> list[Held]:
        """Return the leaderships of all logs that have ever had a leader. Raises OSError."""

        def read(connection: TimedConnection) -> list[Held]:
            found = read_held(connection)
            self._see(found, connection)
            return found

        return self._session.run(read)

    def _see(self, found: list[Held], connection: TimedConnection) -> None:
        """Remember the leases and epochs of all logs, for attempts to take one."""
        before = self._leases if self._leases_on is connection else {}
        now_s, never = self._now_s(), (datetime.min, 0.0)
        self._leases_on, self._leases = connection, {}
        for held in found:
            seen = before.get(held.log, never)
            self._leases[held.log] = seen if seen[0] == held.until else (held.until, now_s)
            self._epochs[held.log] = max(self._epochs.get(held.log, 0), held.leader.epoch)

    def retain(self, logs: Collection[str]) -> None:
        """Forget all other logs, which do not exist any more."""
        for log in self._epochs.keys() - logs:
            del self._epochs[log]

    def try_take(self, log: str) -> bool:
        """Take the leadership of a log unless another broker has it; return whether it was taken. Raises OSError.

        It may need several calls, with a pause between them: see `Leadership.try_take`.
        """
        leadership = self._by_log.get(log)
        if leadership is None:
            leadership = Leadership(self._session, log, self._holder, self.lease_s, self._now_s, self._has_ended)
            self._by_log[log] = leadership
            if self._leases_on is not None and log in self._leases:
                leadership.saw(*self._leases[log], self._leases_on)
        leadership.outrank(self._epochs.get(log, 0))
        taken = leadership.try_take()
        if taken:
            self.held[log] = self._epochs[log] = leadership.epoch
        return taken

    def abandon(self, log: str) -> None:
        """Try to take a log no longer. Raises OSError."""
        leadership = self._by_log.pop(log, None)
        if leadership is not None:
            self._session.run(leadership.unlock)

    def renew(self, busy: Collection[str] = ()) -> dict[str, OSError]:
        """Renew the leases of all logs that are held; return the logs that are lost, with the reason of each.

        The lease of a log that another session changes just now is left to the next call.

        busy: those with clients. A reason is FencedError if another broker has taken the log over, and LostError if the
        database does not know of this leadership. Raises OSError, after which nothing may be renewed.
        """
        now_s = self._now_s()
        lost = self._session.run(partial(self._renew, list(busy)))
        self._renewed_s = max(self._renewed_s, now_s)
        return lost

    def _renew(self, busy: list[str], connection: TimedConnection) -> dict[str, OSError]:
        for log in self.held:
            # After a new connection: others may wait for the lock.
            self._by_log[log].lock(connection)
        values = {"lease_s": self.lease_s, "busy": busy, "process": self._holder.process, "logs": list(self.held)}
        found = {log: epoch for log, epoch, _ in connection.execute(_RENEW, values).fetchall()}
        lost = {log: self._by_log[log].loss(connection) for log in self.held if found.get(log) != self.held[log]}
        for log in lost:
            self._by_log[log].unlock(connection)
        # After all calls that may fail: the next renewal would not find them.
        for log in lost:
            del self.held[log], self._by_log[log]
        return lost

    def extend(self, connection: TimedConnection) -> None:
        """Extend the leases over another connection: a takeover may wait for a standby, and keep `renew` waiting.

        The connection has just been used. Usable from any thread.
        """
        now_s, held = self._now_s(), dict(self.held)
        if held:
            connection.execute(_EXTEND, [list(held), list(held.values()), self._holder.process, self.lease_s])
        self._renewed_s = max(self._renewed_s, now_s)

    def release(self, log: str, successor: str = "") -> None:
        """Give a log up, so that another broker takes it at once. Raises OSError.

        successor: process of the broker that is to take it, "" for any.
        """
        self._by_log[log].release(successor)
        del self.held[log]
        self.abandon(log)

    def set_ready(self, logs: Collection[str]) -> None:
        """Name this broker as the one that is ready to take logs: it has read their journals. Raises OSError.

        A log that another session changes just now is left to the next call.
        """
        self._session.run(lambda connection: connection.execute(_SET_READY, [list(logs), self._holder.process]))

    def clear_ready(self, logs: Collection[str]) -> None:
        """Do not name this broker any more as the one that is ready to take logs. Raises OSError.

        A log that another session changes just now is left to the next call.
        """
        self._session.run(lambda connection: connection.execute(_CLEAR_READY, [list(logs), self._holder.process]))

    def accept_requests(self, logs: Collection[str]) -> None:
        """Accept requests of operators that others hand logs over to this broker. Raises OSError."""
        self._change_requests(_ACCEPT_REQUESTS, logs)

    def cancel_requests(self, logs: Collection[str]) -> None:
        """Cancel requests of operators to hand logs over that this broker holds. Raises OSError."""
        self._change_requests(_CANCEL_REQUESTS, logs)

    def _change_requests(self, statement: LiteralString, logs: Collection[str]) -> None:
        def change(connection: TimedConnection) -> None:
            with connection.transaction():
                connection.execute("SET LOCAL synchronous_commit TO local")
                connection.execute(statement, [self._holder.process, list(logs)])

        self._session.run(change)

    def close(self) -> None:
        """End the session. Others take over after the grace what was not released."""
        self._session.close()
