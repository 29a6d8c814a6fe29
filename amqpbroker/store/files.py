"""The file system as the store uses it: an argument, so that tests can pass one that fails or forgets."""

import contextlib
import os
from collections import deque
from itertools import islice
from pathlib import Path

from amqpbroker.store import syscalls
from amqpbroker.store.syscalls import BINARY


class Files:
    """The real one. Paths are absolute. Everything raises OSError.

    at_once: how many octets one call to the system reads; more than 2 GiB none does, whatever is asked of it.
    parts_at_once: how many parts one call to the system writes, which POSIX calls IOV_MAX; as in Linux and others.
    """

    at_once = 1 << 30
    parts_at_once = 1024

    def names(self, directory: Path) -> list[str]:
        return sorted(os.listdir(directory)) if directory.exists() else []

    def make_directory(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.sync_directory(directory.parent)

    def create(self, path: Path) -> int:
        """A new file, open for appending; returns its descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | BINARY, 0o600)

    def open(self, path: Path, write: bool = False) -> int:
        """A file that exists; with `write` for appending."""
        return os.open(path, (os.O_RDWR | os.O_APPEND if write else os.O_RDONLY) | BINARY)

    def write(self, descriptor: int, *parts: bytes) -> None:
        """All of the parts, at the end, one behind the other."""
        left: deque[bytes | memoryview] = deque(parts)
        while left:
            written = syscalls.append(descriptor, list(islice(left, self.parts_at_once)))
            while left and written >= len(left[0]):
                written -= len(left.popleft())
            if written:
                left[0] = memoryview(left[0])[written:]

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        """Write over bytes that are there. Linux appends to a file that is open for appending, hence another one."""
        descriptor = os.open(path, os.O_WRONLY | BINARY)
        try:
            left = memoryview(data)
            while left:
                written = syscalls.write_at(descriptor, left, offset)
                left, offset = left[written:], offset + written
        finally:
            os.close(descriptor)

    def sync(self, descriptor: int) -> None:
        """What was written is on the disk when this returns. Never call it again after it has failed."""
        syscalls.sync(descriptor)

    def sync_directory(self, directory: Path) -> None:
        """The names in the directory are on the disk when this returns, if the system can do that."""
        syscalls.sync_directory(directory)

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        """`size` octets, or up to the file's end."""
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
        """These octets will be read soon: the system may fetch them meanwhile. A hint, which cannot fail."""
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
