"""Reading a queue without changing it: generated histories, on every kind of line, in memory, on disk and spilled."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.peek import DELAYED, PARKED, READY, START, STATES, UNACKED, Peek, Place
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from amqpbroker.message.checksum import content_checksum
from amqpbroker.store.committer import InlineCommitter
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.spill import SpillFiles
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import longstr
from tests.broker.queueing import Subscriber, message, table
from tests.fault_files import FaultyFiles, FlakyFiles
from tests.fuzz.effort import effort

RETRY: dict[str, Any] = {"delayed_retry_type": "all", "delayed_retry_min": 50, "delayed_retry_max": 500}

#: Kind of line -> release of RabbitMQ and arguments of the queue.
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "classic": ("4.0", {}),
    "classic with retries": ("4.0", RETRY),
    "priority": ("4.0", {"max_priority": 3}),
    "quorum": ("4.0", {"queue_type": "quorum"}),
    "quorum with retries": ("4.0", {"queue_type": "quorum", "delivery_limit": 50, **RETRY}),
    "strict quorum": ("4.3", {"queue_type": "quorum"}),
    "last value": ("4.0", {"last_value_key": "key"}),
    "last value quorum": ("4.3", {"queue_type": "quorum", "last_value_key": "key"}),
    "expiry anywhere": ("4.0", {"message_ttl_mode": "any", "dead_letter_exchange": "amq.fanout"}),
    "expiry anywhere quorum": ("4.3", {"queue_type": "quorum", "message_ttl_mode": "any"}),
    "single active": ("4.0", {"single_active_consumer": True}),
    "groups": ("4.0", {"group_header": "key", "group_on_dead": "park"}),
    "groups with retries": ("4.3", {"queue_type": "quorum", "group_header": "key", "group_on_dead": "park", **RETRY}),
    "without duplicates": ("4.0", {"message_deduplication": True}),
}


class Life:
    """A queue with small pages, and the operations of its clients. consumer: takes up to 5 messages."""

    def __init__(self, line: str, durable: bool = True, files: Any = None) -> None:
        release, arguments = LINES[line]
        self.clock = ManualClock(1_000_000)
        self.files = files or FaultyFiles()
        journal = Journal(Path("/journal"), self.files)
        found = journal.recover()
        self.log = Persistence(journal, InlineCommitter(journal), pytest.fail, self.clock)
        self.spill = SpillFiles(Path("/spill"), self.files)
        bounds = Bounds(page_count=4, read_count=3, least_page_count=1)
        compat = COMPATS[release].configured({"transient_nonexcl_queues": True})
        broker = Broker(Config(compat=compat, bounds=bounds), self.clock, self.log, spill=self.spill)
        durable = durable or "queue_type" in arguments
        queue = broker.vhosts["/"].declare_queue("q", durable, False, False, table(**arguments))
        assert isinstance(queue, LocalQueue)
        self.queue = queue
        if durable:
            queue.id = 1
            self.log.restore(found, {1: queue})
        self.consumer = Subscriber(queue, limit=0)
        queue.add_consumer(self.consumer)
        self.published = 0

    def publish(self, count: int, priority: int = 0, ttl_ms: int = -1, persistent: bool = True) -> None:
        for _ in range(count):
            self.published += 1
            made = message(b"%d" % self.published, priority=(priority + self.published) % 8, expiration_ms=ttl_ms)
            values: dict[str, Any] = {
                "headers": {
                    "key": longstr(str(self.published % 7)),
                    "x-deduplication-header": longstr(str(self.published)),
                }
            }
            if ttl_ms >= 0:
                values["expiration"] = b"%d" % ttl_ms
            made = made.rewritten(made.address, encode_properties(values))
            made.priority, made.persistent = (priority + self.published) % 8, persistent
            self.queue.publish(made)

    def step(self, operation: str, number: int) -> None:
        held = min(number, len(self.consumer.held))
        match operation:
            case "publish":
                self.publish(number, number)
            case "transient":
                self.publish(number, number, persistent=False)
            case "expiring":
                self.publish(number, number, ttl_ms=20 * number)
            case "consume":
                self.consumer.relimit(len(self.consumer.held) + number)
                self.consumer.relimit(0)
            case "ack":
                self.consumer.ack(held)
            case "requeue" if held:
                self.consumer.requeue(held)
            case "reject" if held:
                self.consumer.reject(held)
            case "wait":
                self.clock.advance(20 * number)
            case "sync":
                self.log.sync()
            case "page out":
                self.spill.need(True)
                while self.queue.page_out():
                    pass

    def peek(self, state: str, step: int) -> list[Any]:
        peek = Peek(self.queue, state, lambda _: list(self.consumer.held))
        place, found = START, []
        while some := peek.following(place, step):
            assert len(some) <= step
            found += some
            place = some[-1].place
        return found

    def census(self) -> Any:
        """Return the observable state of the queue, and the files."""
        queue = self.queue
        entries = [*queue.ready_entries(), *self.consumer.held]
        delayed = sorted((due_ms, entry.sequence) for due_ms, entry in queue.delayed_entries())
        return (
            queue.info(),
            queue.counters(),
            [(each.sequence, each.acquired_count, each.delivery_count, each.deadline_ms) for each in entries],
            delayed,
            queue.expiry.count,
            queue.newest,
            self.log.loaded,
            self.log.appended,
            sorted(each[0] for each in self.clock._heap if each[2].callback is not None),
            {path: bytes(content) for path, content in self.files.contents.items()},
        )


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "publish",
                "publish",
                "transient",
                "expiring",
                "consume",
                "ack",
                "requeue",
                "reject",
                "wait",
                "sync",
                "page out",
            ]
        ),
        st.integers(1, 12),
    ),
    max_size=25,
)


@pytest.mark.parametrize("line", LINES)
@given(operations=OPERATIONS, durable=st.booleans(), step=st.integers(1, 9))
@effort(examples=40)
def test_peek_shows_every_message_once_and_changes_nothing(
    line: str, operations: list[tuple[str, int]], durable: bool, step: int
) -> None:
    life = Life(line, durable)
    for operation, number in operations:
        life.step(operation, number)
    before = life.census()
    seen = {state: life.peek(state, step) for state in STATES}
    assert life.census() == before

    ready = [entry.sequence for entry in life.queue.ready_entries()]
    shown = [peeked.entry.sequence for peeked in seen[READY]]
    # The order of a quorum queue with two priorities depends on a counter, which is not shown.
    assert (sorted(shown) == sorted(ready)) if line in ("quorum", "quorum with retries") else (shown == ready)
    assert [each.entry.sequence for each in seen[UNACKED]] == sorted(entry.sequence for entry in life.consumer.held)
    delayed = sorted((due_ms, entry.sequence) for due_ms, entry in life.queue.delayed_entries())
    assert [(each.due_ms, each.entry.sequence) for each in seen[DELAYED]] == delayed

    parked = life.queue.line.groups.parked if isinstance(life.queue, GroupQueue) else ()
    assert [each.entry.sequence for each in seen[PARKED]] == sorted(parked)

    by_sequence = {entry.sequence: entry for entry in life.queue.ready_entries()}
    for peeked in seen[READY]:
        entry = by_sequence[peeked.entry.sequence]
        assert peeked.entry.message.body == entry.message.body
        assert (peeked.entry.redelivered, peeked.entry.delivery_count) == (entry.redelivered, entry.delivery_count)


@pytest.mark.parametrize("line", LINES)
@given(operations=OPERATIONS, later=OPERATIONS, step=st.integers(1, 9))
@effort(examples=25)
def test_place_stays_valid_while_the_queue_moves(
    line: str, operations: list[tuple[str, int]], later: list[tuple[str, int]], step: int
) -> None:
    life = Life(line)
    for operation, number in operations:
        life.step(operation, number)
    some = Peek(life.queue, READY, lambda _: []).following(START, step)
    there = [entry.sequence for entry in life.queue.ready_entries()]
    for operation, number in later:
        life.step(operation, number)
    rest = []
    place = some[-1].place if some else START
    while more := Peek(life.queue, READY, lambda _: []).following(place, step):
        place = more[-1].place
        rest += [each.entry.sequence for each in more]
    # A message that was behind the place, and that nobody took, is seen.
    taken = {entry.sequence for entry in life.consumer.held} | {
        entry.sequence for entry in life.queue.ready_entries() if entry.redelivered
    }
    seen = {each.entry.sequence for each in some}
    left = {entry.sequence for entry in life.queue.ready_entries()} - taken
    assert left & set(there) <= seen | set(rest)
    assert len(rest) == len(set(rest))


@given(
    rounds=st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=30), max_size=6),
    waits=st.lists(st.integers(0, 20), max_size=6),
    step=st.integers(1, 9),
)
@effort(examples=60)
def test_delayed_messages_in_pages_with_overlapping_times_are_in_order(
    rounds: list[list[int]], waits: list[int], step: int
) -> None:
    life = Life("classic")
    for number, delays_ms in enumerate(rounds):
        for delay_ms in delays_ms:
            life.published += 1
            made = message(b"%d" % life.published)
            made.persistent = True
            life.queue.returns.delay([(life.queue.ledger.enter(life.queue, made, 0), life.clock.wall_ms() + delay_ms)])
        life.log.sync()
        life.clock.advance(waits[number] if number < len(waits) else 0)
    before = life.census()
    shown = [(each.due_ms, each.entry.sequence) for each in life.peek(DELAYED, step)]
    assert life.census() == before
    assert shown == sorted((due_ms, entry.sequence) for due_ms, entry in life.queue.delayed_entries())


# --- discarding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", LINES)
@given(operations=OPERATIONS, chosen=st.sets(st.integers(0, 40), max_size=10))
@effort(examples=25)
def test_dropped_messages_leave_and_others_stay(line: str, operations: list[tuple[str, int]], chosen: set[int]) -> None:
    life = Life(line)
    for operation, number in operations:
        life.step(operation, number)
    queue = life.queue
    entries = {entry.sequence: content_checksum(entry.message) for entry in queue.ready_entries()}
    order = [entry.sequence for entry in queue.ready_entries()]
    wanted = [sequence for index, sequence in enumerate(order) if index in chosen]
    acknowledged = queue.counters()[7]
    assert not any(queue.remove_ready(sequence, entries[sequence] ^ 1) for sequence in wanted), "with another content"
    assert [entry.sequence for entry in queue.ready_entries()] == order
    for sequence in wanted:
        assert queue.remove_ready(sequence, entries[sequence])
        assert not queue.remove_ready(sequence, entries[sequence])
    left = sorted(sequence for sequence in order if sequence not in wanted)
    assert sorted(entry.sequence for entry in queue.ready_entries()) == left
    assert sorted(each.entry.sequence for each in life.peek(READY, 3)) == left
    assert queue.ready_count == len(left)
    assert queue.counters()[-2] == len(left)
    assert queue.expiry.count == sum(entry.deadline_ms > 0 for entry in queue.ready_entries())
    life.consumer.relimit(1_000)
    assert not queue.ready.count
    assert queue.counters()[7] == acknowledged, "a discarded message does not count as acknowledged"


def test_dropped_message_is_gone_after_a_restart() -> None:
    life = Life("classic")
    life.publish(12)
    life.log.sync()
    first = next(iter(life.queue.ready_entries()))
    assert life.queue.remove_ready(first.sequence, content_checksum(first.message))
    life.log.sync()
    life.files.open_files.clear()
    again = Life("classic", files=life.files)
    assert [entry.message.body for entry in again.queue.ready_entries()] == [b"%d" % i for i in range(2, 13)]


# --- failures ---------------------------------------------------------------------------------------------------------


def test_unreadable_messages_are_reported_and_the_queue_is_not_told() -> None:
    files = FlakyFiles()
    life = Life("classic", files=files)
    life.publish(40)
    life.log.sync()
    peek = Peek(life.queue, READY, lambda _: [])
    page = next(page for page in life.queue.ready._pages if page.positions)  # type: ignore[attr-defined]
    files.share = 1.0
    with pytest.raises(UnreadableError):
        peek.following(Place(0, page.first - 1), 3)
    files.share = 0.0
    assert [each.entry.sequence for each in peek.following(Place(0, page.first - 1), 3)] == [
        page.first + i for i in range(3)
    ]
    assert life.queue._read_retry is None
