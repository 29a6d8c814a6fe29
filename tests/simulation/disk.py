"""The disk of a simulated machine, which loses unsynced data, tears writes, fails, fills up, and is slow."""

import contextlib
import errno
import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from amqpbroker.config.bounds import Bounds
from amqpbroker.errors import not_stored
from amqpbroker.store.definitions.definitions import Definitions
from tests.fault_definitions import FaultyDefinitions
from tests.fault_files import FaultyFiles
from tests.simulation.disk_faults import DiskFaults
from tests.simulation.scheduler import SECOND
from tests.simulation.sqlite_files import SqliteFiles
from tests.simulation.threads import pause
from tests.simulation.unsynced import Unsynced

#: Operation that fails -> the errors it may fail with.
ERRORS = {
    "create": (errno.EIO, errno.EMFILE, errno.ENOSPC),
    "open": (errno.EIO, errno.EMFILE),
    "write": (errno.EIO, errno.ENOSPC, errno.EDQUOT),
    "read": (errno.EIO,),
    "sync": (errno.EIO, errno.ENOSPC),
    "sync_directory": (errno.EIO, errno.EMFILE),
    "truncate": (errno.EIO,),
    "remove": (errno.EIO, errno.EACCES),
}
#: One of this number of reads pauses its thread, which may be that of the loop.
READS = 8
#: One of this number of writes is made in two steps, like a `pwritev` that writes less than it should.
WRITES = 4
#: Time that a slow read takes.
SLOW_READ_NS = (SECOND // 50, 3 * SECOND)


class Disk(FaultyFiles):
    """Files in memory, with the definitions. Both outlive a broker, and a power failure as far as they are synced.

    faults: those that last for a while. failing_once: operations of which the next one fails. A thread that makes a
    step pauses before and after it, so that others run meanwhile. failures: number of operations that have failed.
    removal_failed: a file could not be removed. refuses: changes of definitions fail like writes of other files, once
    the broker serves clients: a start must succeed on a full disk.
    """

    def __init__(self, chance: random.Random, sqlite: bool = False) -> None:
        """sqlite: definitions are in a real database, in files; otherwise they are in memory."""
        super().__init__()
        self.definitions = FaultyDefinitions()
        self._serves = False
        self._sqlite: SqliteFiles | None = None
        self.faults = DiskFaults()
        self.failing_once: list[str] = []
        self._is_observed = False
        self.failures = 0
        self.removal_failed = False
        self.refuses = False
        self._chance = chance
        self._creates = False
        self._unsynced: dict[Path, Unsynced] = {}
        if sqlite:
            self._sqlite = SqliteFiles(chance, self._pause_or_fail, self._may_change)

    def open_definitions(self, bounds: Bounds) -> Definitions:
        """Open the definitions for a process."""
        self._serves = False
        if self._sqlite is not None:
            return self._sqlite.definitions(bounds)
        self.definitions.may_change = self._may_change_in_memory
        return self.definitions

    @property
    def has_unsynced_definitions(self) -> bool:
        """Return whether a power cut may undo a change of definitions."""
        return len(self.definitions.versions) > 1 if self._sqlite is None else self._sqlite.is_unsynced

    def copied(self, chance: random.Random) -> "Disk":
        """Return another disk with the same data, which the caller must release."""
        copy = Disk(chance)
        copy.contents = {path: bytearray(content) for path, content in self.contents.items()}
        copy.synced = dict(self.synced)
        copy._names = list(self._names)
        copy._unsynced = {path: Unsynced(chance) for path in (*self.contents, *(path for path, _ in self._names))}
        copy.definitions = self.definitions.killed()
        if self._sqlite is not None:
            copy._sqlite = self._sqlite.copied(chance, copy._pause_or_fail, copy._may_change)
        return copy

    @property
    def is_failing(self) -> bool:
        """Return whether reads may fail or take long now."""
        return bool(self.faults.failing or self.failing_once or self.faults.slow_reads)

    def serve(self) -> None:
        """Called when the process that has opened the definitions starts to serve clients."""
        self._serves = True

    def _may_change(self) -> None:
        """Raise OSError if a change of definitions fails."""
        if self.refuses and self._serves:
            if self.faults.full:
                self._fail(errno.ENOSPC)
            self._may_fail("write")

    def _may_change_in_memory(self) -> None:
        try:
            self._may_change()
        except OSError as error:
            raise not_stored(str(error)) from error

    def recover_faults(self) -> None:
        """End all faults."""
        self.faults.end_all()
        self.failing_once.clear()

    # --- calls of the store -------------------------------------------------------------------------------------------

    def make_directory(self, directory: Path) -> None:
        self._pause()

    def create(self, path: Path) -> int:
        self._pause()
        if self.faults.full and self._chance.random() < 0.5:
            self._fail(errno.ENOSPC)
        self._may_fail("create")
        # The operation opens the file that it has created.
        self._creates = True
        descriptor: int = super().create(path)
        self._creates = False
        self._unsynced[path] = Unsynced(self._chance)
        self._pause()
        return descriptor

    def open(self, path: Path, write: bool = False) -> int:
        if not self._creates:
            self._may_fail("open")
        descriptor: int = super().open(path, write)
        return descriptor

    def write(self, descriptor: int, *parts: bytes) -> None:
        """Append all parts. The thread sometimes pauses between or within parts, where the process may be killed."""
        self._pause()
        path = self.open_files[descriptor]
        data = b"".join(parts)
        start = 0
        for stop in self._stops(parts, len(data)):
            self._append(path, data[start:stop])
            start = stop
            self._pause()

    def _stops(self, parts: Sequence[bytes], size: int) -> list[int]:
        """Return the sizes after which a write of some parts pauses; the last one is that of all parts."""
        if self._chance.randrange(WRITES):
            return [size]
        ends = list(accumulate(len(part) for part in parts))
        stop = self._chance.choice(ends) if self._chance.random() < 0.5 else self._chance.randint(0, size)
        return sorted({stop, size})

    def _append(self, path: Path, data: bytes) -> None:
        """Append data. A failing write appends a part of it."""
        start = len(self.contents[path])
        fails = self.faults.full or self._happens("write")
        self.contents[path] += data[: self._chance.randint(0, len(data))] if fails else data
        self._unsynced[path].written(start, len(self.contents[path]))
        if fails:
            self._fail(errno.ENOSPC if self.faults.full else self._chance.choice(ERRORS["write"]))

    def overwrite(self, path: Path, offset: int, data: bytes) -> None:
        self._pause()
        self._may_fail("open")
        # The existing bytes are the same, so it does not matter how many of them a failing operation writes.
        assert self.contents[path][offset : offset + len(data)] == data
        self._unsynced[path].written(offset, offset + len(data))
        self._may_fail("write")
        self._pause()

    def sync(self, descriptor: int) -> None:
        self._pause()
        path = self.open_files[descriptor]
        if self._happens("sync"):
            self._unsynced[path].sync_failed(self.synced[path], len(self.contents[path]))
            self._fail(self._chance.choice(ERRORS["sync"]))
        # Data that is written during the sync may or may not be durable after it.
        super().sync(descriptor)
        self._unsynced[path].synced()
        self._pause()

    def sync_directory(self, directory: Path) -> None:
        self._pause()
        self._may_fail("sync_directory")
        super().sync_directory(directory)
        self._pause()

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        if not self._is_observed:
            slow = self.faults.slow_reads and self._chance.random() < self.faults.slow_reads
            # Usually the system has the data in memory.
            if slow or self._chance.randrange(READS) == 0:
                pause(self._chance.randint(*SLOW_READ_NS) if slow else 0)
        self._may_fail("read")
        data: bytes = super().read(descriptor, offset, size)
        return data

    def truncate(self, descriptor: int, size: int) -> None:
        self._pause()
        self._may_fail("truncate")
        path = self.open_files[descriptor]
        self._unsynced[path].cut_off(bytes(self.contents[path]))
        super().truncate(descriptor, size)
        self._pause()

    def remove(self, path: Path) -> None:
        self._pause()
        try:
            self._may_fail("remove")
        except OSError:
            self.removal_failed = True
            raise
        super().remove(path)
        self._pause()

    def expect(self, descriptor: int, offset: int, size: int) -> None:
        """Do nothing: a simulated disk needs no read-ahead."""

    @contextlib.contextmanager
    def observed(self) -> Iterator[None]:
        """Read for a check: within the context, reads take no time, do not fail, and use no random numbers."""
        self._is_observed = True
        try:
            yield
        finally:
            self._is_observed = False

    def _pause(self) -> None:
        if not self._is_observed:
            pause(self.faults.latency)

    def _pause_or_fail(self, operation: str) -> None:
        self._pause()
        self._may_fail(operation)

    def _may_fail(self, operation: str) -> None:
        if not self._is_observed and self._happens(operation):
            self._fail(self._chance.choice(ERRORS[operation]))

    def _happens(self, operation: str) -> bool:
        if operation in self.failing_once:
            self.failing_once.remove(operation)
            return True
        share = self.faults.failing.get(operation, 0.0)
        return share > 0 and self._chance.random() < share

    def _fail(self, number: int) -> None:
        self.failures += 1
        raise OSError(number, "simulated")

    # --- faults of machines -------------------------------------------------------------------------------------------

    def end_process(self) -> None:
        """End the process; the operating system has the written data."""
        self.kill()
        self.definitions = self.definitions.killed()
        if self._sqlite is not None:
            self._sqlite.end_process()

    def cut_power(self) -> None:
        """Cut the power: unsynced data are lost, completely or in part."""
        self.kill()
        undone = self._names[self._chance.randint(0, len(self._names)) :]
        self._names = []
        for path, removed in reversed(undone):
            if removed is None:
                del self.contents[path], self.synced[path]
            else:
                self.contents[path], self.synced[path], _ = removed
        for path, content in self.contents.items():
            content[:] = self._unsynced[path].after_power_loss(bytes(content), self.synced[path])
            self.synced[path] = len(content)
        self._unsynced = {path: Unsynced(self._chance) for path in self.contents}
        self.definitions = self.definitions.after_power_loss(self._chance)
        if self._sqlite is not None:
            self._sqlite.cut_power()

    def release(self) -> None:
        """Release resources of the real machine."""
        if self._sqlite is not None:
            self._sqlite.remove_all()
