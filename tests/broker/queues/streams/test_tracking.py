"""Offsets that the broker remembers for consumers of a stream: how far, where the next one begins, and storage."""

import logging
import random

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.streams.queue import StreamQueue
from amqpbroker.clock import ManualClock
from amqpbroker.compat import DEFAULT_COMPAT
from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from amqpbroker.errors import AmqpError, not_stored
from amqpbroker.store.definitions.definitions import StreamOffsetDefinition
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire.values import Field, longstr
from tests.fault_definitions import FaultyDefinitions
from tests.harness import Received, Wire
from tests.seeds import seeds

STREAM = {"x-queue-type": longstr("stream")}
TRACKED = {"x-stream-automatic-offset-tracking": Field("t", True), "x-stream-offset": longstr("first")}


class Refusing(FaultyDefinitions):
    """Definitions whose changes can be refused. puts: number of calls of `put` with offsets."""

    def __init__(self, versions=None):
        super().__init__(versions)
        self.refuses = False
        self.puts = 0

    def put(self, *definitions):
        offsets = any(type(each) is StreamOffsetDefinition for each in definitions)
        self.puts += offsets
        if offsets and self.refuses:
            raise not_stored("disk full")
        super().put(*definitions)


class Node:
    """A broker with one stream `s` of three messages."""

    def __init__(self, messages: str = "abc", **settings):
        self.clock = ManualClock()
        self.definitions = Refusing()
        self.settings = settings
        self.start()
        self.client.declare("s", durable=True, arguments=STREAM)
        self.publish(*messages)

    def start(self) -> None:
        self.broker = Broker(Config(**self.settings), self.clock, MemoryStore(), self.definitions)
        self.client = Wire(self.broker).log_in()

    def kill(self) -> None:
        """Start another broker with the stored definitions, and the messages."""
        before = self.stream
        self.definitions = Refusing(self.definitions.killed().versions)
        self.start()
        self.stream.inherit_log(before)

    @property
    def stream(self) -> StreamQueue:
        stream = self.broker.vhosts["/"].queues["s"]
        assert isinstance(stream, StreamQueue)
        return stream

    def publish(self, *bodies: str, headers=None) -> None:
        for body in bodies:
            self.client.publish("s", body.encode(), **({} if headers is None else {"headers": headers}))
        self.client.receive()

    def reader(self, prefetch: int = 100) -> Wire:
        client = Wire(self.broker).log_in()
        client.call(1, "basic.qos", prefetch_count=prefetch)
        return client

    def read(self, prefetch: int = 100, tag: str = "c", **arguments: Field) -> list[str]:
        """Return the bodies that a new tracked consumer gets at once; it settles nothing."""
        client = self.reader(prefetch)
        received = bodies(consume(client, tag, **arguments))
        client.call(1, "channel.close")
        return received

    @property
    def offsets(self) -> dict[str, int]:
        return {each.consumer: each.offset for each in self.stream.tracking().all()}

    @property
    def stored(self) -> dict[str, int]:
        return {each.consumer: each.offset for each in self.definitions.all(StreamOffsetDefinition)}


def consume(client: Wire, tag: str = "c", **arguments: Field) -> list[Received]:
    return client.consume("s", tag, no_ack=False, arguments=TRACKED | arguments)


def bodies(received: list[Received]) -> list[str]:
    return [each.body.decode() for each in received if each.name == "basic.deliver"]


def settle(client: Wire, name: str, **arguments) -> list[str]:
    client.send(1, name, **arguments)
    return bodies(client.receive())


@pytest.fixture
def node():
    return Node()


# --- how far ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("basic.ack", {"delivery_tag": 2, "multiple": True}, ["c"]),
        ("basic.ack", {"delivery_tag": 0, "multiple": True}, []),
        ("basic.ack", {"delivery_tag": 2}, ["a", "b", "c"]),
        ("basic.reject", {"delivery_tag": 1, "requeue": False}, ["b", "c"]),
        ("basic.nack", {"delivery_tag": 3, "multiple": True, "requeue": False}, []),
        ("basic.reject", {"delivery_tag": 1, "requeue": True}, ["a", "b", "c"]),
        ("basic.recover", {"requeue": True}, ["a", "b", "c"]),
    ],
)
def test_the_next_consumer_begins_with_the_first_message_that_is_not_processed(node, name, arguments, expected):
    client = node.reader()
    assert bodies(consume(client)) == ["a", "b", "c"]
    settle(client, name, **arguments)
    client.call(1, "basic.cancel", consumer_tag="c")
    assert node.read() == expected


def test_a_requeued_message_is_read_again_although_later_ones_are_acknowledged(node):
    client = node.reader()
    consume(client)
    settle(client, "basic.nack", delivery_tag=2, requeue=True)
    settle(client, "basic.ack", delivery_tag=1)
    settle(client, "basic.ack", delivery_tag=3)
    client.call(1, "channel.close")
    assert node.read() == ["b", "c"]


def test_the_end_of_a_channel_processes_nothing(node):
    client = node.reader()
    consume(client)
    settle(client, "basic.ack", delivery_tag=1)
    client.call(1, "channel.close")
    assert (node.offsets, node.stored) == ({"c": 1}, {"c": 1})
    assert node.read() == ["b", "c"]


def test_messages_that_a_filter_passes_over_are_processed(node):
    node.publish("mine", headers={"x-stream-filter-value": longstr("x")})
    node.publish("other")
    client = node.reader()
    wanted = {"x-stream-filter": longstr("x")}
    assert bodies(consume(client, **wanted)) == ["mine"]
    assert node.offsets == {"c": 3}
    settle(client, "basic.ack", delivery_tag=1)
    assert node.offsets == {"c": 5}


def test_messages_settled_after_the_cancellation_count(node):
    client = node.reader()
    consume(client)
    client.call(1, "basic.cancel", consumer_tag="c")
    assert node.stored == {"c": 0}
    settle(client, "basic.ack", delivery_tag=2, multiple=True)
    assert node.offsets == {"c": 2}
    node.clock.advance(1000)
    assert node.stored == {"c": 2}
    client.call(1, "channel.close")
    assert node.offsets == {"c": 2}


def test_settlement_in_a_transaction_counts_with_the_commit(node):
    client = node.reader()
    client.call(1, "tx.select")
    consume(client)
    settle(client, "basic.ack", delivery_tag=3, multiple=True)
    assert node.offsets == {"c": 0}
    client.call(1, "tx.commit")
    assert node.offsets == {"c": 3}


# --- where a consumer begins ------------------------------------------------------------------------------------------


def test_without_an_offset_a_consumer_begins_with_x_stream_offset():
    node = Node()
    assert node.read(tag="next", **{"x-stream-offset": longstr("next")}) == []
    node.publish("d")
    assert node.read(tag="next") == ["d"]
    assert node.read(tag="last", **{"x-stream-offset": Field("l", 2)}) == ["c", "d"]
    assert node.read(tag="first") == ["a", "b", "c", "d"]


def test_a_consumer_without_the_argument_is_independent(node):
    client = node.reader()
    assert bodies(client.consume("s", "c", no_ack=False, arguments={"x-stream-offset": longstr("first")})) == [*"abc"]
    settle(client, "basic.ack", delivery_tag=0, multiple=True)
    untracked = {"x-stream-automatic-offset-tracking": Field("t", False), "x-stream-offset": longstr("first")}
    assert bodies(node.reader().consume("s", "c", no_ack=False, arguments=untracked)) == ["a", "b", "c"]
    assert node.offsets == {}


def test_with_one_tag_the_consumer_that_was_started_last_counts(node):
    first, second = node.reader(), node.reader()
    consume(first)
    settle(first, "basic.ack", delivery_tag=1)
    assert bodies(consume(second)) == ["b", "c"]
    settle(first, "basic.ack", delivery_tag=3, multiple=True)
    first.call(1, "channel.close")
    assert node.offsets == {"c": 1}
    settle(second, "basic.ack", delivery_tag=1)
    assert node.offsets == {"c": 2}
    second.call(1, "channel.close")
    assert node.read() == ["c"]


def test_a_consumer_with_the_tag_of_a_cancelled_one_reads_its_unsettled_messages_again(node):
    client = node.reader()
    consume(client)
    settle(client, "basic.ack", delivery_tag=1)
    client.call(1, "basic.cancel", consumer_tag="c")
    assert bodies(consume(client)) == ["b", "c"]
    assert node.offsets == {"c": 1}
    settle(client, "basic.ack", delivery_tag=5, multiple=True)
    assert node.offsets == {"c": 3}


def test_an_untracked_consumer_with_the_tag_of_a_cancelled_one_leaves_the_offset(node):
    client = node.reader()
    consume(client)
    client.call(1, "basic.cancel", consumer_tag="c")
    client.consume("s", "c", no_ack=False, arguments={})
    settle(client, "basic.ack", delivery_tag=3, multiple=True)
    assert node.offsets == {"c": 0}


def test_an_offset_behind_the_end_begins_at_the_end(node):
    node.stream.tracking().restore(StreamOffsetDefinition("/", "s", "c", 99, 0))
    client = node.reader()
    assert bodies(consume(client)) == []
    node.publish("d")
    assert bodies(client.receive()) == ["d"]


@pytest.mark.parametrize(
    ("tag", "value", "text"),
    [
        ("", Field("t", True), "consume with a tag of your own"),
        ("amq.ctag-mine", Field("t", True), "consume with a tag of your own"),
        # As pika and aio-pika generate it.
        (f"ctag12.{'0f' * 16}", Field("t", True), "consume with a tag of your own"),
        ("c", longstr("true"), "{unacceptable_type,longstr}"),
        ("c", Field("l", 1), "{unacceptable_type,"),
    ],
)
def test_a_consumer_is_refused(node, tag, value, text):
    client = node.reader()
    arguments = {"x-stream-automatic-offset-tracking": value}
    client.send(1, "basic.consume", queue="s", consumer_tag=tag, arguments=arguments)
    [closed] = client.receive()
    assert (closed.name, closed.arguments["reply_code"]) == ("channel.close", 406)
    before = "PRECONDITION_FAILED - invalid arg 'x-stream-automatic-offset-tracking' for queue 's' in vhost '/':"
    assert closed.arguments["reply_text"].startswith(before)
    assert text in closed.arguments["reply_text"]
    assert node.offsets == {}


def test_without_extensions_the_argument_is_ignored():
    node = Node(compat=DEFAULT_COMPAT._replace(extensions=False))
    for _ in range(2):
        client = node.reader()
        assert bodies(consume(client)) == ["a", "b", "c"]
        settle(client, "basic.ack", delivery_tag=0, multiple=True)
    arguments = {"x-stream-automatic-offset-tracking": longstr("x")}
    node.reader().consume("s", "", no_ack=False, arguments=arguments)
    assert node.offsets == {}


# --- storage ----------------------------------------------------------------------------------------------------------


def test_offsets_are_stored_once_a_second_together(node):
    client = node.reader()
    for tag in "de":
        consume(client, tag)
    settle(client, "basic.ack", delivery_tag=1)
    settle(client, "basic.ack", delivery_tag=4)
    # At first when they started.
    assert (node.stored, node.definitions.puts) == ({"d": 0, "e": 0}, 2)
    node.clock.advance(1000)
    assert (node.stored, node.definitions.puts) == ({"d": 1, "e": 1}, 3)
    settle(client, "basic.ack", delivery_tag=5)
    node.clock.advance(999)
    assert node.definitions.puts == 3
    node.clock.advance(1)
    assert (node.stored, node.definitions.puts) == ({"d": 1, "e": 2}, 4)


@pytest.mark.parametrize("start", ["next", "last", "-2"])
def test_a_consumer_that_gets_messages_before_a_crash_gets_them_again(node, start):
    place = {"x-stream-offset": Field("l", int(start)) if start == "-2" else longstr(start)}
    client = node.reader()
    received = bodies(consume(client, **place))
    node.publish("d", "e")
    received += bodies(client.receive())
    assert received[-2:] == ["d", "e"]
    node.kill()
    assert node.read(**place) == received


def test_a_killed_broker_knows_the_stored_offsets(node):
    client = node.reader()
    consume(client)
    settle(client, "basic.ack", delivery_tag=1)
    node.clock.advance(1000)
    settle(client, "basic.ack", delivery_tag=2)
    updated_ms = node.definitions.all(StreamOffsetDefinition)[0].updated_ms
    node.kill()
    assert node.stream.tracking().all() == [StreamOffsetDefinition("/", "s", "c", 1, updated_ms)]
    assert node.read() == ["b", "c"]


def test_an_error_of_storage_is_logged_once_and_tried_again(node, caplog):
    caplog.set_level(logging.WARNING)
    node.definitions.refuses = True
    client = node.reader()
    consume(client)
    settle(client, "basic.ack", delivery_tag=1)
    client.call(1, "basic.cancel", consumer_tag="c")
    node.clock.advance(1000)
    node.clock.advance(1000)
    assert node.stored == {}
    assert caplog.text.count("cannot be stored, and this is tried again: RESOURCE_ERROR - ") == 1
    node.definitions.refuses = False
    node.clock.advance(1000)
    assert node.stored == {"c": 1}
    assert "are stored again" in caplog.text


def test_offsets_are_removed_with_their_stream(node):
    assert node.read() == ["a", "b", "c"]
    client = node.reader()
    consume(client)
    assert node.stored == {"c": 0}
    node.client.call(1, "queue.delete", queue="s")
    assert node.stored == {}
    settle(client, "basic.ack", delivery_tag=1)
    node.clock.advance(2000)
    node.client.declare("s", durable=True, arguments=STREAM)
    assert (node.stored, node.offsets) == ({}, {})


def test_offsets_are_removed_with_their_vhost(node):
    node.broker.add_vhost("other")
    other = node.broker.vhosts["other"].declare_queue("s", True, False, False, STREAM)
    assert isinstance(other, StreamQueue)
    node.definitions.put(StreamOffsetDefinition("other", "s", "c", 1, 0))
    node.broker.delete_vhost("other")
    assert node.stored == {}


def test_the_offset_that_has_not_changed_for_the_longest_time_is_forgotten():
    node = Node(bounds=Bounds(stream_offsets=2))
    for tag in "abc":
        assert len(node.read(tag=tag)) == 3
    assert list(node.offsets) == ["b", "c"]
    node.clock.advance(1000)
    assert node.stored == {"b": 0, "c": 0}
    client = node.reader()
    consume(client, "b")
    settle(client, "basic.ack", delivery_tag=1)
    assert list(node.offsets) == ["c", "b"]
    assert len(node.read(tag="d")) == 3
    assert list(node.offsets) == ["b", "d"]


def test_running_consumers_are_not_forgotten():
    node = Node(bounds=Bounds(stream_offsets=1))
    client = node.reader()
    for tag in "abc":
        consume(client, tag)
    assert list(node.offsets) == ["a", "b", "c"]
    client.call(1, "channel.close")
    node.read(tag="d")
    assert list(node.offsets) == ["d"]


def test_offsets_beyond_the_limit_are_forgotten_when_their_consumers_end():
    node = Node(bounds=Bounds(stream_offsets=1))
    client = node.reader()
    for tag in "abc":
        consume(client, tag)
    client.call(1, "channel.close")
    assert list(node.offsets) == ["c"]
    node.clock.advance(1000)
    assert node.stored == {"c": 0}


def test_removed_offset_is_no_longer_known(node):
    node.read()
    tracking = node.stream.tracking()
    assert tracking.remove("c")
    assert not tracking.remove("c")
    assert (node.offsets, node.stored) == ({}, {})


def test_a_removal_that_cannot_be_stored_changes_nothing(node, monkeypatch):
    node.read()

    def refuse(*definitions):
        raise not_stored("disk full")

    monkeypatch.setattr(node.definitions, "remove", refuse)
    with pytest.raises(AmqpError):
        node.stream.tracking().remove("c")
    assert node.offsets == {"c": 0}


def test_a_consumer_is_running_until_it_is_cancelled(node):
    client = node.reader()
    consume(client)
    tracking = node.stream.tracking()
    assert (tracking.is_running("c"), tracking.is_running("d")) == (True, False)
    client.call(1, "basic.cancel", consumer_tag="c")
    assert not tracking.is_running("c")


# --- at least once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", seeds(30, 3))
def test_no_message_is_skipped(seed):
    """Consumers come and go, the broker is killed, and each message is processed at least once."""
    chance = random.Random(seed)
    node = Node("")
    processed: set[int] = set()
    client: Wire | None = None
    held: dict[int, int] = {}
    published = 0

    def note(received: list[Received]) -> None:
        for each in received:
            if each.name == "basic.deliver":
                held[each.arguments["delivery_tag"]] = each.properties["headers"]["x-stream-offset"].value

    for _ in range(200):
        action = chance.random()
        if action < 0.3:
            node.publish(*"m" * chance.randrange(5))
            published = node.stream.log.next
        elif client is None:
            client = node.reader(chance.randrange(1, 8))
            note(consume(client))
        elif action < 0.75 and held:
            tag = chance.choice(list(held))
            multiple = chance.random() < 0.3
            done = [each for each in held if each == tag or (multiple and each < tag)]
            name = chance.choice(["basic.ack", "basic.ack", "basic.ack", "basic.nack"])
            more = {"requeue": True} if name == "basic.nack" else {}
            for each in done:
                offset = held.pop(each)
                if not more:
                    processed.add(offset)
            client.send(1, name, delivery_tag=tag, multiple=multiple, **more)
        elif action < 0.82:
            client.call(1, "channel.close")
            client, held = None, {}
        elif action < 0.85:
            node.kill()
            client, held = None, {}
        else:
            node.clock.advance(chance.randrange(1500))
        if client is not None:
            note(client.receive())
        # Everything before the remembered offset is processed.
        offset = node.offsets.get("c", 0)
        assert set(range(offset)) <= processed
    assert published


def test_an_offset_beyond_the_end_is_remembered_only_once_it_was_reached(node):
    """A broker that has lost messages lowers remembered offsets, so the consumer would get those before its own."""
    five = {"x-stream-offset": Field("l", 5)}
    assert node.read(**five) == []
    assert node.offsets == node.stored == {}
    node.publish("d")
    reader = node.reader()
    assert consume(reader, **five)[1:] == []
    node.publish("e", "f")
    assert bodies(reader.receive()) == ["f"]
    settle(reader, "basic.ack", delivery_tag=1)
    reader.call(1, "channel.close")
    assert node.offsets == node.stored == {"c": 6}
