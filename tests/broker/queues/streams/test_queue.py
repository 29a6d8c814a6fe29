"""Streams, from a client: publish, read from any place, settle, delete."""

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS, DEFAULT_COMPAT
from amqpbroker.store.streams.chunk import OFFSET_HEADER
from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, Wire, make_broker

STREAM = {"x-queue-type": longstr("stream")}


class Node:
    """A broker with one stream `s`."""

    def __init__(self, arguments=None, **settings):
        self.clock = ManualClock()
        self.broker = make_broker(self.clock, **settings)
        self.client = Wire(self.broker).log_in()
        self.client.declare("s", durable=True, arguments=STREAM | (arguments or {}))

    def publish(self, *bodies: str, headers=None) -> None:
        for body in bodies:
            self.client.publish("s", body.encode(), **({} if headers is None else {"headers": headers}))
        self.client.receive()

    def reader(self, prefetch: int = 100) -> Wire:
        client = Wire(self.broker).log_in()
        client.call(1, "basic.qos", prefetch_count=prefetch)
        return client

    def read(self, offset: Field | None = None, prefetch: int = 100, **arguments: Field) -> list[str]:
        """Return the bodies of the messages that a new consumer gets at once."""
        given = {} if offset is None else {"x-stream-offset": offset}
        return bodies(consume(self.reader(prefetch), given | arguments))


def consume(client: Wire, arguments=None, tag: str = "c") -> list[Received]:
    return client.consume("s", tag, no_ack=False, arguments=arguments or {})


def bodies(received: list[Received]) -> list[str]:
    return [each.body.decode() for each in received if each.name == "basic.deliver"]


FIRST = {"x-stream-offset": longstr("first")}


def test_messages_stay_for_every_consumer():
    node = Node()
    node.publish("a", "b")
    assert node.read(longstr("first")) == ["a", "b"]
    assert node.read(longstr("first")) == ["a", "b"]
    assert node.client.depth("s") == 2


def test_a_delivery_has_its_offset():
    node = Node()
    node.publish("a", "b")
    received = consume(node.reader(), FIRST)
    assert [each.properties["headers"][OFFSET_HEADER] for each in received] == [Field("l", 0), Field("l", 1)]
    assert [each.arguments["redelivered"] for each in received] == [False, False]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (None, []),
        (longstr("next"), []),
        (longstr("first"), ["a", "b", "c"]),
        (longstr("last"), ["c"]),
        (Field("l", 1), ["b", "c"]),
        (Field("b", 2), ["c"]),
        (Field("I", 3), []),
        (Field("I", 99), []),
        (Field("I", -1), ["c"]),
        (Field("l", -2), ["b", "c"]),
        (Field("l", -99), ["a", "b", "c"]),
        (Field("T", 0), ["a", "b", "c"]),
        (Field("T", 1_700_000_010), ["b", "c"]),
        (Field("T", 1_700_000_015), ["c"]),
        (Field("T", 1_800_000_000), []),
        (longstr("1h"), ["a", "b", "c"]),
        (longstr("5s"), ["c"]),
        (longstr("15s"), ["b", "c"]),
    ],
)
def test_reading_begins_at_the_offset_that_the_consumer_names(offset, expected):
    node = Node()
    for body in "abc":
        node.publish(body)
        node.clock.advance(10_000 if body != "c" else 2_000)
    assert node.read(offset) == expected


def test_negative_offset_begins_with_the_first_message_as_in_rabbitmq():
    node = Node(compat=DEFAULT_COMPAT.configured({}, extensions=False))
    node.publish("a", "b")
    assert node.read(Field("l", -1)) == ["a", "b"]


def test_unsettled_deliveries_keep_no_message_in_memory():
    node = Node()
    node.publish(*("x" * 1000 for _ in range(50)))
    client = node.reader(prefetch=50)
    assert len(consume(client, FIRST)) == 50
    queue = node.broker.vhosts["/"].queues["s"]
    held = [entry for session in node.broker.sessions for entry in session.held(queue)]
    assert sorted(entry.sequence for entry in held) == list(range(50))
    assert sum(entry.message.size for entry in held) == 0
    node.publish("y")
    client.send(1, "basic.ack", delivery_tag=50, multiple=True)
    assert bodies(client.receive()) == ["y"]


def test_a_consumer_gets_what_is_published_after_it_began():
    node = Node()
    node.publish("before")
    client = node.reader()
    assert consume(client) == []
    node.publish("after")
    assert bodies(client.receive()) == ["after"]


def test_prefetch_limits_the_messages_that_are_not_settled():
    node = Node()
    node.publish(*"abcdefgh")
    client = node.reader(2)
    assert bodies(consume(client, FIRST)) == ["a", "b"]
    client.send(1, "basic.ack", delivery_tag=2)
    assert bodies(client.receive()) == ["c"]
    client.send(1, "basic.nack", delivery_tag=3, multiple=True)
    assert bodies(client.receive()) == ["d", "e"]
    client.send(1, "basic.reject", delivery_tag=4, requeue=True)
    assert bodies(client.receive()) == ["f"]
    client.send(1, "basic.recover", requeue=True)
    assert bodies(client.receive()) == ["g", "h"]


def test_filter_selects_messages():
    node = Node()
    for value in ("x", "y", "z"):
        node.publish(value, headers={"x-stream-filter-value": longstr(value)})
    node.publish("none")
    first = longstr("first")
    assert node.read(first, **{"x-stream-filter": longstr("x")}) == ["x"]
    both = Field("A", [longstr("x"), longstr("z"), Field("I", 1)])
    assert node.read(first, **{"x-stream-filter": both}) == ["x", "z"]
    unfiltered = {"x-stream-match-unfiltered": Field("t", True)}
    assert node.read(first, **{"x-stream-filter": longstr("y")}, **unfiltered) == ["y", "none"]
    assert node.read(first, **unfiltered) == ["x", "y", "z", "none"]
    assert node.read(first, **{"x-stream-filter": Field("I", 1)}) == ["x", "y", "z", "none"]


def test_a_filter_that_accepts_little_does_not_hold_up_other_clients():
    node = Node()
    node.publish(*["other"] * 3500)
    node.publish("mine", headers={"x-stream-filter-value": longstr("x")})
    client = node.reader()
    assert consume(client, FIRST | {"x-stream-filter": longstr("x")}) == []
    rounds = 0
    while not (received := bodies(client.receive())):
        node.clock.fire_due()
        rounds += 1
    assert received == ["mine"]
    assert rounds == 3


def test_a_request_reads_a_megabyte_at_once():
    node = Node()
    node.publish(*["x" * 300_000] * 6, "y" * 3_000_000, "z")
    queue = node.broker.vhosts["/"].queues["s"]
    read = []
    place = 0
    while found := queue.ready_following(place, 100):
        read.append([entry.sequence for _, entry in found])
        place = found[-1][0]
    assert read == [[0, 1, 2, 3], [4, 5, 6], [7]]


def test_a_filter_that_accepts_no_large_message_does_not_hold_up_other_clients():
    node = Node()
    node.publish(*["x" * 300_000] * 12)
    client = node.reader()
    consume(client, FIRST | {"x-stream-filter": longstr("x")})
    (reader,) = node.broker.vhosts["/"].queues["s"]._readers.values()
    offsets = [reader.offset]
    while reader.offset < 12:
        node.clock.fire_due()
        offsets.append(reader.offset)
    assert offsets == [4, 8, 12]


@pytest.mark.parametrize(
    ("settings", "arguments", "level", "code", "text"),
    [
        (
            {"prefetch": 0},
            {},
            "channel.close",
            406,
            "PRECONDITION_FAILED - consumer prefetch count is not set for stream queue 's'",
        ),
        (
            {"no_ack": True},
            {},
            "connection.close",
            540,
            "NOT_IMPLEMENTED - automatic acknowledgement not supported by stream queue 's'",
        ),
        (
            {},
            {"x-stream-offset": longstr("1x")},
            "channel.close",
            406,
            "PRECONDITION_FAILED - invalid arg 'x-stream-offset' for queue 's' in vhost '/':"
            ' {invalid_stream_offset_arg,{longstr,<<"1x">>}}',
        ),
        (
            {},
            {"x-stream-offset": Field("V", None)},
            "channel.close",
            406,
            "PRECONDITION_FAILED - invalid arg 'x-stream-offset'",
        ),
        (
            {},
            {"x-priority": Field("I", 1)},
            "channel.close",
            406,
            "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 's'",
        ),
    ],
)
def test_a_consumer_is_refused(settings, arguments, level, code, text):
    node = Node()
    client = node.reader(settings.get("prefetch", 1))
    client.send(1, "basic.consume", queue="s", no_ack=settings.get("no_ack", False), arguments=arguments)
    (closed,) = client.receive()
    assert (closed.name, closed.arguments["reply_code"]) == (level, code)
    assert closed.arguments["reply_text"].startswith(text)


@pytest.mark.parametrize("method", ["basic.get", "queue.purge"])
def test_a_stream_refuses_to_lose_messages(method):
    node = Node()
    node.client.send(1, method, queue="s")
    assert node.client.closed() == (
        540,
        f"NOT_IMPLEMENTED - {method} not supported by stream queues queue 's' in vhost '/'",
    )


def test_deleting_a_stream_cancels_its_consumers():
    node = Node()
    node.publish("a")
    client = node.reader()
    consume(client, FIRST)
    node.client.send(1, "queue.delete", queue="s", if_empty=True, if_unused=True)
    (deleted,) = node.client.receive()
    assert (deleted.name, deleted.arguments["message_count"]) == ("queue.delete-ok", 0)
    assert [each.name for each in client.receive()] == ["basic.cancel"]
    client.send(1, "basic.ack", delivery_tag=1)
    assert client.receive() == []


def test_a_cancelled_consumer_gets_nothing_and_may_settle():
    node = Node()
    node.publish("a")
    client = node.reader()
    consume(client, FIRST)
    client.call(1, "basic.cancel", consumer_tag="c")
    node.publish("b")
    client.send(1, "basic.ack", delivery_tag=1)
    assert client.receive() == []


def test_old_segments_are_removed():
    node = Node({"x-max-length-bytes": Field("I", 3000), "x-stream-max-segment-size-bytes": Field("I", 1000)})
    for number in range(100):
        node.publish(f"{number:050d}")
    left = node.read(longstr("first"))
    assert 5 < len(left) < 50
    assert [int(body) for body in left] == list(range(100 - len(left), 100))
    assert node.client.depth("s") == len(left)


def test_a_reader_whose_messages_were_removed_goes_on_with_the_first():
    node = Node({"x-max-length-bytes": Field("I", 1000), "x-stream-max-segment-size-bytes": Field("I", 500)})
    node.publish(*"abc")
    client = node.reader(1)
    assert bodies(consume(client, FIRST)) == ["a"]
    for number in range(100):
        node.publish(f"{number:050d}")
    client.send(1, "basic.ack", delivery_tag=1)
    (body,) = bodies(client.receive())
    assert body == node.read(longstr("first"), prefetch=1)[0]


@pytest.mark.parametrize("array", [[], [Field("I", 1)], [Field("A", [longstr("a")])]])
def test_an_array_of_filters_without_text_is_refused(array):
    client = Node().reader()
    client.send(1, "basic.consume", queue="s", arguments={"x-stream-filter": Field("A", array)})
    (answer,) = client.receive()
    assert (answer.name, answer.arguments["reply_code"]) == ("channel.close", 406)
    text = "invalid arg 'x-stream-filter' for queue 's' in vhost '/': \"expected at least one longstr in the array\""
    assert answer.arguments["reply_text"] == f"PRECONDITION_FAILED - {text}"


@pytest.mark.parametrize(("series", "compared"), [("4.0", False), ("4.1", False), ("4.2", True), ("4.3", True)])
def test_filter_size_is_compared_from_4_2_on(series, compared):
    node = Node({"x-stream-filter-size-bytes": Field("I", 20)}, compat=COMPATS[series])
    again = STREAM | {"x-stream-filter-size-bytes": Field("I", 30)}
    node.client.send(1, "queue.declare", queue="s", durable=True, arguments=again)
    (answer,) = node.client.receive()
    if compared:
        assert answer.name == "channel.close"
        assert "inequivalent arg 'x-stream-filter-size-bytes'" in answer.arguments["reply_text"]
    else:
        assert answer.name == "queue.declare-ok"
