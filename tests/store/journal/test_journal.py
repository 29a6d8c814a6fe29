import errno
import logging
import time
from pathlib import Path

import pytest

from amqpbroker.store import record
from amqpbroker.store.journal.journal import Journal, segment_name
from amqpbroker.store.log import StoreError
from amqpbroker.store.recovered import Recovered
from amqpbroker.wire.frames import content
from amqpbroker.wire.properties import encode_properties
from tests.fault_files import FaultyFiles, PowerCut

DIRECTORY = Path("/journal")
CONTENT = record.Content(b"\0\1q", b"frames", 3, 0, (), 0, False)


def group(*payloads):
    data = b"".join(payloads)
    return record.group(data) + data


def publish(queue_id=1, sequence=1, deadline_ms=0, count=0):
    return record.publish(CONTENT, [(queue_id, sequence, deadline_ms, count)])


class Writer:
    """A journal to write to, with the positions of its entries."""

    def __init__(self, files, segment_bytes=1 << 20):
        self.files = files
        self.journal = Journal(DIRECTORY, files, segment_bytes)

    def write(self, *payloads):
        """Write each payload as a group of its own, all in one batch; return the position of each first entry."""
        position = self.journal.next_position()
        positions = []
        parts = []
        for payload in payloads:
            positions.append(position + record.GROUP_HEAD.size + record.PUBLISH_HEAD.size)
            parts.append(group(payload))
            position += len(parts[-1])
        self.journal.write(self.journal.batch(parts))
        return positions


@pytest.fixture
def files():
    return FaultyFiles()


def recovered(files, repair=True):
    journal = Journal(DIRECTORY, files)
    return journal.recover(repair), journal


def sequences(found, queue_id=1):
    copies = found.copies.get(queue_id)
    return [] if copies is None else list(copies.sequences)


def test_unsettled_copies_are_recovered_in_order(files):
    writer = Writer(files)
    writer.write(publish(sequence=1), publish(sequence=2, deadline_ms=77), publish(queue_id=9, sequence=5, count=3))
    positions = writer.write(publish(sequence=3))
    found, journal = recovered(files)
    assert sequences(found) == [1, 2, 3]
    assert list(found.copies[1].deadlines_ms) == [0, 77, 0]
    assert found.copies[1].positions[2] == positions[0]
    assert found.returned == {found.copies[9].positions[0]: 3}
    assert found.batches == journal.batches == 2
    assert journal.living.of(1).count == 4


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("keys", [(), (b"cc", b"bcc")])
def test_recovered_priority_0_differs_from_a_missing_priority(files, keys, settled):
    writer = Writer(files)
    values = [{}, {"priority": 0}, {"priority": 200}, {"message_type": b"t"}, {"priority": 9, "app_id": b"a"}]
    payloads = []
    for sequence, properties in enumerate(values, 1):
        frames = content(1, encode_properties(properties), b"x" * 200, 0)
        stored = record.Content(b"\0\1q", frames, 200, properties.get("priority", 0), keys, 1 if keys else 0, 0)
        # Lone entries and entries in several queues are read by different code.
        payloads.append(record.publish(stored, [(1, sequence, 0, 0)]))
        payloads.append(record.publish(stored, [(2, sequence, 0, 0), (3, sequence, 0, 0)]))
    positions = writer.write(*payloads)
    if settled:
        writer.write(record.settle(positions[:1]))
    found, _ = recovered(files)
    assert list(found.copies[1].priorities) == [-1, 0, 200, -1, 9][settled:]
    for queue_id in (2, 3):
        assert list(found.copies[queue_id].priorities) == [-1, 0, 200, -1, 9]


def test_delivery_counts_of_many_copies_are_recovered_and_bounded(files):
    writer = Writer(files)
    counts = [1, 255, 256, record.MAX_COUNT, record.MAX_COUNT + 1]
    positions = writer.write(*[publish(sequence=number) for number in range(1, 6)])
    writer.write(record.returned(list(zip(positions, counts, strict=True))))
    found, _ = recovered(files)
    assert found.returned == dict(zip(positions, [*counts[:4], record.MAX_COUNT], strict=True))


def test_batches_are_not_synced_if_syncing_is_disabled(files):
    journal = Journal(DIRECTORY, files, synced=False)
    journal.next_position()
    journal.write(journal.batch([group(publish())]))
    assert files.syncs == 0
    assert sequences(recovered(files)[0]) == [1]


def test_the_last_batch_is_synced_at_recovery(files):
    journal = Journal(DIRECTORY, files, synced=False)
    journal.next_position()
    journal.write(journal.batch([group(publish())]))
    recovered(files)
    files.power_loss()
    assert sequences(recovered(files)[0]) == [1]


@pytest.mark.parametrize("failed", [2, 3])
def test_a_batch_whose_sync_failed_is_safe_after_recovery(files, failed):
    """The kernel returns data that the failed sync did not write, and considers it written.

    Sync 1 is that of the header.
    """
    writer = Writer(files)
    for sequence in range(1, failed - 1):
        writer.write(publish(sequence=sequence))
    files.fail_sync = failed
    with pytest.raises(OSError, match="Input/output error"):
        writer.write(publish(sequence=failed - 1))
    files.kill()
    found, journal = recovered(files)
    assert sequences(found) == list(range(1, failed))
    writer.journal = journal
    writer.write(publish(sequence=9))
    files.power_loss()
    assert sequences(recovered(files)[0]) == [*range(1, failed), 9]


def test_a_header_whose_sync_failed_is_safe_after_recovery(files):
    writer = Writer(files)
    files.fail_sync = 1
    with pytest.raises(OSError, match="Input/output error"):
        writer.write(publish(sequence=1))
    files.kill()
    _, writer.journal = recovered(files)
    writer.write(publish(sequence=9))
    files.power_loss()
    assert sequences(recovered(files)[0]) == [9]


def test_a_full_disk_does_not_keep_a_journal_from_being_recovered(files, monkeypatch):
    """File systems that never write in place need space for rewriting the last batch."""

    def full(path, offset, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    Writer(files).write(publish(sequence=1))
    monkeypatch.setattr(files, "overwrite", full)
    assert sequences(recovered(files)[0]) == [1]


def test_recovered_copies_of_a_fan_out_share_the_bytes_of_the_record(files):
    writer = Writer(files)
    entries = [(number, 1, 0, 0) for number in range(4)]
    one = record.publish(CONTENT, entries)
    writer.write(one)
    _, journal = recovered(files)
    assert (journal.living.of(1).count, journal.living.size_bytes) == (4, len(one) // 4 * 4)


def test_settled_copies_need_no_bytes_of_the_record(files):
    writer = Writer(files)
    first, second = writer.write(publish(sequence=1), publish(sequence=2))
    writer.write(record.settle([first]), record.returned([(second, 4)]))
    found, _ = recovered(files)
    assert sequences(found) == [2]
    assert found.returned == {second: 4}


def test_a_rewritten_copy_is_recovered_once_at_its_later_position(files):
    writer = Writer(files)
    writer.write(publish(sequence=1), publish(sequence=2))
    (moved,) = writer.write(publish(sequence=1))
    found, _ = recovered(files)
    assert sequences(found) == [1, 2]
    assert found.copies[1].positions[0] == moved


def test_a_rewritten_copy_settled_at_its_later_position_is_not_recovered(files):
    writer = Writer(files)
    writer.write(publish(sequence=1), publish(sequence=2))
    (moved,) = writer.write(publish(sequence=1))
    writer.write(record.settle([moved]))
    found, _ = recovered(files)
    assert sequences(found) == [2]


def test_copies_settled_before_a_restart_stay_settled(files):
    writer = Writer(files)
    first, second, third = writer.write(publish(sequence=1), publish(sequence=2), publish(sequence=3))
    writer.write(publish(sequence=1), record.settle([second]))
    _, journal = recovered(files)
    living = journal.living.of(1)
    assert living.count == 2
    assert [living.settle(position & 0xFFFFFFFF) > 0 for position in (first, second, third)] == [False, False, True]


def test_segments_follow_each_other_and_the_oldest_is_freed(files):
    writer = Writer(files, segment_bytes=200)
    positions = [writer.write(publish(sequence=i))[0] for i in range(10)]
    for position in positions:
        writer.journal.living.add([position], [80])
    assert len(writer.journal.segments) > 2
    writer.journal.living.settle(positions[:-1])
    writer.write(record.settle(positions[:-1]))
    assert writer.journal.free()
    assert not writer.journal.free()
    writer.journal.remove_freed()
    found, journal = recovered(files)
    assert sequences(found) == [9]
    assert min(journal.segments) > 1


def test_segments_after_one_that_cannot_be_removed_are_kept(files, caplog, monkeypatch):
    """A later segment may contain the settle records for copies in an earlier one."""
    writer = Writer(files, segment_bytes=200)
    positions = [writer.write(publish(sequence=i))[0] for i in range(10)]
    writer.write(record.settle(positions))
    before = set(files.contents)
    remove = files.remove
    with monkeypatch.context() as patched:

        def refuse(path):
            if path.name == segment_name(2):
                raise OSError(errno.EIO, "Input/output error")
            remove(path)

        patched.setattr(files, "remove", refuse)
        assert writer.journal.free()
        writer.journal.remove_freed()
        writer.journal.remove_freed()
    assert before - set(files.contents) == {DIRECTORY / segment_name(1)}
    # It is tried again with each batch.
    assert caplog.text.count("0000000000000002.seg is empty, and cannot be removed: Input/output error") == 1
    found, other = recovered(files)
    other.close()
    assert sequences(found) == []
    writer.journal.remove_freed()
    assert {int(path.stem, 16) for path in files.contents} == set(writer.journal.segments)
    writer.journal.close()
    assert not files.open_files


def test_a_segment_that_another_process_removed_counts_as_removed(files, caplog, monkeypatch):
    writer = Writer(files, segment_bytes=200)
    positions = [writer.write(publish(sequence=i))[0] for i in range(10)]
    writer.write(record.settle(positions))
    remove = files.remove

    def missing(path):
        remove(path)
        if path.name == segment_name(2):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(files, "remove", missing)
    assert writer.journal.free()
    writer.journal.remove_freed()
    assert {int(path.stem, 16) for path in files.contents} == set(writer.journal.segments)
    assert caplog.text == ""


@pytest.mark.parametrize("what", ["cut", "garbage"])
def test_tail_torn_at_any_byte_is_cut_off_with_a_warning(files, caplog, what):
    writer = Writer(files)
    writer.write(publish(sequence=1))
    path = next(iter(files.contents))
    whole = len(files.contents[path])
    writer.write(publish(sequence=2), publish(sequence=3))
    data = bytes(files.contents[path])
    for end in range(whole, len(data)):
        torn = data[:end] if what == "cut" else data[:end] + bytes(len(data) - end)
        files.contents[path][:] = torn
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            found, journal = recovered(files)
        assert sequences(found) == [1]
        assert bool(caplog.records) == (end > whole or what == "garbage")
        assert len(files.contents[path]) == whole
        again = Writer(files)
        again.journal = journal
        again.write(publish(sequence=9))
        assert sequences(recovered(files)[0]) == [1, 9]


def test_a_segment_torn_within_its_header_is_started_anew(files):
    path = DIRECTORY / "0000000000000001.seg"
    for size in range(record.SEGMENT_HEAD.size):
        files.contents[path] = bytearray(record.segment_head(1, b"any mark")[:size])
        files.synced[path] = size
        found, journal = recovered(files)
        assert sequences(found) == []
        again = Writer(files)
        again.journal = journal
        again.write(publish(sequence=9))
        assert sequences(recovered(files)[0]) == [9]


def test_segment_with_nothing_but_a_damaged_header_is_started_anew(files):
    """Its sync has failed each time since it was written, until the power failed."""
    writer = Writer(files, segment_bytes=50)
    writer.write(publish(sequence=1))
    path = DIRECTORY / "0000000000000002.seg"
    for offset in range(record.SEGMENT_HEAD.size):
        files.contents[path] = bytearray(record.segment_head(2, b"any mark"))
        files.contents[path][offset] ^= 0xFF
        files.synced[path] = record.SEGMENT_HEAD.size
        found, writer.journal = recovered(files)
        assert sequences(found) == [1]
    writer.write(publish(sequence=2))
    assert sequences(recovered(files)[0]) == [1, 2]


def test_segment_without_contents_after_a_power_loss_is_started_anew(files):
    writer = Writer(files, segment_bytes=50)
    writer.write(publish(sequence=1))
    path = DIRECTORY / "0000000000000002.seg"
    files.contents[path] = bytearray(1000)
    files.synced[path] = 1000
    found, journal = recovered(files)
    assert sequences(found) == [1]
    writer.journal = journal
    writer.write(publish(sequence=2))
    assert sequences(recovered(files)[0]) == [1, 2]


def test_header_of_a_new_segment_is_synced_before_its_first_batch(files):
    writer = Writer(files, segment_bytes=50)
    writer.write(publish(sequence=1))
    files.cut_at = files.steps + 4  # the file, its header and the header's sync exist; the batch is next
    with pytest.raises(PowerCut):
        writer.write(publish(sequence=2))
    path = DIRECTORY / "0000000000000002.seg"
    assert files.synced[path] == record.SEGMENT_HEAD.size < len(files.contents[path])


def test_a_damaged_header_of_a_segment_is_reported(files):
    Writer(files).write(publish(sequence=1))
    (path,) = files.contents
    good = bytes(files.contents[path])
    for offset in range(record.SEGMENT_HEAD.size):
        files.contents[path][:] = good
        files.contents[path][offset] ^= 0xFF
        with pytest.raises(StoreError, match="offset 0"):
            recovered(files)


@pytest.mark.parametrize("batch", [2, 3, 1 << 60])
def test_a_torn_batch_with_a_body_that_looks_like_later_batches_is_cut(files, batch):
    """A client knows the format, and may know the mark of another segment, but not that of this one."""
    others = FaultyFiles()
    Writer(others).write(publish(sequence=1))
    other_mark = record.read_mark(bytes(next(iter(others.contents.values()))), 1)
    body = group(publish(sequence=9))
    forged = b"".join(record.batch(mark, batch, len(body)) + body for mark in (other_mark, b"BTCHBTCH", bytes(8)))
    writer = Writer(files)
    writer.write(publish(sequence=1))
    (path,) = files.contents
    whole = len(files.contents[path])
    content = CONTENT._replace(frames=forged, size=len(forged))
    writer.write(record.publish(content, [(1, 2, 0, 0)]))
    assert bytes(forged) in files.contents[path]
    del files.contents[path][-1:]
    found, _ = recovered(files)
    assert sequences(found) == [1]
    assert len(files.contents[path]) == whole


def test_damage_before_synced_batches_is_reported_with_file_and_offset(files):
    writer = Writer(files)
    writer.write(publish(sequence=1))
    path = next(iter(files.contents))
    damaged_from = len(files.contents[path])
    writer.write(publish(sequence=2))
    damaged_to = len(files.contents[path])
    writer.write(publish(sequence=3))
    good = bytes(files.contents[path])
    for offset in range(damaged_from, damaged_to):
        files.contents[path][:] = good
        files.contents[path][offset] ^= 0xFF
        with pytest.raises(StoreError, match=rf"{path}: .*offset {damaged_from}"):
            recovered(files)


def test_a_missing_segment_is_reported(files):
    writer = Writer(files, segment_bytes=50)
    for i in range(4):
        writer.write(publish(sequence=i))
    del files.contents[DIRECTORY / "0000000000000002.seg"]
    with pytest.raises(StoreError, match=r"0000000000000002\.seg is missing"):
        recovered(files)


def test_recovery_without_repair_changes_no_file(files):
    writer = Writer(files)
    writer.write(publish(sequence=1))
    path = next(iter(files.contents))
    files.contents[path] += b"torn"
    before = bytes(files.contents[path])
    found, _ = recovered(files, repair=False)
    assert sequences(found) == [1]
    assert files.contents[path] == before


def finished_cpu_s(queues):
    """Return the CPU time of a recovery's last step, with a segment of 512 MiB and two messages in each queue."""
    found = Recovered()
    found.start_segment(1, 512 << 20)
    for number in range(2 * queues):
        found.entered(64 * number, number % queues + 1, number // queues + 1, 0, 0, 10, 60, 0, False)
    start = time.thread_time()
    found.finish()
    assert len(found.copies) == queues
    return time.thread_time() - start


@pytest.mark.alone
def test_recovery_cost_of_a_queue_does_not_depend_on_the_journal_size():
    # Scanning the flags of the segment takes some milliseconds.
    assert min(finished_cpu_s(1_000) for _ in range(3)) < 0.1


# --- ends in order ----------------------------------------------------------------------------------------------------


def test_end_in_order_is_known_until_it_is_removed(files):
    writer = Writer(files)
    writer.write(publish())
    found, journal = recovered(files)
    assert not found.closed_in_order
    stop = journal.durable
    journal.end(doubted=stop)
    found, journal = recovered(files)
    assert (found.closed_in_order, found.doubted, found.batches, sequences(found)) == (True, stop, 2, [1])
    journal.remove_end()
    assert (journal.durable, journal.batches) == (stop, 1)
    assert not recovered(files)[0].closed_in_order


def test_a_batch_after_an_end_in_order_makes_it_void(files):
    writer = Writer(files)
    writer.write(publish())
    writer.journal.living.add([1 << 32 | 1000], [100])
    writer.journal.end(doubted=0)
    writer.write(publish(sequence=2))
    assert not recovered(files)[0].closed_in_order


def test_end_of_a_journal_that_goes_on_is_void(files):
    Writer(files).write(publish())
    _, journal = recovered(files)
    journal.end(doubted=77)
    _, journal = recovered(files)
    journal.go_on(doubted=77)
    found, journal = recovered(files)
    assert (found.closed_in_order, found.doubted, found.batches, found.returned) == (False, 77, 3, {})


def test_a_journal_without_messages_gets_no_end(files):
    Writer(files).journal.end(doubted=0)
    assert files.names(DIRECTORY) == []


def test_end_is_removed_although_the_disk_is_full(files):
    Writer(files).write(publish())
    recovered(files)[1].end(doubted=0)
    _, journal = recovered(files)
    files.fail_write = files.writes + 1
    journal.remove_end()
    assert not recovered(files)[0].closed_in_order
