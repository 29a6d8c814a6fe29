"""Files in a database: the contract of a log, and what is particular to them."""

import errno
import inspect
import queue
import random
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from itertools import permutations
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from amqpbroker.clock import ManualClock
from amqpbroker.store.batches import Writing
from amqpbroker.store.committer import ThreadCommitter
from amqpbroker.store.database.fence import ROWS_AT_ONCE
from amqpbroker.store.database.repeated import Repeating
from amqpbroker.store.database.session import SCHEMA
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import FencedError, Log, LostError, UnwrittenError
from amqpbroker.store.record import OFFSET_MASK
from amqpbroker.store.writer import RETRY_MS, Writer
from tests.store import test_log
from tests.store.database.opening import FaultyFence, Opened
from tests.store.test_log import SEGMENT_BYTES, Filling

FULL = UnwrittenError(errno.ENOSPC, "could not extend file")
LOST = UnwrittenError(errno.EIO, "server closed the connection unexpectedly")


class Database(Filling):
    """Each opening is that of another broker, which takes over."""

    opened: Opened

    def __init__(self, url: str) -> None:
        self._url = url
        self._all: list[Opened] = []
        self.start()

    def open(self) -> Log:
        self.opened = Opened(self._url)
        self._all.append(self.opened)
        return Journal(Path("/journal"), self.opened.files, SEGMENT_BYTES)

    def refuse(self) -> None:
        self.opened.fence.refuses = FULL

    def fail(self) -> None:
        self.opened.fence.refuses = OSError(errno.EIO, "Input/output error")

    def lose_power(self, keep: int) -> None:
        """A database has only what was committed anyway."""

    def take_over(self) -> Log | None:
        before = self.log
        self.start()
        return before

    def close(self) -> None:
        for opened in self._all:
            opened.close()


@pytest.fixture
def filling(database):
    made = Database(database)
    yield made
    made.close()


globals().update(
    {
        name: test
        for name, test in vars(test_log).items()
        if name.startswith("test_") and "filling" in inspect.signature(test).parameters
    }
)


@pytest.mark.parametrize("lost", [False, True])
def test_a_refused_batch_behind_the_header_of_a_new_segment_is_written_again(filling, lost):
    fence, log = filling.opened.fence, filling.log
    for sequence in (1, 2):
        batch, _ = test_log.made(log, sequence, size=SEGMENT_BYTES)
        # The first write is the header.
        fence.refuses, fence.later = LOST, 1
        with pytest.raises(UnwrittenError):
            log.write(batch)
        if lost:
            filling.opened.end_session()
            with pytest.raises(UnwrittenError):
                log.write(batch)
        log.write(batch)
    assert test_log.found_sequences(filling.reopen()) == [1, 2]


# --- several batches at the same time -------------------------------------------------------------------------------


def begun(filling, *sequences):
    """Begin to write batches; return what makes each durable, and the batches."""
    made = [test_log.made(filling.log, sequence)[0] for sequence in sequences]
    return [filling.log.begin(batch) for batch in made], made


def write(filling, sequence):
    filling.log.write(test_log.made(filling.log, sequence)[0])


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_batches_that_end_in_any_order_become_durable_in_theirs(filling, order):
    write(filling, 1)
    before = filling.log.durable
    finish, batches = begun(filling, 2, 3, 4)
    ended = set()
    for index in order:
        finish[index]()
        ended.add(index)
        contiguous = [batch.stop for at, batch in enumerate(batches) if ended >= {*range(at + 1)}]
        assert filling.log.durable == max(contiguous, default=before)
    # Also the first batch, behind the header of its segment.
    assert filling.opened.fence.insertions == 4
    assert test_log.found_sequences(filling.reopen()) == [1, 2, 3, 4]


def test_as_many_batches_as_the_depth_are_inserted_by_sessions_of_their_own(filling, monkeypatch):
    write(filling, 1)
    together = threading.Barrier(ROWS_AT_ONCE)
    inserting = Repeating.change

    def change(*given):
        together.wait(10)
        return inserting(*given)

    assert filling.log.concurrency == ROWS_AT_ONCE
    finish, _ = begun(filling, *range(2, 2 + ROWS_AT_ONCE))
    monkeypatch.setattr(Repeating, "change", change)
    with ThreadPoolExecutor(ROWS_AT_ONCE) as pool:
        for done in [pool.submit(each) for each in finish]:
            done.result(20)
    monkeypatch.undo()
    assert test_log.found_sequences(filling.reopen()) == [*range(1, 2 + ROWS_AT_ONCE)]


@pytest.mark.parametrize("refused", range(3))
@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_no_batch_behind_one_that_was_refused_is_found(filling, order, refused):
    write(filling, 1)
    finish, _ = begun(filling, 2, 3, 4)
    for index in order:
        if index == refused:
            filling.opened.fence.refuses = LOST
            with pytest.raises(UnwrittenError):
                finish[index]()
        else:
            finish[index]()
    expected = [1, *range(2, 2 + refused)]
    assert test_log.found_sequences(filling.reopen()) == expected
    # Also if the next broker has written nothing. The first write replaces the rows that followed the gap.
    assert test_log.found_sequences(filling.reopen()) == expected
    write(filling, 9)
    assert test_log.found_sequences(filling.reopen()) == [*expected, 9]


def test_rows_behind_a_gap_do_not_hide_that_the_rows_which_replaced_them_are_lost(filling):
    write(filling, 1)
    _, second = begun(filling, 2, 3)[0]
    second()
    (name,) = filling.opened.files.names(Path("/journal"))
    table = f'{SCHEMA}."0/journal/{name}"'
    filling.opened.lease.run(lambda connection: connection.execute(f"CREATE TABLE before AS TABLE {table}"))
    filling.reopen()
    for sequence in (2, 3):
        write(filling, sequence)

    def undo(connection):
        connection.execute(f"DELETE FROM {table}")
        connection.execute(f"INSERT INTO {table} TABLE before")
        connection.execute("DELETE FROM proof")

    # As after the promotion of a standby that has the takeover, and nothing that followed.
    filling.opened.lease.run(undo)
    filling.opened.end_session()
    batch, _ = test_log.made(filling.log, 4)
    for error in (UnwrittenError, LostError):
        with pytest.raises(error):
            filling.log.write(batch)


def test_the_first_batch_of_a_leader_that_replaces_rows_behind_a_gap_is_written_alone(filling):
    assert filling.log.is_next_alone
    write(filling, 1)
    assert not filling.log.is_next_alone
    _, second = begun(filling, 2, 3)[0]
    second()
    filling.reopen()
    assert filling.log.is_next_alone
    write(filling, 7)
    assert not filling.log.is_next_alone
    for finish in reversed(begun(filling, 8, 9)[0]):
        finish()
    assert test_log.found_sequences(filling.reopen()) == [1, 7, 8, 9]


@pytest.mark.parametrize("large", ["the first", "the second"])
def test_a_batch_that_needs_several_rows_is_not_written_beside_another(filling, large):
    filling.log.segment_bytes = 50_000_000
    write(filling, 1)
    first, second = [
        test_log.made(filling.log, sequence, size=5_000_000 if large == name else 20)[0]
        for sequence, name in ((2, "the first"), (3, "the second"))
    ]
    filling.log.begin(first)
    with pytest.raises(OSError, match="alone") as raised:
        filling.log.begin(second)
    assert not isinstance(raised.value, UnwrittenError)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("refused", [(0,), (1,), (2,), (0, 1), (1, 2), (2, 0), (2, 1, 0)])
def test_batches_from_a_refused_one_on_are_written_again(filling, refused, lost):
    write(filling, 1)
    before = filling.log.durable
    finish, batches = begun(filling, 2, 3, 4)
    first = min(refused)
    for index in [*refused, *(set(range(3)) - {*refused})]:
        if index in refused:
            setattr(filling.opened.fence, "loses" if lost else "refuses", LOST)
            with pytest.raises(UnwrittenError):
                finish[index]()
        else:
            finish[index]()
    assert filling.log.durable == (batches[first - 1].stop if first else before)
    for batch in batches[first:]:
        filling.log.write(batch)
        assert filling.log.durable == batch.stop
    finish, _ = begun(filling, 5, 6)
    for each in reversed(finish):
        each()
    assert test_log.found_sequences(filling.reopen()) == [1, 2, 3, 4, 5, 6]


def test_a_batch_is_not_begun_after_an_earlier_one_was_refused(filling):
    write(filling, 1)
    first, second = [test_log.made(filling.log, sequence)[0] for sequence in (2, 3)]
    finish = filling.log.begin(first)
    filling.opened.fence.refuses = LOST
    with pytest.raises(UnwrittenError):
        finish()
    with pytest.raises(UnwrittenError, match="An earlier batch was refused"):
        filling.log.begin(second)
    for batch in (first, second):
        filling.log.write(batch)
    assert test_log.found_sequences(filling.reopen()) == [1, 2, 3]


def test_a_batch_that_is_begun_while_an_earlier_one_fails_follows_a_gap(filling, monkeypatch):
    """The insertion of the first one fails before the second one is appended, and the journal notices it after that."""
    write(filling, 1)
    first, second = [test_log.made(filling.log, sequence)[0] for sequence in (2, 3)]
    finish_first = filling.log.begin(first)
    failed, append = threading.Event(), filling.opened.files.write

    def refuse(*_):
        failed.set()
        raise LOST

    def append_later(*given):
        ends.append(pool.submit(finish_first))
        assert failed.wait(10)
        # The thread goes on until it needs what the journal has locked.
        time.sleep(0.05)
        append(*given)

    ends = []
    with ThreadPoolExecutor(1) as pool, monkeypatch.context() as patched:
        patched.setattr(filling.opened.fence, "insert_row", refuse)
        patched.setattr(filling.opened.files, "write", append_later)
        finish_second = filling.log.begin(second)
        patched.undo()
        finish_second()
        with pytest.raises(UnwrittenError):
            ends[0].result(10)
    for batch in (first, second):
        filling.log.write(batch)
    assert test_log.found_sequences(filling.reopen()) == [1, 2, 3]


def test_a_batch_that_is_begun_after_an_error_that_does_not_end_follows_a_gap(filling):
    write(filling, 1)
    first, second = [test_log.made(filling.log, sequence)[0] for sequence in (2, 3)]
    finish = filling.log.begin(first)
    filling.opened.fence.refuses = OSError(errno.EINVAL, "refused")
    with pytest.raises(OSError, match="refused"):
        finish()
    # The writer does not know of the error yet.
    filling.log.begin(second)()
    assert test_log.found_sequences(filling.reopen()) == [1]


@pytest.mark.parametrize("lost", range(2))
@pytest.mark.parametrize("order", [*permutations(range(2))])
def test_the_loss_of_any_of_the_last_batches_is_noticed_with_the_next_connection(filling, order, lost):
    """A standby may have any of them that was committed before the others."""
    write(filling, 1)
    finish, batches = begun(filling, 2, 3)
    for index in order:
        finish[index]()
    place = batches[lost].position & OFFSET_MASK
    filling.opened.reading.run(
        lambda connection: connection.execute(f'DELETE FROM {SCHEMA}."0/journal/{1:016x}.seg" WHERE start = {place}')
    )
    filling.opened.end_session()
    batch = test_log.made(filling.log, 4)[0]
    with pytest.raises(UnwrittenError):
        filling.log.write(batch)
    with pytest.raises(LostError):
        filling.log.write(batch)


@pytest.fixture
def quick_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("seed", range(3))
def test_threads_write_all_batches_in_order_although_insertions_fail(filling, monkeypatch, quick_switches, seed):
    chance, count = random.Random(seed), 150

    @contextmanager
    def uncertain(_):
        drawn = chance.random()
        if drawn < 0.1:
            raise LOST
        yield
        if drawn < 0.2:
            raise LOST

    monkeypatch.setattr(FaultyFence, "_faulty", uncertain)
    log, calls, clock, written, failures = filling.log, queue.SimpleQueue(), ManualClock(), [], []
    committer = ThreadCommitter(log, calls.put, filling.opened.files.flush)
    writer = Writer(
        "log",
        committer,
        clock,
        lambda writing: written.append(writing.batch.stop),
        lambda: None,
        lambda: None,
        failures.append,
        log.concurrency,
    )
    sequence, overlapping = 0, 0
    while len(written) < count and not failures:
        while sequence < count and (not writer.is_busy or writer.has_room):
            sequence += 1
            may_overlap = not log.is_next_alone
            overlapping += writer.is_busy
            writing = Writing(test_log.made(log, sequence)[0], [], 1)
            writing.end_gathering(may_overlap)
            writer.write([writing])
        try:
            calls.get(timeout=0.02)()
        except queue.Empty:
            clock.advance(RETRY_MS)
        if written:
            assert written[-1] <= log.durable
    writer.close()
    assert failures == []
    assert overlapping > count / 10
    monkeypatch.undo()
    assert test_log.found_sequences(filling.reopen()) == [*range(1, count + 1)]


def test_a_batch_is_read_back_while_it_is_written(filling):
    write(filling, 1)
    finish, (batch, _) = begun(filling, 2, 3)
    data = b"".join(batch.parts)
    for each in reversed(finish):
        assert filling.log.read(batch.position, len(data)) == data
        each()
    assert filling.log.read(batch.position, len(data)) == data


def test_rows_without_an_answer_have_an_end_before_others_are_written_again(filling, database):
    """A transaction that nobody waits for any more would still commit, beside the repeated one."""
    write(filling, 1)
    finish, batches = begun(filling, 2, 3)
    for session in filling.opened.writing:
        session.run(lambda _: None)
        session.limit(0.5, 0)
    blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'writing%'"
    with ThreadPoolExecutor(2) as pool, psycopg.connect(database) as one, psycopg.connect(database) as two:
        ends = []
        for number, (other, batch, each) in enumerate(zip((one, two), batches, finish, strict=True)):
            place = batch.position & OFFSET_MASK
            other.execute(f"INSERT INTO {SCHEMA}.\"0/journal/{1:016x}.seg\" VALUES ({place}, 'x')")
            ends.append(pool.submit(each))
            wait_for(filling.opened.reading, f"{blocked} OFFSET {number}")
        for end in ends:
            with pytest.raises(UnwrittenError, match="no answer"):
                end.result(20)
        for session in filling.opened.writing:
            session.limit(10, 0)
        one.rollback()
        filling.log.write(batches[0])
        two.rollback()
    # The second one could commit now.
    wait_for(filling.opened.reading, f"SELECT 1 WHERE NOT EXISTS ({blocked})")
    filling.log.write(batches[1])
    assert test_log.found_sequences(filling.reopen()) == [1, 2, 3]


@pytest.fixture
def opened(database):
    made = Opened(database)
    yield made
    made.close()


@pytest.fixture
def files(opened):
    return opened.files


@pytest.fixture
def take_over(opened, database):
    """Return what opens the store as another broker."""
    with ExitStack() as made:

        def take():
            return made.enter_context(closing(Opened(database)))

        yield take


PATH = Path("/journal/1.seg")
STREAM = Path("/streams/a.stream")


# --- contents ---------------------------------------------------------------------------------------------------------


def test_appended_bytes_are_read_back_before_and_after_they_are_written(files):
    file = files.create(PATH)
    files.write(file, b"ab", b"cd")
    assert files.read(file, 1, 2) == b"bc"
    files.sync(file)
    files.write(file, b"efgh")
    assert files.read(file, 2, 4) == b"cdef"
    files.sync(file)
    files.write(file, b"i")
    assert [files.read(file, at, 3) for at in range(9)] == [
        b"abc", b"bcd", b"cde", b"def", b"efg", b"fgh", b"ghi", b"hi", b"i",
    ]  # fmt: skip
    assert files.read(file, 9, 5) == b""
    assert files.size(file) == 9


def test_every_part_of_a_file_of_many_writes_is_found(files):
    whole = b""
    file = files.create(PATH)
    for size in (1, 2, 5000, 1, 300_000, 7):
        part = bytes(n % 251 for n in range(len(whole), len(whole) + size))
        files.write(file, part)
        files.sync(file)
        whole += part
    for start in (0, 1, 2, 3, 100, 5002, 5003, 5004, 200_000, len(whole) - 8, len(whole) - 1):
        for size in (1, 2, 10, 6000, 400_000):
            assert files.read(file, start, size) == whole[start : start + size]


def test_another_broker_finds_what_was_written_and_nothing_else(opened, take_over):
    files = opened.files
    first, second = files.create(PATH), files.create(Path("/streams/a.stream"))
    files.write(first, b"written")
    files.write(second, b"of a stream")
    files.flush()
    files.write(first, b" not written")
    files.create(Path("/streams/not written"))
    later = take_over().files
    assert later.names(Path("/journal")) == ["1.seg"]
    assert later.names(Path("/streams")) == ["a.stream"]
    assert later.read(later.open(PATH), 0, 100) == b"written"
    assert later.size(later.open(Path("/streams/a.stream"))) == 11


def test_a_removed_file_is_gone(opened, take_over):
    files = opened.files
    files.sync(files.create(PATH))
    files.remove(PATH)
    with pytest.raises(FileNotFoundError):
        files.open(PATH)
    assert take_over().files.names(Path("/journal")) == []


@pytest.mark.parametrize("waits", [False, True])
def test_removals_that_a_failover_has_lost_are_made_again_with_the_next_one(opened, take_over, database, waits):
    files = opened.files
    for path in (*[f"/journal/{number}" for number in range(1, 5)], "/streams/1-1", "/streams/2-1", "/streams/2-2"):
        descriptor = files.create(Path(path))
        files.write(descriptor, b"data")
        files.sync(descriptor)
    for path in ("/streams/1-1", "/streams/2-1", "/journal/1", "/journal/2"):
        files.remove(Path(path))
    # The other server has not received them, and has a newer file.
    for path in ("/streams/1-1", "/streams/2-1", "/journal/1", "/journal/2", "/journal/5"):
        table = sql.SQL("CREATE TABLE {} (start bigint PRIMARY KEY, data bytea)").format(sql.Identifier(f"0{path}"))
        opened.reading.run(lambda connection, table=table: connection.execute(table))

    def remove_on_new_connection(path):
        opened.end_session("removal")
        with pytest.raises(UnwrittenError, match="closed the connection"):
            files.remove(Path(path))
        files.remove(Path(path))

    if waits:
        backup = opened.session(database, "backup")
        backup.run(lambda connection: connection.execute("BEGIN"))
        backup.run(lambda connection: connection.execute('SELECT * FROM "0/journal/1"'))
        with pytest.raises(UnwrittenError, match="lock timeout"):
            remove_on_new_connection("/journal/3")
        backup.close()
        files.remove(Path("/journal/3"))
    else:
        remove_on_new_connection("/journal/3")
    remove_on_new_connection("/streams/2-2")
    later = take_over().files
    assert later.names(Path("/journal")) == ["4", "5"]
    assert later.names(Path("/streams")) == ["1-1"]


@pytest.mark.parametrize("paths", [("/streams/2-2", "/journal/3"), ("/journal/3", "/streams/2-2")])
def test_the_first_removal_after_a_failover_repeats_those_of_all_journals_and_streams(opened, take_over, paths):
    files = opened.files
    for path in ("/journal/2", "/journal/3", "/journal/4", "/streams/2-1", "/streams/2-2", "/streams/2-3"):
        descriptor = files.create(Path(path))
        files.write(descriptor, b"data")
        files.sync(descriptor)
    for path in ("/journal/2", "/streams/2-1"):
        files.remove(Path(path))
        table = sql.SQL("CREATE TABLE {} (start bigint PRIMARY KEY, data bytea)").format(sql.Identifier(f"0{path}"))
        opened.reading.run(lambda connection, table=table: connection.execute(table))
    opened.end_session("removal")
    with pytest.raises(UnwrittenError, match="closed the connection"):
        files.remove(Path(paths[0]))
    for path in paths:
        files.remove(Path(path))
    later = take_over().files
    assert later.names(Path("/journal")) == ["4"]
    assert later.names(Path("/streams")) == ["2-3"]


def test_a_file_is_truncated_with_the_next_write(opened, take_over):
    files = opened.files
    file = files.create(PATH)
    for part in (b"abc", b"def", b"ghi"):
        files.write(file, part)
        files.sync(file)
    files.write(file, b"jkl")
    files.truncate(file, 10)
    assert files.read(file, 0, 20) == b"abcdefghij"
    files.truncate(file, 4)
    assert files.read(file, 0, 20) == b"abcd"
    files.write(file, b"XY")
    files.sync(file)
    later = take_over().files
    assert later.read(later.open(PATH), 0, 20) == b"abcdXY"


def test_a_batch_behind_others_is_a_single_statement(opened, take_over):
    files, fence = opened.files, opened.fence
    file = files.create(PATH)
    whole = b""
    for number in range(4):
        files.write(file, b"%d" % number)
        whole += b"%d" % number
        files.sync(file)
    # The first one has made the table.
    assert fence.insertions == 3
    large = bytes(9 << 20)
    files.write(file, large)
    files.sync(file)
    files.write(file, b"")
    files.sync(file)
    assert fence.insertions == 3
    files.write(file, b"end")
    files.sync(file)
    assert fence.insertions == 4
    later = take_over().files
    assert later.read(later.open(PATH), 0, 10 << 20) == whole + large + b"end"


def test_an_append_to_a_stream_is_a_single_statement(opened, take_over):
    files, fence = opened.files, opened.fence
    stream, other = files.create(STREAM), files.create(Path("/streams/b.stream"))
    for each in (stream, other, stream, other, stream):
        files.write(each, b"x")
        files.sync(each)
    # The first one has made both tables.
    assert fence.insertions == 4
    for each in (stream, other):
        files.write(each, b"y")
    files.flush()
    assert fence.insertions == 4
    later = take_over().files
    assert later.read(later.open(STREAM), 0, 9) == b"xxxy"


def test_the_loss_of_an_append_to_a_stream_is_noticed_with_the_next_connection(opened):
    files = opened.files
    stream = files.create(STREAM)

    def append():
        files.write(stream, b"x")
        files.sync(stream)

    for _ in range(3):
        append()
    opened.end_session()
    with pytest.raises(UnwrittenError):
        append()
    files.flush()
    opened.end_session()
    opened.reading.run(lambda connection: connection.execute("UPDATE proof SET number = number - 1"))
    with pytest.raises(UnwrittenError):
        append()
    with pytest.raises(OSError, match="the database has lost messages that were confirmed"):
        files.flush()


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_write_whose_answer_was_lost_is_repeated_without_effect(opened, take_over):
    files = opened.files
    file = files.create(PATH)
    for part in (b"abc", b"def"):
        files.write(file, part)
        opened.fence.loses = LOST
        with pytest.raises(UnwrittenError):
            files.sync(file)
        files.sync(file)
    later = take_over().files
    assert later.read(later.open(PATH), 0, 20) == b"abcdef"


def test_a_write_in_doubt_replaces_its_row(opened):
    files, fence = opened.files, opened.fence
    file = files.create(PATH)
    for part in (b"abc", b"def"):
        files.write(file, part)
        files.sync(file)
    files.write(file, b"ghi")
    fence.loses = LOST
    with pytest.raises(UnwrittenError):
        files.sync(file)
    before = fence.insertions
    # An insertion would find a duplicate.
    files.sync(file)
    assert fence.insertions == before


def test_a_write_whose_answer_was_lost_may_be_replaced(opened, take_over):
    files = opened.files
    file = files.create(PATH)
    files.write(file, b"abc")
    files.sync(file)
    files.write(file, b"a long text")
    opened.fence.loses = LOST
    with pytest.raises(UnwrittenError):
        files.sync(file)
    files.truncate(file, 3)
    files.write(file, b"d")
    files.sync(file)
    later = take_over().files
    assert later.read(later.open(PATH), 0, 20) == b"abcd"


def test_the_files_of_a_broker_that_was_replaced_cannot_be_changed(opened, take_over):
    files = opened.files
    file = files.create(PATH)
    files.write(file, b"abc")
    files.sync(file)
    later = take_over()
    files.write(file, b"late")
    with pytest.raises(FencedError):
        files.sync(file)
    with pytest.raises(FencedError):
        files.remove(PATH)
    assert later.files.read(later.files.open(PATH), 0, 20) == b"abc"


def test_a_takeover_waits_for_an_insertion(opened, take_over, database):
    files, reading = opened.files, opened.reading
    file = files.create(PATH)
    files.write(file, b"abc")
    files.sync(file)
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND"
    with ThreadPoolExecutor(2) as pool, psycopg.connect(database) as other:
        # The insertion has locked the row of the epoch, and waits for this row.
        other.execute(f"INSERT INTO {SCHEMA}.\"0/journal/1.seg\" VALUES (3, 'x')")
        files.write(file, b"def")
        writing = pool.submit(files.sync, file)
        wait_for(reading, f"{waits} application_name = 'writing'")
        taking = pool.submit(take_over)
        wait_for(reading, f"{waits} query LIKE 'INSERT INTO fence%'")
        other.rollback()
        writing.result(30)
        later = taking.result(30).files
    assert later.read(later.open(PATH), 0, 20) == b"abcdef"
    files.write(file, b"ghi")
    with pytest.raises(FencedError):
        files.sync(file)


def wait_for(session, query):
    end = time.monotonic() + 30
    while session.run(lambda connection: connection.execute(query).fetchone()) is None:
        assert time.monotonic() < end
        time.sleep(0.01)


def written_twice(files):
    file = files.create(PATH)
    for part in (b"abc", b"def"):
        files.write(file, part)
        files.sync(file)
    return file


def test_a_connected_broker_is_replaced_by_the_one_that_has_removed_its_file(opened, take_over):
    file = written_twice(opened.files)
    take_over().files.remove(PATH)
    opened.files.write(file, b"ghi")
    with pytest.raises(FencedError):
        opened.files.sync(file)


def test_a_file_that_nobody_has_removed_is_missing(opened):
    file = written_twice(opened.files)
    opened.reading.run(lambda connection: connection.execute('DROP TABLE "0/journal/1.seg"'))
    opened.files.write(file, b"ghi")
    with pytest.raises(OSError, match="does not exist") as raised:
        opened.files.sync(file)
    assert not isinstance(raised.value, UnwrittenError | FencedError)


@pytest.mark.parametrize("loss", ['DELETE FROM "0/journal/1.seg" WHERE start = 6', 'DROP TABLE "0/journal/1.seg"'])
def test_the_loss_of_a_write_is_noticed_with_the_next_connection(opened, loss):
    """As after the promotion of a standby that did not have it."""
    files, reading = opened.files, opened.reading
    file = files.create(PATH)
    for part in (b"abc", b"def"):
        files.write(file, part)
        files.sync(file)

    def write_after_a_new_connection(part):
        opened.end_session()
        files.write(file, part)
        with pytest.raises(UnwrittenError):
            files.sync(file)
        files.sync(file)

    write_after_a_new_connection(b"ghi")
    reading.run(lambda connection: connection.execute(loss))
    with pytest.raises(OSError, match="the database has lost messages that were confirmed") as raised:
        write_after_a_new_connection(b"jkl")
    assert not isinstance(raised.value, UnwrittenError | FencedError)


def test_a_file_that_a_later_broker_has_removed_is_not_lost(opened, take_over):
    files = opened.files
    file = files.create(PATH)
    files.write(file, b"abc")
    files.sync(file)
    opened.end_session()
    take_over().files.remove(PATH)
    files.write(file, b"def")
    with pytest.raises(UnwrittenError):
        files.sync(file)
    with pytest.raises(FencedError):
        files.sync(file)
