import errno
import logging
from pathlib import Path

import pytest

from amqpbroker.store.spill import NO_SPILL, Spilled, SpillFiles
from tests.fault_files import FaultyFiles

DIRECTORY = Path("/data/spill")


def test_spill_file_is_removed_with_its_last_page():
    files = FaultyFiles()
    spill = SpillFiles(DIRECTORY, files, segment_bytes=100)
    pages = [spill.write(b"%d" % i * 100) for i in range(4)]
    assert len(files.contents) == 4
    spill.free(pages[1])
    assert len(files.contents) == 3
    assert [spill.read(page) for page in pages if page is not pages[1]] == [b"%d" % i * 100 for i in (0, 2, 3)]
    for page in (pages[0], pages[2], pages[3]):
        spill.free(page)
    assert files.contents == {}
    assert files.open_files == {}
    assert spill.read(spill.write(b"again")) == b"again"


def test_shared_spill_file_remains_until_its_last_page_is_released():
    files = FaultyFiles()
    spill = SpillFiles(DIRECTORY, files)
    first, second = spill.write(b"a"), spill.write(b"bc")
    spill.free(first)
    assert len(files.contents) == 1
    assert spill.read(second) == b"bc"


def test_spill_files_are_removed_at_start_and_at_the_end():
    files = FaultyFiles()
    SpillFiles(DIRECTORY, files).write(b"page")
    spill = SpillFiles(DIRECTORY, files)
    assert files.contents == {}
    spill.write(b"page")
    spill.close()
    assert files.contents == {}


def test_spill_files_are_not_synced():
    files = FaultyFiles()
    SpillFiles(DIRECTORY, files).write(b"page")
    assert files.syncs == 0


def test_a_failed_spill_is_logged_once_and_retried_later(caplog):
    caplog.set_level(logging.INFO)
    files = FaultyFiles()
    spill = SpillFiles(DIRECTORY, files)
    spill.need(True)
    kept = spill.write(b"kept")
    for _ in range(2):
        files.fail_write = files.writes + 1
        assert spill.wanted
        assert spill.write(b"lost") is None
        assert not spill.wanted
        spill.need(True)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No space left on device" in caplog.text
    assert spill.read(spill.write(b"later")) == b"later"
    assert spill.read(kept) == b"kept"
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    spill.close()
    assert files.contents == {}


def test_a_spill_file_that_cannot_be_created_is_a_failed_write():
    class Full(FaultyFiles):
        def create(self, path):
            raise OSError(errno.ENOSPC, "No space left on device")

    assert SpillFiles(DIRECTORY, Full()).write(b"page") is None


def test_a_truncated_spill_file_is_detected():
    files = FaultyFiles()
    spill = SpillFiles(DIRECTORY, files)
    page = spill.write(b"page")
    (content_,) = files.contents.values()
    del content_[-1:]
    with pytest.raises(ValueError, match="cut off"):
        spill.read(page)


def test_without_files_nothing_is_spilled():
    NO_SPILL.need(True)
    assert (NO_SPILL.short, NO_SPILL.wanted, NO_SPILL.write(b"page")) == (False, False, None)
    with pytest.raises(LookupError, match="spilling is disabled"):
        NO_SPILL.read(Spilled(1, 0, 4))
