import json
import os

import pytest

from amqpbroker.broker.node import Listening
from amqpbroker.server import ready_file


def test_ready_file_has_pid_and_addresses(tmp_path):
    path = tmp_path / "ready.json"
    ready_file.write(path, [Listening("amqp", "127.0.0.1", 5672), Listening("http", "::1", 15672)])
    said = {"pid": os.getpid(), "amqp": [["127.0.0.1", 5672]], "http": [["::1", 15672]]}
    assert json.loads(path.read_text()) == said
    assert list(tmp_path.iterdir()) == [path]


def test_ready_file_is_removed(tmp_path):
    path = tmp_path / "ready.json"
    ready_file.write(path, [])
    ready_file.remove(path)
    ready_file.remove(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", ['{"pid": 0, "amqp": []}', "not JSON"])
def test_ready_file_of_another_process_is_not_removed(tmp_path, other):
    path = tmp_path / "ready.json"
    path.write_text(other)
    ready_file.remove(path)
    assert path.read_text() == other


def test_failed_write_of_the_ready_file_leaves_no_file(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        ready_file.write(tmp_path / "taken", [])
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
