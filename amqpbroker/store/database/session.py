"""A connection to the database that is replaced when it breaks. Errors of psycopg become those of a log here."""

import errno
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen

from amqpbroker.store.database.repeated import UNPREPARED, Repeated, Repeating, Value
from amqpbroker.store.database.texts import described, reason
from amqpbroker.store.log import FencedError, LostError, RefusedError, UnwrittenError

T = TypeVar("T")

# It logs errors that follow from the one that is raised.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

#: Name of the schema that has all tables.
SCHEMA: Final = "amqpbroker"

#: SQLSTATE classes of errors that may end by themselves: lost connections, rolled back transactions, resources, and an
#: operator who stops the server. Codes: a server without a primary's rights, a transaction that was idle because this
#: process was stopped, a table that is in use, and an unknown prepared statement: psycopg takes a statement for
#: prepared whose preparation was skipped because an earlier one of its pipeline had failed.
_TEMPORARY_CLASSES: Final = frozenset({"08", "40", "53", "57", "58"})
_TEMPORARY_CODES: Final = frozenset({"25006", "25P03", "55P03", UNPREPARED})
_DISK_FULL: Final = "53100"
#: Code of an error that a repeated call may have: the first one has taken effect while the second one ran.
_DUPLICATE: Final = "23505"
#: Code of the error of a guard that finds another epoch (see fence).
_FENCED: Final = "22012"
#: Codes of the errors of a role that lacks a privilege, also that of using the schema, and what to do.
_NO_PRIVILEGE: Final = frozenset({"42501", "3F000"})
_NEEDED: Final = (
    f"the user of the URL must own the database or have the privilege CREATE in it, or own its schema {SCHEMA} with all"
    " tables"
)

#: Text for an operator whose database lacks what was committed.
LOST: Final = (
    "the database has lost messages that were confirmed; was a standby promoted that did not have them? Its server has"
    " to wait for a standby (synchronous_standby_names)"
)

#: Options of libpq that the URL may override.
_OPTIONS: Final[dict[str, Any]] = {
    "connect_timeout": 2,
    "tcp_user_timeout": 5_000,
    "keepalives_idle": 5,
    "keepalives_interval": 1,
    "keepalives_count": 5,
    "target_session_attrs": "read-write",
}
#: Settings of a session. The server ends transactions of a broker that has stopped within one, and sessions of a broker
#: whose machine is gone, which may have the lock of the leadership.
_SETTINGS: Final = (
    f"SET search_path TO {SCHEMA}; SET idle_in_transaction_session_timeout TO 5000; SET client_min_messages TO warning;"
    " SET tcp_keepalives_idle TO 5; SET tcp_keepalives_interval TO 1; SET tcp_keepalives_count TO 5"
)
#: Ends earlier sessions of this name. One whose commit waits for a standby does not notice that its client is gone.
_END_EARLIER: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s AND pid <> pg_backend_pid()"
)
#: Interval at which their ends are looked for.
_POLL_S: Final = 0.02


class TimedConnection(psycopg.Connection[Any]):
    """A connection whose calls end with an error after `deadline_s` seconds.

    A stopped server answers nothing, and TCP does not notice.
    """

    deadline_s: float = 10.0
    _repeating: Repeating | None = None

    def limit(self, deadline_s: float) -> None:
        """Set the limit of calls."""
        self.deadline_s = deadline_s

    @contextmanager
    def extended(self, further_s: float) -> Iterator[None]:
        """Extend the limit of calls."""
        self.deadline_s += further_s
        try:
            yield
        finally:
            self.deadline_s -= further_s

    def change(self, statement: Repeated, values: Sequence[Value]) -> int:
        """Execute a statement outside of a transaction; return the number of rows that it has changed."""
        if self._repeating is None:
            self._repeating = Repeating()
        return self._repeating.change(self, statement, values)

    def wait(self, gen: PQGen[T], interval: float = 0.1) -> T:  # type: ignore[override] # 3.3.7 has one more
        end = time.monotonic() + self.deadline_s
        try:
            return super().wait(_limited(gen, end), interval)
        except TimeoutError:
            # The end of a transaction would wait again.
            self.pgconn.finish()
            raise


def _limited(gen: PQGen[T], end: float) -> PQGen[T]:
    """Run a generator of psycopg until `end` at most. Raises TimeoutError."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if time.monotonic() > end:
                raise TimeoutError
            wanted = gen.send(ready)
    except StopIteration as stop:
        result: T = stop.value
        return result


class Session:
    """A connection to the database, opened by the first `run` and again after it was lost. Usable from any thread.

    name: shown as `application_name` in pg_stat_activity; no other session has it at the same time. deadline_s: limit
    of one call to the server, in seconds. connections: number of connections that were opened so far.
    """

    def __init__(self, url: str, name: str, deadline_s: float) -> None:
        self.name = name
        self._url = url
        self._deadline_s = deadline_s
        #: Time after an error in which `run` fails at once; 0 for a thread that may wait.
        self._rest_s: float = 0.0
        self._rests_until: float = 0.0
        self.connections: int = 0
        self._connection: TimedConnection | None = None
        #: Callers whose last call had no answer, and may still take effect.
        self._unanswered: set[str] = set()
        #: Held during a call. Time and reason of the last call that the server did not answer within the deadline, or
        #: of the last attempt to connect that failed.
        self._calling = threading.Lock()
        self._silent_s: float = -math.inf
        self._silence: str = ""
        self._connecting: threading.Thread | None = None
        self._ended: bool = False

    @property
    def is_busy(self) -> bool:
        """Return whether a call is under way."""
        return self._calling.locked()

    def run(self, task: Callable[[TimedConnection], T], caller: str = "") -> T:
        """Call the task with a connection, in autocommit mode, and return its result. It waits for calls under way.

        caller: name of one of several callers that share this session, and repeat their own tasks.

        Raises UnwrittenError if the task may be retried, FencedError if another broker leads, and RefusedError for an
        error that does not end by itself. In all cases the task may have taken effect.
        """
        if self._rest_s:
            self._require_connection()
        asked_s = time.monotonic()
        with self._calling:
            if self._silent_s >= asked_s:
                # Otherwise each of those who wait would wait once more, after all those before it.
                raise UnwrittenError(errno.EIO, self._silence)
            return self._run(task, caller)

    def _run(self, task: Callable[[TimedConnection], T], caller: str) -> T:
        connection = None
        try:
            connection = self._connected()
            result = task(connection)
        except TimeoutError as error:
            self._disconnect()
            self._unanswered.add(caller)
            silence = f"{described(self._url)}: no answer in {self._deadline_s:g} s"
            self._silent_s, self._silence = time.monotonic(), silence
            self._rests_until = self._silent_s + self._rest_s
            raise UnwrittenError(errno.EIO, silence) from error
        except psycopg.Error as error:
            if connection is None:
                self._silent_s, self._silence = time.monotonic(), f"{described(self._url)}: {reason(error)}"
            if self._connection is None or self._connection.closed or error.sqlstate == UNPREPARED:
                self._disconnect()
                self._unanswered.add(caller)
                self._rests_until = time.monotonic() + self._rest_s
            raise self._translated(error, caller) from error
        except BaseException:
            self._disconnect()
            raise
        self._unanswered.discard(caller)
        return result

    def discard(self, caller: str) -> None:
        """Remove what is remembered of a caller that makes no further calls."""
        self._unanswered.discard(caller)

    def _require_connection(self) -> None:
        """Return if there is a connection; otherwise begin to connect on another thread. Raises UnwrittenError."""
        if self._connection is not None and not self._connection.closed:
            return
        if self._rests_until <= time.monotonic() and (self._connecting is None or not self._connecting.is_alive()):
            self._connecting = threading.Thread(target=self._connect, name="connecting", daemon=True)
            self._connecting.start()
        raise UnwrittenError(errno.EIO, f"{described(self._url)}: there is no connection at the moment")

    def _connect(self) -> None:
        try:
            self._connected()
        except (psycopg.Error, TimeoutError):
            self._rests_until = time.monotonic() + self._rest_s
        if self._ended:
            self._disconnect()

    def _connected(self) -> TimedConnection:
        connection = self._connection
        if connection is None or connection.closed:
            connection = TimedConnection.connect(
                self._url, autocommit=True, **self._options(), application_name=self._shown_name
            )
            connection.limit(self._deadline_s)
            try:
                connection.execute(_SETTINGS)
                if self.connections:
                    self._end_earlier(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            self.connections += 1
        return connection

    def _end_earlier(self, connection: TimedConnection) -> None:
        """End the sessions that this one replaces, so that it finds what their transactions have done."""
        end = time.monotonic() + self._deadline_s
        while connection.execute(_END_EARLIER, [self._shown_name]).fetchall():
            if time.monotonic() > end:
                raise TimeoutError
            time.sleep(_POLL_S)

    @property
    def _shown_name(self) -> str:
        """The name as far as the server keeps it."""
        return self.name[:63]

    def _options(self) -> dict[str, Any]:
        given = psycopg.conninfo.conninfo_to_dict(self._url)
        return {key: value for key, value in _OPTIONS.items() if key not in given}

    def _translated(self, error: psycopg.Error, caller: str) -> OSError:
        text = f"{described(self._url)}: {reason(error)}"
        code = error.sqlstate or ""
        if code == _FENCED:
            return FencedError(errno.EPERM, "Another broker leads now")
        if code == _DISK_FULL:
            return UnwrittenError(errno.ENOSPC, text)
        lost = not code and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        repeated = code == _DUPLICATE and caller in self._unanswered
        if lost or repeated or code[:2] in _TEMPORARY_CLASSES or code in _TEMPORARY_CODES:
            return UnwrittenError(errno.EIO, text)
        return RefusedError(errno.EINVAL, f"{text}; {_NEEDED}" if code in _NO_PRIVILEGE else text)

    def limit(self, deadline_s: float, rest_s: float) -> None:
        """Set the limits of calls from now on, for a thread that must not wait long.

        rest_s: time after an error in which `run` fails at once, in seconds. It also fails while there is no
        connection, and connects on another thread.
        """
        self._deadline_s, self._rest_s = deadline_s, rest_s
        if self._connection is not None:
            self._connection.limit(deadline_s)

    def close(self) -> None:
        """End the connection, if there is one. The session may not be used again if it is limited."""
        self._ended = True
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def lost() -> LostError:
    """Return the error of a database that lacks what was committed."""
    return LostError(errno.EIO, LOST)
