import os
import random

import pytest

from amqpbroker.store import files as module
from amqpbroker.store.files import Files


@pytest.fixture
def written(tmp_path):
    """Write parts with one call, and return the contents of the file."""

    def write(*parts):
        files = Files()
        descriptor = files.create(tmp_path / "file")
        files.write(descriptor, b"before")
        files.write(descriptor, *parts)
        files.close(descriptor)
        return (tmp_path / "file").read_bytes().removeprefix(b"before")

    return write


@pytest.mark.parametrize("count", [0, 1, 1023, 1024, 1025, 5000])
def test_parts_are_written_one_behind_the_other(written, count):
    parts = [b"%d," % number for number in range(count)]
    assert written(*parts) == b"".join(parts)


def test_a_partial_write_is_continued(written, monkeypatch):
    choose = random.Random(1)

    def few(descriptor, parts):
        data = b"".join(parts)
        return os.write(descriptor, data[: choose.randint(1, 40)])

    parts = [choose.randbytes(choose.choice([0, 1, 10, 100])) for _ in range(100)]
    monkeypatch.setattr(module.syscalls, "append", few)
    assert written(*parts) == b"".join(parts)


def test_overwrite_replaces_bytes_in_place(tmp_path, monkeypatch):
    """Linux appends if the file is open for appending. Only a few bytes are written at a time."""
    write_at = module.syscalls.write_at
    monkeypatch.setattr(module.syscalls, "write_at", lambda descriptor, data, at: write_at(descriptor, data[:2], at))
    files = Files()
    descriptor = files.create(tmp_path / "file")
    files.write(descriptor, b"0123456789")
    files.overwrite(tmp_path / "file", 3, b"abcde")
    files.write(descriptor, b"end")
    files.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"012abcde89end"
