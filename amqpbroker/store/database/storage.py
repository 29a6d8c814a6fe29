"""Files and definitions of the leader of a log in its database."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from amqpbroker.store.database import schema
from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.database.database_files import DatabaseFiles
from amqpbroker.store.database.fence import LOG, Fence
from amqpbroker.store.database.follower import Follower
from amqpbroker.store.database.leadership import GRACE_S, Leader, Leadership
from amqpbroker.store.database.renewing import Renewing
from amqpbroker.store.database.session import TimedConnection
from amqpbroker.store.database.sessions import Sessions, session
from amqpbroker.store.database.vhost_logs import refuse_shared
from amqpbroker.store.log import StoreError

#: Lease of a tool, and the time that it waits for a broker that has just ended.
_TOOL_LEASE_S = 10.0
_TOOL_WAIT_S = GRACE_S + 2.0
_LOOK_S = 0.1


class DatabaseStorage:
    """The files and the definitions of a log in one epoch, until `close`.

    log: its name. fence: for the thread that writes. synchronous: the settings of the server make a commit wait for a
    standby.
    """

    def __init__(self, sessions: Sessions, epoch: int, log: str = LOG) -> None:
        """sessions: of the broker, which has the leadership of the log in this epoch."""
        self._sessions = sessions
        self._writer = sessions.writer()
        self._recovery = sessions.recovery(log)
        self.log = log
        self.fence = Fence(self._writer, log, epoch)
        self._removal = Fence(sessions.removal, log, epoch, proves=False)

    def open(self) -> None:
        """Connect, and find what there is. Raises OSError, StoreError."""
        log, reading = self.log, self._recovery
        self.definitions = DatabaseDefinitions(log, reading, self.fence)
        self.synchronous: bool = reading.run(is_synchronous)
        self.files = DatabaseFiles(log, reading, self.fence, self._removal)

    def read_on(self, follower: Follower) -> bool:
        """Complete a follower with the rest of the journal; return whether it has all that the files have.

        Raises OSError, StoreError.
        """
        while not self._recovery.run(follower.read_on):
            pass
        directory, files = Path("/journal"), self.files
        found = {}
        for name in files.names(directory):
            descriptor = files.open(directory / name)
            found[int(Path(name).stem, 16)] = files.size(descriptor)
            files.close(descriptor)
        return found == {number: kept.size for number, kept in follower.segments.items()}

    def read(self, task: Callable[[TimedConnection], None]) -> None:
        """Call a task with the connection for recovery. Raises OSError."""
        self._recovery.run(task)

    def recovered(self) -> None:
        """Read with the session of the event loop, which the logs share, from now on."""
        self.files.read_with(self._sessions.reading)
        self._recovery.close()

    def close(self) -> None:
        """Use the sessions no longer."""
        self._recovery.close()
        self.fence.close()
        self._removal.close()
        self._sessions.leave(self._writer)


def is_synchronous(connection: TimedConnection) -> bool:
    """Return whether a commit waits for a standby, as far as the settings of the server say."""
    found = connection.execute(
        "SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit')"
    ).fetchone()
    assert found is not None
    return bool(found[0]) and found[1] in ("on", "remote_apply")


@contextmanager
def taken_by_tool(url: str) -> Iterator[DatabaseStorage]:
    """Keep all brokers out of a database meanwhile. Raises StoreError if one leads, or if there is no database."""
    process = secrets.token_hex(8)
    lease = session(url, process, "lease")
    leadership = Leadership(lease, LOG, Leader("amqpbroker store", "", process), _TOOL_LEASE_S)
    end = time.monotonic() + _TOOL_WAIT_S
    try:
        schema.make_tables(lease)
        lease.run(refuse_shared)
        while not leadership.try_take():
            if time.monotonic() > end:
                leader = leadership.leader()
                raise StoreError(
                    f"a running broker{f' ({leader.name} at {leader.address})' if leader else ''} uses the database;"
                    " stop all brokers that use it first"
                )
            time.sleep(_LOOK_S)
    except OSError as error:
        raise StoreError(str(error)) from error
    finally:
        if not leadership.epoch:
            lease.close()
    with (
        closing(Renewing(leadership, _ignore)),
        closing(Sessions(url, process)) as sessions,
        closing(DatabaseStorage(sessions, leadership.epoch)) as storage,
    ):
        try:
            storage.open()
        except OSError as error:
            raise StoreError(str(error)) from error
        yield storage


def _ignore(error: OSError) -> None:
    """Every later write fails anyway."""
