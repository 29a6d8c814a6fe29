"""Queues whose messages are paged out and read back, which only memory use may reveal."""

import random
import tracemalloc
from array import array
from pathlib import Path

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.arguments.declaration import queue_settings
from amqpbroker.broker.queues.lines.pages import Page
from amqpbroker.broker.queues.lines.priority_line import PriorityLine
from amqpbroker.broker.queues.lines.quorum_lines import QuorumLine, StrictQuorumLine
from amqpbroker.broker.queues.lines.ready_line import deadline_item
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import Message, encode_address
from amqpbroker.store.committer import Committer, InlineCommitter
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.record import OFFSET_MASK
from amqpbroker.store.spill import SpillFiles
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field
from tests.broker.queueing import Subscriber, message, ready, table
from tests.broker.storing import LaterCommitter
from tests.fault_files import FaultyFiles
from tests.seeds import seeds


class Node:
    """A broker with one queue "q"."""

    bounds = BOUNDS

    def __init__(self, files=None, committer=InlineCommitter, durable=True, compat=COMPATS["4.0"], **arguments):
        self.arguments = {"durable": durable, "compat": compat, **arguments}
        self.files = files or FaultyFiles()
        self.clock = ManualClock()
        journal = Journal(Path("/journal"), self.files)
        found = journal.recover()
        self.committer: Committer = committer(journal)
        self.log = Persistence(journal, self.committer, pytest.fail, self.clock)
        self.spill = SpillFiles(Path("/spill"), self.files)
        broker = Broker(Config(compat=compat, bounds=self.bounds), self.clock, self.log, spill=self.spill)
        self.queue = broker.vhosts["/"].declare_queue("q", durable, False, False, table(**arguments))
        if durable:
            self.queue.id = 1
            self.log.restore(found, {1: self.queue})

    def restarted(self):
        self.log.sync()
        self.files.open_files.clear()
        return Node(self.files, **self.arguments)

    def publish(self, *texts, persistent=True, priority=0, expiration_ms=-1):
        for text in texts:
            made = message(text, priority=priority, expiration_ms=expiration_ms)
            made.persistent = persistent
            assert self.queue.publish(made)

    def page_out(self):
        self.spill.need(True)
        while self.queue.page_out():
            pass

    @property
    def in_memory(self):
        """Return the number of waiting messages in memory."""
        line = self.queue.ready
        lines = [line]
        if isinstance(line, StrictQuorumLine):
            line = line.normal
        if isinstance(line, PriorityLine):
            lines = line.levels
        elif isinstance(line, QuorumLine):
            lines = [line.high, line.normal]
        return sum(len(one.line) + len(one._tail) + sum(len(page.entries) for page in one._pages) for one in set(lines))

    def take(self, count):
        return [entry for entry in (self.queue.get(False) for _ in range(count)) if entry is not None]


@pytest.fixture
def _small_pages(monkeypatch):
    monkeypatch.setattr(Node, "bounds", Bounds(page_count=4, read_count=3, least_page_count=1))


def texts(count, start=0):
    return [b"%d" % i for i in range(start, start + count)]


@pytest.mark.usefixtures("_small_pages")
def test_stored_messages_leave_memory_when_they_are_durable():
    node = Node(committer=LaterCommitter)
    node.publish(*texts(100))
    node.log.sync()
    assert node.in_memory == 100
    node.committer.finish()
    assert node.in_memory <= 16
    assert ready(node.queue) == texts(100)


@pytest.mark.usefixtures("_small_pages")
def test_next_page_of_a_queue_is_read_ahead():
    node = Node()
    node.publish(*texts(40))
    node.log.sync()
    node = node.restarted()
    assert node.files.expected == []
    first = node.take(1)[0]
    assert first.message.body == b"0"
    (path, offset, size) = node.files.expected.pop()
    following = node.take(8)[3:7]
    assert [entry.message.body for entry in following] == texts(4, start=4)
    assert path in node.files.contents
    for entry in following:
        assert offset <= entry.position & OFFSET_MASK < offset + size
    node.take(40)
    # Each page except the first was requested once, though each was read in two parts.
    assert len(node.files.expected) == 10 - 1 - 1


@pytest.mark.usefixtures("_small_pages")
def test_message_purged_before_it_is_durable_is_not_restored():
    node = Node(committer=LaterCommitter)
    node.publish(*texts(100))
    node.log.sync()
    assert node.queue.purge() == 100
    node.log.sync()
    node.committer.finish()
    node.log.sync()
    node.committer.finish()
    assert ready(Node(node.files).queue) == []


@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize(
    "arguments",
    [{"max_priority": 5}, {"queue_type": "quorum"}, {"queue_type": "quorum", "compat": COMPATS["4.3"]}],
    ids=["priority", "quorum", "strict quorum"],
)
def test_recovered_messages_with_priorities_stay_on_disk_in_order(arguments, monkeypatch):
    first, other = Node(**arguments), Node(**arguments)
    for i in range(100):
        for node in (first, other):
            node.publish(b"%d" % i, priority=i % 7)
    reads = []
    read = Journal.read
    monkeypatch.setattr(Journal, "read", lambda *where: reads.append(where) or read(*where))
    after = first.restarted()
    assert after.in_memory == 0
    assert not reads
    assert (after.queue.ready.count, after.queue.ready.size) == (100, other.queue.ready.size)
    assert [entry.message.body for entry in after.take(100)] == [entry.message.body for entry in other.take(100)]


def test_recovered_pages_are_bounded_by_bytes(monkeypatch):
    monkeypatch.setattr(Node, "bounds", Bounds(page_bytes=100))
    node = Node()
    node.publish(*[b"%d" % i * 60 for i in range(10)])
    after = node.restarted()
    assert after.queue.get(True).message.body == b"0" * 60
    assert after.in_memory <= 2


@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize("durable", [True, False])
def test_transient_messages_are_spilled_when_memory_is_low_and_read_back(durable):
    node = Node(durable=durable)
    node.publish(*texts(100), persistent=False)
    assert node.in_memory == 100
    node.page_out()
    assert node.in_memory == 0
    node.publish(*texts(100, 100), persistent=False)
    assert node.in_memory <= 12
    assert ready(node.queue) == texts(200)
    assert [entry.message.body for entry in node.take(200)] == texts(200)
    assert [path for path in node.files.contents if path.parent == node.spill.directory] == []


@pytest.mark.usefixtures("_small_pages")
def test_next_messages_of_consumers_stay_in_memory():
    node = Node(durable=False)
    node.publish(*texts(100), persistent=False)
    consumer = Subscriber(node.queue, limit=1).subscribe()
    node.page_out()
    assert node.in_memory == 4
    consumer.relimit(200)
    assert consumer.bodies == texts(100)


@pytest.mark.usefixtures("_small_pages")
def test_purge_deletes_the_files_of_paged_out_messages():
    node = Node(durable=False)
    node.publish(*texts(100), persistent=False)
    node.page_out()
    assert node.queue.purge() == 100
    assert node.files.contents == {}


@pytest.mark.usefixtures("_small_pages")
def test_messages_stay_in_memory_while_writing_their_page_fails():
    node = Node(durable=False)
    node.publish(*texts(50), persistent=False)
    node.files.fail_write = 1
    node.page_out()
    assert node.in_memory == 50
    node.page_out()
    assert node.in_memory == 0
    assert [entry.message.body for entry in node.take(50)] == texts(50)


def test_few_small_messages_are_not_paged_out():
    node = Node(durable=False)
    node.publish(*texts(10), persistent=False)
    node.page_out()
    assert node.in_memory == 10


def test_few_large_messages_are_paged_out():
    node = Node(durable=False)
    node.publish(*[b"x" * 50_000] * 3, persistent=False)
    node.page_out()
    assert node.in_memory == 0


@pytest.mark.explore
@pytest.mark.parametrize("arguments", [{}, {"queue_type": "quorum", "delivery_limit": -1}])
def test_many_requeued_messages_are_spilled_when_memory_is_low(arguments):
    node = Node(**arguments)
    node.publish(*texts(10_000))
    node.log.sync()
    node.queue.requeue(node.take(10_000))
    node.log.sync()
    node.page_out()
    assert node.in_memory < 64
    assert [entry.redelivered for entry in node.take(10_000)] == [True] * 10_000


@pytest.mark.explore
@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize("seed", seeds(20))
@pytest.mark.parametrize(
    ("durable", "arguments"),
    [
        (False, {}),
        (True, {}),
        (False, {"max_priority": 3}),
        (True, {"max_priority": 3}),
        (True, {"queue_type": "quorum"}),
        (True, {"queue_type": "quorum", "delivery_limit": -1}),
        (False, {"message_ttl_mode": "any"}),
        (True, {"message_ttl_mode": "any"}),
        (True, {"message_ttl_mode": "any", "max_priority": 3}),
        (True, {"message_ttl_mode": "any", "queue_type": "quorum"}),
    ],
    ids=[
        "transient",
        "durable",
        "transient priority",
        "durable priority",
        "quorum",
        "quorum without limit",
        "transient expiring anywhere",
        "durable expiring anywhere",
        "priority expiring anywhere",
        "quorum expiring anywhere",
    ],
)
def test_queue_that_pages_returns_the_same_messages_as_one_that_does_not(seed, durable, arguments):
    """Compare a queue that pages at random with one that never pages: both return the same."""
    chance = random.Random(seed)
    paging, plain = (Node(durable=durable, message_ttl=1_000, dead_letter_exchange="", **arguments) for _ in range(2))
    nodes = (paging, plain)
    held = [[], []]
    number = 0

    def show(entries):
        return [
            (one.message.body, one.redelivered, one.delivery_count, one.deadline_ms, one.sequence) for one in entries
        ]

    for _ in range(150):
        act = chance.choice(["publish"] * 4 + ["take"] * 2 + ["settle", "requeue", "page", "sync", "time", "enough"])
        if act == "publish":
            for _ in range(chance.randrange(20)):
                options = {"persistent": chance.random() < 0.5, "priority": chance.randrange(8)}
                if "message_ttl_mode" in arguments:
                    options["expiration_ms"] = chance.choice((-1, -1, chance.randrange(2_000)))
                number += 1
                for node in nodes:
                    node.publish(b"%d" % number, **options)
        elif act == "take":
            count = chance.randrange(30)
            taken = [node.take(count) for node in nodes]
            assert show(taken[0]) == show(taken[1])
            for mine, more in zip(held, taken, strict=True):
                mine += more
        elif act in ("settle", "requeue"):
            picked = [i for i in range(len(held[0])) if chance.random() < 0.5]
            for node, mine in zip(nodes, held, strict=True):
                entries = [mine[i] for i in picked]
                if act == "requeue":
                    node.queue.requeue(entries)
                else:
                    for entry in entries:
                        node.queue.ack(entry)
                mine[:] = [entry for i, entry in enumerate(mine) if i not in set(picked)]
        elif act == "page":
            paging.page_out()
        elif act == "enough":
            paging.spill.need(False)
        elif act == "sync":
            for node in nodes:
                node.log.sync()
        else:
            for node in nodes:
                node.clock.advance(100)
        assert paging.queue.ready.count == plain.queue.ready.count
        assert paging.queue.ready.size == plain.queue.ready.size
    left = [node.take(10_000) for node in nodes]
    assert show(left[0]) == show(left[1])
    assert [path for path in paging.files.contents if path.parent == paging.spill.directory] == []


@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize("persistent", [True, False])
def test_due_message_takes_its_place_in_a_long_line_without_reading_the_messages_before_it(persistent):
    node = Node(delivery_time_header="eta")
    due_ms = node.clock.wall_ms() + 100
    for number in range(400):
        is_delayed = number % 7 == 3 or 100 <= number < 150
        headers = {"headers": {"eta": Field("l", due_ms)}} if is_delayed else {}
        made = Message(encode_address("", b"q"), encode_properties(headers), b"%d" % number)
        made.persistent = persistent
        node.queue.publish(made)
    node.log.sync()
    delayed = node.queue.delayed_count
    node.clock.advance(100)
    node.log.sync()
    assert (node.queue.delayed_count, node.queue.ready_count) == (0, 400)
    # At most the delayed ones.
    assert node.log.loaded <= delayed
    if persistent:
        assert node.in_memory <= 24
    assert max(len(page) for page in node.queue.ready._pages) <= 8
    assert [entry.message.body for entry in node.take(400)] == texts(400)


@pytest.mark.usefixtures("_small_pages")
def test_due_message_in_a_long_transient_line_moves_few_others():
    node = Node(durable=False, delivery_time_header="eta")
    node.publish(*texts(400), persistent=False)
    assert len(node.queue.ready._pages) > 90


@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("seed", seeds(10))
def test_returned_messages_keep_the_order_of_a_paged_line(durable, seed):
    chance = random.Random(seed)
    node = Node(durable=durable, delivery_time_header="eta")
    line = node.queue.ready
    out = []
    for number in range(300):
        node.publish(b"%d" % number, persistent=chance.random() < 0.5, expiration_ms=chance.choice((-1, 10**6)))
        waiting = sorted(set(range(1, number + 2)) - {entry.sequence for entry in out})
        out += [line.remove(each, 0) for each in chance.sample(waiting, min(len(waiting), chance.randrange(3)))]
        if chance.random() < 0.3:
            back = chance.sample(out, len(out) // 2)
            out = [entry for entry in out if entry not in back]
            if back:
                line.requeue(back)
        if chance.random() < 0.1:
            chance.choice((node.page_out, node.log.sync, line.load_head))()
        assert [entry.sequence for entry in line] == sorted(set(range(1, number + 2)) - {one.sequence for one in out})
        assert line.size == sum(len(entry.message.body) for entry in line)
        assert line.count == number + 1 - len(out)
    deadlines = {deadline_item(entry.deadline_ms, entry.sequence, 0) for entry in line if entry.deadline_ms}
    assert set(line.deadlines()) == deadlines


@pytest.mark.usefixtures("_small_pages")
@pytest.mark.parametrize("arguments", [{}, {"max_priority": 5}, {"queue_type": "quorum"}])
def test_queue_info_shows_paged_out_messages_and_bytes(arguments):
    node = Node(**arguments)
    node.publish(*[b"xx"] * 100, persistent=True)
    node.log.sync()
    held = node.take(2)
    info = node.queue.info()
    assert (info.messages, info.messages_paged_out, info.messages_ram) == (100, 98 - node.in_memory, node.in_memory + 2)
    assert 0 < info.messages_paged_out < 98
    assert info.message_bytes_paged_out + info.message_bytes_ram == info.message_bytes == 200
    assert info.message_bytes_paged_out == 2 * info.messages_paged_out
    node.queue.ack_all(held)
    node.take(98)
    assert node.queue.info().messages_paged_out == 0


@pytest.mark.usefixtures("_small_pages")
def test_queue_info_shows_the_number_of_persistent_messages():
    node = Node()
    node.publish(*texts(30), persistent=False)
    node.publish(*texts(90))
    node.log.sync()
    assert (node.queue.info().messages_persistent, node.log.stored) == (90, 90)
    for count in (40, 20):
        for entry in node.take(count):
            node.queue.ack(entry)
    assert node.queue.info().messages_persistent == 60
    node.queue.reject(node.take(5))
    node.queue.requeue(node.take(5))
    Subscriber(node.queue, no_ack=True, limit=0).subscribe()
    assert node.queue.get(True) is not None
    assert node.queue.info().messages_persistent == 54
    held = node.take(4)
    node.queue.purge()
    assert node.queue.info().messages_persistent == 4
    node.queue.ack_all(held)
    assert node.queue.info().messages_persistent == 0
    assert node.queue.message_stats()["disk_writes"] == 90
    assert node.queue.message_stats()["disk_reads"] == node.log.loaded > 0


@pytest.mark.usefixtures("_small_pages")
def test_recovered_messages_do_not_count_as_published():
    node = Node()
    node.publish(*texts(20))
    node.take(3)
    after = node.restarted()
    assert after.queue.info().messages_persistent == 20
    assert after.queue.message_stats() == {}
    after.publish(b"more")
    after.queue.ack(after.take(1)[0])
    found = after.queue.message_stats()
    assert (found["publish"], found["get"], found["ack"], found["redeliver"]) == (1, 1, 1, 1)


@pytest.mark.usefixtures("_small_pages")
def test_queue_info_does_not_load_the_head_message():
    node = Node()
    node.publish(*texts(40))
    after = node.restarted()
    assert after.queue.info().head_message_timestamp is None
    assert after.in_memory == 0


# --- removal ----------------------------------------------------------------------------------------------------------


def peak(do):
    """Return the largest number of bytes of memory in use."""
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def filled(**arguments):
    """Return a node with 40 MB of messages on disk."""
    node = Node(**arguments)
    for number in range(40):
        node.publish(*[b"%0100000d" % number] * 10)
        node.log.sync()
    assert node.in_memory < 100
    return node


def test_backlog_expires_without_being_loaded_as_a_whole():
    node = filled(message_ttl=1_000)
    assert peak(lambda: node.clock.advance(1_000)) < 20_000_000
    assert node.queue.ready.count == 0
    assert node.restarted().queue.ready.count == 0


def test_backlog_is_trimmed_without_being_loaded_as_a_whole():
    node = filled()
    settings = queue_settings(node.queue.kind, table(max_length=3))

    def trim():
        node.queue.apply_settings(settings)
        node.clock.advance(0)

    assert peak(trim) < 20_000_000
    assert node.queue.ready.count == 3
    assert node.restarted().queue.ready.count == 3


@pytest.mark.parametrize("arguments", [{}, {"x-queue-type": "quorum"}])
def test_first_message_of_a_long_queue_is_delivered_after_a_slice_of_a_page(arguments):
    node = Node(**arguments)
    sent = texts(3 * BOUNDS.page_count + 1)
    node.publish(*sent)
    node = node.restarted()
    (first,) = node.take(1)
    assert (first.message.body, node.log.loaded, node.in_memory) == (
        sent[0],
        BOUNDS.read_count,
        BOUNDS.read_count - 1,
    )
    assert [entry.message.body for entry in node.take(len(sent))] == sent[1:]
    assert node.log.loaded == len(sent)


@pytest.mark.parametrize("sequences", [range(5, 9), array("Q", [3, 4, 8, 9])])
@pytest.mark.parametrize("deadlines_ms", [[], [10, 0, 20, 0]])
@pytest.mark.parametrize("index", range(4))
def test_removed_copy_leaves_a_page_with_its_numbers(sequences, deadlines_ms, index):
    page = Page([], array("Q", [11, 12, 13, 14]), sequences, array("Q", deadlines_ms))
    page.remove(index)
    others = [each for each in range(4) if each != index]
    assert list(page.positions) == [[11, 12, 13, 14][each] for each in others]
    assert list(page.numbers()) == [sequences[each] for each in others]
    assert list(page.deadlines_ms) == [deadlines_ms[each] for each in others if deadlines_ms]


def test_page_needs_no_list_of_numbers_while_its_first_copies_are_removed():
    page = Page([], array("Q", [11, 12, 13]), range(5, 8))
    page.remove(0)
    page.remove(0)
    assert page.sequences == range(7, 8)
