"""Files and definitions of the leader of a log in its database."""

from collections.abc import Callable
from pathlib import Path

from amqpbroker.cluster.following.follower import Follower
from amqpbroker.cluster.leadership.sessions import Sessions
from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.database.database_files import DatabaseFiles
from amqpbroker.store.database.fence import LOG, Fence
from amqpbroker.store.database.session import TimedConnection


class DatabaseStorage:
    """The files and the definitions of a log in one epoch, until `close`.

    log: its name. fence: for the thread that writes. removal: for the thread that removes files.
    """

    def __init__(self, sessions: Sessions, epoch: int, log: str = LOG) -> None:
        """sessions: of the broker, which has the leadership of the log in this epoch."""
        self._sessions = sessions
        self._writer = sessions.writer()
        self._recovery = sessions.recovery(log)
        self.log = log
        self.fence = Fence(self._writer, log, epoch, beside=sessions.beside(self._writer))
        self.removal = Fence(sessions.removal, log, epoch, proves=False)

    def open(self) -> None:
        """Connect, and find what there is. Raises OSError, StoreError."""
        log, reading = self.log, self._recovery
        self.definitions = DatabaseDefinitions(log, reading, self.fence)
        self.files = DatabaseFiles(log, reading, self.fence, self.removal)

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
        self.removal.close()
        self._sessions.leave(self._writer)


def is_synchronous(connection: TimedConnection) -> bool:
    """Return whether a commit waits for a standby, as far as the settings of the server say."""
    return not settings_to_change(connection)


def settings_to_change(connection: TimedConnection) -> str:
    """Return the settings of the server that must change, for the operator, so that a commit waits for a standby.

    It is "" if a commit waits for one.
    """
    found = connection.execute(
        "SELECT current_setting('synchronous_standby_names'), current_setting('synchronous_commit')"
    ).fetchone()
    assert found is not None
    changes = [] if found[0] else ["synchronous_standby_names"]
    if found[1] not in ("on", "remote_apply"):
        changes.append(f"synchronous_commit to on (it is {found[1]})")
    return " and ".join(changes)
