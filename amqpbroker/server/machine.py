"""Facts about the machine, and about this process's use of it."""

import contextlib
import functools
import mmap
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

PROC = Path("/proc/self")
CGROUPS = Path("/sys/fs/cgroup")

#: Maximum number of sockets that Python's `select` takes on Windows.
SELECTABLE_SOCKETS = 512

#: Highest limit of open files that macOS always accepts (OPEN_MAX in its <sys/syslimits.h>).
OPEN_MAX = 10_240


def resident_bytes(proc: Path = PROC) -> int:
    """The memory that this process takes (RSS). Raises OSError where there is no /proc."""
    return int((proc / "statm").read_text().split()[1]) * mmap.PAGESIZE


def total_memory_bytes(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """The machine's memory or, if that is less, what the container may have; None where it cannot be known."""
    found = list(_container_limits(proc, cgroups))
    if hasattr(os, "sysconf"):
        with contextlib.suppress(ValueError, OSError):
            found.append(os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE)
    return min(found, default=None)


@functools.cache
def own_memory_bytes() -> int | None:
    """Return `total_memory_bytes` of this process, as it was at the first call."""
    return total_memory_bytes()


def _container_limits(proc: Path, cgroups: Path) -> Iterator[int]:
    """The limits of the control groups that this process is in, of version 2 and 1, and of all groups around them."""
    try:
        lines = (proc / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            root, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            root, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        # Within a container the path may be the one outside, where it leads nowhere: the root is the container's then.
        group = PurePosixPath(path.replace("/..", ""))
        for around in (group, *group.parents):
            try:
                text = (root / around.relative_to("/") / name).read_text().strip()
            except OSError:
                continue
            if text.isdecimal():  # no limit is `max`, and in version 1 a number beyond any memory
                yield int(text)


def free_bytes(directory: Path) -> int:
    """Return the bytes that users other than root may still write to that file system. Raises OSError."""
    if hasattr(os, "statvfs"):  # not on Windows
        found = os.statvfs(directory)
        return int(found.f_bavail * found.f_frsize)
    import shutil  # loads the libraries of all archives

    return shutil.disk_usage(directory).free


def open_files() -> int | None:
    """Return how many files this process has open; None if the system does not list them."""
    for directory in ("/proc/self/fd", "/dev/fd"):  # Linux, macOS
        with contextlib.suppress(OSError):
            return len(os.listdir(directory))
    return None


def file_limit(raised: bool) -> int:
    """Return how many files this process may have open. raised: raise the limit as far as the system lets it."""
    resource: Any
    try:
        import resource
    except ImportError:  # Windows
        return SELECTABLE_SOCKETS
    if raised:
        _raise_file_limit(resource)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return int(soft) if soft != resource.RLIM_INFINITY else 1 << 20


def _raise_file_limit(resource: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # macOS calls the limit infinite, and refuses that
        if 0 <= soft < OPEN_MAX:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_MAX, hard))
