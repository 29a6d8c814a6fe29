"""CRC-32 of stored data, which every build must compute in the same way."""

import importlib.util
import sys
import zlib

import pytest

from amqpbroker.store import checksum


@pytest.fixture(params=["zlib-ng", "zlib"])
def crc32(request, monkeypatch):
    """Return the checksum function with zlib-ng installed, and without it."""
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "zlib_ng.zlib_ng", None)
    spec = importlib.util.find_spec(checksum.__name__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (module.crc32 is zlib.crc32) == (request.param == "zlib")
    return module.crc32


def test_the_checksum_is_the_crc_of_gzip(crc32):
    assert crc32(b"123456789") == 0xCBF43926
    assert crc32(b"") == 0


@pytest.mark.parametrize("size", [1, 15, 64, 1_000, 70_000])
def test_the_checksum_can_be_computed_from_parts_of_any_type(crc32, size):
    data = bytes(range(256)) * (size // 256 + 1)
    expected = zlib.crc32(data[:size])
    assert crc32(memoryview(data)[:size]) == expected
    assert crc32(data[size // 3 : size], crc32(bytearray(data[: size // 3]))) == expected
