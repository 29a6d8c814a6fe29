"""The measurement of a large stream, with a small one."""

from types import SimpleNamespace

import pytest

from conformance.errors import SetupError
from tests.bench import large_stream
from tests.bench.large_stream import MB, measure, missing


@pytest.fixture
def free(monkeypatch):
    """Set the free space that a directory seems to have, in GB."""

    def set_free(gb):
        monkeypatch.setattr(large_stream.shutil, "disk_usage", lambda place: SimpleNamespace(free=gb * 1e9))

    return set_free


def test_stream_is_measured_if_it_and_what_the_broker_adds_fit(free, tmp_path):
    free(60)
    assert missing(50) == ""
    free(59.9)
    reason = missing(50, tmp_path)
    assert f"a stream of 50 GB needs 60 GB of free space in {tmp_path}, which has 59.9 GB" in reason
    assert "--gb" in reason
    assert missing(5) == ""


def test_broker_is_not_started_without_the_space(free, tmp_path):
    free(1)
    with pytest.raises(SetupError, match=r"needs 10\.1 GB"):
        measure(0.1, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_small_stream_is_written_read_and_ready_after_a_restart(free, tmp_path):
    free(100)
    found = measure(0.02, tmp_path)
    assert found.size_bytes == 20_000_000
    assert found.took_s > 0
    assert min(found.largest_bytes, found.ready_bytes) > 10 * MB
    assert found.ready_s > 0
    assert list(tmp_path.iterdir()) == []
