"""The store's interface to the file system: an argument, so that tests can pass one that fails or loses data."""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

from amqpbroker.store import syscalls
from amqpbroker.store.syscalls import BINARY


class Files:
    """The real file system. Paths are absolute. Every method raises OSError.

    at_once: maximum number of bytes that one system call reads; no system reads more than 2 GiB. parts_at_once: maximum
    number of parts that one system call writes, called IOV_MAX in POSIX; the value of Linux and others. concurrency:
    number of syncs of one file that may be under way.
    """

    at_once = 1 << 30
    concurrency = 1
    parts_at_once = 1024

    def names(self, directory: Path) -> list[str]:
        return sorted(os.listdir(directory)) if directory.exists() else []

    def make_directory(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.sync_directory(directory.parent)

    def create(self, path: Path) -> int:
        """Create a file, open for appending; return its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | BINARY, 0o600)

    def open(self, path: Path, write: bool = False) -> int:
        """Open an existing file, with `write` for appending."""
        return os.open(path, (os.O_RDWR | os.O_APPEND if write else os.O_RDONLY) | BINARY)

    def write(self, descriptor: int, *parts: bytes) -> None:
        """Append all parts in order."""
        left: deque[bytes | memoryview] = deque(parts)
        while left:
            written = syscalls.append(descriptor, list(islice(left, self.parts_at_once)))
            while left and written >= len(left[0]):
                written -= len(left.popleft())
            if written:
                left[0] = memoryview(left[0])[written:]

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        """Overwrite existing bytes.

        A separate descriptor is used, because Linux appends if the file is open for appending.
        """
        descriptor = os.open(path, os.O_WRONLY | BINARY)
        try:
            left = memoryview(data)
            while left:
                written = syscalls.write_at(descriptor, left, offset)
                left, offset = left[written:], offset + written
        finally:
            os.close(descriptor)

    def sync(self, descriptor: int) -> None:
        """Sync a file: all written data is on the disk when this returns. Never call it again after it has failed.

        Other kinds of files raise UnwrittenError where the file can be truncated and written again.
        """
        syscalls.sync(descriptor)

    def is_next_alone(self, descriptor: int) -> bool:
        """Return whether no other sync of a file may be under way at the same time as the next one."""
        return self.concurrency == 1

    def begin_sync(self, descriptor: int) -> Callable[[], None]:
        """Return a function that syncs what is written to a file by now, and may be called on another thread.

        It raises errors as `sync` does.
        """
        return partial(self.sync, descriptor)

    def sync_directory(self, directory: Path) -> None:
        """Sync the names in a directory, if the system supports that."""
        syscalls.sync_directory(directory)

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        """Return `size` bytes, or fewer at the end of the file."""
        if size <= self.at_once:
            return syscalls.read_at(descriptor, size, offset)
        parts = []
        for start in range(offset, offset + size, self.at_once):
            part = syscalls.read_at(descriptor, min(self.at_once, offset + size - start), start)
            parts.append(part)
            if len(part) < self.at_once:
                break
        return b"".join(parts)

    def expect(self, descriptor: int, offset: int, size: int) -> None:
        """Announce that these bytes will be read soon, so that the system may prefetch them.

        A hint that cannot fail.
        """
        with contextlib.suppress(OSError):
            syscalls.expect(descriptor, offset, size)

    def size(self, descriptor: int) -> int:
        return os.fstat(descriptor).st_size

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def remove(self, path: Path) -> None:
        os.unlink(path)
