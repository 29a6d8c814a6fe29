"""The write-ahead log of the definitions database: syncs and checkpoints. See docs/store-format.md, "Definitions"."""

import errno
import logging
import sqlite3
import threading
from pathlib import Path
from typing import Final

from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.store.files import Files
from amqpbroker.store.log import UnwrittenError

log = logging.getLogger(__name__)


#: SQLite's error codes of a failed sync. After any other error the log is complete and as durable as before.
_FINAL: Final = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})

_TOO_MANY_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})


class SqliteLog:
    """The write-ahead log of the database `path`, which is already open.

    writing: lock held by the thread that changes the database, and by the thread that empties the log.

    SQLite restarts its log only if a change finds all of the log in the database, which never happens under constant
    changes. So a checkpoint first copies the log concurrently with changes; then it holds `writing`, copies the small
    remainder, and empties the log.
    """

    def __init__(self, path: Path, files: Files, connection: sqlite3.Connection, bounds: Bounds = BOUNDS) -> None:
        """connection: a connection to the database for this object only.

        bounds: limits of the log's size. Raises OSError.
        """
        self.writing = threading.RLock()
        self._path = path
        self._files = files
        self._connection = connection
        # SQLite keeps one log file as long as the database is open. Only SQLite may open the database file itself:
        # closing another descriptor of the file would release SQLite's locks (fcntl).
        self._descriptor = files.open(path.with_name(path.name + "-wal"))
        # An earlier process may have written without syncing.
        self._dirty = True
        self._entered = False
        self._cramped = False
        self._failure: OSError | None = None
        self._least_bytes: int = bounds.log_bytes
        self._most_bytes: int = bounds.full_log_bytes
        self._retry_bytes: int = bounds.retry_log_bytes
        #: Size from which `sync` moves the log into the database. It is larger after a failure.
        self._checkpoint_bytes: int = self._least_bytes
        if self._size_bytes():
            self._checkpoint_or_report()

    def changed(self) -> None:
        """Mark the log as changed for the next `sync`. Call after the change, since `sync` unmarks before it syncs."""
        self._dirty = True

    def refused(self) -> None:
        """Record that the disk refused a change. Emptying the log may free space for the next change."""
        self._cramped = True

    def make_room(self) -> None:
        """Empty the log if it has reached its maximum size or the disk is full. Call before a change.

        Raises sqlite3.Error if the log is too large and cannot be emptied; the change must not be made then.
        """
        size = self._size_bytes()
        if size >= self._most_bytes:
            self._checkpoint()
        elif self._cramped and size:
            self._cramped = False
            self._checkpoint_or_report()

    def sync(self) -> None:
        """Make every change so far survive a power failure, and keep the log small. May be called on another thread.

        Raises UnwrittenError if the call can be retried, and OSError if no change may be considered durable any more.
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
        if self._size_bytes() >= self._checkpoint_bytes:
            self._checkpoint_or_report()
            if self._failure is not None:
                raise self._failure

    def _enter(self) -> None:
        """Sync the directory, so that the files' names are on the disk."""
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

    def _size_bytes(self) -> int:
        return self._files.size(self._descriptor)

    def _checkpoint_or_report(self) -> None:
        """Empty the log. On failure, report it, change nothing, and try again after the log has grown."""
        try:
            self._checkpoint()
        except sqlite3.Error as error:
            if self._checkpoint_bytes == self._least_bytes:
                log.error(  # noqa: TRY400 - the operator's business, not a bug
                    "%s: the log of %d bytes cannot be moved into the database: %s; definitions can be changed until it"
                    " has %d bytes",
                    self._path,
                    self._size_bytes(),
                    error,
                    self._most_bytes,
                )
            self._checkpoint_bytes = self._size_bytes() + self._retry_bytes

    def _checkpoint(self) -> None:
        """Move the log into the database, sync the database, and empty the log. Raises sqlite3.Error."""
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            with self.writing:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) in _FINAL:
                self._failure = OSError(errno.EIO, str(error), str(self._path))
            raise
        if self._checkpoint_bytes != self._least_bytes:
            self._checkpoint_bytes = self._least_bytes
            log.warning("%s: the log is moved into the database again", self._path)

    def close(self) -> None:
        self._files.close(self._descriptor)
        self._connection.close()
