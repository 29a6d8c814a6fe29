"""A file system of its own for one directory, which a test makes full. It is a tmpfs, which only root may mount."""

import os
import subprocess
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

#: Limit while it is not full, of memory that is used only for what is written.
ROOM_BYTES = 4 << 30


class Disk:
    """A tmpfs in an empty directory, until `close`."""

    def __init__(self, directory: Path, owner: str) -> None:
        """owner: the user to whom the directory belongs. Raises OSError if mounting is not allowed."""
        self.directory = directory
        _run("mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES},mode=700,uid={owner}", "tmpfs", str(directory))

    def fill(self) -> None:
        """Limit its size to what is used."""
        is_full = False
        while not is_full:
            found = os.statvfs(self.directory)
            # It fails if more was written meanwhile.
            with suppress(OSError):
                self._limit((found.f_blocks - found.f_bfree) * found.f_frsize)
                is_full = True

    def free(self) -> None:
        """Make room again."""
        self._limit(ROOM_BYTES)

    def _limit(self, size: int) -> None:
        _run("mount", "-o", f"remount,size={size}", str(self.directory))

    def close(self) -> None:
        # Lazily: a process that a failed test has left must not keep the mount forever.
        _run("umount", "-l", str(self.directory))


@cache
def reason_against() -> str:
    """Return the reason why no disk can be made here; empty if it can."""
    with tempfile.TemporaryDirectory(prefix="disk-") as folder:
        try:
            Disk(Path(folder), "root").close()
        except OSError as error:
            return f"no file system may be mounted here: {error.strerror}"
    return ""


def _run(*command: str) -> None:
    """Raises OSError."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.returncode, done.stderr.strip())
