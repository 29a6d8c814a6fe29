"""Held messages through a crash: the messages of a broker, and those that the next broker on its files releases."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.exchanges.held import HeldMessages
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.store import record
from amqpbroker.store.committer import InlineCommitter
from amqpbroker.store.definitions.definitions import ExchangeDefinition
from amqpbroker.store.definitions.sqlite_definitions import SqliteDefinitions
from amqpbroker.store.files import Files
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.persistence import Persistence
from amqpbroker.wire.values import Field, longstr
from tests.broker.storing import LaterCommitter
from tests.fault_files import FaultyFiles, FlakyFiles
from tests.harness import Received, Wire
from tests.seeds import seeds

JOURNAL = Path("/journal")
FANOUT = {"x-delayed-type": longstr("fanout")}


class Node:
    """A broker with the delayed exchange `late`, bound to the queues `a` and `b`; all of it outlives a crash."""

    def __init__(self, path: Path, files: Any = None) -> None:
        self.path = path
        self.files: Any = files or FaultyFiles()
        self.clock = ManualClock()
        self.failures: list[OSError] = []
        self.segment_bytes = 1 << 26
        self.bounds = BOUNDS
        self.committer: type[Any] = InlineCommitter
        self.start()
        vhost = self.broker.vhosts["/"]
        late = vhost.declare_exchange("late", "x-delayed-message", True, False, False, FANOUT)
        for name in ("a", "b"):
            vhost.bind(late, vhost.declare_queue(name, True, False, False, {}), b"", {})

    def start(self) -> None:
        self.definitions = SqliteDefinitions(self.path, Files())
        journal = Journal(JOURNAL, self.files, self.segment_bytes)
        found = journal.recover()
        self.log = Persistence(journal, self.committer(journal), self.failures.append, self.clock)
        self.broker = Broker(Config(bounds=self.bounds), self.clock, self.log, self.definitions)
        self.restored = self.broker.storage.recover(found)
        self.client = Wire(self.broker).log_in()
        self.client.call(1, "confirm.select")

    def crash(self, passed_ms: int = 0, unsynced: int = 0) -> None:
        """Simulate a power failure and a restart of the machine after some time, before any timer fires."""
        self.files.power_loss(unsynced)
        self.definitions.close()
        self.clock = ManualClock(self.clock.now_ms() + passed_ms)
        self.start()

    @property
    def held(self) -> HeldMessages:
        held = self.broker.vhosts["/"].exchange("late").type.held
        assert isinstance(held, HeldMessages)
        return held

    @property
    def written(self) -> bytes:
        return b"".join(bytes(content) for content in self.files.contents.values())

    def publish(self, body: str, delay_ms: int, exchange: str = "late", delivery_mode: int = 2, **rest: Any) -> None:
        headers = {"x-delay": Field("I", delay_ms)}
        self.client.publish("", body.encode(), exchange, delivery_mode=delivery_mode, headers=headers, **rest)

    def told(self) -> list[str]:
        return [got.name for got in self.client.receive()]

    def turn(self) -> None:
        self.client.receive()

    def advance(self, delta_ms: int) -> None:
        self.clock.advance(delta_ms)
        self.turn()

    def get(self, queue: str = "a") -> Received:
        return self.client.get(queue)

    def bodies(self, queue: str = "a") -> list[str]:
        found = []
        while (got := self.get(queue)).name == "basic.get-ok":
            assert got.body is not None
            found.append(got.body.decode())
        return found


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "definitions.sqlite")
    yield made
    made.definitions.close()


# --- restart ----------------------------------------------------------------------------------------------------------


def test_confirmed_delayed_message_survives_a_crash_with_its_due_time(node: Node) -> None:
    node.publish("m", 5000)
    assert node.told() == ["basic.ack"]
    node.advance(1000)
    node.crash(passed_ms=1000)
    assert (node.restored, node.held.count) == (1, 1)
    node.advance(2999)
    assert node.bodies() == []
    node.advance(1)
    got = node.get()
    assert (got.body, got.arguments["redelivered"]) == (b"m", False)
    assert got.properties is not None
    assert got.properties["headers"] == {"x-delay": Field("I", -5000)}
    assert node.bodies("b") == ["m"]
    node.turn()
    node.crash()
    assert (node.restored, node.bodies(), node.bodies("b")) == (0, [], [])


def test_confirm_of_a_delayed_message_waits_for_the_sync(node: Node) -> None:
    node.committer = LaterCommitter
    node.crash()
    committer: Any = node.log._committer
    node.publish("m", 5000)
    assert node.told() == []
    committer.finish()
    assert node.told() == ["basic.ack"]


def test_unsynced_delayed_message_is_lost_after_a_crash(node: Node) -> None:
    node.committer = LaterCommitter
    node.crash()
    node.publish("m", 5000)
    assert node.told() == []
    node.crash()
    assert node.held.count == 0


def test_messages_due_during_the_restart_are_released_by_due_time_then_age(node: Node) -> None:
    for body, delay_ms in (("later", 900), ("1", 500), ("first", 100), ("2", 500), ("not yet", 3000), ("3", 500)):
        node.publish(body, delay_ms)
    node.turn()
    node.crash(passed_ms=2000)
    assert node.restored == 6
    node.advance(0)
    assert node.bodies() == node.bodies("b") == ["first", "1", "2", "3", "later"]
    node.advance(1000)
    assert node.bodies() == ["not yet"]


def test_messages_from_before_and_after_a_crash_are_released_in_order(node: Node) -> None:
    node.publish("old 1", 1000)
    node.publish("old 2", 3000)
    node.turn()
    node.crash()
    node.publish("new 1", 1000)
    node.publish("new 2", 2000)
    node.turn()
    node.advance(5000)
    assert node.bodies() == ["old 1", "new 1", "new 2", "old 2"]


def test_transient_messages_are_held_in_memory_only(node: Node) -> None:
    node.publish("transient", 1000, delivery_mode=1)
    node.publish("kept", 1000)
    assert node.told() == ["basic.ack"]
    assert b"transient" not in node.written
    assert node.held.count == 2
    node.crash()
    node.advance(1000)
    assert node.bodies() == ["kept"]


def test_transient_delayed_exchange_stores_no_messages(node: Node) -> None:
    vhost = node.broker.vhosts["/"]
    passing = vhost.declare_exchange("passing", "x-delayed-message", False, False, False, FANOUT)
    vhost.bind(passing, vhost.queue("a", None), b"", {})
    node.publish("m", 1000, "passing")
    assert node.told() == ["basic.ack"]
    assert node.written == b""
    node.advance(1000)
    assert node.bodies() == ["m"]


def test_delayed_message_counts_as_routed(node: Node) -> None:
    node.publish("m", 1000, mandatory=True)
    assert node.told() == ["basic.ack"]


def test_delayed_message_is_restored_with_its_properties(node: Node) -> None:
    node.publish("m", 1000, priority=7, expiration="60000", message_id="id")
    node.turn()
    node.crash(passed_ms=1000)
    node.advance(0)
    node.advance(59_999)
    got = node.get()
    assert got.properties is not None
    assert (got.body, got.properties["priority"], got.properties["message_id"]) == (b"m", 7, b"id")
    node.advance(1)
    assert node.get("b").name == "basic.get-empty"


# --- all or nothing ---------------------------------------------------------------------------------------------------


@pytest.mark.explore
def test_released_message_moves_to_all_queues_atomically(node: Node) -> None:
    node.publish("m", 1000)
    node.turn()
    (path,) = node.files.contents
    before = len(node.files.contents[path])
    node.advance(1000)
    data = bytes(node.files.contents[path])
    assert len(list(record.payloads(data[before + record.BATCH_HEAD.size :]))) == 1
    seen = set()
    for end in range(before, len(data) + 1):
        node.files.contents[path] = bytearray(data[:end])
        node.files.synced[path] = end
        node.crash()
        where = node.held.count, len(node.bodies()), len(node.bodies("b"))
        assert where == ((0, 1, 1) if end == len(data) else (1, 0, 0))
        seen.add(where)
    assert len(seen) == 2


@pytest.mark.explore
def test_a_transaction_with_held_messages_is_all_or_nothing(node: Node) -> None:
    node.client.call(2, "channel.open")
    node.client.call(2, "tx.select")
    node.publish("held", 1000, channel=2)
    node.client.publish("a", b"queued", channel=2, delivery_mode=2)
    assert node.written == b""
    assert node.client.call(2, "tx.commit").name == "tx.commit-ok"
    (path,) = node.files.contents
    data = bytes(node.files.contents[path])
    for end in range(record.SEGMENT_HEAD.size, len(data) + 1):
        node.files.contents[path] = bytearray(data[:end])
        node.files.synced[path] = end
        node.crash()
        assert (node.held.count, len(node.bodies())) == ((1, 1) if end == len(data) else (0, 0))


def test_message_released_before_it_is_written_is_written_once(node: Node) -> None:
    node.committer = LaterCommitter
    node.crash()
    committer: Any = node.log._committer
    node.publish("under way", 60_000)
    assert node.told() == []
    node.publish("short", 5)
    node.clock.advance(5)
    assert node.told() == []
    for _ in range(2):
        committer.finish()
        node.turn()
    assert node.written.count(b"short") == 1
    node.crash()
    assert (node.held.count, node.bodies(), node.bodies("b")) == (1, ["short"], ["short"])


def test_delayed_message_stays_stored_if_its_release_fails(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(message: Any) -> None:
        raise RuntimeError

    node.publish("m", 1000)
    node.turn()
    with monkeypatch.context() as patched:
        patched.setattr(node.held, "_release", fail)
        with pytest.raises(RuntimeError):
            node.clock.advance(1000)
    node.client.publish("a", b"later", delivery_mode=2)
    assert node.told() == ["basic.ack"]
    node.crash()
    node.advance(0)
    assert node.bodies() == ["later", "m"]


# --- deletion ---------------------------------------------------------------------------------------------------------


def test_deleting_the_exchange_settles_its_messages(node: Node) -> None:
    for number in range(3):
        node.publish(f"before {number}", 1000)
    node.turn()
    node.crash()
    node.publish("after", 1000)
    node.publish("transient", 1000, delivery_mode=1)
    node.turn()
    node.publish("not written", 1000)
    (late,) = node.definitions.all(ExchangeDefinition)
    node.client.send(1, "exchange.delete", exchange="late")
    assert node.told() == ["exchange.delete-ok", "basic.ack"]
    assert b"not written" not in node.written
    assert node.clock.next_due_ms() is None
    node.definitions.put(late)
    node.crash()
    assert node.broker.storage.holders()[late.id] is node.held
    assert node.restored == 0


def test_new_exchange_of_the_same_name_has_a_new_id_and_no_messages(node: Node) -> None:
    first = node.held.id
    assert first > 0
    node.publish("m", 1000)
    node.turn()
    node.definitions.remove(ExchangeDefinition("/", "late", 0, "", False, False, b""))
    node.crash()
    assert node.restored == 0
    node.broker.vhosts["/"].declare_exchange("late", "x-delayed-message", True, False, False, FANOUT)
    assert (node.held.id > first, node.held.count) == (True, 0)
    new = node.held.id
    node.crash()
    assert node.held.id == new


def test_messages_of_an_exchange_that_cannot_be_restored_are_retained(node: Node) -> None:
    node.publish("m", 1000)
    node.turn()
    vhost, name, number, *rest = node.definitions.all(ExchangeDefinition)[0]
    node.definitions.put(ExchangeDefinition(vhost, name, number, "x-unheard-of", *rest[1:]))
    node.crash()
    assert (node.broker.storage.lost_ids, node.restored) == ({number}, 0)
    node.definitions.put(ExchangeDefinition(vhost, name, number, *rest))
    node.crash()
    assert node.restored == 1


# --- memory and space -------------------------------------------------------------------------------------------------


def in_memory(node: Node) -> int:
    return len(node.held._recent)


def test_bodies_of_delayed_messages_leave_memory_once_they_are_stored(node: Node) -> None:
    for number in range(40):
        node.publish(f"{number:04}" * 100_000, 1000 + number)
        node.turn()
    assert node.held.count == 40
    assert in_memory(node) < 15
    node.advance(2000)
    node.advance(100)
    assert [body[:4] for body in node.bodies()] == [f"{number:04}" for number in range(40)]
    assert node.held.count == in_memory(node) == 0


def test_delayed_messages_leave_memory_even_if_written_late(node: Node) -> None:
    node.committer = LaterCommitter
    node.crash()
    committer: Any = node.log._committer
    for _ in range(20):
        node.publish("m" * 400_000, 60_000)
    node.turn()
    assert in_memory(node) == 20
    for _ in range(2):
        committer.finish()
        node.turn()
    node.advance(10_000)
    assert (in_memory(node), node.held.count) == (0, 20)
    assert len(node.clock._heap) < 10


def test_release_of_delayed_messages_is_limited_by_the_disk(node: Node) -> None:
    for number in range(40):
        node.publish(f"{number:01000000}", 60_000)
        node.turn()
    node.committer = LaterCommitter
    node.crash()
    node.advance(60_000)
    log, committer = node.log, node.log._committer
    assert isinstance(committer, LaterCommitter)
    assert 15 < log.stored < 40
    while node.held.count:
        assert log.waiting_bytes < 18_000_000
        committer.finish()
        node.advance(10)
    committer.finish()
    assert [int(body[-2:]) for body in node.bodies()] == list(range(40))


def test_recovery_does_not_read_bodies_of_delayed_messages(node: Node) -> None:
    for number in range(20):
        node.publish(str(number), 1000)
    node.turn()
    node.crash()
    assert (in_memory(node), node.held.count) == (0, 20)


def test_delayed_messages_rewritten_by_compaction_are_restored(node: Node) -> None:
    node.segment_bytes = 5000
    node.crash()
    node.publish("held", 60_000)
    node.turn()
    node.crash()
    for number in range(300):
        node.client.publish("a", b"%d" % number * 20, delivery_mode=2)
        node.turn()
        node.get()
    node.turn()
    assert min(node.log.log.segments) > 1
    node.crash()
    node.advance(60_000)
    assert node.bodies() == node.bodies("b") == ["held"]


# --- frequent read errors of the disk ---------------------------------------------------------------------------------


@pytest.fixture
def flaky(tmp_path: Path) -> Iterator[Node]:
    """Yield a node with 2,000 numbered stored messages; from the next second on, two are due in each millisecond."""
    made = Node(tmp_path / "definitions.sqlite", FlakyFiles())
    for number in range(2_000):
        made.publish(str(number), 1000 + number // 2)
    made.turn()
    made.crash()
    yield made
    made.definitions.close()


def numbers(node: Node, queue: str = "a") -> list[int]:
    return [int(body) for body in node.bodies(queue)]


def test_each_message_is_released_once_though_many_reads_fail(flaky: Node) -> None:
    flaky.files.share = 0.3
    for _ in range(200):
        flaky.advance(100)
    assert flaky.files.failures > 300
    assert flaky.held.count == 0
    flaky.files.share = 0.0
    for queue in ("a", "b"):
        assert sorted(numbers(flaky, queue)) == list(range(2_000))
    flaky.turn()
    flaky.crash()
    flaky.advance(10_000)
    assert flaky.held.count == len(numbers(flaky)) == 0


def test_no_message_is_lost_while_reads_fail(flaky: Node, caplog: pytest.LogCaptureFixture) -> None:
    flaky.files.share = 1.0
    flaky.advance(10_000)
    assert flaky.held.count == 2_000
    # Each second only as many reads are attempted as it takes to detect that the disk fails.
    assert flaky.files.failures < 11 * 110
    assert caplog.text.count("delayed messages that are due cannot be read: [Errno 5] Input/output error") == 1
    flaky.publish("2000", 10)
    flaky.advance(2_000)
    assert numbers(flaky) == [2000]
    flaky.files.share = 0.0
    flaky.advance(2_000)
    assert sorted(numbers(flaky)) == list(range(2_000))
    assert flaky.failures == []


def test_unreadable_messages_are_retried_although_the_clock_was_set_back(
    flaky: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """Set the clock back by one hour while messages have been due for two."""
    flaky.clock.stepped(7_200_000)
    flaky.files.share = 1.0
    flaky.advance(2_000)
    flaky.clock.stepped(3_600_000)
    flaky.advance(100_000)
    assert caplog.text.count("delayed messages that are due cannot be read") == 2
    flaky.files.share = 0.0
    flaky.advance(1_000)
    assert numbers(flaky) == list(range(2_000))


def test_unreadable_messages_are_restored_after_a_crash(flaky: Node) -> None:
    flaky.files.share = 0.9
    flaky.advance(2_100)
    flaky.files.share = 0.0
    came = numbers(flaky)
    numbers(flaky, "b")
    flaky.turn()
    assert 0 < len(came) < 2_000
    flaky.crash()
    flaky.advance(0)
    assert sorted(came + numbers(flaky)) == list(range(2_000))


def test_deleting_an_exchange_stops_the_timer_for_unreadable_messages(flaky: Node) -> None:
    flaky.files.share = 1.0
    flaky.advance(2_500)
    timer = flaky.held._reread_timer
    assert timer is not None
    assert timer.callback is not None
    flaky.client.call(1, "exchange.delete", exchange="late")
    assert timer.callback is None


def test_deleting_the_exchange_settles_unreadable_messages(flaky: Node) -> None:
    flaky.files.share = 1.0
    flaky.advance(2_500)
    flaky.client.call(1, "exchange.delete", exchange="late")
    flaky.files.share = 0.0
    flaky.advance(10_000)
    assert flaky.log.log.living.size_bytes == 0
    assert numbers(flaky) == []


# --- random operations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", seeds(5))
def test_each_message_is_released_once_when_due_after_any_operations(node: Node, seed: int) -> None:
    node.bounds = Bounds(unswept_bytes=3000)
    node.crash()
    chance = random.Random(seed)
    node.segment_bytes = 20_000
    due: list[tuple[int, int, bool]] = []
    expected: list[str] = []
    came: list[str] = []
    left_memory = 0
    for step in range(400):
        action = chance.random()
        if action < 0.7:
            delay_ms, persistent = chance.randint(1, 300), chance.random() < 0.8
            node.publish(str(step), delay_ms, delivery_mode=2 if persistent else 1)
            due.append((node.clock.now_ms() + delay_ms, step, persistent))
        elif action < 0.95:
            node.turn()
            passed_ms = chance.randint(0, 40)
            if action > 0.92:
                came += node.bodies()
                node.bodies("b")
                node.turn()
                node.crash(passed_ms)
                due = [one for one in due if one[2]]
                node.advance(0)
            else:
                node.advance(passed_ms)
        now_ms = node.clock.now_ms()
        expected += [str(number) for due_ms, number, _ in sorted(due) if due_ms <= now_ms]
        due = [one for one in due if one[0] > now_ms]
        left_memory += node.held.count > in_memory(node) > 0
    node.advance(300)
    expected += [str(number) for _, number, _ in sorted(due)]
    came += node.bodies()
    assert came == expected
    assert left_memory > 10
    assert node.held.count == 0


def test_messages_of_a_deleted_exchange_are_settled_in_slices(node: Node) -> None:
    for number in range(5):
        node.publish(f"stored {number}", 1000)
    node.turn()
    node.crash()
    vhost = node.broker.vhosts["/"]
    vhost.deferred_free.most = 2
    (held,) = [exchange.type.held for exchange in vhost.exchanges.values() if exchange.type.held is not None]
    assert held.count == 5
    vhost.delete_exchange("late")
    assert held.count == 0
    settled = []
    while node.clock.next_due_ms() is not None and len(settled) < 3:
        node.clock.fire_due()
        settled.append(sum([len(positions) for group in node.log.groups for positions in group.swept]))
    assert settled == [2, 4, 5]
