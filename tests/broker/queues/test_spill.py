import errno
import logging
from pathlib import Path

import pytest

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.spill import Spill
from amqpbroker.message.message import Message
from amqpbroker.wire.frames import content
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import declare, make_vhost
from tests.fault_files import FaultyFiles

DIRECTORY = Path("/data/spill")
QUEUE = declare(make_vhost())


def entry(body: bytes = b"body", sequence: int = 1) -> Entry:
    return Entry(Message(b"\0\1q", b"\0\0", body), QUEUE, sequence, 0)


def bodies(entries):
    return [one.message.body for one in entries]


@pytest.mark.parametrize("keys", [(b"x", b"blind"), (b"k" * 300, *[b"blind"] * 300)])
def test_everything_about_a_copy_comes_back(keys):
    properties = encode_properties(
        {"headers": {"k": Field("l", 7), "CC": Field("A", [longstr("x")])}, "priority": 3, "expiration": b"500"}
    )
    message = Message(b"\4some\3key", properties, b"body")
    message.persistent, message.priority, message.expiration_ms = True, 3, 500
    message.headers = {"k": Field("l", 7), "CC": Field("A", [longstr("x")])}
    message.extra_keys, message.cc_keys = keys, 1
    full = Entry(message, QUEUE, 70, 1_700_000_000_500)
    full.redelivered, full.delivery_count = True, 4
    framed = Message(b"\0\1q", None, None, 2, content(5, b"\x10\0\1", b"hi", 0), 5)
    spill = Spill(DIRECTORY, FaultyFiles())
    queue = declare(make_vhost(), "other")
    got, plain = spill.read(spill.write([full, Entry(framed, QUEUE, 71, 0)]), queue)
    assert (got.queue, got.sequence, got.deadline_ms, got.redelivered, got.delivery_count, got.position) == (
        queue,
        70,
        1_700_000_000_500,
        True,
        4,
        0,
    )
    for name in ("address", "properties", "body", "size", "persistent", "priority", "expiration_ms", "headers"):
        assert getattr(got.message, name) == getattr(message, name)
    assert (got.message.extra_keys, got.message.cc_keys) == (keys, 1)
    assert (plain.message.frames, plain.message.frames_channel) == (framed.frames, 5)
    assert (plain.message.persistent, plain.redelivered, plain.sequence) == (False, False, 71)


def test_a_file_goes_with_its_last_page():
    files = FaultyFiles()
    spill = Spill(DIRECTORY, files, segment_bytes=100)
    pages = [spill.write([entry(b"%d" % i * 60)]) for i in range(4)]
    assert len(files.contents) == 4
    spill.free(pages[1])
    assert len(files.contents) == 3
    assert [bodies(spill.read(page, QUEUE)) for page in pages if page is not pages[1]] == [
        [b"%d" % i * 60] for i in (0, 2, 3)
    ]
    for page in (pages[0], pages[2], pages[3]):
        spill.free(page)
    assert files.contents == {}
    assert files.open_files == {}
    assert bodies(spill.read(spill.write([entry(b"again")]), QUEUE)) == [b"again"]


def test_pages_share_a_file_which_stays_for_the_last_of_them():
    files = FaultyFiles()
    spill = Spill(DIRECTORY, files)
    first, second = spill.write([entry(b"a")]), spill.write([entry(b"b"), entry(b"c")])
    spill.free(first)
    assert len(files.contents) == 1
    assert bodies(spill.read(second, QUEUE)) == [b"b", b"c"]


def test_what_an_earlier_process_left_is_removed_and_so_is_all_at_the_end():
    files = FaultyFiles()
    Spill(DIRECTORY, files).write([entry()])
    spill = Spill(DIRECTORY, files)
    assert files.contents == {}
    spill.write([entry()])
    spill.close()
    assert files.contents == {}


def test_nothing_is_synced():
    files = FaultyFiles()
    Spill(DIRECTORY, files).write([entry()])
    assert files.syncs == 0


def test_a_failed_write_is_told_once_and_tried_again_later(caplog):
    caplog.set_level(logging.INFO)
    files = FaultyFiles()
    spill = Spill(DIRECTORY, files)
    spill.need(True)
    kept = spill.write([entry(b"kept")])
    for _ in range(2):
        files.fail_write = files.writes + 1
        assert spill.wanted
        assert spill.write([entry(b"lost")]) is None
        assert not spill.wanted
        spill.need(True)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No space left on device" in caplog.text
    assert bodies(spill.read(spill.write([entry(b"later")]), QUEUE)) == [b"later"]
    assert bodies(spill.read(kept, QUEUE)) == [b"kept"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    spill.close()
    assert files.contents == {}


def test_a_file_that_cannot_be_made_is_a_failed_write():
    class Full(FaultyFiles):
        def create(self, path):
            raise OSError(errno.ENOSPC, "No space left on device")

    assert Spill(DIRECTORY, Full()).write([entry()]) is None


def test_a_file_that_was_cut_is_noticed():
    files = FaultyFiles()
    spill = Spill(DIRECTORY, files)
    page = spill.write([entry()])
    (content_,) = files.contents.values()
    del content_[-1:]
    with pytest.raises(ValueError, match="cut off"):
        spill.read(page, QUEUE)
