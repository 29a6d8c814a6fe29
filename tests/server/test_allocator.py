import ctypes
import os
import platform

import pytest

from amqpbroker.server.allocator import give_back
from tests.load.memory import MB, resident_bytes


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others do not keep what is free")
def test_what_is_free_between_what_is_used_goes_back():
    kept = []
    filled = []
    for _ in range(10_000):
        filled.append(ctypes.create_string_buffer(8_000))
        kept.append(ctypes.create_string_buffer(600))
    before = resident_bytes(os.getpid())
    filled.clear()
    give_back()
    assert resident_bytes(os.getpid()) < before - 40 * MB
    assert len(kept) == 10_000


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    give_back()
