"""Facts about the machine, and about this process's use of it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PROC = Path("/proc/self")
CGROUPS = Path("/sys/fs/cgroup")


def resident_bytes(proc: Path = PROC) -> int:
    """The memory that this process takes (RSS). Raises OSError where there is no /proc."""
    return int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def total_memory_bytes(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """The machine's memory or, if that is less, what the container may have; None where it cannot be known."""
    found = list(_container_limits(proc, cgroups))
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not a Unix
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


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
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def file_limit(raised: bool) -> int:
    """Return the limit of open files of this process. raised: after raising it as far as allowed."""
    try:
        import resource
    except ImportError:  # not a Unix
        return 512
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if raised:
        with contextlib.suppress(ValueError, OSError):  # macOS calls the limit infinite, and refuses that
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
