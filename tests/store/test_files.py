import os

import pytest

from amqpbroker.store import files as files_module
from amqpbroker.store.files import Files


@pytest.mark.parametrize("size", [0, 7, 8, 9, 24, 25, 100])
@pytest.mark.parametrize("offset", [0, 1, 16, 24, 30])
def test_all_is_read_though_the_system_gives_less_at_once(tmp_path, monkeypatch, offset, size):
    content = bytes(range(25))
    (tmp_path / "file").write_bytes(content)
    files = Files()
    files.at_once = 8
    pread = os.pread
    monkeypatch.setattr(
        files_module.os, "pread", lambda descriptor, size, offset: pread(descriptor, min(size, 8), offset)
    )
    descriptor = files.open(tmp_path / "file")
    assert files.read(descriptor, offset, size) == content[offset : offset + size]
    files.close(descriptor)
