"""A file system in memory that fails on request and loses unsynced data in a power failure."""

import copy
import errno
import random
from functools import partial
from pathlib import Path

SECTOR_BYTES = 512


class PowerCut(BaseException):
    """A power failure in the middle of a file operation. Nothing in the broker catches it."""


class FaultyFiles:
    """The methods of `amqpbroker.store.files.Files`, without a disk.

    fail_write, fail_sync: the number, from 1, of the write or sync that fails (0: none); a failed write leaves half its
    data behind. After a failed sync the kernel considers unsynced data written: no later sync writes it, unless it is
    overwritten. cut_at: the number of the step (an operation that changes something) in which `PowerCut` is raised.
    `power_loss` discards unsynced data; `kill`, the end of the process, only closes open files.
    """

    concurrency = 1

    def __init__(self):
        self.contents: dict[Path, bytearray] = {}
        self.synced: dict[Path, int] = {}
        self.dropped: dict[Path, tuple[int, int]] = {}
        self.open_files: dict[int, Path] = {}
        self.fail_write = 0
        self.fail_sync = 0
        self.cut_at = 0
        self.writes = 0
        self.syncs = 0
        self.steps = 0
        self.expected: list[tuple[Path, int, int]] = []
        # Names added and removed since the directory was synced: path, and the removed file. A later file with the same
        # name is another one: its failed syncs did not drop anything of the first.
        self._names: list[tuple[Path, tuple[bytearray, int, tuple[int, int] | None] | None]] = []
        self._next = 3

    def names(self, directory):
        return sorted(path.name for path in self.contents if path.parent == directory)

    def make_directory(self, directory):
        pass

    def create(self, path):
        assert path not in self.contents
        self._step()
        self.contents[path] = bytearray()
        self.synced[path] = 0
        self._names.append((path, None))
        return self.open(path)

    def open(self, path, write=False):
        self._require(path)
        self._next += 1
        self.open_files[self._next] = path
        return self._next

    def write(self, descriptor, *parts):
        self.writes += 1
        data = b"".join(parts)
        content = self.contents[self.open_files[descriptor]]
        if self.writes == self.fail_write:
            content += data[: len(data) // 2]
            raise OSError(errno.ENOSPC, "No space left on device")
        content += data
        self._step()

    def overwrite(self, path, offset, data):
        assert self.contents[path][offset : offset + len(data)] == data
        self._step()
        start, stop = self.dropped.get(path, (0, 0))
        if offset <= start and stop <= offset + len(data):
            self.dropped.pop(path, None)

    def sync(self, descriptor):
        self.syncs += 1
        path = self.open_files[descriptor]
        if self.syncs == self.fail_sync:
            self.dropped[path] = self.synced[path], len(self.contents[path])
            raise OSError(errno.EIO, "Input/output error")
        self._step()
        self.synced[path] = len(self.contents[path])

    def is_next_alone(self, descriptor):
        return False

    def begin_sync(self, descriptor):
        return partial(self.sync, descriptor)

    def sync_directory(self, directory):
        self._step()
        self._names.clear()

    def read(self, descriptor, offset, size):
        return bytes(self.contents[self.open_files[descriptor]][offset : offset + size])

    def expect(self, descriptor, offset, size):
        self.expected.append((self.open_files[descriptor], offset, size))

    def size(self, descriptor):
        return len(self.contents[self.open_files[descriptor]])

    def truncate(self, descriptor, size):
        self._step()
        path = self.open_files[descriptor]
        del self.contents[path][size:]
        self.synced[path] = min(size, self.synced[path])

    def close(self, descriptor):
        del self.open_files[descriptor]

    def remove(self, path):
        self._require(path)
        self._step()
        self._names.append((path, (self.contents.pop(path), self.synced.pop(path), self.dropped.pop(path, None))))

    def _require(self, path):
        if path not in self.contents:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    def _step(self):
        self.steps += 1
        if self.steps == self.cut_at:
            raise PowerCut

    # --- crashes
    # --------------------------------------------------------------------------------------------------------

    def kill(self):
        self.open_files.clear()
        self._mend()

    def power_loss(self, keep=0, chance: random.Random | None = None):
        """Discard unsynced data, except for its first `keep` bytes in each file, and all unsynced names.

        With `chance`, random parts survive: how much of each file was written, except for some sectors, and how many of
        the names, oldest first.
        """
        self.open_files.clear()
        self._mend()
        undone, self._names = self._names, []
        if chance is not None:
            undone = undone[chance.randint(0, len(undone)) :]
        for path, removed in reversed(undone):
            if removed is None:
                del self.contents[path], self.synced[path]
                self.dropped.pop(path, None)
                continue
            self.contents[path], self.synced[path], dropped = removed
            if dropped is not None:
                self.dropped[path] = dropped
        for path, content in self.contents.items():
            start, stop = self.dropped.get(path, (0, 0))
            content[start:stop] = bytes(len(content[start:stop]))
            synced = self.synced[path]
            if chance is not None and len(content) > synced:
                keep = chance.choice((0, chance.randint(0, len(content) - synced), len(content)))
            del content[synced + keep :]
            if chance is not None:
                _tear(content, synced, chance)
            self.synced[path] = len(content)
        self.dropped.clear()

    def _mend(self):
        self.fail_write = self.fail_sync = self.cut_at = 0

    def copy(self) -> "FaultyFiles":
        """Return the same files, as another machine would see them."""
        return copy.deepcopy(self)


class FlakyFiles(FaultyFiles):
    """Files whose reads fail at random. share: fraction of reads that fail. failures: number of failed reads."""

    def __init__(self):
        super().__init__()
        self.share = 0.0
        self.failures = 0
        self._chance = random.Random(1)

    def read(self, descriptor, offset, size):
        if self._chance.random() < self.share:
            self.failures += 1
            raise OSError(errno.EIO, "Input/output error")
        return super().read(descriptor, offset, size)


def _tear(content: bytearray, synced: int, chance: random.Random) -> None:
    """Make some unsynced sectors read as zeros, as if the file had grown before they were written.

    The first sector of a file is exempt: the store relies on its being written first (docs/store-format.md,
    "Recovery").
    """
    if chance.random() < 0.5:
        return
    for start in range(max(synced // SECTOR_BYTES, 1) * SECTOR_BYTES, len(content), SECTOR_BYTES):
        if chance.random() < 0.3:
            first, last = max(start, synced), min(start + SECTOR_BYTES, len(content))
            content[first:last] = bytes(last - first)
