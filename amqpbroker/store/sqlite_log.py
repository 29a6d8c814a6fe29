"""The write-ahead log of the definitions' database: synced, and kept small. docs/store-format.md, "Definitions"."""

import errno
import logging
import sqlite3
import threading
from pathlib import Path
from typing import Final

from amqpbroker.store.files import Files
from amqpbroker.store.journal import UnwrittenError

log = logging.getLogger(__name__)

#: From this size on `sync` moves the log into the database. From the second on a change waits for that.
CHECKPOINT_BYTES: Final = 4 << 20
MOST_BYTES: Final = 16 << 20
#: How much the log has to grow before a checkpoint that failed is tried again.
RETRY_BYTES: Final = 1 << 20

#: SQLite's codes of a sync that failed. After any other error the log still has everything, safe as before.
_FINAL: Final = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})

_TOO_MANY_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})


class SqliteLog:
    """The write-ahead log of the database `path`, which is open already.

    writing: held by the thread that changes the database, and by the one that empties the log.

    SQLite begins its log anew only when a change finds all of it in the database, which never happens while one change
    follows another. So a checkpoint first moves what is there beside the changes that go on; then it keeps them waiting
    for the little that has come since, and empties the log.
    """

    def __init__(self, path: Path, files: Files, connection: sqlite3.Connection) -> None:
        """connection: a connection to the database that nobody else uses. Raises OSError."""
        self.writing = threading.RLock()
        self._path = path
        self._files = files
        self._connection = connection
        # SQLite keeps one log file as long as the database is open. The database itself must be opened by SQLite only:
        # closing any other descriptor of it would drop SQLite's locks (fcntl).
        self._descriptor = files.open(path.with_name(path.name + "-wal"))
        # A process before this one may have written without syncing.
        self._dirty = True
        self._entered = False
        self._cramped = False
        self._failure: OSError | None = None
        self._checkpoint_bytes = CHECKPOINT_BYTES
        if self._octets():
            self._checkpoint_or_tell()

    def changed(self) -> None:
        """Have the next `sync` sync. After the change: `sync` unmarks before it syncs, for one made meanwhile."""
        self._dirty = True

    def refused(self) -> None:
        """The disk did not take a change: it may once the log is empty, whose space the next one gets."""
        self._cramped = True

    def make_room(self) -> None:
        """Empty the log if it is as large as it may get, or leaves no space; to be called before a change.

        Raises sqlite3.Error if the disk does not take that and the log is too large: then the change must not be made.
        """
        octets = self._octets()
        if octets >= MOST_BYTES:
            self._checkpoint()
        elif self._cramped and octets:
            self._cramped = False
            self._checkpoint_or_tell()

    def sync(self) -> None:
        """Have every change so far survive a power failure, and keep the log small; may be called on another thread.

        Raises UnwrittenError if that is to be tried again, and OSError, after which nothing may be taken for safe.
        """
        if self._failure is not None:
            raise self._failure
        if not self._dirty:
            return
        self._dirty = False
        try:
            self._files.sync(self._descriptor)
            self._enter()
        except UnwrittenError:
            self._dirty = True
            raise
        except OSError as error:
            self._failure = error
            raise
        if self._octets() >= self._checkpoint_bytes:
            self._checkpoint_or_tell()
            if self._failure is not None:
                raise self._failure

    def _enter(self) -> None:
        """Have the files' names on the disk."""
        if self._entered:
            return
        directory = self._path.parent
        try:
            self._files.sync_directory(directory)
        except OSError as error:
            if error.errno in _TOO_MANY_FILES:
                raise UnwrittenError(error.errno, error.strerror, str(directory)) from error
            raise
        self._entered = True

    def _octets(self) -> int:
        return self._files.size(self._descriptor)

    def _checkpoint_or_tell(self) -> None:
        """Empty the log. If that fails, all is as before, and it is tried again when more has come."""
        try:
            self._checkpoint()
        except sqlite3.Error as error:
            if self._checkpoint_bytes == CHECKPOINT_BYTES:
                log.error(  # noqa: TRY400 - the operator's business, not a bug
                    "%s: the log of %d bytes cannot be moved into the database: %s; definitions can be changed until it"
                    " has %d bytes",
                    self._path,
                    self._octets(),
                    error,
                    MOST_BYTES,
                )
            self._checkpoint_bytes = self._octets() + RETRY_BYTES

    def _checkpoint(self) -> None:
        """Move the log into the database, sync that, and empty the log. Raises sqlite3.Error."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            with self.writing:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) in _FINAL:
                self._failure = OSError(errno.EIO, str(error), str(self._path))
            raise
        if self._checkpoint_bytes != CHECKPOINT_BYTES:
            self._checkpoint_bytes = CHECKPOINT_BYTES
            log.warning("%s: the log is moved into the database again", self._path)

    def close(self) -> None:
        self._files.close(self._descriptor)
        self._connection.close()
