import ctypes
import os
import platform
import subprocess
import sys

import pytest

from amqpbroker.server.allocator import retain_freed_memory, trim
from tests.load.memory import MB, resident_bytes


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others do not keep what is free")
def test_free_memory_between_used_blocks_is_returned_to_the_system():
    kept = []
    filled = []
    for _ in range(10_000):
        filled.append(ctypes.create_string_buffer(8_000))
        kept.append(ctypes.create_string_buffer(600))
    before = resident_bytes(os.getpid())
    filled.clear()
    trim()
    # Of each 8,000 bytes that are free, the whole pages: on average 0.95 of 4096 bytes.
    assert resident_bytes(os.getpid()) < before - 30 * MB
    assert len(kept) == 10_000


def test_allocator_of_another_c_library_is_not_changed(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    trim()
    retain_freed_memory()


def test_malloc_environment_variables_keep_the_broker_from_setting_malloc(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("the allocator was asked"))
    retain_freed_memory()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others do as they like")
def test_large_memory_blocks_are_reused():
    script = """
import resource
from amqpbroker.server.allocator import retain_freed_memory
retain_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        bytearray(1 << 20)[-1] = 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500  # 256 pages each would be 12,800
