"""How much memory a process has, as the kernel counts it."""

from pathlib import Path

import pytest

MB = 1_000_000


def resident_bytes(pid: int) -> int:
    """Octets of memory that the process has in use now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        pytest.skip("only Linux tells in /proc how much memory a process has")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def peak_bytes(pid: int) -> int:
    """Octets of memory that it had in use at most, since it started or since `forget_peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")
