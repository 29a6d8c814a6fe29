"""Findings of `StreamsReader` in the files of streams."""

import random

import pytest

from amqpbroker.store.directory.stream_inspection import StreamsReader
from amqpbroker.store.log import StoreError
from amqpbroker.store.record import DamagedError
from amqpbroker.store.streams.format import CHUNK_BYTES, INDEX_BYTES, SEGMENT_BYTES
from tests.store.streams.logs import DIRECTORY, START_MS, Node, bodies, message

SEGMENT = "00000007-{:020d}.stream"


def inspected(node, owned=False):
    """Return the offsets of all readable messages, and the findings with damage and without."""
    reader = StreamsReader(DIRECTORY, node.files, owned)
    offsets = [each.offset for each in reader.read()]
    found = [(finding.path.name, finding.offset, finding.text) for finding in reader.findings if finding.damage]
    notes = [(finding.path.name, finding.offset, finding.text) for finding in reader.findings if not finding.damage]
    assert node.files.open_files == {}
    return offsets, found, notes


def filled(count=30, **options):
    node = Node(**options)
    for body in bodies(count):
        node.publish(body)
    return node


def files(node, suffix=".stream"):
    return sorted(path for path in node.files.contents if path.suffix == suffix)


def test_all_messages_are_read_with_their_streams_times_and_bodies():
    node = filled(3, segment_bytes=1)
    other = node.streams.open(9, 1000, node.clock, node.bounds)
    other.append(message("other", key=b"x"))
    node.sync()
    reader = StreamsReader(DIRECTORY, node.files)
    found = list(reader.read())
    assert [(each.stream, each.offset, each.written_ms, each.size) for each in found] == [
        (7, 0, START_MS, 9),
        (7, 1, START_MS, 9),
        (7, 2, START_MS, 9),
        (9, 0, START_MS, 5),
    ]
    assert found[3].address == b"\x08exchange\x01x"
    assert b"other" in found[3].frames
    assert (reader.segments, reader.chunks, reader.findings) == (4, 4, [])
    assert reader.size_bytes == sum(map(len, node.files.contents.values()))
    figures = reader.streams[7]
    assert (figures.first, figures.last, figures.count, figures.size) == (0, 2, 3, 27)


def test_a_stream_after_retention_and_restart_has_no_findings():
    node = filled(60)
    node.log.limit(3000, -1)
    node.streams.remove_freed()
    node.restart()
    offsets, found, notes = inspected(node)
    assert offsets == list(range(node.log.first, 60))
    assert (found, notes) == ([], [])


def test_each_changed_byte_is_found():
    start = filled(2, segment_bytes=10_000)
    (path,) = files(start)
    for offset in range(len(start.files.contents[path])):
        node = Node(start.files.copy(), segment_bytes=10_000)
        node.files.contents[path][offset] ^= 0xFF
        offsets, found, notes = inspected(node)
        assert found or notes, offset
        assert offsets in ([], [0], [1], [0, 1])
        # An error refuses the start, and a note does not.
        try:
            node.restart()
        except StoreError:
            assert found
        else:
            assert notes
            assert not found


@pytest.mark.parametrize("owned", [True, False])
def test_a_torn_end_at_any_byte_is_a_note(owned):
    start = filled(2, segment_bytes=10_000)
    (path,) = files(start)
    size = len(start.files.contents[path])
    for end in range(size):
        node = Node(start.files.copy(), segment_bytes=10_000)
        del node.files.contents[path][end:]
        offsets, found, notes = inspected(node, owned)
        assert found == []
        assert offsets in ([], [0])
        if notes:
            assert ("being written" if owned else "the next start cuts it off") in notes[0][2]
        else:
            assert len(offsets) == (end - SEGMENT_BYTES) // ((size - SEGMENT_BYTES) // 2)


def test_a_torn_write_of_several_chunks_is_a_note():
    node = Node(segment_bytes=10_000, chunk_bytes=1, index_bytes=10_000)
    node.publish("a")
    node.publish("b", "c")
    chunk = (len(node.files.contents[files(node)[0]]) - SEGMENT_BYTES) // 3
    node.files.contents[files(node)[0]][SEGMENT_BYTES + chunk] ^= 1
    offsets, found, (note,) = inspected(node)
    assert (offsets, found) == ([0], [])
    assert "a torn end of" in note[2]


def test_damage_is_reported_once_and_the_rest_is_read():
    node = filled(9, segment_bytes=10_000, index_bytes=10_000)
    content = node.files.contents[files(node)[0]]
    size = (len(content) - SEGMENT_BYTES) // 9
    for number in (3, 4, 7):
        content[SEGMENT_BYTES + number * size + CHUNK_BYTES] ^= 1
    offsets, found, notes = inspected(node)
    assert offsets == [0, 1, 2, 5, 6, 8]
    assert found == [
        (SEGMENT.format(0), SEGMENT_BYTES + 3 * size, f"a chunk's checksum is wrong: {2 * size} bytes cannot be read"),
        (SEGMENT.format(0), SEGMENT_BYTES + 7 * size, f"a chunk's checksum is wrong: {size} bytes cannot be read"),
    ]
    assert notes == []


def test_a_missing_segment_is_an_error():
    node = filled(30)
    path = files(node)[1]
    first, following = int(path.stem[9:]), int(files(node)[2].stem[9:])
    node.files.remove(path)
    offsets, found, notes = inspected(node)
    assert offsets == [*range(first), *range(following, 30)]
    assert found == [(files(node)[1].name, 0, f"messages {first} to {following - 1} are missing before it")]
    assert notes == [(path.stem + ".index", 0, "an index without its segment: it has no effect")] or not notes


def test_a_cut_off_end_of_an_earlier_segment_is_an_error():
    node = filled(30)
    path = files(node)[0]
    del node.files.contents[path][-1:]
    _, found, _ = inspected(node)
    assert len(found) == 1
    assert "a chunk is cut off" in found[0][2]


def test_a_segment_of_another_version_is_an_error_and_its_chunks_are_read():
    node = filled(2, segment_bytes=10_000)
    node.files.contents[files(node)[0]][0] ^= 1
    offsets, found, _ = inspected(node)
    assert offsets == [0, 1]
    assert found == [(SEGMENT.format(0), 0, "not the head of a stream's segment, or one of another version")]


def test_index_entries_that_are_wrong_are_notes():
    node = filled(30, segment_bytes=10_000)
    (index,) = files(node, ".index")
    count = len(node.files.contents[index]) // INDEX_BYTES
    assert count > 4
    node.files.contents[index][:INDEX_BYTES] = bytes(INDEX_BYTES)
    node.files.contents[index] += b"torn"
    node.files.contents[files(node)[0]][-1] ^= 1
    offsets, found, notes = inspected(node)
    assert offsets == list(range(29))
    assert found == []
    assert (index.name, 0, "2 entries are damaged or cut off: they have no effect") in notes


def test_index_entries_of_another_segment_are_a_note():
    node = filled(60)
    one, other = files(node, ".index")[:2]
    node.files.contents[one][:] = node.files.contents[other]
    _, found, notes = inspected(node)
    assert found == []
    assert [note[0] for note in notes] == [one.name]
    assert "entries for which there is no chunk" in notes[0][2]


def test_other_files_are_reported():
    node = filled(1)
    for name in ("notes.txt", "7-0.stream", "00000008-00000000000000000000.index", "x.index"):
        node.files.contents[DIRECTORY / name] = bytearray(b"mine")
    _, found, notes = inspected(node)
    assert found == [("7-0.stream", 0, "not the name of a segment")]
    assert [name for name, _, _ in notes] == ["00000008-00000000000000000000.index", "x.index"]


def test_a_segment_that_a_running_broker_removes_is_no_damage(monkeypatch):
    node = filled(30)
    before = node.files.names(DIRECTORY)
    node.log.limit(0, -1)
    node.streams.remove_freed()
    monkeypatch.setattr(node.files, "names", lambda directory: before)
    assert inspected(node, owned=True) == (list(range(node.log.first, 30)), [], [])
    with pytest.raises(FileNotFoundError):
        inspected(node)


def test_random_damage_never_stops_the_inspection():
    start = filled(30)
    for seed in range(100):
        chance = random.Random(seed)
        node = Node(start.files.copy())
        for content in node.files.contents.values():
            for _ in range(chance.randint(0, 3)):
                if content:
                    at = chance.randrange(len(content))
                    content[at : at + chance.randint(1, 30)] = chance.randbytes(chance.randint(0, 30))
        offsets, _, _ = inspected(node)
        assert offsets == sorted(set(offsets))


def test_what_is_read_equals_what_a_reader_gets():
    node = filled(60)
    node.files.contents[files(node)[1]][SEGMENT_BYTES + 60] ^= 1
    readable = []
    for offset in range(60):
        try:
            node.streams.cache.remove_stream(7)
            node.log.block(node.log.place(offset))
            readable.append(offset)
        except DamagedError:
            pass
    offsets, _, _ = inspected(node)
    assert set(readable) <= set(offsets)
