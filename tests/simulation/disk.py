"""The disk of a simulated machine: it forgets what was not synced, tears writes, fails at random, and fills up."""

import errno
import random
from pathlib import Path

from tests.fault_definitions import FaultyDefinitions
from tests.fault_files import FaultyFiles
from tests.simulation.threads import pause


class Disk(FaultyFiles):
    """Files in memory, and the definitions beside them. Both outlive a broker, and a power cut as far as synced.

    failing: fraction of writes, and of reads, that fail now. full: every write fails. wedged: every sync fails, which
    ends a broker. A thread that makes a step pauses before and after it, so that others run meanwhile.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.definitions = FaultyDefinitions()
        self.failing_writes = 0.0
        self.failing_reads = 0.0
        self.full = False
        self.wedged = False
        self.failures = 0
        self._chance = chance

    def recover_faults(self) -> None:
        """No fault is left."""
        self.failing_writes = self.failing_reads = 0.0
        self.full = self.wedged = False

    # --- what the store calls ---------------------------------------------------------------------------------------

    def make_directory(self, directory: Path) -> None:
        pause()

    def create(self, path: Path) -> int:
        pause()
        descriptor = super().create(path)
        pause()
        return descriptor

    def truncate(self, descriptor: int, size: int) -> None:
        pause()
        super().truncate(descriptor, size)
        pause()

    def remove(self, path: Path) -> None:
        pause()
        super().remove(path)
        pause()

    def write(self, descriptor: int, *parts: bytes) -> None:
        pause()
        if self.full or self._happens(self.failing_writes):
            self.failures += 1
            data = b"".join(parts)
            self.contents[self.open_files[descriptor]] += data[: self._chance.randint(0, len(data))]
            raise OSError(errno.ENOSPC if self.full else errno.EIO, "simulated")
        super().write(descriptor, *parts)
        pause()

    def sync(self, descriptor: int) -> None:
        pause()
        if self.wedged:
            self.failures += 1
            raise OSError(errno.EIO, "simulated")
        # Data that is written while it syncs may or may not be safe then.
        super().sync(descriptor)
        pause()

    def sync_directory(self, directory: Path) -> None:
        pause()
        super().sync_directory(directory)
        pause()

    def read(self, descriptor: int, offset: int, size: int) -> bytes:
        if self._happens(self.failing_reads):
            self.failures += 1
            raise OSError(errno.EIO, "simulated")
        return super().read(descriptor, offset, size)

    def expect(self, descriptor: int, offset: int, size: int) -> None:
        """Do nothing: a simulated disk has what it has."""

    def _happens(self, share: float) -> bool:
        return share > 0 and self._chance.random() < share

    # --- what happens to machines -----------------------------------------------------------------------------------

    def end_process(self) -> None:
        """The process is gone; the operating system has what was written."""
        self.kill()
        self.definitions = self.definitions.killed()

    def cut_power(self) -> None:
        """The machine forgets what was not synced, wholly or in part."""
        self.power_loss(chance=self._chance)
        self.definitions = self.definitions.after_power_loss(self._chance)
