"""The log of one stream: what is read, and what is left after crashes."""

import errno

import pytest

from amqpbroker.message.message import Message
from amqpbroker.store.log import StoreError
from amqpbroker.store.record import DamagedError
from amqpbroker.store.streams.format import INDEX_BYTES, SEGMENT_BYTES
from amqpbroker.store.streams.streams import Streams
from amqpbroker.wire.values import Field, longstr
from tests.fault_files import PowerCut
from tests.store.streams.logs import DIRECTORY, START_MS, Node, bodies, message, offsets

MANY = 60


def filled(count=MANY, **options) -> Node:
    """Return a stream of several segments, whose messages were stored one after the other, a millisecond apart."""
    node = Node(**options)
    for body in bodies(count):
        node.publish(body)
        node.clock.advance(1)
    assert node.log.segment_count > 3
    return node


def newest_file(node: Node):
    return max(path for path in node.files.contents if path.suffix == ".stream")


def test_messages_are_read_in_order_with_their_offsets():
    node = Node()
    node.publish("a", "b")
    node.publish("c")
    assert node.read() == ["a", "b", "c"]
    assert offsets(node.messages()) == [0, 1, 2]
    assert (node.log.first, node.log.next, node.log.count) == (0, 3, 3)


def test_a_message_is_returned_as_it_was_added_with_one_header_more():
    node = Node()
    node.publish("body", headers={"a": longstr("1"), "z": Field("l", 2)})
    (found,) = node.messages()
    assert (found.exchange, found.routing_key, found.body) == ("exchange", b"key", b"body")
    assert found.headers == {"a": longstr("1"), "x-stream-offset": Field("l", 0), "z": Field("l", 2)}


def test_an_offset_of_another_stream_is_replaced():
    node = Node()
    node.publish("a", "b", headers={"x-stream-offset": Field("l", 99)})
    assert offsets(node.messages()) == [0, 1]


def test_a_message_can_be_read_only_after_it_is_stored():
    node = Node()
    called = []
    node.log.watch(lambda: called.append(node.log.safe))
    node.log.append(message("a"))
    assert (node.log.next, node.log.safe) == (1, 0)
    node.streams.gather()
    node.streams.write()
    assert node.log.safe == 0
    node.streams.written()
    assert called == [1]


def test_reading_begins_at_any_offset():
    node = filled()
    for offset in range(MANY):
        assert node.read(offset) == bodies(MANY - offset, offset)


@pytest.mark.parametrize("index_bytes", [200, 1 << 30])
def test_a_restart_reads_many_small_chunks_at_once(index_bytes, monkeypatch):
    # Each read is a query if the store is a database.
    node = Node(segment_bytes=1 << 20, index_bytes=index_bytes)
    for body in bodies(500):
        node.publish(body)
    reads = []
    read = node.files.read
    monkeypatch.setattr(node.files, "read", lambda *where: reads.append(where) or read(*where))
    node.restart()
    assert len(reads) < 12
    assert node.read() == bodies(500)


def found_before(node: Node) -> Streams:
    """Return the streams of the next process, which has found their messages."""
    streams = Streams(DIRECTORY, node.files, 1 << 20)
    streams.drive(lambda size: None, lambda: None)
    streams.recover(node.clock, node.bounds)
    return streams


def test_a_stream_whose_messages_were_found_before_is_opened_without_reading(monkeypatch):
    node = filled()
    streams = found_before(node)
    with monkeypatch.context() as patched:
        patched.setattr(node.files, "read", None)
        patched.setattr(node.files, "size", None)
        log = streams.open(7, 200, node.clock, node.bounds)
    node.streams, node.log = streams, log
    assert node.read() == bodies(MANY)
    before = log.segment_count
    for body in bodies(10, MANY):
        node.publish(body)
    assert node.read() == bodies(MANY + 10)
    # The segments have the size of the opening.
    assert log.segment_count > before + 3


def test_a_damaged_stream_is_reported_at_its_opening():
    node = filled()
    contents = node.files.contents[newest_file(node)]
    contents[: len(contents)] = b"x" * len(contents)
    streams = found_before(node)
    with pytest.raises(StoreError, match="not a segment of a stream"):
        streams.open(7, 1000, node.clock, node.bounds)


def test_a_stream_that_was_found_and_is_not_opened_is_removed():
    node = filled()
    streams = found_before(node)
    streams.remove_others(())
    streams.remove_freed()
    assert [path for path in node.files.contents if path.parent == DIRECTORY] == []


def test_a_restart_continues_with_the_same_messages_and_the_next_offset():
    node = filled()
    node.restart()
    assert node.read() == bodies(MANY)
    node.publish("next")
    assert offsets(node.messages(MANY)) == [MANY]


def test_a_stream_without_its_index_is_read_as_with_it():
    node = filled()
    for path in list(node.files.contents):
        if path.suffix == ".index":
            node.files.remove(path)
    node.restart()
    assert node.read(MANY // 2) == bodies(MANY - MANY // 2, MANY // 2)


@pytest.mark.parametrize("damage", [b"", b"\0" * INDEX_BYTES, b"\xff" * (2 * INDEX_BYTES + 3)])
def test_a_damaged_index_has_no_effect(damage):
    node = filled()
    for path, content in node.files.contents.items():
        if path.suffix == ".index":
            content[: len(damage) or len(content)] = damage
    assert node.read(MANY // 2) == bodies(MANY - MANY // 2, MANY // 2)
    node.restart()
    for offset in range(MANY):
        assert node.read(offset)[0] == f"message {offset}"


def test_an_index_entry_of_another_place_has_no_effect():
    node = filled()
    paths = sorted(path for path in node.files.contents if path.suffix == ".index")
    assert len(paths) > 1
    node.files.contents[paths[0]][:] = node.files.contents[paths[1]]
    for offset in range(MANY):
        assert node.read(offset)[0] == f"message {offset}"


def test_an_incomplete_write_of_the_index_has_no_effect_on_later_entries():
    node = Node(segment_bytes=10_000)
    node.publish(*bodies(20))
    (path,) = [path for path in node.files.contents if path.suffix == ".index"]
    node.files.contents[path] += b"torn"
    node.publish(*bodies(20, 20))
    assert len(node.files.contents[path]) % INDEX_BYTES == 0
    assert node.read(30)[0] == "message 30"


# --- crashes ----------------------------------------------------------------------------------------------------------


def test_what_was_not_synced_is_cut_off_at_any_byte():
    start = Node(segment_bytes=10_000)
    start.publish("kept")
    start.log.append(message("lost"))
    path = newest_file(start)
    synced = len(start.files.contents[path])
    start.streams.gather()
    start.streams.write()
    whole = bytes(start.files.contents[path])
    for end in range(synced, len(whole)):
        node = Node(start.files.copy(), segment_bytes=10_000)
        del node.files.contents[path][end:]
        node.restart()
        assert node.read() == ["kept"], end
        assert len(node.files.contents[path]) == synced
        node.publish("new")
        node.restart()
        assert node.read() == ["kept", "new"]


def test_a_new_segment_may_be_torn_at_any_byte():
    start = Node(segment_bytes=1)
    start.publish("kept")
    start.publish("lost")
    path = newest_file(start)
    whole = bytes(start.files.contents[path])
    for end in range(len(whole)):
        node = Node(start.files.copy(), segment_bytes=1)
        del node.files.contents[path][end:]
        node.restart()
        assert node.read() == ["kept"], end
        node.publish("new")
        node.restart()
        assert node.read() == ["kept", "new"]


def test_a_file_with_its_length_but_without_contents_is_a_new_segment():
    node = Node(segment_bytes=1)
    node.publish("kept")
    node.publish("lost")
    content = node.files.contents[newest_file(node)]
    content[:] = bytes(len(content))
    node.restart()
    assert node.read() == ["kept"]
    node.publish("new")
    node.restart()
    assert node.read() == ["kept", "new"]


def test_an_index_that_is_ahead_of_the_messages_is_cut_off():
    node = Node(segment_bytes=10_000)
    node.publish(*bodies(30))
    path = newest_file(node)
    del node.files.contents[path][len(node.files.contents[path]) // 2 :]
    node.restart()
    left = node.log.next
    node.publish(*[f"new {number}" for number in range(30)])
    node.restart()
    assert node.read() == [*bodies(left), *[f"new {number}" for number in range(30)]]
    assert node.read(left + 20)[0] == "new 20"


def test_the_last_chunk_may_be_incomplete_although_the_index_has_it():
    node = Node(segment_bytes=10_000, index_bytes=0)
    node.publish("a")
    node.publish("b")
    node.publish("lost")
    content = node.files.contents[newest_file(node)]
    content[-1] ^= 1
    node.restart()
    assert node.read() == ["a", "b"]
    node.publish("c")
    node.restart()
    assert node.read() == ["a", "b", "c"]


def test_a_power_failure_may_leave_only_the_last_chunk_of_a_write():
    node = Node(segment_bytes=10_000, chunk_bytes=1, index_bytes=10_000)
    node.publish("kept")
    synced = len(node.files.contents[newest_file(node)])
    node.publish("lost", "lost, too", "whole")
    node.files.contents[newest_file(node)][synced : synced + 10] = bytes(10)
    node.restart()
    assert node.read() == ["kept"]
    assert len(node.files.contents[newest_file(node)]) == synced


def test_all_chunks_whose_sync_has_failed_are_written_again_at_the_start():
    node = Node(segment_bytes=10_000, chunk_bytes=1)
    node.publish("a")
    for body in "bcd":
        node.log.append(message(body))
    node.files.fail_sync = node.files.syncs + 1
    node.streams.gather()
    with pytest.raises(OSError, match="Input/output error"):
        node.streams.write()
    node.files.kill()
    node.restart()
    assert node.read() == ["a", "b", "c", "d"]
    node.publish("e")
    node.files.power_loss()
    node.restart()
    assert node.read() == ["a", "b", "c", "d", "e"]


def test_the_name_of_a_segment_is_synced_before_the_segment_is_continued():
    cut_at, is_cut = 0, True
    while is_cut:
        cut_at += 1
        node = Node(segment_bytes=1)
        node.publish("a")
        node.log.append(message("b"))
        node.files.cut_at = node.files.steps + cut_at
        try:
            node.sync()
            is_cut = False
        except PowerCut:
            pass
        node.files.kill()
        node.segment_bytes = 10_000
        node.restart()
        node.publish("c")
        read = node.read()
        assert read in (["a", "c"], ["a", "b", "c"])
        node.files.power_loss()
        node.restart()
        assert node.read() == read
    assert cut_at > 4


def test_damage_before_synced_messages_refuses_the_start():
    node = Node(segment_bytes=10_000, index_bytes=10_000)
    node.publish("a")
    node.publish("b")
    node.files.contents[newest_file(node)][SEGMENT_BYTES + 50] ^= 1
    with pytest.raises(
        StoreError, match=r"damaged at offset 28, with synced chunks after it; `amqpbroker store check`"
    ):
        node.restart()


def test_a_file_of_another_format_refuses_the_start():
    node = Node()
    node.publish("a")
    node.files.contents[newest_file(node)][:8] = b"AMQPBS99"
    with pytest.raises(StoreError, match="not a segment of a stream, or one of another version"):
        node.restart()


def test_a_stream_that_cannot_be_read_refuses_the_start(monkeypatch):
    node = Node()
    node.publish("a")

    def fail(path, write=False):
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(node.files, "open", fail)
    with pytest.raises(StoreError, match=r"00000007-00000000000000000000\.stream: Too many open files"):
        node.restart()


def test_a_missing_end_of_a_sealed_segment_refuses_the_start():
    node = filled()
    newest = newest_file(node)
    before = max(path for path in node.files.contents if path.suffix == ".stream" and path != newest)
    del node.files.contents[newest][SEGMENT_BYTES:]
    chunk = (len(node.files.contents[before]) - SEGMENT_BYTES) // 2
    del node.files.contents[before][SEGMENT_BYTES + chunk // 2 :]
    with pytest.raises(StoreError):
        node.restart()


def test_damage_is_found_when_it_is_read():
    node = filled()
    oldest = min(path for path in node.files.contents if path.suffix == ".stream")
    node.files.contents[oldest][SEGMENT_BYTES + 60] ^= 1
    node.restart()
    with pytest.raises(DamagedError, match="a damaged chunk"):
        node.read()
    assert node.read(MANY // 2) == bodies(MANY - MANY // 2, MANY // 2)


# --- refused writes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_write_that_the_disk_refuses_is_repeated(number):
    node = Node(segment_bytes=1)
    node.publish("a")
    node.log.append(message("b"))
    node.log.append(message("c"))
    node.files.fail_write = node.files.writes + number
    refused = node.refused()
    assert node.log.safe == (1 if refused else 3)
    while refused:
        node.streams.write()
        node.streams.written()
        refused = False
    assert node.read() == ["a", "b", "c"]
    node.restart()
    assert node.read() == ["a", "b", "c"]


@pytest.mark.parametrize("operation", ["create", "open", "sync_directory"])
def test_too_many_open_files_at_any_step_are_temporary(operation, monkeypatch):
    node = Node(segment_bytes=200, chunk_bytes=1)
    node.publish("a")
    for body in "bcde":
        node.log.append(message(body))
    original, calls = getattr(node.files, operation), 0

    def fail(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        return original(*arguments, **options)

    monkeypatch.setattr(node.files, operation, fail)
    assert node.refused()
    assert node.read() == ["a"]
    node.streams.write()
    node.streams.written()
    assert node.files.open_files == {}
    node.files.power_loss()
    node.restart()
    assert node.read() == list("abcde")


def test_a_message_that_cannot_be_encoded_leaves_no_gap():
    node = Node()
    node.publish("a")
    with pytest.raises(IndexError):
        node.log.append(Message(b"", b"", b""))
    node.publish("b")
    assert offsets(node.messages()) == [0, 1]


def test_a_failed_sync_is_final():
    node = Node()
    node.publish("a")
    node.log.append(message("b"))
    node.files.fail_sync = node.files.syncs + 1
    node.streams.gather()
    with pytest.raises(OSError, match="Input/output error"):
        node.streams.write()
    assert node.log.safe == 1


# --- search -----------------------------------------------------------------------------------------------------------


def test_an_offset_is_found_by_time():
    node = filled()
    assert node.log.offset_at(0) == 0
    for offset in range(MANY):
        assert node.log.offset_at(START_MS + offset) == offset
    assert node.log.offset_at(START_MS + MANY) == MANY
    node.restart()
    assert node.log.offset_at(START_MS + 31) == 31


def test_the_time_of_the_oldest_message_changes_with_it():
    node = filled()
    assert node.log.first_ms() == START_MS
    node.restart()
    assert node.log.first_ms() == START_MS
    node.log.limit(1500, -1)
    node.log.remove_oldest()
    assert node.log.first > 0
    assert node.log.first_ms() == START_MS + node.log.first


def test_times_never_decrease():
    node = Node(segment_bytes=1)
    node.publish("a")
    node.clock.advance(-10_000)
    node.publish("b")
    assert node.log.offset_at(START_MS) == 0
    assert node.log.offset_at(START_MS + 1) == 2


def test_messages_that_are_being_written_are_not_found():
    node = Node()
    node.publish("a")
    node.clock.advance(5)
    node.log.append(message("b"))
    node.streams.gather()
    assert node.log.last_chunk == 0
    assert node.log.offset_at(START_MS + 1) == 1
    node.streams.write()
    node.streams.written()
    assert node.log.last_chunk == 1


def test_the_last_chunk_has_the_messages_that_were_stored_together():
    node = Node()
    assert node.log.last_chunk == 0
    node.publish("a")
    node.publish("b", "c")
    assert node.log.last_chunk == 1
    node.restart()
    assert node.log.last_chunk == 1


# --- retention --------------------------------------------------------------------------------------------------------


def test_the_oldest_segments_are_removed_when_all_are_too_large():
    node = Node()
    node.log.limit(3000, -1)
    for body in bodies(MANY):
        node.publish(body)
    assert 0 < node.log.first < MANY
    assert node.log.size <= 3000 + 1000
    assert node.read() == bodies(MANY - node.log.first, node.log.first)
    node.streams.remove_freed()
    assert min(int(path.stem[9:]) for path in node.files.contents) == node.log.first
    first = node.log.first
    node.restart()
    assert (node.log.first, node.log.next) == (first, MANY)


def test_a_new_limit_can_have_an_effect_at_once():
    node = filled()
    node.log.limit(1500, -1)
    node.log.remove_oldest()
    assert node.log.segment_count <= 2
    assert node.read() == bodies(MANY - node.log.first, node.log.first)


def test_the_newest_segment_always_stays():
    node = filled()
    node.log.limit(0, 0)
    node.clock.advance(1000)
    node.log.remove_oldest()
    assert node.log.segment_count == 1
    assert node.read() == bodies(MANY - node.log.first, node.log.first)


def test_segments_are_removed_when_their_newest_message_is_too_old():
    node = filled()
    node.log.limit(-1, 20)
    node.log.remove_oldest()
    first = node.log.first
    assert 0 < first <= MANY - 20
    second = node.log._segments[1].first
    assert START_MS + second - 1 >= node.clock.wall_ms() - 20
    assert node.log._segments[0].first == first


def test_damaged_segments_are_removed_when_they_are_too_old():
    node = filled()
    oldest = min(path for path in node.files.contents if path.suffix == ".stream")
    node.files.contents[oldest][SEGMENT_BYTES:] = bytes(len(node.files.contents[oldest]) - SEGMENT_BYTES)
    node.restart()
    node.log.limit(-1, 20)
    assert MANY - 30 < node.log.first <= MANY - 20


def test_limits_are_checked_when_a_segment_begins():
    node = filled()
    node.log.limit(-1, 1000)
    assert node.log.first == 0
    node.clock.advance(2000)
    node.publish("late")
    before = node.log.segment_count
    while node.log.segment_count == before and node.log.first == 0:
        node.publish("later")
    assert node.log.segment_count <= 2
    assert node.read()[-1] == "later"


def test_messages_that_are_being_written_are_not_removed():
    node = Node(segment_bytes=1)
    node.publish("a")
    for body in "bcd":
        node.log.append(message(body))
        node.log._complete()
    node.streams.gather()
    node.log.limit(0, -1)
    assert node.log.first == 0
    node.streams.write()
    node.streams.written()
    assert node.read() == ["d"]


# --- end --------------------------------------------------------------------------------------------------------------


def test_a_deleted_stream_has_no_files():
    node = filled()
    node.streams.remove(node.log)
    node.streams.remove_freed()
    assert node.files.contents == {}
    node.restart()
    assert node.log.next == 0


def test_a_stream_that_is_deleted_while_it_is_written_has_no_files():
    node = filled()
    node.log.append(message("b"))
    node.streams.gather()
    node.streams.remove(node.log)
    node.streams.remove_freed()
    node.streams.write()
    node.streams.written()
    node.streams.remove_freed()
    assert node.files.contents == {}


def test_a_stream_that_is_deleted_before_it_is_written_has_no_files():
    node = filled()
    node.log.append(message("b"))
    node.streams.remove(node.log)
    node.sync()
    node.streams.remove_freed()
    assert node.files.contents == {}


def test_files_of_deleted_streams_are_removed_after_a_restart():
    node = filled()
    node.restart(7)
    node.streams.remove_others({7})
    node.streams.remove_freed()
    assert node.files.contents
    node.restart(7)
    node.streams.remove_others({8})
    assert node.freed
    node.streams.remove_freed()
    assert node.files.contents == {}


def test_a_file_that_cannot_be_removed_is_removed_later(caplog):
    node = filled()
    node.streams.remove(node.log)
    remove = node.files.remove

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    node.files.remove = refuse
    for _ in range(2):
        node.streams.remove_freed()
    assert caplog.text.count("cannot be removed: Permission denied") == 1
    node.files.remove = remove
    node.streams.remove_freed()
    assert node.files.contents == {}


def test_no_file_stays_open():
    node = filled()
    node.read()
    node.restart()
    node.log.limit(1000, 1000)
    node.streams.remove(node.log)
    node.streams.remove_freed()
    assert node.files.open_files == {}


def test_no_other_file_is_removed():
    node = Node()
    node.files.contents[DIRECTORY / "notes.txt"] = bytearray(b"mine")
    node.restart()
    node.streams.remove_others(())
    node.streams.remove_freed()
    assert list(node.files.contents) == [DIRECTORY / "notes.txt"]


def test_a_log_inherits_the_messages_of_an_earlier_one_in_memory():
    before = Node()
    before.publish(*bodies(60))
    before.log.limit(2000, -1)
    first = before.log.first
    assert first > 0
    stored = before.read()
    before.log.append(message("lost"))
    before.streams.close()
    node = Node()
    node.log.inherit(before.log)
    assert (node.log.first, node.log.next, node.log.safe) == (first, 60, 60)
    assert node.read() == stored
    node.log.limit(2000, -1)
    node.publish(*bodies(30, 60))
    assert node.read() == bodies(90 - node.log.first, node.log.first)
    assert node.log.first > first
    assert offsets(node.messages()) == list(range(node.log.first, 90))
    node.streams.remove_freed()
    assert node.log.offset_at(START_MS) == node.log.first


def test_a_large_message_has_a_chunk_of_its_own():
    """A reader of small messages must not read a large one with each of them."""
    node = Node(chunk_bytes=2_000)
    node.publish("small", "small", "x" * 100_000, "small", "small")
    assert node.read() == ["small", "small", "x" * 100_000, "small", "small"]
    log = node.log
    sizes = [log.block(log.place(offset)).size_bytes for offset in range(5)]
    assert sizes[0] == sizes[1] < 1_000
    assert sizes[2] > 100_000
    assert sizes[3] == sizes[4] < 1_000
