"""Definitions of a simulated machine in a real SQLite database. Synced files outlive a broker."""

import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amqpbroker.config.bounds import Bounds
from amqpbroker.store.definitions.sqlite_definitions import SqliteDefinitions
from amqpbroker.store.files import Files

#: Directory whose files are in memory.
MEMORY = Path("/dev/shm")


class SqliteFiles(Files):
    """The directory of one database, and its sync operations for the broker.

    may_fail: called with the name of each operation; it pauses, and raises OSError for one that fails. may_change:
    called before each statement that changes something; raises OSError if it fails.

    A crash copies the files as they are: the old process cannot write to the copies. A power failure keeps the
    database, which SQLite syncs itself before it empties the log, and of the log the synced part and any part after it.
    """

    def __init__(self, chance: random.Random, may_fail: Callable[[str], None], may_change: Callable[[], None]) -> None:
        self._chance = chance
        self._may_fail = may_fail
        self._may_change = may_change
        self._root = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY if MEMORY.exists() else None))
        self._number = 0
        self._directory.mkdir()
        self._definitions: RefusingDefinitions | None = None
        #: Durable length of the log, and the part of it that a failed sync has lost; see `Unsynced`.
        self._synced = 0
        self._lost = -1
        self._entered = False

    @property
    def _directory(self) -> Path:
        return self._root / str(self._number)

    @property
    def _log(self) -> Path:
        return self._directory / "definitions.sqlite-wal"

    def definitions(self, bounds: Bounds) -> "RefusingDefinitions":
        """Open the database for a process."""
        self._definitions = RefusingDefinitions(self._directory / "definitions.sqlite", self, bounds)
        self._definitions.may_change = self._may_change
        return self._definitions

    @property
    def is_unsynced(self) -> bool:
        """Return whether a power failure may undo a change."""
        return self._definitions is not None and self._definitions.is_unsynced

    def copied(
        self, chance: random.Random, may_fail: Callable[[str], None], may_change: Callable[[], None]
    ) -> "SqliteFiles":
        """Return other files with the same data."""
        copy = SqliteFiles(chance, may_fail, may_change)
        copy._directory.rmdir()
        shutil.copytree(self._directory, copy._directory)
        copy._synced, copy._lost, copy._entered = self._synced, self._lost, self._entered
        return copy

    # --- calls of the broker ------------------------------------------------------------------------------------------

    def size(self, descriptor: int) -> int:
        size = super().size(descriptor)
        if size < self._synced or not size:  # SQLite has emptied it
            self._synced, self._lost = 0, -1
        return size

    def sync(self, descriptor: int) -> None:
        try:
            self._may_fail("sync")
        except OSError:
            if self._lost < 0 and self._chance.random() < 0.7:
                self._lost = self._synced
            raise
        self._synced = self.size(descriptor)

    def sync_directory(self, directory: Path) -> None:
        self._may_fail("sync_directory")
        self._entered = True

    # --- faults of machines -------------------------------------------------------------------------------------------

    def end_process(self) -> None:
        """End the process; the operating system has the written data."""
        before = self._directory
        self._number += 1
        shutil.copytree(before, self._directory)
        self._release(before)

    def cut_power(self) -> None:
        """Cut the power: unsynced data are lost, completely or in part."""
        self.end_process()
        size = self._log.stat().st_size if self._log.exists() else 0
        if not self._entered and self._chance.random() < 0.5:
            shutil.rmtree(self._directory)
            self._directory.mkdir()
        elif size < self._synced or not size:
            pass  # the log was emptied, and its content is in the database
        elif self._lost >= 0:
            os.truncate(self._log, self._lost)
        elif size > self._synced:
            os.truncate(self._log, self._chance.choice((self._synced, self._chance.randint(self._synced, size), size)))
        self._synced, self._lost = self._log.stat().st_size if self._log.exists() else 0, -1

    def remove_all(self) -> None:
        """Remove all files."""
        self._release(self._directory)
        shutil.rmtree(self._root, ignore_errors=True)

    def _release(self, directory: Path) -> None:
        if self._definitions is not None:
            self._definitions.close()
            self._definitions = None
        shutil.rmtree(directory)


class RefusingDefinitions(SqliteDefinitions):
    """Fails like SQLite on a disk that is full or does not write.

    may_change: called before each statement of a transaction; raises OSError if SQLite cannot write.
    """

    def __init__(self, path: Path, files: Files, bounds: Bounds) -> None:
        self.may_change: Callable[[], None] = lambda: None
        self._closed = False
        super().__init__(path, files, bounds)

    def _execute(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        try:
            self.may_change()
        except OSError as error:
            raise self._not_stored(sqlite3.OperationalError(str(error))) from error
        super()._execute(statement, values)

    @property
    def is_unsynced(self) -> bool:
        """Return whether there are changes that are not synced."""
        return self._log._dirty

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            super().close()
