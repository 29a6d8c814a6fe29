"""A data directory of the previous release, with messages of all kinds, is recovered as that release recovers it."""

import json
import tarfile
from pathlib import Path

import pytest

from amqpbroker.store.directory.dump import living
from amqpbroker.store.directory.inspection import Inspection, JournalReader
from amqpbroker.store.files import Files
from tests.store.directory.stored_messages import STATE, make, state

#: Made with code from before the flag for first deliveries in publish records.
ARCHIVE = Path(__file__).with_name("earlier_release.tar.xz")


@pytest.fixture
def unpacked(tmp_path):
    with tarfile.open(ARCHIVE) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path


def expected_of(directory):
    """Return the state that is expected after a kill: any message may have been delivered."""
    expected = json.loads((directory / STATE).read_text())
    for messages in expected["now"].values():
        for message in messages:
            message[1] = True
    return expected


def test_the_directory_of_an_earlier_release_has_the_same_messages(unpacked):
    expected = expected_of(unpacked)
    found = state(unpacked / "data")
    assert json.loads(json.dumps(found)) == expected
    assert [one[0] for one in found["now"]["spilled"]] == [f"stored {number}" for number in range(100)]
    assert list((unpacked / "data" / "spill").iterdir()) == []


def test_check_finds_no_damage_in_the_directory_of_an_earlier_release(unpacked):
    reader = JournalReader(unpacked / "data" / "journal", Files())
    inspection = Inspection(reader)
    assert reader.findings == []
    count = sum(len(copies.positions) for copies in inspection.copies.values())
    assert count == len(list(living(JournalReader(reader.directory, Files()), Files()))) > 150


def test_this_release_stores_the_same_messages_as_the_earlier_one(unpacked, tmp_path):
    """The same operations store the same messages, even if the records differ."""
    make(tmp_path / "made")
    expected = expected_of(unpacked)
    assert json.loads(json.dumps(state(tmp_path / "made"))) == expected
