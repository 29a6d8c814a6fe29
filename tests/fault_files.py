"""A file system in memory that fails as told and, when the power goes, forgets what was not synced."""

import errno
from pathlib import Path


class FaultyFiles:
    """The methods of `amqpbroker.store.files.Files`, without a disk.

    fail_write, fail_sync: the number, from 1, of the write or sync that fails (0: none does); a failed write leaves
    half its data behind. `power_loss(keep)` forgets unsynced octets but for the first `keep` of each file.
    """

    def __init__(self):
        self.contents: dict[Path, bytearray] = {}
        self.synced: dict[Path, int] = {}
        self.open_files: dict[int, Path] = {}
        self.fail_write = 0
        self.fail_sync = 0
        self.writes = 0
        self.syncs = 0
        self._next = 3

    def names(self, directory):
        return sorted(path.name for path in self.contents if path.parent == directory)

    def make_directory(self, directory):
        pass

    def create(self, path):
        assert path not in self.contents
        self.contents[path] = bytearray()
        self.synced[path] = 0
        return self.open(path)

    def open(self, path, write=False):
        assert path in self.contents
        self._next += 1
        self.open_files[self._next] = path
        return self._next

    def write(self, descriptor, data):
        self.writes += 1
        content = self.contents[self.open_files[descriptor]]
        if self.writes == self.fail_write:
            content += data[: len(data) // 2]
            raise OSError(errno.ENOSPC, "No space left on device")
        content += data

    def sync(self, descriptor):
        self.syncs += 1
        if self.syncs == self.fail_sync:
            raise OSError(errno.EIO, "Input/output error")
        path = self.open_files[descriptor]
        self.synced[path] = len(self.contents[path])

    def sync_directory(self, directory):
        pass

    def read(self, descriptor, offset, size):
        return bytes(self.contents[self.open_files[descriptor]][offset : offset + size])

    def size(self, descriptor):
        return len(self.contents[self.open_files[descriptor]])

    def truncate(self, descriptor, size):
        del self.contents[self.open_files[descriptor]][size:]

    def close(self, descriptor):
        del self.open_files[descriptor]

    def remove(self, path):
        del self.contents[path]
        del self.synced[path]

    # --- what happens to machines -----------------------------------------------------------------------------------

    def power_loss(self, keep=0):
        self.open_files.clear()
        for path, content in self.contents.items():
            del content[self.synced[path] + keep :]
        self.fail_write = self.fail_sync = 0
