"""Effects of alarms on connections, as observed on RabbitMQ 4.0.5."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.store.committer import InlineCommitter
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import Batch
from amqpbroker.store.persistence import Persistence
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field, longstr
from tests.fault_files import FaultyFiles
from tests.harness import Received, Wire, published

BLOCKED = ("connection.blocked",)
INTERVAL_S = 10


@pytest.fixture
def client(connect: Callable[..., Wire]) -> Wire:
    """A client with the capability connection.blocked and a queue `q`."""
    client = connect(capabilities=BLOCKED, heartbeat=INTERVAL_S)
    client.declare("q")
    return client


def names(received: list[Received]) -> list[str]:
    return [got.name for got in received]


def test_publishing_during_an_alarm_blocks_until_it_clears(client: Wire, other: Wire, broker: Broker) -> None:
    broker.alarms.set("memory")
    assert client.receive() == []
    client.publish("q", b"one")
    client.publish("q", b"two")
    (told,) = client.receive()
    assert (told.channel, told.name, told.arguments) == (0, "connection.blocked", {"reason": "low on memory"})
    assert not client.connection.reading
    assert other.depth("q") == 0
    broker.alarms.clear("memory")
    assert names(client.receive()) == ["connection.unblocked"]
    assert client.connection.reading
    assert [other.get("q").body for _ in range(2)] == [b"one", b"two"]


def test_an_alarm_in_the_middle_of_a_large_message_is_announced_once(client: Wire, other: Wire, broker: Broker) -> None:
    """The end of one body frame blocks the connection, and the next one comes with it."""
    data = published("q", b"x" * 60_000, frame_max=20_000)
    client.feed(data[:1_000])
    broker.alarms.set("memory")
    client.feed(data[1_000:])
    assert names(client.receive()) == ["connection.blocked"]
    assert other.depth("q") == 0
    broker.alarms.clear("memory")
    assert names(client.receive()) == ["connection.unblocked"]
    assert other.get("q").body == b"x" * 60_000


def test_a_large_answer_delayed_by_an_alarm_is_sent_once(connect: Callable[..., Wire], broker: Broker) -> None:
    """The client is not notified of alarms, so that nothing else is written when the alarm ends."""
    client = connect()
    client.declare("q")
    broker.alarms.set("memory")
    client.publish("q", b"x" * 100_000)
    client.send(1, "basic.get", queue="q", no_ack=True)
    assert client.receive() == []
    broker.alarms.clear("memory")
    assert [(got.name, len(got.body or b"")) for got in client.receive()] == [("basic.get-ok", 100_000)]


def test_a_run_of_repeated_publishes_is_blocked(client: Wire, other: Wire, broker: Broker) -> None:
    for _ in range(5):
        client.publish("q", b"before")
    broker.alarms.set("disk")
    client.publish("q", b"during")
    assert names(client.receive()) == ["connection.blocked"]
    assert other.depth("q") == 5
    broker.alarms.clear("disk")
    client.receive()
    for _ in range(5):
        client.publish("q", b"behind")
    assert client.receive() == []
    assert other.depth("q") == 11


def test_empty_message_is_published_before_an_alarm_blocks_the_connection(
    client: Wire, other: Wire, broker: Broker
) -> None:
    client.call(1, "confirm.select")
    broker.alarms.set("disk")
    client.publish("q", b"")
    client.publish("q", b"")
    assert names(client.receive()) == ["connection.blocked", "basic.ack"]
    assert other.depth("q") == 1
    broker.alarms.clear("disk")
    assert names(client.receive()) == ["connection.unblocked", "basic.ack"]
    assert other.depth("q") == 2


def test_an_alarm_within_a_message_blocks_at_the_next_frame(client: Wire, other: Wire, broker: Broker) -> None:
    data = published("q", b"123456", frame_max=11)  # body frames of three bytes
    client.feed(data[:-11])
    broker.alarms.set("disk")
    assert other.depth("q") == 0
    client.feed(data[-11:])
    assert names(client.receive()) == ["connection.blocked"]
    assert other.get("q").body == b"123456"


def test_an_error_of_the_publish_that_blocked_is_sent(client: Wire, broker: Broker) -> None:
    broker.alarms.set("disk")
    client.publish("q", b"", exchange="none")
    client.send(1, "channel.close-ok")
    client.send(1, "channel.open")
    assert names(client.receive()) == ["connection.blocked", "channel.close"]
    broker.alarms.clear("disk")
    assert names(client.receive()) == ["connection.unblocked", "channel.open-ok"]


def test_no_frame_of_a_blocked_connection_is_handled(client: Wire, broker: Broker) -> None:
    broker.alarms.set("disk")
    client.publish("q", b"x")
    client.send(1, "queue.declare", queue="q", passive=True)
    client.send(0, "connection.close", reply_code=200, reply_text="", class_id=0, method_id=0)
    assert names(client.receive()) == ["connection.blocked"]
    broker.alarms.clear("disk")
    assert names(client.receive()) == ["connection.unblocked", "queue.declare-ok", "connection.close-ok"]


def test_a_client_without_the_capability_is_blocked_without_notice(
    connect: Callable[..., Wire], other: Wire, broker: Broker
) -> None:
    client = connect(capabilities=())
    client.declare("q")
    broker.alarms.set("disk")
    client.publish("q", b"x")
    assert client.receive() == []
    assert not client.connection.reading
    assert other.depth("q") == 0
    broker.alarms.clear("disk")
    assert client.receive() == []
    assert other.depth("q") == 1


def test_blocked_is_sent_once_and_unblocked_after_the_last_alarm(client: Wire, broker: Broker) -> None:
    broker.alarms.set("memory")
    client.publish("q", b"x")
    assert names(client.receive()) == ["connection.blocked"]
    broker.alarms.set("disk")
    broker.alarms.clear("memory")
    assert client.receive() == []
    broker.alarms.clear("disk")
    assert names(client.receive()) == ["connection.unblocked"]


def test_a_later_alarm_blocks_again_once_something_is_published(client: Wire, broker: Broker) -> None:
    broker.alarms.set("memory")
    client.publish("q", b"x")
    client.receive()
    broker.alarms.clear("memory")
    broker.alarms.set("disk")
    # The rest of the message is handled first, and is content during an alarm.
    blocked = [got.arguments for got in client.receive() if got.name == "connection.blocked"]
    assert blocked == [{"reason": "low on disk"}]


def test_a_client_that_connects_during_an_alarm_is_blocked_when_it_publishes(
    broker: Broker, connect: Callable[..., Wire]
) -> None:
    broker.alarms.set("memory")
    broker.alarms.set("disk")
    client = connect(capabilities=BLOCKED)
    client.declare("q")
    client.send(1, "basic.publish", routing_key="q")
    assert client.receive() == []
    client.feed(published("q", b"x")[len(frame(METHOD, 1, methods.encode("basic.publish", routing_key="q"))) :])
    (told,) = client.receive()
    assert told.arguments == {"reason": "low on disk & memory"}


def test_consumers_on_a_blocked_connection_still_get_messages(client: Wire, other: Wire, broker: Broker) -> None:
    for _ in range(3):
        other.publish("q", b"before")
    client.declare("mine")
    assert client.consume("mine") == []
    broker.alarms.set("memory")
    client.publish("q", b"x")
    assert names(client.receive()) == ["connection.blocked"]
    deliveries = other.consume("q")
    assert names(deliveries) == ["basic.deliver"] * 3
    other.send(1, "basic.ack", delivery_tag=0, multiple=True)
    assert other.receive() == []
    assert other.connection.reading


def test_deliveries_reach_a_blocked_connection(client: Wire, connect: Callable[..., Wire], broker: Broker) -> None:
    first = connect(capabilities=())
    client.declare("mine")
    assert client.consume("mine") == []
    first.feed(published("mine", b"123456", frame_max=11)[:-11])
    broker.alarms.set("memory")
    client.publish("q", b"x")
    assert names(client.receive()) == ["connection.blocked"]
    first.feed(published("mine", b"123456", frame_max=11)[-11:])
    assert [got.body for got in client.receive()] == [b"123456"]


def test_a_blocked_client_misses_no_heartbeats(client: Wire, clock: ManualClock, broker: Broker) -> None:
    broker.alarms.set("memory")
    client.publish("q", b"x")
    client.receive()
    client.heartbeats = 0
    clock.advance(INTERVAL_S * 100_000)
    assert not client.connection.closing
    client.receive()
    assert client.heartbeats  # it still gets heartbeats of the broker
    broker.alarms.clear("memory")
    assert names(client.receive()) == ["connection.unblocked"]
    clock.advance(INTERVAL_S * 2999)
    assert not client.connection.closing
    clock.advance(1 * INTERVAL_S)
    assert client.connection.closing


def test_a_blocked_connection_can_be_closed_by_the_broker(client: Wire, broker: Broker) -> None:
    broker.alarms.set("memory")
    client.publish("q", b"x")
    client.publish("q", b"x")
    assert names(client.receive()) == ["connection.blocked"]
    client.connection.shutdown()
    (close,) = client.receive()
    assert (close.name, close.arguments["reply_code"]) == ("connection.close", 320)
    assert client.connection.reading
    client.send(0, "connection.close-ok")
    assert client.receive() == []
    assert client.connection.closing
    broker.alarms.clear("memory")
    assert client.receive() == []


def test_a_blocked_connection_that_is_lost_is_released(client: Wire, clock: ManualClock, broker: Broker) -> None:
    broker.alarms.set("memory")
    client.publish("q", b"x")
    client.connection.lost()
    assert clock.next_due_ms() is None
    assert not broker.sessions
    broker.alarms.clear("memory")
    assert clock.next_due_ms() is None


def test_input_of_a_blocked_connection_waits_when_its_output_drains(client: Wire, other: Wire, broker: Broker) -> None:
    broker.alarms.set("memory")
    client.publish("q", b"x")
    client.receive()
    client.connection.output.write(b"\0" * (BOUNDS.unread_bytes * 2))
    client.turn()
    client.publish("q", b"x")
    client.turn()
    assert not client.connection.reading
    assert other.depth("q") == 0


def test_a_connection_continues_after_an_alarm_while_its_socket_is_full(
    client: Wire, other: Wire, broker: Broker
) -> None:
    broker.alarms.set("memory")
    client.publish("q", b"x")
    client.publish("q", b"x")
    client.connection.set_writable(False)
    broker.alarms.clear("memory")
    client.turn()
    assert client.connection.reading
    assert other.depth("q") == 2


class Outrun:
    """A broker whose disk accepts a write when the test lets it."""

    def __init__(self) -> None:
        self.disk: list[tuple[Batch, Callable[[OSError | None], None]]] = []
        clock = ManualClock()
        journal = Journal(Path("/journal"), FaultyFiles())
        self.committer = Later(journal, self.disk)
        self.broker = Broker(Config(), clock, Persistence(journal, self.committer, pytest.fail, clock))
        self.broker.vhosts["/"].declare_queue("q", True, False, False, {}).id = 1

    def client(self, **options: Any) -> Wire:
        return Wire(self.broker).log_in(**options)


class Later(InlineCommitter):
    """Collects its work in a list, until `finish`."""

    def __init__(self, journal: Journal, work: list[tuple[Batch, Callable[[OSError | None], None]]]) -> None:
        super().__init__(journal)
        self.work = work

    def start(self, batch: Batch, on_done: Callable[[OSError | None], None]) -> None:
        self.work.append((batch, on_done))

    def finish(self) -> None:
        batch, on_done = self.work.pop()
        super().start(batch, on_done)


MEGABYTE = b"x" * 1_000_000


def outrun(client: Wire) -> int:
    """Publish until the broker stops reading; return the number of published messages."""
    for count in range(1, 100):
        client.publish("q", MEGABYTE, delivery_mode=2)
        client.receive()
        if not client.connection.reading:
            return count
    pytest.fail("the broker never stops reading")


def test_a_publisher_faster_than_the_disk_is_held_without_notice() -> None:
    slow = Outrun()
    client, other = slow.client(), slow.client(capabilities=BLOCKED)
    # The first is being written; behind it up to the limit may wait.
    assert outrun(client) == 1 + BOUNDS.unwritten_bytes // len(MEGABYTE) + 1
    client.publish("q", b"one more", delivery_mode=2)
    assert names(client.receive()) == []
    # Other clients that publish nothing are served as before.
    assert other.get("q", no_ack=False).body == MEGABYTE
    assert other.connection.reading
    depth = other.depth("q")
    slow.committer.finish()
    assert client.receive() == []
    assert client.connection.reading
    assert other.depth("q") == depth + 1


def test_a_held_publisher_continues_if_nothing_is_left_to_be_written() -> None:
    slow = Outrun()
    client, other = slow.client(), slow.client()
    client.publish("q", bytes(BOUNDS.unwritten_bytes), delivery_mode=2)
    assert not client.connection.reading
    assert other.get("q").body == bytes(BOUNDS.unwritten_bytes)
    assert slow.disk == []
    client.receive()
    assert client.connection.reading


def test_a_publisher_whose_messages_are_refused_is_held_while_the_disk_is_stuck() -> None:
    slow = Outrun()
    client = slow.client()
    client.declare(
        "full", durable=True, arguments={"x-max-length": Field("I", 1), "x-overflow": longstr("reject-publish")}
    )
    client.call(1, "confirm.select")
    client.publish("full", b"kept", delivery_mode=2)
    client.receive()
    store = slow.broker.storage.store
    store.count_answer(BOUNDS.unwritten_bytes)
    client.publish("full", b"refused", delivery_mode=2)
    assert client.receive() == []
    assert not client.connection.reading
    slow.committer.finish()
    assert names(client.receive()) == ["basic.ack", "basic.nack"]
    assert client.connection.reading
    # Nothing waits any more.
    assert store.waiting_bytes == 0


def test_a_client_that_sends_requests_after_a_commit_is_held_while_the_disk_is_stuck() -> None:
    slow = Outrun()
    client = slow.client()
    client.call(1, "tx.select")
    client.publish("q", b"message", delivery_mode=2)
    client.send(1, "tx.commit")
    assert client.receive() == []
    store = slow.broker.storage.store
    for method in ("basic.qos", "tx.commit"):
        store.count_answer(BOUNDS.unwritten_bytes)
        client.send(1, method)
        assert client.receive() == []
        assert not client.connection.reading
        client.connection.blocking.caught_up()
        client.receive()
    while slow.disk:
        slow.committer.finish()
    assert names(client.receive()) == ["tx.commit-ok", "basic.qos-ok", "tx.commit-ok"]


def test_a_client_held_by_the_disk_misses_no_heartbeats() -> None:
    slow = Outrun()
    client = slow.client(heartbeat=INTERVAL_S)
    outrun(client)
    assert isinstance(slow.broker.clock, ManualClock)
    slow.broker.clock.advance(10 * INTERVAL_S * 1000)
    assert not client.connection.closing
    slow.committer.finish()
    client.receive()
    slow.broker.clock.advance(10 * INTERVAL_S * 1000)
    assert client.connection.closing


def test_a_client_held_by_a_full_disk_is_notified_of_the_alarm() -> None:
    slow = Outrun()
    client = slow.client(capabilities=BLOCKED)
    outrun(client)
    slow.broker.alarms.set("disk")
    assert names(client.receive()) == ["connection.blocked"]
    slow.broker.alarms.clear("disk")
    assert names(client.receive()) == ["connection.unblocked"]
    assert not client.connection.reading
    slow.committer.finish()
    client.receive()
    assert client.connection.reading
