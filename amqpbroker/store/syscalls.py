"""System calls of the store, with substitutes for calls that the operating system lacks.

Every name is bound once, at import, so that no call has to check what the system has.
"""

import errno
import importlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

#: Flags for opening any file: Windows would translate line endings without this one, and other systems lack it.
BINARY: Final[int] = getattr(os, "O_BINARY", 0)


class Positioned(NamedTuple):
    """Reads and writes of a file.

    read_at(descriptor, size, offset) returns up to `size` bytes. write_at(descriptor, data, offset) and
    append(descriptor, parts) return the number of bytes that were written.
    """

    read_at: Callable[[int, int, int], bytes]
    write_at: Callable[[int, bytes | memoryview, int], int]
    append: Callable[[int, Sequence[bytes | memoryview]], int]


def optional_module(name: str) -> Any:
    """Return a module of the standard library, None if Python has no such module on this system."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def positioned(os: Any) -> Positioned:
    """Return the reads and writes of a file, by `pread`, `pwrite` and `writev` of `os` if it has all three.

    The substitutes move the position of the file, which all threads share, so a lock excludes the other threads.
    """
    if all(hasattr(os, name) for name in ("pread", "pwrite", "writev")):
        return Positioned(os.pread, os.pwrite, os.writev)
    seeking = threading.Lock()

    def read_at(descriptor: int, size: int, offset: int) -> bytes:
        with seeking:
            os.lseek(descriptor, offset, os.SEEK_SET)
            data: bytes = os.read(descriptor, size)
            return data

    def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> int:
        with seeking:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return int(os.write(descriptor, data))

    def append(descriptor: int, parts: Sequence[bytes | memoryview]) -> int:
        with seeking:
            return int(os.write(descriptor, b"".join(parts)))

    return Positioned(read_at, write_at, append)


def file_sync(os: Any, fcntl: Any) -> Callable[[int], None]:
    """Return the function that returns only when the contents of a file are on the disk, and raises OSError.

    macOS leaves them in the cache of the disk unless F_FULLFSYNC asks for more. fcntl: the module, None if there is
    none.
    """
    flush: Callable[[int], None] | None = _flush(os, fcntl)
    return flush or getattr(os, "fdatasync", os.fsync)


def directory_sync(os: Any, fcntl: Any) -> Callable[[Path], None]:
    """Return the function that returns only when the names in a directory are on the disk, and raises OSError.

    Windows opens no directories. It needs no such call: NTFS has names in its own journal, in the order of the changes.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return lambda path: None
    sync = _flush(os, fcntl) or os.fsync

    def sync_directory(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            sync(descriptor)
        finally:
            os.close(descriptor)

    return sync_directory


def _flush(os: Any, fcntl: Any) -> Callable[[int], None] | None:
    """Return the sync of macOS, which flushes the cache of the disk too; None on other systems."""
    command = getattr(fcntl, "F_FULLFSYNC", None)
    if command is None:
        return None
    #: Errors of file systems without that command, such as those of a network.
    unsupported = (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY)

    def flush(descriptor: int) -> None:
        try:
            fcntl.fcntl(descriptor, command)
        except OSError as error:
            if error.errno not in unsupported:
                raise
            os.fsync(descriptor)

    return flush


def read_ahead(os: Any) -> Callable[[int, int, int], None]:
    """Return the function that announces a read of (descriptor, offset, size), and may raise OSError."""
    if not hasattr(os, "posix_fadvise"):
        return lambda descriptor, offset, size: None
    advise, soon = os.posix_fadvise, os.POSIX_FADV_WILLNEED
    return lambda descriptor, offset, size: advise(descriptor, offset, size, soon)


_FCNTL: Final = optional_module("fcntl")

read_at, write_at, append = positioned(os)
sync: Final = file_sync(os, _FCNTL)
sync_directory: Final = directory_sync(os, _FCNTL)
expect: Final = read_ahead(os)
