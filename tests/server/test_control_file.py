import errno
import json
import os

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.server import control
from amqpbroker.server.control import NAME
from amqpbroker.server.control_file import RETRY_MS, ControlFile


@pytest.fixture
def full(monkeypatch):
    """Simulate a disk that accepts no bytes while `full` has an item."""
    full = []
    fdopen = os.fdopen

    def refusing(descriptor, mode):
        file = fdopen(descriptor, mode)
        if full:
            file.close()
            raise OSError(errno.ENOSPC, "No space left on device")
        return file

    monkeypatch.setattr(os, "fdopen", refusing)
    return full


def test_control_file_has_url_and_token_until_the_broker_ends(tmp_path):
    file = ControlFile(tmp_path, ManualClock())
    file.write("http://127.0.0.1:1", "secret")
    assert control.read(tmp_path) == ("http://127.0.0.1:1", "secret")
    assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_control_file_refused_by_a_full_disk_is_written_later(tmp_path, full, caplog):
    clock = ManualClock()
    full.append(True)
    file = ControlFile(tmp_path, clock)
    file.write("http://127.0.0.1:1", "secret")
    clock.advance(3 * RETRY_MS)
    assert list(tmp_path.iterdir()) == []
    assert caplog.text.count("control.json cannot be written, so that amqpbroker ctl does not find this broker") == 1
    full.clear()
    clock.advance(RETRY_MS)
    assert control.read(tmp_path) == ("http://127.0.0.1:1", "secret")
    clock.advance(10 * RETRY_MS)
    assert clock.next_due_ms() is None


def test_removed_control_file_is_not_written_again(tmp_path, full):
    clock = ManualClock()
    full.append(True)
    file = ControlFile(tmp_path, clock)
    file.write("http://127.0.0.1:1", "secret")
    file.remove()
    full.clear()
    clock.advance(10 * RETRY_MS)
    assert list(tmp_path.iterdir()) == []
