import json
import random
import re
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from click.testing import CliRunner

from amqpbroker.cli.main import main
from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.message import Message
from amqpbroker.store import record
from amqpbroker.store.definitions.definitions import ExchangeDefinition, QueueDefinition
from amqpbroker.store.definitions.sqlite_definitions import MIGRATIONS, SqliteDefinitions
from amqpbroker.store.directory.ownership import Ownership
from amqpbroker.store.files import Files
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.streams.streams import Streams
from amqpbroker.wire.frames import content as content_frames

#: Distance of the entries of messages that are told apart by a body of one byte.
HEADS = record.SEGMENT_HEAD.size + record.BATCH_HEAD.size + record.GROUP_HEAD.size + record.PUBLISH_HEAD.size


def run(*arguments):
    """Return exit status, lines of stdout and lines of stderr of `amqpbroker store`."""
    result = CliRunner().invoke(main, ["store", *(str(argument) for argument in arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()


def check(directory):
    """Return exit status, figures by name and findings of `store check`."""
    status, out, _ = run("check", directory)
    findings = [line for line in out if line.startswith(("note: ", "error: "))]
    return status, dict(line.split(": ", 1) for line in out if line not in findings), findings


def content(body=b"x", exchange=b"", key=b"q", **changed):
    address = b"%c%b%c%b" % (len(exchange), exchange, len(key), key)
    stored = record.Content(address, content_frames(1, b"\x10\0\2", body, 0), len(body), 0, (), 0, False)
    return stored._replace(**changed)


def publish(sequence=1, body=b"x", queue_id=1, deadline_ms=0, count=0, **changed):
    return record.publish(content(body, **changed), [(queue_id, sequence, deadline_ms, count)])


class Directory:
    """A data directory that is written batch by batch."""

    def __init__(self, path):
        self.path = path
        with closing(Ownership(path, Files())):
            pass
        (path / "journal").mkdir()
        self.journal = Journal(path / "journal", Files(), segment_bytes=1 << 20)

    def next_segment(self):
        self.journal.segment_bytes = 0
        self.journal.next_position()
        self.journal.segment_bytes = 1 << 20

    def write(self, *payloads):
        """Each payload as a group, all in one batch; positions of the first entry of each."""
        position = self.journal.next_position()
        positions = []
        parts = []
        for payload in payloads:
            positions.append(position + record.GROUP_HEAD.size + record.PUBLISH_HEAD.size)
            parts.append(record.group(payload) + payload)
            position += len(parts[-1])
        self.journal.write(self.journal.batch(parts))
        return positions

    def define(self, **ids):
        with closing(SqliteDefinitions(self.path / "definitions.sqlite", Files())) as definitions:
            definitions.put(*(QueueDefinition("/", name, number, False, b"\0\0\0\0") for name, number in ids.items()))

    def segment(self, number=1):
        return self.path / "journal" / f"{number:016x}.seg"

    def change(self, offset, segment=1):
        data = bytearray(self.segment(segment).read_bytes())
        data[offset] ^= 0xFF
        self.segment(segment).write_bytes(data)

    def tree(self):
        """Everything in it, with what tells of a change."""
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_mode, path.read_bytes() if path.is_file() else None)
            for path in [self.path, *self.path.rglob("*")]
        }


@pytest.fixture
def directory(tmp_path):
    return Directory(tmp_path / "data")


def test_store_check_counts_segments_records_and_messages(directory):
    first, _, _ = directory.write(publish(1, b"abc"), publish(2, b"de"), publish(1, b"f", queue_id=7))
    directory.write(record.settle([first]), record.returned([(first, 2)]), record.delayed([(first, 5), (first, 0)]))
    directory.next_segment()
    directory.write(record.publish(content(b"both"), [(1, 3, 0, 0), (7, 2, 0, 0)]))
    directory.define(orders=1)
    status, figures, findings = check(directory.path)
    size = sum(directory.segment(number).stat().st_size for number in (1, 2))
    assert (status, findings) == (0, [])
    assert figures == {
        "segments": "2",
        "bytes": str(size),
        "batches": "3",
        "groups": "7",
        "messages": "4",
        "copies": "5",
        "settled": "1",
        "returned": "1",
        "delayed": "2",
        "living": "4 messages, 11 bytes",
        "queue orders": "2 messages, 6 bytes",
        "queue #7, which the definitions do not know": "2 messages, 5 bytes",
        "errors": "0",
    }


def streaming(directory):
    """Two messages of the stream `events`, which has the id 1, and one of an unknown stream."""
    (directory.path / "streams").mkdir()
    streams = Streams(directory.path / "streams", Files(), 1 << 20)
    clock = ManualClock(1_700_000_000_000)
    for number, bodies in ((1, ("hello", "x" * 100)), (5, ("",))):
        log = streams.open(number, 1000, clock, BOUNDS)
        for body in bodies:
            log.append(Message(b"\x01e\x01k", b"\x10\0\2", body.encode()))
    streams.gather()
    streams.write()
    directory.define(events=1)


def test_check_counts_the_messages_of_streams(directory):
    streaming(directory)
    status, figures, findings = check(directory.path)
    assert (status, findings) == (0, [])
    assert {name: figure for name, figure in figures.items() if name.startswith("stream")} == {
        "stream segments": "2",
        "stream bytes": str(sum(path.stat().st_size for path in (directory.path / "streams").iterdir())),
        "stream chunks": "2",
        "stream events": "2 messages, 105 bytes, offsets 0 to 1",
        "stream #5, which the definitions do not know": "1 messages, 0 bytes, offsets 0 to 0",
    }


def test_check_reports_damage_of_streams(directory):
    streaming(directory)
    path = min((directory.path / "streams").iterdir())
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    status, figures, findings = check(directory.path)
    assert (status, figures["errors"]) == (1, "1")
    assert findings == [f"error: {path}: at offset 0: not the head of a stream's segment, or one of another version"]
    status, _, err = run("dump", directory.path)
    assert (status, err) == (1, findings)


@pytest.mark.parametrize("living", [(), ("--living",)])
def test_dump_prints_the_messages_of_streams(directory, living):
    streaming(directory)
    status, out, err = run("dump", directory.path, *living)
    time = "2023-11-14T22:13:20.000+00:00"
    assert (status, err) == (0, [])
    assert out == [
        f"message stream=events offset=0 time={time} exchange=e key=k size=5 body='hello'",
        f"message stream=events offset=1 time={time} exchange=e key=k size=100 body='{'x' * 64}'...",
        f"message stream=#5 offset=0 time={time} exchange=e key=k size=0 body=''",
    ]
    _, out, _ = run("dump", directory.path, "--json")
    assert json.loads(out[0]) == {
        "record": "message",
        "stream_id": 1,
        "vhost": "/",
        "stream": "events",
        "offset": 0,
        "time_ms": 1_700_000_000_000,
        "exchange": "e",
        "routing_key": "k",
        "size": 5,
        "body": "hello",
    }


def holding(directory):
    """One message in a queue, and one in each of two delayed exchanges."""
    positions = directory.write(
        publish(1, b"queued"),
        publish(1, b"held", queue_id=2, deadline_ms=1_700_000_000_123, exchange=b"late"),
        publish(5, b"held", queue_id=3, exchange=b"late too"),
    )
    directory.define(orders=1)
    with closing(SqliteDefinitions(directory.path / "definitions.sqlite", Files())) as definitions:
        definitions.put(
            ExchangeDefinition("/", "direct", 0, "direct", False, False, b"\0\0\0\0"),
            ExchangeDefinition("/", "late", 2, "x-delayed-message", False, False, b"\0\0\0\0"),
            ExchangeDefinition("other", "late too", 3, "x-delayed-message", False, False, b"\0\0\0\0"),
        )
    return [position & 0xFFFFFFFF for position in positions]


def test_check_names_exchanges_that_hold_messages(directory):
    holding(directory)
    status, figures, findings = check(directory.path)
    assert (status, findings) == (0, [])
    assert {name: figure for name, figure in figures.items() if name.startswith(("queue", "exchange"))} == {
        "queue orders": "1 messages, 6 bytes",
        "exchange late": "1 messages, 4 bytes",
        "exchange 'late too' vhost=other": "1 messages, 4 bytes",
    }


def test_dump_names_exchanges_that_hold_messages(directory):
    first, second, third = holding(directory)
    told = [
        f"publish 1:{first} queue=orders sequence=1 deadline=- count=0 exchange='' key=q size=6 body='queued'",
        f"publish 1:{second} held=late sequence=1 deadline=2023-11-14T22:13:20.123+00:00 count=0 exchange=late key=q"
        " size=4 body='held'",
        f"publish 1:{third} held='late too' vhost=other sequence=5 deadline=- count=0 exchange='late too' key=q size=4"
        " body='held'",
    ]
    assert run("dump", directory.path) == run("dump", directory.path, "--living") == (0, told, [])
    told = [json.loads(line) for line in run("dump", directory.path, "--json")[1]]
    assert [(one["queue_id"], one["vhost"], one["queue"], one["held_by"]) for one in told] == [
        (1, "/", "orders", None),
        (2, "/", None, "late"),
        (3, "other", None, "late too"),
    ]


def test_ids_of_accepted_messages_are_counted_and_dumped(directory):
    directory.write(
        publish(1, b"x") + record.took(1, 1, 0, b"Sorder 17"),
        record.took(2, 3, 1_700_000_000_123, b"I5"),
    )
    first = HEADS - record.PUBLISH_HEAD.size + len(publish(1, b"x")) + record.ID_BYTES
    directory.write(record.settle([1 << 32 | first]))
    assert check(directory.path)[1]["ids"] == "2"
    _, lines, _ = run("dump", directory.path)
    assert f"id 1:{first} queue=#1 sequence=1 expires=- id='Sorder 17'" in lines
    assert any(line.endswith("queue=#2 sequence=3 expires=2023-11-14T22:13:20.123+00:00 id='I5'") for line in lines)
    told = [json.loads(line) for line in run("dump", "--json", directory.path)[1]]
    assert [one["id"] for one in told if one["record"] == "id"] == ["Sorder 17", "I5"]
    assert check(directory.path)[2] == []


def test_store_check_reads_version_1_definitions_without_changing_them(directory):
    directory.write(publish(1))
    with closing(sqlite3.connect(directory.path / "definitions.sqlite")) as connection:
        connection.executescript(f"{MIGRATIONS[0]}; PRAGMA user_version = 1")
        connection.execute("INSERT INTO queue (vhost, name, auto_delete, arguments) VALUES ('/', 'orders', 0, x'')")
        connection.commit()
    before = directory.tree()
    assert check(directory.path)[1]["queue orders"] == "1 messages, 1 bytes"
    assert directory.tree() == before


def test_store_check_finds_no_errors_in_an_unused_directory(directory):
    status, figures, findings = check(directory.path)
    assert (status, figures["segments"], figures["living"], findings) == (0, "0", "0 messages, 0 bytes", [])


def test_store_check_reports_an_end_torn_at_any_byte_as_a_note(directory):
    directory.write(publish(1))
    whole = directory.segment().stat().st_size
    directory.write(publish(2), publish(3))
    data = directory.segment().read_bytes()
    for end in range(whole + 1, len(data)):
        directory.segment().write_bytes(data[:end])
        status, figures, findings = check(directory.path)
        assert (status, figures["living"]) == (0, "1 messages, 1 bytes")
        (note,) = findings
        assert note.startswith(f"note: {directory.segment()}: at offset {whole}: a torn end of {end - whole} bytes (")


def test_a_segment_torn_within_its_header_is_a_note(directory):
    directory.write(publish(1))
    directory.next_segment()
    directory.write(publish(2))
    directory.segment(2).write_bytes(directory.segment(2).read_bytes()[:9])
    status, figures, findings = check(directory.path)
    assert (status, figures["living"], len(findings)) == (0, "1 messages, 1 bytes", 1)
    assert findings[0].startswith(f"note: {directory.segment(2)}: at offset 0: a torn end of 9 bytes")


def test_header_of_the_last_segment_that_was_never_synced_is_no_damage(directory):
    directory.write(publish(1))
    directory.next_segment()
    directory.write(publish(2))
    directory.segment(2).write_bytes(b"?" * record.SEGMENT_HEAD.size)
    status, figures, findings = check(directory.path)
    assert (status, figures["living"], figures["errors"]) == (0, "1 messages, 1 bytes", "0")
    assert "never synced" in findings[0]


@pytest.mark.explore
def test_store_check_finds_each_changed_byte(directory):
    """A change before the last batch is an error, whose offset is not after the change."""
    directory.write(publish(1), publish(2))
    directory.write(record.settle([]), record.returned([]))
    last = directory.segment().stat().st_size
    directory.write(publish(3))
    good = directory.segment().read_bytes()
    for offset in range(last):
        directory.change(offset)
        status, _, findings = check(directory.path)
        directory.segment().write_bytes(good)
        assert status == 1, offset
        places = [re.fullmatch(r"error: (.*): at offset (\d+): .*", finding) for finding in findings]
        assert all(place is not None and place[1] == str(directory.segment()) for place in places)
        assert any(int(place[2]) <= offset for place in places), (offset, findings)
    assert check(directory.path)[0] == 0


def test_store_check_reports_each_damaged_place_and_reads_the_rest(directory):
    starts = []
    for sequence in range(1, 7):
        starts.append(directory.journal.next_position() & 0xFFFFFFFF)
        directory.write(publish(sequence, b"a"), publish(sequence + 10, b"b"))
    directory.next_segment()
    directory.write(publish(50))
    directory.change(starts[1] + 30)  # a payload in the second batch
    directory.change(starts[3] - record.BATCH_HEAD.size)  # the magic of the fourth
    directory.change(starts[5] + 5)  # the checksum of a group in the sixth
    status, figures, findings = check(directory.path)
    assert status == 1
    assert findings == [
        f"error: {directory.segment()}: at offset {starts[1]}: a group's checksum is wrong",
        f"error: {directory.segment()}: at offset {starts[3] - record.BATCH_HEAD.size}: no whole batch header:"
        f" {starts[4] - starts[3]} bytes cannot be read",
        f"error: {directory.segment()}: at offset {starts[5]}: a group's checksum is wrong",
    ]
    assert figures["errors"] == "3"
    assert figures["living"] == "9 messages, 9 bytes"


def test_a_group_of_a_wrong_length_hides_the_rest_of_its_batch_only(directory):
    (first, second, _) = directory.write(publish(1), publish(2), publish(3))
    directory.write(publish(4))
    place = (second & 0xFFFFFFFF) - record.PUBLISH_HEAD.size - record.GROUP_HEAD.size
    directory.change(place)
    status, figures, findings = check(directory.path)
    size = second - first
    assert (status, figures["living"]) == (1, "2 messages, 2 bytes")
    assert findings == [
        f"error: {directory.segment()}: at offset {place}: a group's length is wrong: {2 * size} bytes cannot be read"
    ]


def test_store_check_reports_a_cut_off_batch_in_an_earlier_segment(directory):
    directory.write(publish(1))
    directory.next_segment()
    directory.write(publish(2))
    directory.segment(1).write_bytes(directory.segment(1).read_bytes()[:-1])
    status, figures, findings = check(directory.path)
    assert (status, figures["living"]) == (1, "1 messages, 1 bytes")
    assert findings[0].startswith(
        f"error: {directory.segment(1)}: at offset {record.SEGMENT_HEAD.size}: batch 1 is cut off"
    )


def test_store_check_reports_missing_segments_and_foreign_files(directory):
    for sequence in range(1, 6):
        directory.write(publish(sequence))
        directory.next_segment()
    directory.segment(2).unlink()
    directory.segment(3).unlink()
    stray = directory.path / "journal" / "1.seg"
    stray.touch()
    status, figures, findings = check(directory.path)
    assert (status, figures["living"]) == (1, "3 messages, 3 bytes")
    assert findings == [
        f"error: {stray}: at offset 0: not the name of a segment",
        f"error: {directory.segment(2)}: at offset 0: this segment and 1 more are missing",
    ]


def test_a_freed_segment_is_no_damage(directory):
    (first,) = directory.write(publish(1))
    directory.next_segment()
    directory.write(record.settle([first]), record.returned([(first, 1)]), publish(2))
    directory.segment(1).unlink()
    status, figures, _ = check(directory.path)
    assert (status, figures["living"]) == (0, "1 messages, 1 bytes")


def test_store_check_reports_a_missing_batch(directory):
    directory.write(publish(1))
    directory.journal.batches += 1
    directory.write(publish(2))
    status, _, findings = check(directory.path)
    assert status == 1
    assert findings[0].endswith(": batch 3 follows batch 1")


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"X", "a group's records do not fill it"),
        (publish(2) + b"P", "a group's records do not fill it"),
        (record.settle([1 << 32 | HEADS + 1]), f"settles 1:{HEADS + 1}, where there is no entry"),
        (record.settle([1 << 32 | 1 << 30]), f"settles 1:{1 << 30}, where there is no entry"),
        (record.settle([10 << 32 | HEADS]), f"settles a:{HEADS}, where there is no entry"),
        (record.settle([1 << 32 | HEADS] * 2), f"settles 1:{HEADS}, which is settled already"),
        (record.returned([(2 << 32, 1)]), "returns 2:0, where there is no entry"),
        (record.delayed([(2 << 32, 1)]), "delays 2:0, where there is no entry"),
        (publish(2, address=b"\1q"), "a message's address is not an exchange and a routing key"),
        (publish(2, address=b""), "a message's address is not an exchange and a routing key"),
        (publish(2, frames=b"frames"), "a message's frames are not a content header and a body"),
        (publish(2, size=2), "a message's frames are not a content header and a body"),
        (publish(2, body=b"", size=1), "a message's frames are not a content header and a body"),
        (publish(2, cc_keys=1), "a message has more CC keys than keys"),
        (
            publish(2)[: record.PUBLISH_HEAD.size]
            + record.ENTRY.pack(1, 2, 0, 0, 1)
            + publish(2)[record.PUBLISH_HEAD.size + record.ENTRY.size :],
            "an entry in the wrong place",
        ),
    ],
)
def test_store_check_reports_invalid_records_with_a_valid_checksum(directory, payload, said):
    directory.write(publish(1))
    start = directory.journal.next_position() & 0xFFFFFFFF
    directory.write(payload)
    status, _, findings = check(directory.path)
    assert status == 1
    assert findings[-1] == f"error: {directory.segment()}: at offset {start}: {said}"


def test_references_into_damaged_records_are_reported_once(directory):
    (first,) = directory.write(publish(1))
    directory.write(record.settle([first]))
    directory.change(first & 0xFFFFFFFF)
    assert len(check(directory.path)[2]) == 1


@pytest.mark.explore
def test_store_check_and_dump_handle_random_damage(directory):
    chance = random.Random(1)
    positions = []
    for sequence in range(30):
        positions += directory.write(publish(sequence, bytes(chance.randrange(40))), record.settle(positions[-1:]))[:1]
        if sequence % 10 == 9:
            directory.next_segment()
    good = {number: directory.segment(number).read_bytes() for number in (1, 2, 3)}
    for _ in range(200):
        number = chance.choice((1, 2))
        data = bytearray(good[number])
        start = chance.randrange(len(data))
        data[start : start + chance.randrange(1, 100)] = chance.randbytes(chance.randrange(100))
        directory.segment(number).write_bytes(data)
        status, _, findings = check(directory.path)
        assert (status == 1) == (data != good[number]), findings
        assert run("dump", directory.path)[0] <= status
        assert run("dump", directory.path, "--living")[0] == status
        directory.segment(number).write_bytes(good[number])


def test_damaged_definitions_are_an_error_and_hide_no_message(directory):
    directory.write(publish(1, b"hello"))
    (directory.path / "definitions.sqlite").write_bytes(b"no database" * 100)
    status, figures, findings = check(directory.path)
    assert (status, figures["queue #1"]) == (1, "1 messages, 5 bytes")
    assert findings == [f"error: {directory.path / 'definitions.sqlite'}: file is not a database"]
    status, out, err = run("dump", directory.path)
    assert (status, len(out), err) == (1, 1, findings)


# --- dump -------------------------------------------------------------------------------------------------------------


def test_dump_prints_every_record_in_order(directory):
    first, second = directory.write(
        publish(1, b"hello\n", exchange=b"amq.topic", key=b"a.b"),
        publish(2, b"\xff" * 100, deadline_ms=1_700_000_000_123),
    )
    directory.write(record.settle([first]), record.returned([(second, 3)]))
    directory.write(record.delayed([(second, 1_700_000_000_123), (second, 0)]))
    directory.write(record.publish(content(b"", key=b"two words"), [(1, 3, 0, 0), (7, 1, 0, 2)]))
    directory.define(orders=1)
    status, out, err = run("dump", directory.path)
    third = int(out[6].split()[1].split(":")[1])
    assert (status, err) == (0, [])
    assert out == [
        f"publish 1:{first - (1 << 32)} queue=orders sequence=1 deadline=- count=0 exchange=amq.topic key=a.b size=6"
        r" body='hello\n'",
        f"publish 1:{second - (1 << 32)} queue=orders sequence=2 deadline=2023-11-14T22:13:20.123+00:00 count=0"
        f" exchange='' key=q size=100 body=b'" + r"\xff" * 64 + "'...",
        f"settle 1:{first - (1 << 32)}",
        f"return 1:{second - (1 << 32)} count=3",
        f"delay 1:{second - (1 << 32)} due=2023-11-14T22:13:20.123+00:00",
        f"delay 1:{second - (1 << 32)} due=-",
        f"publish 1:{third} queue=orders sequence=3 deadline=- count=0 exchange='' key='two words' size=0 body=''",
        f"publish 1:{third + 24} queue=#7 sequence=1 deadline=- count=2 exchange='' key='two words' size=0 body=''",
    ]


def test_dump_prints_records_as_json(directory):
    (first,) = directory.write(publish(1, "grüße".encode(), deadline_ms=5, count=1))
    directory.write(record.settle([first]), record.returned([(first, 3)]), record.delayed([(first, 9)]))
    directory.define(orders=1)
    status, out, _ = run("dump", directory.path, "--json")
    position = f"1:{first - (1 << 32)}"
    assert status == 0
    assert [json.loads(line) for line in out] == [
        {
            "record": "publish",
            "position": position,
            "queue_id": 1,
            "vhost": "/",
            "queue": "orders",
            "held_by": None,
            "sequence": 1,
            "deadline_ms": 5,
            "delivery_count": 1,
            "due_ms": None,
            "exchange": "",
            "routing_key": "q",
            "size": 7,
            "body": "grüße",
        },
        {"record": "settle", "position": position},
        {"record": "return", "position": position, "delivery_count": 3},
        {"record": "delay", "position": position, "due_ms": 9},
    ]


def test_dump_of_living_messages_is_in_queue_order(directory):
    directory.write(publish(3, b"late"), publish(1, b"other", queue_id=2))
    directory.next_segment()
    first, second = directory.write(publish(1, b"early"), publish(2, b"gone"))
    directory.write(record.settle([second]), record.returned([(first, 4)]), record.delayed([(first, 2_000)]))
    status, out, err = run("dump", directory.path, "--living")
    assert (status, err) == (0, [])
    assert [line.split()[2:] for line in out] == [
        line.split()
        for line in (
            "queue=#1 sequence=1 deadline=- count=4 due=1970-01-01T00:00:02.000+00:00"
            " exchange='' key=q size=5 body='early'",
            "queue=#1 sequence=3 deadline=- count=0 exchange='' key=q size=4 body='late'",
            "queue=#2 sequence=1 deadline=- count=0 exchange='' key=q size=5 body='other'",
        )
    ]


def test_dump_continues_after_damage_and_reports_it_on_stderr(directory):
    first, _ = directory.write(publish(1), publish(2))
    directory.write(publish(3))
    directory.segment().write_bytes(directory.segment().read_bytes() + b"torn")
    directory.change(first & 0xFFFFFFFF)
    status, out, err = run("dump", directory.path)
    assert (status, [line.split()[3] for line in out]) == (1, ["sequence=2", "sequence=3"])
    assert [line.split(":")[0] for line in err] == ["error", "note"]


def test_names_are_shown_without_control_characters(directory):
    directory.write(publish(1, b"\x1b[2J", key="\x1b[2J\u202e".encode()))
    directory.define(**{"\x1b]0;x\x07": 1})
    _, out, _ = run("dump", directory.path)
    assert all(character.isprintable() for line in out for character in line)
    assert all(character.isprintable() for line in run("check", directory.path)[1] for character in line)


# --- looking on, and no more ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["check"], ["dump"], ["dump", "--living"]])
def test_store_check_and_dump_do_not_change_the_directory(directory, command):
    directory.write(publish(1), publish(2))
    directory.define(orders=1)
    directory.segment().write_bytes(directory.segment().read_bytes() + b"torn")
    directory.change(50)
    before = directory.tree()
    run(*command, directory.path)
    assert directory.tree() == before


def test_store_check_works_while_a_broker_owns_the_directory(directory):
    directory.write(publish(1))
    with (
        closing(Ownership(directory.path, Files())),
        closing(SqliteDefinitions(directory.path / "definitions.sqlite", Files())) as definitions,
    ):
        definitions.put(QueueDefinition("/", "orders", 1, False, b"\0\0\0\0"))
        directory.segment().write_bytes(directory.segment().read_bytes() + b"BT")
        before = directory.tree()
        status, out, err = run("check", directory.path)
        assert directory.tree() == before
    assert status == 0
    assert "queue orders: 1 messages, 1 bytes" in out
    assert err == [f"note: a running broker owns {directory.path}: it may change while it is read"]
    assert out[-2].endswith("a torn end of 2 bytes (no whole batch header): being written")
    assert run("check", directory.path)[2] == []


def test_store_check_works_while_a_broker_removes_the_oldest_segment(directory, monkeypatch):
    for sequence in (1, 2, 3):
        directory.write(publish(sequence))
        directory.next_segment()
    real = Files.open

    def gone(self, path, write=False):
        if path == directory.segment(1):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return real(self, path, write)

    monkeypatch.setattr(Files, "open", gone)
    with closing(Ownership(directory.path, Files())):
        status, figures, findings = check(directory.path)
    assert (status, figures["living"], findings) == (0, "2 messages, 2 bytes", [])


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda path: None, "is not a data directory: it has no journal"),
        (lambda path: (path / "version").write_text("3\n"), "has format 3; this amqpbroker reads up to format 2"),
    ],
)
@pytest.mark.parametrize("command", ["check", "dump"])
def test_a_foreign_directory_is_refused(tmp_path, prepare, said, command):
    prepare(tmp_path)
    assert run(command, tmp_path) == (1, [], [f"Error: {tmp_path} {said}"])


def test_store_check_of_a_missing_directory_is_an_error(tmp_path):
    status, _, err = run("check", tmp_path / "none")
    assert status == 2
    assert "does not exist" in err[-1]


def test_store_command_imports_neither_asyncio_nor_the_broker():
    script = (
        "import sys, amqpbroker.cli.main, amqpbroker.cli.store;"
        "import amqpbroker.store.directory.dump, amqpbroker.store.directory.names;"
        " sys.exit(any(name in sys.modules for name in ('asyncio', 'amqpbroker.broker', 'amqpbroker.server')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
