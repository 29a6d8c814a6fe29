import mmap
import os

import pytest

from amqpbroker.server.machine import free_bytes, resident_bytes, total_memory_bytes

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
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
def test_what_this_process_takes_grows_with_what_it_has():
    before = resident_bytes()
    with mmap.mmap(-1, 64 << 20) as kept:  # not from what the allocator has left
        kept.write(b"x" * len(kept))
        grown = resident_bytes() - before
    assert 60 << 20 < grown < 140 << 20


def test_resident_memory_without_proc(tmp_path):
    with pytest.raises(OSError, match="statm"):
        resident_bytes(tmp_path)


def test_without_control_groups_it_is_the_machines(tmp_path):
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
def test_a_containers_limit_counts(limited, groups, files):
    assert limited(groups, files) == LIMIT


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"memory.max": "max\n"}),
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}),
        ("4:cpu:/a\n", {"memory/a/memory.limit_in_bytes": f"{LIMIT}\n"}),
    ],
)
def test_no_limit_leaves_the_machines(limited, groups, files):
    assert limited(groups, files) == MACHINE


def test_free_space_is_that_of_the_file_system(tmp_path):
    assert 0 <= free_bytes(tmp_path) < 1 << 60
    with pytest.raises(FileNotFoundError):
        free_bytes(tmp_path / "none")
