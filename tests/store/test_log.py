"""The contract of a log, with faults. It runs for every implementation; another one needs its own `Filling`.

The implementations are files, and a log in memory, which like a replicated one may be opened by another writer at any
time.
"""

import errno
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from amqpbroker.broker.exchanges.held import HeldCopy
from amqpbroker.clock import ManualClock
from amqpbroker.message.message import Message
from amqpbroker.store import record
from amqpbroker.store.committer import InlineCommitter
from amqpbroker.store.directory.ownership import Ownership
from amqpbroker.store.files import Files as RealFiles
from amqpbroker.store.groups import Groups
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import Batch, FencedError, Log, StoreError, UnwrittenError
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.writer import RETRY_MS
from amqpbroker.wire.frames import lone_content
from tests.fault_files import FaultyFiles, PowerCut
from tests.memory_log import MemoryLog

SEGMENT_BYTES = 3_000


class Filling(ABC):
    """One log, and the faults that can be injected. torn: a power loss may leave a part of a batch."""

    torn = False
    log: Log

    @abstractmethod
    def open(self) -> Log:
        """Open the existing log, before its recovery."""

    @abstractmethod
    def refuse(self) -> None:
        """Make the next write fail temporarily: the disk is full."""

    @abstractmethod
    def fail(self) -> None:
        """Make the next write fail for good: it cannot be synced."""

    @abstractmethod
    def lose_power(self, keep: int) -> None:
        """Discard data that is not durable. keep: bytes of it that remain in each file."""

    @abstractmethod
    def take_over(self) -> Log | None:
        """Open the log as another writer; it becomes `self.log`.

        Return the previous one; None if opening is refused.
        """

    def start(self) -> Recovered:
        """Open the log and recover it; return its contents."""
        self.log = self.open()
        return self.log.recover()

    def power_loss(self, keep: int = 0) -> Recovered:
        """Restart with durable data only; return the contents. keep: other bytes that remain in each file."""
        self.lose_power(keep)
        return self.start()

    def reopen(self) -> Recovered:
        """Close the log and open it again; return its contents."""
        self.log.close()
        return self.start()


class Files(Filling):
    torn = True

    def __init__(self) -> None:
        self.files = FaultyFiles()
        self.start()

    def open(self) -> Log:
        return Journal(Path("/journal"), self.files, SEGMENT_BYTES)

    def refuse(self) -> None:
        self.files.fail_write = self.files.writes + 1

    def fail(self) -> None:
        self.files.fail_sync = self.files.syncs + 1

    def lose_power(self, keep: int) -> None:
        self.files.power_loss(keep)

    def take_over(self) -> Log | None:
        """The lock of the data directory excludes other writers."""
        with (
            TemporaryDirectory() as name,
            closing(Ownership(Path(name), RealFiles())),
            pytest.raises(StoreError, match="belongs to a running broker"),
        ):
            Ownership(Path(name), RealFiles())
        return None


class Memory(Filling):
    log: MemoryLog

    def __init__(self) -> None:
        self.log = MemoryLog(SEGMENT_BYTES)
        self.log.recover()

    def open(self) -> Log:
        return MemoryLog(SEGMENT_BYTES, self.log)

    def refuse(self) -> None:
        self.log.refuses = 1

    def fail(self) -> None:
        self.log.fails = True

    def lose_power(self, keep: int) -> None:
        """A log in memory has only durable data anyway."""

    def take_over(self) -> Log | None:
        before = self.log
        self.start()
        return before


FILLINGS: list[type[Filling]] = [Files, Memory]


@pytest.fixture(params=FILLINGS, ids=lambda kind: kind.__name__.lower())
def filling(request: pytest.FixtureRequest) -> Filling:
    made: Filling = request.param()
    return made


def made(log: Log, *sequences: int, size: int = 20, holder: int = 1) -> tuple[Batch, list[int]]:
    """Return a batch with one group for each copy, and the positions of the copies, which are live."""
    groups = Groups(log.next_position())
    positions = []
    for sequence in sequences:
        copy = HeldCopy(Message(b"\0\1q", None, None, size, content(sequence, size), 1), holder, sequence, 0)
        part_bytes = groups.add_lone(copy)
        positions.append(copy.position)
        log.living.add(positions[-1:], [part_bytes])
    return log.batch(groups.take()), positions


def content(sequence: int, size: int = 20) -> bytes:
    return lone_content(1, b"\0\0", [b"%0*d" % (size, sequence)], size)


def appended(log: Log, *sequences: int, size: int = 20, holder: int = 1) -> list[int]:
    batch, positions = made(log, *sequences, size=size, holder=holder)
    log.write(batch)
    return positions


def found_sequences(found: Recovered) -> list[int]:
    return list(found.copies[1].sequences) if 1 in found.copies else []


# --- recovery ---------------------------------------------------------------------------------------------------------


def test_a_new_log_is_empty(filling):
    found = filling.open().recover()
    assert (found.copies, found.returned, found.living.size_bytes) == ({}, {}, 0)
    assert found_sequences(filling.start()) == []


# --- append -----------------------------------------------------------------------------------------------------------


def test_positions_grow_and_are_never_0(filling):
    positions = [position for number in range(40) for position in appended(filling.log, number, number, size=200)]
    assert positions == sorted(set(positions))
    assert min(positions) > 0


def test_a_batch_is_durable_once_it_is_written(filling):
    log = filling.log
    first, at = made(log, 1)
    second, behind = made(log, 2)
    assert log.durable <= at[0]
    log.write(first)
    assert at[0] < log.durable <= behind[0]
    log.write(second)
    assert behind[0] < log.durable


def test_only_durable_batches_survive(filling):
    appended(filling.log, 1, 2)
    durable = filling.log.durable
    made(filling.log, 3)
    assert found_sequences(filling.power_loss()) == [1, 2]
    assert filling.log.durable == durable


def test_a_log_continues_at_its_end_after_a_restart(filling):
    before = appended(filling.log, 1)
    filling.power_loss()
    after = appended(filling.log, 2)
    assert before < after
    assert found_sequences(filling.power_loss()) == [1, 2]


# --- read -------------------------------------------------------------------------------------------------------------


def test_written_batches_are_read_back(filling):
    log = filling.log
    for _ in range(2):
        positions = appended(log, 1, 2, size=50)
        for sequence, position in enumerate(positions, 1):
            log.expect(position, 500)
            assert content(sequence, 50) in log.read(position, 500)
        filling.power_loss()
        log = filling.log


def test_a_read_ends_at_the_durable_position(filling):
    (position,) = appended(filling.log, 1)
    made(filling.log, 2)
    assert len(filling.log.read(position, 10_000)) == filling.log.durable - position


def test_the_batches_of_a_segment_are_consecutive(filling):
    log = filling.log
    positions = [appended(log, number, number) for number in range(3)]
    at, stop = log.batches_in(log.oldest)
    for expected in positions:
        start, at = log.groups(at)
        assert all(start < position < at for position in expected)
        assert record.damage(log.read(start, at - start), 0, at - start) is None
    assert at == stop == log.durable


def test_durable_batches_can_be_read_in_order_from_any_batch(filling):
    """A reader that follows the log needs only the batches of each segment, and the durable position."""
    log = filling.log
    expected = [(sequence,) for sequence in range(12)]
    for (sequence,) in expected:
        appended(log, sequence, size=SEGMENT_BYTES // 3)
    assert log.newest - log.oldest > 2
    made(log, 99)

    def followed(start):
        found = []
        for segment in range(start >> 32, log.newest + 1):
            at, stop = log.batches_in(segment)
            at = max(at, start)
            while at < min(stop, log.durable):
                span = log.groups(at)
                found.append((span.start, sequences(log.read(span.start, span.stop - span.start))))
                at = span.stop
        return found

    everything = followed(log.oldest << 32)
    assert [found for _, found in everything] == expected
    behind = log.groups(log.batches_in(log.oldest + 1).start).stop
    assert followed(behind) == [found for found in everything if found[0] >= behind]


def sequences(groups):
    """Return the sequences of the copies in these groups."""
    found = Recovered()
    found.start_segment(1, len(groups))
    record.visit(groups, 0, len(groups), found)
    return tuple(found.copies[1].sequences)


# --- open again -------------------------------------------------------------------------------------------------------


def living(log):
    """Return the number of live copies in each segment."""
    return [log.living.of(number).count for number in range(log.oldest, log.newest + 1)]


def test_a_log_that_is_opened_again_has_everything_at_the_same_positions(filling):
    log = filling.log
    positions = [appended(log, number, size=SEGMENT_BYTES // 3)[0] for number in range(1, 8)]
    log.living.settle(positions[:1])
    log.next_position()
    log.write(log.batch([record.group(record.settle(positions[:1])), record.settle(positions[:1])]))
    before = (log.oldest, log.newest, log.size, log.durable, living(log))
    found = filling.reopen()
    log = filling.log
    assert (log.oldest, log.newest, log.size, log.durable, living(log)) == before
    assert found_sequences(found) == [2, 3, 4, 5, 6, 7]
    assert list(found.copies[1].positions) == positions[1:]
    for number, position in enumerate(positions[1:], 2):
        assert content(number, SEGMENT_BYTES // 3) in log.read(position, SEGMENT_BYTES)
    assert log.next_position() > positions[-1]
    (after,) = appended(log, 8)
    assert after > positions[-1]
    assert found_sequences(filling.reopen()) == [2, 3, 4, 5, 6, 7, 8]


def test_log_can_be_reopened_repeatedly_without_writes(filling):
    filling.reopen()
    assert (filling.log.oldest, filling.log.newest, filling.log.size, filling.log.durable) == (0, 0, 0, 0)
    appended(filling.log, 1)
    durable = filling.log.durable
    for _ in range(3):
        assert found_sequences(filling.reopen()) == [1]
        assert filling.log.durable == durable


def test_a_log_has_one_writer(filling):
    """Opening a log that has a writer is refused, or fences that writer off for good."""
    appended(filling.log, 1)
    before = filling.take_over()
    if before is None:
        appended(filling.log, 2)
        assert found_sequences(filling.power_loss()) == [1, 2]
        return
    batch, _ = made(before, 2)
    for _ in range(2):
        with pytest.raises(FencedError):
            before.write(batch)
    assert before.durable == filling.log.durable
    appended(filling.log, 3)
    with pytest.raises(FencedError):
        before.write(batch)
    assert found_sequences(filling.power_loss()) == [1, 3]


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_batch_that_was_refused_can_be_tried_again(filling):
    log = filling.log
    appended(log, 1)
    durable = log.durable
    batch, positions = made(log, 2)
    for _ in range(3):
        filling.refuse()
        with pytest.raises(UnwrittenError) as raised:
            log.write(batch)
        assert raised.value.errno == errno.ENOSPC
        assert log.durable == durable
    log.write(batch)
    assert log.durable > positions[0]
    assert found_sequences(filling.power_loss()) == [1, 2]


def test_the_first_batch_of_a_segment_can_be_refused_too(filling):
    log = filling.log
    appended(log, 1, size=SEGMENT_BYTES)
    batch, positions = made(log, 2)
    assert log.newest == log.oldest + 1
    filling.refuse()
    with pytest.raises(UnwrittenError):
        log.write(batch)
    log.write(batch)
    assert content(2) in log.read(positions[0], 500)
    assert found_sequences(filling.power_loss()) == [1, 2]


def test_a_refused_batch_leaves_nothing_behind(filling):
    appended(filling.log, 1)
    durable = filling.log.durable
    filling.refuse()
    with pytest.raises(UnwrittenError):
        appended(filling.log, 2)
    assert found_sequences(filling.power_loss(keep=10_000)) == [1]
    assert filling.log.durable == durable
    appended(filling.log, 3)
    assert found_sequences(filling.power_loss()) == [1, 3]


def test_a_failed_batch_is_not_durable_and_is_whole_or_absent(filling):
    log = filling.log
    appended(log, 1)
    durable = log.durable
    filling.fail()
    with pytest.raises(OSError, match="Input/output error") as raised:
        appended(log, 2, 3)
    assert not isinstance(raised.value, UnwrittenError)
    assert log.durable == durable
    assert found_sequences(filling.power_loss()) in ([1], [1, 2, 3])


@pytest.mark.parametrize("keep", [1, 30, 100, 150])
@pytest.mark.parametrize("kind", [kind for kind in FILLINGS if kind.torn])
def test_torn_batch_is_not_recovered(kind, keep):
    filling = kind()
    appended(filling.log, 1)
    filling.files.cut_at = filling.files.steps + 2
    with pytest.raises(PowerCut):
        appended(filling.log, 2, 3)
    assert found_sequences(filling.power_loss(keep)) == [1]
    appended(filling.log, 4)
    assert found_sequences(filling.power_loss()) == [1, 4]


# --- forget -----------------------------------------------------------------------------------------------------------


def three_segments(log):
    positions = [appended(log, number, size=SEGMENT_BYTES)[0] for number in (1, 2, 3)]
    assert log.newest - log.oldest == 2
    return positions


def test_segments_before_a_position_can_be_forgotten(filling):
    log = filling.log
    first, second, third = three_segments(log)
    size = log.size
    log.forget_up_to(first)
    assert log.oldest == first >> 32
    log.forget_up_to(second)
    log.remove_freed()
    assert log.oldest == second >> 32
    assert SEGMENT_BYTES < size - log.size < size // 2
    assert content(3, SEGMENT_BYTES) in log.read(third, SEGMENT_BYTES * 2)
    # A power loss may restore segments that were removed last.
    assert found_sequences(filling.power_loss())[-2:] == [2, 3]


def test_segments_without_live_entries_are_forgotten_in_order(filling):
    log = filling.log
    first, second, third = three_segments(log)
    assert not log.free()
    log.living.settle([second, third])
    assert not log.free()
    log.living.settle([first])
    assert log.free()
    assert log.oldest == log.newest == third >> 32
    assert not log.free()
    assert log.living.size_bytes == 0


def test_unwritten_segment_is_not_removed(filling):
    log = filling.log
    appended(log, 1, size=SEGMENT_BYTES)
    made(log, 2, size=SEGMENT_BYTES)
    made(log, 3)
    log.forget_up_to(log.newest << 32)
    assert log.oldest == log.newest - 1


# --- a store on the log -----------------------------------------------------------------------------------------------


class Holder:
    """Holds the copies that were recovered for it: sequence -> position."""

    id = 1

    def __init__(self) -> None:
        self.positions: dict[int, int] = {}

    def recover(self, copies):
        self.positions = dict(zip(copies.sequences, copies.positions, strict=True))

    def recovered(self):
        pass

    def discard(self):
        pass


class Node:
    """A store on a log."""

    def __init__(self, filling: Filling, found: Recovered | None = None) -> None:
        self.filling = filling
        self.clock = ManualClock()
        self.failures: list[Exception] = []
        self.holder = Holder()
        self.store = Persistence(filling.log, InlineCommitter(filling.log), self.failures.append, self.clock)
        if found is not None:
            self.store.restore(found, {1: self.holder})

    def enqueue(self, sequence: int, size: int = 200) -> HeldCopy:
        copy = HeldCopy(Message(b"\0\1q", b"\0\0", b"%0*d" % (size, sequence)), 1, sequence, 0)
        self.store.enqueue(copy)
        return copy

    def restarted(self) -> "Node":
        found = self.filling.power_loss()
        return Node(self.filling, found)

    def bodies(self) -> list[int]:
        reading = self.store.load([])
        return [int(reading.message(position).body) for position in self.holder.positions.values()]


def test_a_store_recovers_its_copies(filling):
    node = Node(filling)
    copies = [node.enqueue(number) for number in range(50)]
    node.store.sync()
    assert node.store.synced == node.store.appended
    assert all(map(node.store.is_safe, copies))
    for copy in copies[::2]:
        node.store.settle(copy)
    node.store.sync()
    node.enqueue(50)
    node = node.restarted()
    assert list(node.holder.positions) == node.bodies() == list(range(1, 50, 2))


def test_a_store_frees_the_space_of_settled_copies(filling):
    """Some copies stay forever, spread over all segments, so they are rewritten."""
    node = Node(filling)
    kept = []
    for number in range(600):
        copy = node.enqueue(number)
        node.store.sync()
        if number % 60:
            node.store.settle(copy)
        else:
            kept.append(number)
    node.store.sync()
    assert filling.log.oldest > 3
    assert filling.log.size < 2 * filling.log.living.size_bytes + 4 * (SEGMENT_BYTES + 300)
    node = node.restarted()
    assert node.bodies() == kept


def test_a_store_confirms_nothing_while_its_log_refuses_writes(filling):
    node = Node(filling)
    node.enqueue(1)
    node.store.sync()
    filling.refuse()
    copy = node.enqueue(2)
    node.store.sync()
    assert node.store.synced < node.store.appended
    assert not node.store.is_safe(copy)
    node.clock.advance(RETRY_MS)
    assert node.store.synced == node.store.appended
    assert node.store.is_safe(copy)
    assert node.failures == []
    assert node.restarted().bodies() == [1, 2]


def test_a_store_confirms_nothing_after_another_writer_opened_its_log(filling):
    node = Node(filling)
    node.enqueue(1)
    node.store.sync()
    if filling.take_over() is None:
        return
    copy = node.enqueue(2)
    node.store.sync()
    assert [type(error) for error in node.failures] == [FencedError]
    assert node.store.synced < node.store.appended
    assert not node.store.is_safe(copy)
    node.clock.advance(RETRY_MS)
    node.store.sync()
    assert node.store.synced < node.store.appended
    assert node.restarted().bodies() == [1]


def test_a_store_ends_when_its_log_fails(filling):
    node = Node(filling)
    node.enqueue(1)
    node.store.sync()
    filling.fail()
    node.enqueue(2)
    node.store.sync()
    assert [error.errno for error in node.failures] == [errno.EIO]
    assert node.store.synced < node.store.appended
    assert node.restarted().bodies() in ([1], [1, 2])
