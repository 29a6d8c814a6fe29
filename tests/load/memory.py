"""Memory of a process, as counted by the kernel."""

from pathlib import Path

import pytest

MB = 1_000_000


def resident_bytes(pid: int) -> int:
    """Return the resident memory of the process in bytes."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        pytest.skip("only Linux has the memory of a process in /proc")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def peak_bytes(pid: int) -> int:
    """Return the peak resident memory in bytes, since the start of the process or since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
