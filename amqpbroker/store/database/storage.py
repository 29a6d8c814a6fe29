"""Files and definitions of a leader in its database, with the connections that they use."""

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
from amqpbroker.store.database.leadership import GRACE_S, Leader, Leadership, session_name
from amqpbroker.store.database.renewing import Renewing
from amqpbroker.store.database.session import Session, TimedConnection
from amqpbroker.store.database.vhost_logs import refuse_shared
from amqpbroker.store.log import StoreError

#: Longest call to the database, in seconds.
DEADLINE_S = 10.0
#: The same for the event loop, and the time in which it does not try again: other clients wait meanwhile.
READING_DEADLINE_S = 2.0
READING_REST_S = 3.0

#: Lease of a tool, and the time that it waits for a broker that has just ended.
_TOOL_LEASE_S = 10.0
_TOOL_WAIT_S = GRACE_S + 2.0
_LOOK_S = 0.1


class DatabaseStorage:
    """The files and the definitions of one epoch, until `close`.

    There are three connections: for what the event loop reads, for the thread that writes, and for the one that removes
    files.

    log: its name. fence: for the thread that writes. synchronous: the settings of the server make a commit wait for a
    standby.
    """

    def __init__(self, url: str, process: str, epoch: int, log: str = LOG) -> None:
        """process, epoch: of the leadership of the log."""
        prefix = "" if log == LOG else f"{log} "
        self._sessions = tuple(session(url, process, prefix + use) for use in ("reading", "writing", "removal"))
        self._epoch = epoch
        self.log = log

    def open(self) -> None:
        """Connect, and find what there is. Raises OSError, StoreError."""
        reading, writing, removal = self._sessions
        log, epoch = self.log, self._epoch
        self.fence = fence = Fence(writing, log, epoch)
        self.definitions = DatabaseDefinitions(log, reading, fence)
        self.synchronous: bool = reading.run(is_synchronous)
        self.files = DatabaseFiles(log, reading, fence, Fence(removal, log, epoch, proves=False))

    def read_on(self, follower: Follower) -> bool:
        """Complete a follower with the rest of the journal; return whether it has all that the files have.

        Raises OSError, StoreError.
        """
        while not self._sessions[0].run(follower.read_on):
            pass
        directory, files = Path("/journal"), self.files
        found = {}
        for name in files.names(directory):
            descriptor = files.open(directory / name)
            found[int(Path(name).stem, 16)] = files.size(descriptor)
            files.close(descriptor)
        return found == {number: kept.size for number, kept in follower.segments.items()}

    def read(self, task: Callable[[TimedConnection], None]) -> None:
        """Call a task with the connection for reading. Raises OSError."""
        self._sessions[0].run(task)

    def recovered(self) -> None:
        """Limit reading from now on, since the event loop serves clients."""
        self._sessions[0].limit(READING_DEADLINE_S, READING_REST_S)

    def close(self) -> None:
        """End all connections."""
        for each in self._sessions:
            each.close()


def is_synchronous(connection: TimedConnection) -> bool:
    """Return whether a commit waits for a standby, as far as the settings of the server say."""
    found = connection.execute(
        "SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit')"
    ).fetchone()
    assert found is not None
    return bool(found[0]) and found[1] in ("on", "remote_apply")


def session(url: str, process: str, use: str) -> Session:
    """Return a session of a process."""
    return Session(url, session_name(process, use), DEADLINE_S)


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
    with closing(Renewing(leadership, _ignore)), closing(DatabaseStorage(url, process, leadership.epoch)) as storage:
        try:
            storage.open()
        except OSError as error:
            raise StoreError(str(error)) from error
        yield storage


def _ignore(error: OSError) -> None:
    """Every later write fails anyway."""
