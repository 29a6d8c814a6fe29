"""A disk that temporarily refuses writes, definitions that are synced with batches, and the end."""

import errno
import logging

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.store.batches import Writing
from amqpbroker.store.committer import Committer, InlineCommitter
from amqpbroker.store.log import StoreError, UnwrittenError
from amqpbroker.store.writer import RETRY_MS, Writer
from tests.broker.storing import (
    BODY,
    LaterCommitter,
    Node,
    acks,
    bodies,
    confirming,
    crashed_copy,
    finish,
    node_with,
    publish,
)
from tests.fault_files import FaultyFiles

# --- a disk that temporarily refuses writes
# ----------------------------------------------------------------------------


class FullFiles(FaultyFiles):
    """Files whose writes fail with the errno `refuses`, if it is set, and leave half their data behind."""

    refuses = 0
    refuses_to_cut = False
    forgets = False

    def write(self, descriptor, *parts):
        if self.refuses:
            data = b"".join(parts)
            super().write(descriptor, data[: len(data) // 2])
            raise OSError(self.refuses, "refused")
        super().write(descriptor, *parts)

    def truncate(self, descriptor, size):
        if self.refuses_to_cut:
            raise OSError(errno.EIO, "refused")
        super().truncate(descriptor, size)

    def read(self, descriptor, offset, size):
        data = super().read(descriptor, offset, size)
        return bytes(len(data)) if self.forgets else data


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
@pytest.mark.parametrize("first", [True, False])
def test_a_batch_that_the_disk_refuses_is_retried_each_second(number, first):
    node = Node(FullFiles())
    client = confirming(node)
    expected = []
    if not first:
        publish(client, "before")
        assert acks(client) == [1]
        expected = ["before"]
    before = {path: bytes(content) for path, content in node.files.contents.items()}
    node.files.refuses = number
    publish(client, "kept")
    assert acks(client) == []
    assert [error.errno for error in node.stuck] == [number]
    assert node.files.contents == before
    publish(client, "gathered")
    assert acks(client) == []
    node.clock.advance(3_500)
    assert acks(client) == []
    assert len(node.stuck) == 1
    assert node.files.contents == before
    assert bodies(crashed_copy(node)) == expected
    node.files.refuses = 0
    node.clock.advance(499)
    assert acks(client) == []
    node.clock.advance(1)
    assert acks(client) == [len(expected) + 2]
    assert node.stuck[1:] == [None]
    assert node.failures == []
    assert bodies(node.crash()) == [*expected, "kept", "gathered"]


class CrowdedFiles(FaultyFiles):
    """Files on a system with too many open files: creating a segment, or opening the directory, fails if listed in
    `fails`.
    """

    fails = ()

    def create(self, path):
        if "create" in self.fails:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().create(path)

    def sync_directory(self, directory):
        if "directory" in self.fails:
            raise OSError(errno.ENFILE, "Too many open files in system")
        super().sync_directory(directory)


@pytest.mark.parametrize("what", ["create", "directory"])
def test_a_segment_beyond_the_limit_of_open_files_is_retried_each_second(what):
    node = Node(CrowdedFiles())
    client = confirming(node)
    publish(client, "before")
    assert acks(client) == [1]
    node.persistence.log.segment_bytes = 100
    before = {path: bytes(content) for path, content in node.files.contents.items()}
    node.files.fails = (what,)
    publish(client, "kept")
    assert acks(client) == []
    node.clock.advance(1_500)
    assert (acks(client), node.failures, len(node.stuck)) == ([], [], 1)
    assert node.files.contents == before
    node.files.fails = ()
    node.clock.advance(500)
    assert acks(client) == [2]
    assert bodies(node.crash()) == ["before", "kept"]


def test_messages_are_delivered_and_acked_while_the_disk_refuses_writes():
    node = Node(FullFiles())
    client = confirming(node)
    publish(client, "a")
    client.receive()
    node.files.refuses = errno.ENOSPC
    publish(client, "b")
    client.receive()
    assert [client.get("q", no_ack=False).body for _ in range(2)] == [b"a", b"b"]
    client.send(1, "basic.ack", delivery_tag=2, multiple=True)
    publish(client, "c")
    client.turn()
    node.files.refuses = 0
    node.clock.advance(1_000)
    assert acks(client) == [3]
    assert bodies(node.crash()) == ["c"]


def test_a_commit_waits_until_the_disk_accepts_it():
    node = Node(FullFiles())
    client = node.client()
    client.call(1, "tx.select")
    node.files.refuses = errno.ENOSPC
    publish(client, "x")
    client.send(1, "tx.commit")
    assert client.receive() == []
    node.files.refuses = 0
    node.clock.advance(1_000)
    assert [got.name for got in client.receive()] == ["tx.commit-ok"]


def test_a_disk_that_is_full_twice_is_reported_twice(caplog):
    node = Node(FullFiles())
    client = confirming(node)
    for _ in range(2):
        node.files.refuses = errno.ENOSPC
        publish(client, "m")
        client.turn()
        node.files.refuses = 0
        node.clock.advance(1_000)
    assert [error and error.errno for error in node.stuck] == [errno.ENOSPC, None] * 2
    again = "/journal: data is written again"
    assert [message for message in caplog.messages if message.endswith("again")] == [again] * 2


def test_each_of_several_batches_is_retried_until_the_disk_accepts_it():
    node = node_with()
    client = node.client()
    client.call(1, "confirm.select")
    publish(client, *map(BODY, range(30)))
    client.turn()
    node.committer.finish()
    node.files.fail_write = node.files.writes + 1
    node.committer.finish()
    assert [error and error.errno for error in node.stuck] == [errno.ENOSPC]
    assert client.receive() == []
    node.clock.advance(1_000)
    assert finish(node) > 2
    assert len(node.stuck) == 2
    assert [got.arguments["delivery_tag"] for got in client.receive()] == [30]
    assert bodies(node.crash()) == [*map(BODY, range(30))]


@pytest.mark.parametrize("how", ["cannot cut off", "cannot read back", "another error"])
def test_a_batch_with_an_unknown_outcome_is_never_retried(how):
    node = Node(FullFiles())
    client = confirming(node)
    publish(client, "safe")
    assert acks(client) == [1]
    node.files.refuses_to_cut = how == "cannot cut off"
    node.files.refuses = errno.EBADF if how == "another error" else errno.ENOSPC
    publish(client, "lost")
    assert acks(client) == []
    node.files.refuses = 0
    node.files.forgets = how == "cannot read back"
    node.clock.advance(5_000)
    assert acks(client) == []
    assert len(node.failures) == 1
    assert None not in node.stuck
    node.files.forgets = False
    assert bodies(node.crash()) == ["safe"]


# --- several batches at the same time -------------------------------------------------------------------------------


class Starts(Committer):
    """Records which batches are started, each a tuple of one letter, until the test ends it."""

    def __init__(self):
        self.under_way = {}
        self.beside = []
        self.later = []

    def start(self, batch, on_done):
        assert not self.under_way
        self.under_way[batch[0]] = on_done

    def start_beside(self, batch, on_done):
        assert self.under_way
        self.beside.append(batch[0])
        self.under_way[batch[0]] = on_done

    def end(self, batch, error=None):
        self.under_way.pop(batch)(error)

    def commit(self, batch):
        self.later.append(batch[0])

    def close(self):
        for batch in [*self.under_way]:
            self.end(batch)


class Writes:
    """A writer, and what it reports. Batches are letters; those in upper case are written alone."""

    def __init__(self, concurrency=3):
        self.clock = ManualClock()
        self.committer = Starts()
        self.reports = []
        self.writer = Writer(
            "log",
            self.committer,
            self.clock,
            lambda writing: self.reports.append(writing.batch[0]),
            lambda: self.reports.append("."),
            lambda: None,
            self.reports.append,
            concurrency,
        )

    def write(self, *batches):
        made = [Writing((batch,), [], 1) for batch in batches]
        made[-1].end_gathering(len(batches) == 1 and batches[0].islower())
        self.writer.write(made)

    @property
    def under_way(self):
        return "".join(self.committer.under_way)

    @property
    def reported(self):
        return "".join(self.reports)


def test_batches_that_may_overlap_are_written_at_the_same_time():
    writes = Writes()
    assert writes.writer.is_busy is False
    for at, batch in enumerate("abc", 1):
        assert writes.writer.has_room
        writes.write(batch)
        assert writes.under_way == "abc"[:at]
    assert not writes.writer.has_room
    assert writes.committer.beside == ["b", "c"]
    for batch, reported in ("c", ""), ("a", "a."), ("b", "a.b.c."):
        writes.committer.end(batch)
        assert writes.reported == reported
    assert not writes.writer.is_busy


def test_a_batch_that_may_not_overlap_waits_for_those_before_it_and_is_waited_for():
    writes = Writes()
    writes.write("a")
    writes.write("B")
    assert (writes.under_way, writes.writer.has_room) == ("a", False)
    writes.committer.end("a")
    assert (writes.under_way, writes.writer.has_room) == ("B", False)
    writes.committer.end("B")
    assert (writes.reported, writes.under_way) == ("a.B.", "")
    assert writes.committer.beside == []


def test_the_batches_of_one_gathering_are_written_one_after_the_other():
    writes = Writes()
    writes.write("a", "b", "c")
    for at, batch in enumerate("abc"):
        assert writes.under_way == batch
        assert writes.reported == "abc"[:at]
        writes.committer.end(batch)
    assert writes.reported == "abc."


def test_a_committer_that_writes_one_batch_at_a_time_has_no_room_for_another():
    writes = Writes(concurrency=1)
    writes.write("a")
    assert not writes.writer.has_room


@pytest.mark.parametrize("refused", ["a", "b", "ab", "bc", "cba"])
def test_batches_from_a_refused_one_on_are_retried_once_all_have_ended(refused):
    writes = Writes()
    for batch in "abc":
        writes.write(batch)
    before = "" if "a" in refused else "a."
    for batch in refused:
        writes.committer.end(batch, UnwrittenError(errno.EIO, "refused"))
    for batch in sorted(set("abc") - set(refused)):
        writes.clock.advance(2 * RETRY_MS)
        assert batch in writes.under_way
        writes.committer.end(batch)
    assert (writes.under_way, writes.reported) == ("", before)
    writes.clock.advance(RETRY_MS - 1)
    assert (writes.under_way, writes.writer.has_room) == ("", False)
    writes.clock.advance(1)
    # One at a time, until one is accepted.
    first = "b" if before else "a"
    assert writes.under_way == first
    writes.committer.end(first)
    assert writes.reported == f"{before}{first}."
    for batch in writes.under_way:
        writes.committer.end(batch)
    assert writes.reported == "a.b.c."


def test_an_error_that_does_not_end_stops_the_writer_once_earlier_batches_have_ended():
    writes = Writes()
    for batch in "abc":
        writes.write(batch)
    error = OSError(errno.EIO, "refused")
    writes.committer.end("b", error)
    writes.committer.end("c")
    assert not writes.writer.has_failed
    writes.committer.end("a")
    assert writes.writer.has_failed
    assert writes.reports == ["a", ".", error]
    assert writes.under_way == ""


def test_batches_under_way_at_the_end_are_waited_for_and_those_from_a_refused_one_on_written_again():
    writes = Writes()
    for batch in "abc":
        writes.write(batch)
    writes.committer.end("b", UnwrittenError(errno.EIO, "refused"))
    writes.writer.close()
    assert writes.committer.later == ["b", "c"]
    assert writes.reported == "abc"


# --- definitions ------------------------------------------------------------------------------------------------------


class Definitions:
    """Counts syncs, which raise `error` if it is set."""

    def __init__(self):
        self.syncs = 0
        self.error = None

    def sync(self):
        self.syncs += 1
        if self.error is not None:
            raise self.error


def defining(committer=InlineCommitter):
    definitions = Definitions()
    node = Node(committer=lambda journal, before: committer(journal, definitions.sync))
    return node, definitions


def test_definitions_are_synced_soon_without_a_message():
    node, definitions = defining()
    for _ in range(3):
        node.persistence.writer.definitions_changed()
    node.clock.advance(99)
    assert definitions.syncs == 0
    node.clock.advance(1)
    assert definitions.syncs == 1
    node.clock.advance(1_000)
    assert definitions.syncs == 1
    assert node.files.writes == 0
    node.persistence.writer.definitions_changed()
    node.clock.advance(100)
    assert definitions.syncs == 2


def test_a_batch_syncs_changed_definitions():
    node, definitions = defining()
    client = node.client()
    node.persistence.writer.definitions_changed()
    publish(client, "a")
    client.turn()
    assert definitions.syncs == 1
    node.clock.advance(1_000)
    assert definitions.syncs == 1


def test_definitions_that_change_while_a_batch_is_written_are_synced_after_it():
    class Later(LaterCommitter):
        def __init__(self, journal, before):
            super().__init__(journal)
            self.inline = InlineCommitter(journal, before)

    node, definitions = defining(Later)
    client = confirming(node)
    publish(client, "a")
    client.turn()
    node.persistence.writer.definitions_changed()
    node.clock.advance(500)
    assert len(node.committer.work) == 1
    node.committer.finish()
    assert acks(client) == [1]
    assert definitions.syncs == 1
    node.clock.advance(100)
    publish(client, "b")
    assert acks(client) == []
    node.committer.finish()
    assert definitions.syncs == 2
    assert acks(client) == []
    node.committer.finish()
    assert acks(client) == [2]


def test_definitions_that_cannot_be_synced_stop_everything():
    node, definitions = defining()
    client = confirming(node)
    definitions.error = OSError(errno.ENOSPC, "full")
    node.persistence.writer.definitions_changed()
    node.clock.advance(5_000)
    assert node.failures == [definitions.error]
    assert definitions.syncs == 1
    publish(client, "a")
    assert acks(client) == []


def test_a_temporary_failure_to_sync_definitions_is_retried_each_second(caplog):
    node, definitions = defining()
    client = confirming(node)
    definitions.error = UnwrittenError(errno.EMFILE, "Too many open files", "/data")
    node.persistence.writer.definitions_changed()
    node.clock.advance(100)
    assert definitions.syncs == 1
    assert "the sync of definitions is retried every second" in caplog.text
    node.clock.advance(2_000)
    assert definitions.syncs == 3
    publish(client, "a")
    assert acks(client) == []
    definitions.error = None
    node.clock.advance(1_000)
    assert acks(client) == [1]
    assert definitions.syncs == 5
    node.clock.advance(5_000)
    assert definitions.syncs == 5
    assert node.failures == []


# --- the end ----------------------------------------------------------------------------------------------------------


def stuck_node():
    node = Node(FullFiles())
    client = confirming(node)
    publish(client, "safe")
    assert acks(client) == [1]
    node.files.refuses = errno.ENOSPC
    publish(client, "lost")
    assert acks(client) == []
    return node, client


def test_closing_retries_a_stuck_batch_once(caplog):
    node, client = stuck_node()
    publish(client, "gathered")
    client.turn()
    node.files.refuses = 0
    node.persistence.close()
    assert bodies(node.crash()) == ["safe", "lost", "gathered"]


def test_closing_while_the_disk_refuses_writes_logs_the_loss(caplog):
    node, client = stuck_node()
    publish(client, "gathered")
    client.turn()
    with caplog.at_level(logging.ERROR), pytest.raises(StoreError, match="refused"):
        node.persistence.close()
    assert "2 operations, not confirmed, are lost" in caplog.text
    assert bodies(node.crash()) == ["safe"]


def test_close_writes_all_batches():
    node = node_with()
    client = node.client()
    publish(client, *map(BODY, range(30)))
    client.turn()
    publish(client, *map(BODY, range(30, 60)))
    node.persistence.close()
    assert bodies(node.crash()) == [*map(BODY, range(60))]


def test_close_logs_how_much_could_not_be_written(caplog):
    node = node_with()
    client = node.client()
    publish(client, *map(BODY, range(30)))
    client.turn()
    publish(client, *map(BODY, range(30, 60)))
    node.files.fail_write = node.files.writes + 4
    with caplog.at_level(logging.ERROR), pytest.raises(StoreError):
        node.persistence.close()
    assert "60 operations, not confirmed, are lost" in caplog.text


def test_written_batches_survive_a_failed_sync_of_definitions_at_close(caplog):
    node, definitions = defining(LaterCommitter)
    client = node.client()
    publish(client, "safe")
    client.turn()
    node.committer.finish()
    node.persistence.writer.definitions_changed()
    node.clock.advance(100)
    publish(client, "gathered")
    definitions.error = OSError(errno.EIO, "refused")
    with caplog.at_level(logging.ERROR), pytest.raises(StoreError, match="refused"):
        node.persistence.close()
    assert "1 operations, not confirmed, are lost" in caplog.text
    assert bodies(node.crash()) == ["safe"]
