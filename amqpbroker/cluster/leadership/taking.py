"""Keeps all brokers out of a database, for a tool that reads or writes the stores of all vhosts."""

import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final

from amqpbroker.cluster.leadership.leadership import GRACE_S, Leader, session_name
from amqpbroker.cluster.leadership.leaderships import Leaderships
from amqpbroker.cluster.leadership.sessions import session
from amqpbroker.store.database import schema
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.database.session import Session
from amqpbroker.store.database.texts import described
from amqpbroker.store.database.vhost_logs import VhostLog, read_logs
from amqpbroker.store.log import StoreError

#: The name by which brokers see the tool.
TOOL: Final = Leader("amqpbroker store", "", "")

#: Lease of the tool, and the interval at which it is renewed.
_LEASE_S: Final = 10.0
_RENEWED_S: Final = GRACE_S / 2
#: Time that it waits for the leaders of logs, which may have just ended, after the last one that it could take.
_WAIT_S: Final = GRACE_S + 2.0
_LOOK_S: Final = 0.1
#: Limit of a call to the database: all definitions are written by one transaction.
_DEADLINE_S: Final = 60.0


class TakenDatabase:
    """A database of which this process leads the log that all brokers share, and those of all vhosts.

    session: for all reads and writes, which one thread makes. logs: of the vhosts. epochs: by log. lost: a leadership
    was lost, so a broker may use the database.
    """

    def __init__(self, url: str, makes_tables: bool = True) -> None:
        """makes_tables: make the tables of the store if there are none, which is an error otherwise."""
        self._url = url
        self._makes_tables = makes_tables
        self.session = Session(url, session_name(process := secrets.token_hex(8), "copy"), _DEADLINE_S)
        self.logs: Sequence[VhostLog] = ()
        self.lost: bool = False
        self._leaderships = Leaderships(session(url, process, "lease"), TOOL._replace(process=process), _LEASE_S)
        #: Held while the leaderships are used.
        self._using = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    @property
    def epochs(self) -> dict[str, int]:
        return self._leaderships.held

    def open(self) -> None:
        """Take the leaderships, and renew them from now on.

        Raises StoreError if a broker has one, or if there are no tables and none may be made; OSError.
        """
        if not (self._makes_tables or self.session.run(schema.has_tables)):
            raise StoreError(f"{described(self._url)} is not a database of amqpbroker")
        schema.make_tables(self.session)
        self._thread.start()
        self._lead([LOG])
        # Only the leader of the shared log adds vhosts.
        self.logs = [log for log in self.session.run(read_logs) if not log.removed]
        self._lead([log.name for log in self.logs])

    def _lead(self, logs: list[str]) -> None:
        end = time.monotonic() + _WAIT_S
        while logs:
            with self._using:
                left = [log for log in logs if not self._leaderships.try_take(log)]
            if len(left) < len(logs):
                end = time.monotonic() + _WAIT_S
            elif time.monotonic() > end:
                raise self._in_use(left[0])
            logs = left
            if logs:
                time.sleep(_LOOK_S)

    def _in_use(self, log: str) -> StoreError:
        with self._using:
            found = {held.log: held.leader for held in self._leaderships.all() if held.valid}
        leader = found.get(log)
        return StoreError(
            f"a running broker{f' ({leader.name} at {leader.address})' if leader else ''} uses the database;"
            " stop all brokers that use it first"
        )

    def check(self) -> None:
        """Raises StoreError if a broker may have used the database since it was taken."""
        try:
            self._renew()
        except OSError as error:
            raise StoreError(str(error)) from error
        if self.lost:
            raise StoreError("a broker has taken the database over meanwhile; stop all brokers, and copy again")

    def _renew(self) -> None:
        with self._using:
            if self._leaderships.held and self._leaderships.renew():
                self.lost = True

    def _run(self) -> None:
        while not self._ending.wait(_RENEWED_S):
            try:
                self._renew()
            except OSError:
                # The next attempt may come in time. If not, a broker takes over, which `check` finds.
                continue

    def close(self) -> None:
        """Give all leaderships up, and end the sessions."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            for log in list(self._leaderships.held):
                self._leaderships.release(log)
        except OSError:
            # The leases end by themselves.
            pass
        finally:
            self._leaderships.close()
            self.session.close()


@contextmanager
def taken(url: str, makes_tables: bool = True) -> Iterator[TakenDatabase]:
    """Keep all brokers out of a database meanwhile. Raises StoreError if one leads, or if there is no database.

    makes_tables: make the tables of the store if there are none, which is an error otherwise.
    """
    with closing(TakenDatabase(url, makes_tables)) as database:
        try:
            database.open()
        except OSError as error:
            raise StoreError(str(error)) from error
        yield database
