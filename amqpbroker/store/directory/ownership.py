"""Ownership of a data directory: it exists, no other broker uses it, and its format is known (docs/store-format.md)."""

import contextlib
import logging
import os
from pathlib import Path

from amqpbroker.store import syscalls
from amqpbroker.store.directory import lock
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError

logger = logging.getLogger(__name__)

#: The format of the directory's contents, written in the file `version`.
VERSION = 2

_CONTENTS = ("definitions.sqlite", "journal")


class Ownership:
    """A data directory, owned until `close` or the end of the process.

    It is created if it does not exist, readable only by its owner. Raises StoreError if it cannot be used, another
    broker uses it, or its version is newer.
    """

    def __init__(self, directory: Path, files: Files) -> None:
        self.directory = directory
        self._files = files
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | syscalls.BINARY, 0o600)
        except OSError as error:
            raise _unusable(directory, error) from error
        try:
            self._acquire()
            _check_version(directory, files)
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, OSError):
                raise _unusable(directory, error) from error
            raise

    def _acquire(self) -> None:
        if not lock.acquire(self._lock):
            # The kernel releases the lock when its process ends, so the pid in the file is that of the owner.
            pid = syscalls.read_at(self._lock, 20, 0).decode("ascii", "replace").strip()
            raise StoreError(
                f"{self.directory} belongs to a running broker{pid and f' (pid {pid})'}; stop it, or choose another"
                " directory with --data-dir"
            )
        os.ftruncate(self._lock, 0)
        # The pid only serves the error message of another broker, so a full disk must not prevent the start.
        with contextlib.suppress(OSError):
            syscalls.write_at(self._lock, f"{os.getpid()}\n".encode(), 0)

    def make_incomplete(self) -> None:
        """Remove the version, so that no broker accepts the directory until `make_complete`. Raises OSError."""
        (self.directory / "version").unlink()
        self._files.sync_directory(self.directory)

    def make_complete(self) -> None:
        """Write the version again. Raises OSError."""
        _write_version(self.directory / "version", self._files)

    def close(self) -> None:
        """Release the directory. The lock file remains, because another broker may have it open, waiting."""
        os.ftruncate(self._lock, 0)
        # Windows says that closing a file unlocks it, but not when.
        lock.release(self._lock)
        os.close(self._lock)


def _unusable(directory: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot use {directory} for data: {error.strerror}; choose another directory with --data-dir, or store nothing"
        " with --in-memory"
    )


def _check_version(directory: Path, files: Files) -> None:
    """Refuse a directory of a newer version; write the current version to any other. Raises StoreError, OSError."""
    path = directory / "version"
    if not path.exists():
        present = [name for name in _CONTENTS if (directory / name).exists()]
        if present:
            raise StoreError(
                f"{directory} has {' and '.join(present)}, but no file named version; if `amqpbroker store copy` was"
                " interrupted, remove the directory, and copy again"
            )
        _write_version(path, files)
        return
    written = path.read_text("ascii", "replace").strip()
    if not written.isdecimal() or not int(written):
        raise StoreError(f"{path}: {written!r} is not a version number")
    if int(written) > VERSION:
        raise StoreError(
            f"{directory} has format {written}, of a newer amqpbroker; this one reads up to format {VERSION}"
        )
    if int(written) < VERSION:
        # Each format so far only adds records, so nothing but the number has to be migrated.
        _write_version(path, files)
        logger.info("%s: migrated from format %s to %d", directory, written, VERSION)


def _write_version(path: Path, files: Files) -> None:
    """Write the version file atomically, even if the machine loses power."""
    new = path.with_name("version.new")
    new.unlink(missing_ok=True)
    descriptor = files.create(new)
    try:
        files.write(descriptor, f"{VERSION}\n".encode())
        files.sync(descriptor)
    finally:
        files.close(descriptor)
    new.replace(path)
    files.sync_directory(path.parent)
