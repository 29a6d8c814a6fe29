"""Resource use of a process and its descendants, from Linux's /proc."""

import os
import signal
import sys
import time
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
QUIET_SHARE = 0.1
IDLE_WITHIN_S = 6.0


def exit_on_sigterm() -> None:
    """Make SIGTERM end this program like an exception, so that its child processes are ended too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def stat(process: Path) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, ... Empty if the process has ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def family(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    parents = {int(path.name): int(fields[1]) for path in PROC.glob("[0-9]*") if (fields := stat(path))}
    found = [pid]
    for member in found:
        found += [child for child, parent in parents.items() if parent == member]
    return found


def cpu_s(pids: list[int]) -> float:
    """Return the CPU seconds of all their threads so far, in user space and in the kernel."""
    fields = [stat(PROC / str(pid)) for pid in pids]
    return sum(int(each[11]) + int(each[12]) for each in fields if each) / TICKS_PER_S


def memory_bytes(pids: list[int]) -> int:
    """Return the proportional set size: resident memory, with shared pages divided among their users."""
    total = 0
    for pid in pids:
        try:
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def resident_bytes(pids: list[int]) -> int:
    """Return the resident memory, at no cost to the processes.

    For `memory_bytes` the kernel walks through all their memory, for 15 ms per gigabyte, and they cannot allocate
    meanwhile.
    """
    found = [(PROC / str(pid) / "statm").read_text().split()[1] for pid in pids]
    return sum(int(pages) for pages in found) * os.sysconf("SC_PAGE_SIZE")


def wait_until_idle(pids: list[int], check_every_s: float = 0.1) -> None:
    """Wait until they use almost no CPU, or for some seconds if they continue."""
    deadline = time.monotonic() + IDLE_WITHIN_S
    before = cpu_s(pids)
    while time.monotonic() < deadline:
        time.sleep(check_every_s)
        now = cpu_s(pids)
        if now - before <= QUIET_SHARE * check_every_s:
            return
        before = now


def with_environment(program: str, variable: str) -> int:
    """Return the pid of the process that runs `program` with `variable`, as NAME=VALUE. Raises LookupError."""
    for process in PROC.glob("[0-9]*"):
        try:
            if (process / "comm").read_text().strip() != program:
                continue
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                return int(process.name)
        except OSError:
            continue
    raise LookupError(f"no {program} runs with {variable}")
