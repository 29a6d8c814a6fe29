import mmap
import os
import sys

import pytest

from amqpbroker.server.machine import file_limit, free_bytes, open_files, resident_bytes, total_memory_bytes

MACHINE = os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE if hasattr(os, "sysconf") else None
LIMIT = 100_000_000


@pytest.fixture
def limited(tmp_path):
    """Takes what /proc/self/cgroup says and files of /sys/fs/cgroup; returns how much memory there is then."""

    def limited(groups, files):
        (tmp_path / "cgroup").write_text(groups)
        for name, text in files.items():
            path = tmp_path / "cgroups" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return total_memory_bytes(tmp_path, tmp_path / "cgroups")

    return limited


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="there is no /proc")
def test_resident_memory_grows_with_allocated_memory():
    before = resident_bytes()
    with mmap.mmap(-1, 64 << 20) as kept:  # not from what the allocator has left
        kept.write(b"x" * len(kept))
        grown = resident_bytes() - before
    assert 60 << 20 < grown < 140 << 20


def test_reading_resident_memory_without_proc_is_an_error(tmp_path):
    with pytest.raises(OSError, match="statm"):
        resident_bytes(tmp_path)


def test_total_memory_without_control_groups_is_that_of_the_machine(tmp_path):
    assert total_memory_bytes(tmp_path, tmp_path) == MACHINE


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"memory.max": f"{LIMIT}\n"}),
        ("0::/a/b\n", {"a/b/memory.max": f"{LIMIT}\n"}),
        ("0::/a/b\n", {"a/memory.max": f"{LIMIT}\n", "a/b/memory.max": "max\n"}),
        ("0::/a/b\n", {"a/memory.max": f"{LIMIT}\n", "a/b/memory.max": f"{LIMIT + 1}\n"}),
        ("0::/outside\n", {"memory.max": f"{LIMIT}\n"}),
        ("0::/../other\n", {"memory.max": f"{LIMIT}\n"}),
        ("5:cpu,memory:/a\n", {"memory/a/memory.limit_in_bytes": f"{LIMIT}\n"}),
        ("5:memory:/outside\n0::/\n", {"memory/memory.limit_in_bytes": f"{LIMIT}\n"}),
    ],
)
def test_total_memory_is_limited_by_the_control_group(limited, groups, files):
    assert limited(groups, files) == LIMIT


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"memory.max": "max\n"}),
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}),
        ("4:cpu:/a\n", {"memory/a/memory.limit_in_bytes": f"{LIMIT}\n"}),
    ],
)
def test_total_memory_with_an_unlimited_control_group_is_the_machine_s(limited, groups, files):
    assert limited(groups, files) == MACHINE


def test_free_space_is_that_of_the_file_system(tmp_path):
    assert 0 <= free_bytes(tmp_path) < 1 << 60
    with pytest.raises(FileNotFoundError):
        free_bytes(tmp_path / "none")


def test_open_files_are_counted(tmp_path):
    before = open_files()
    with (tmp_path / "file").open("w"):
        assert open_files() == before + 1


class Limits:
    """The module resource of a system. most: the highest limit that it accepts."""

    RLIMIT_NOFILE = 8
    RLIM_INFINITY = (1 << 63) - 1  # macOS

    def __init__(self, soft, hard, most):
        self.soft, self.hard, self.most = soft, hard, most

    def getrlimit(self, resource):
        return self.soft, self.hard

    def setrlimit(self, resource, limits):
        if limits[0] > self.most:
            raise ValueError("current limit exceeds maximum limit")
        self.soft = limits[0]


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (Limits(1024, 4096, 4096), 4096),
        (Limits(256, Limits.RLIM_INFINITY, 10_240), 10_240),
        (Limits(256, Limits.RLIM_INFINITY, 5000), 256),
        (Limits(20_000, Limits.RLIM_INFINITY, 20_000), 20_000),
        (Limits(Limits.RLIM_INFINITY, Limits.RLIM_INFINITY, 10_240), 1 << 20),
    ],
)
def test_the_limit_of_open_files_is_raised_as_far_as_the_system_lets_it(monkeypatch, limits, found):
    monkeypatch.setitem(sys.modules, "resource", limits)
    before = limits.soft
    assert file_limit(raised=False) == min(before, 1 << 20)
    assert limits.soft == before
    assert file_limit(raised=True) == found


def test_limit_of_open_files_is_512_if_the_system_reports_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert file_limit(raised=True) == 512


def test_total_memory_is_unknown_if_the_system_does_not_report_it(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert total_memory_bytes(tmp_path, tmp_path) is None
