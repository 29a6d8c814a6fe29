from typing import Any

import pytest

from amqpbroker.compat import COMPATS
from amqpbroker.config.bounds import Bounds
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, Wire, make_broker

BROWSE: Table = {"x-filter-no-consume": Field("t", True)}
CONSUME: Table = {"x-filter-no-consume": Field("t", False)}
KINDS: dict[str, Table] = {
    "classic": {},
    "priority": {"x-max-priority": Field("l", 5)},
    "quorum": {"x-queue-type": longstr("quorum")},
    "single active": {"x-single-active-consumer": Field("t", True)},
    "last value": {"x-last-value-key": longstr("key")},
}


def browse(client: Wire, queue: str = "q", tag: str = "b", **arguments: Any) -> list[Received]:
    """Start a browsing consumer. Return what follows consume-ok."""
    return client.consume(queue, tag, arguments=BROWSE | arguments.pop("arguments", {}), **arguments)


def bodies(got: list[Received]) -> list[bytes | None]:
    return [each.body for each in got if each.name == "basic.deliver"]


def info(client: Wire, queue: str = "q") -> Any:
    found = client.broker.vhosts["/"].queues[queue]
    return found.info(), found.counters(), [(entry.sequence, entry.acquired_count) for entry in found.ready_entries()]


@pytest.mark.parametrize("arguments", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("no_ack", [True, False])
def test_browsing_consumer_gets_copies_of_all_messages_and_is_then_cancelled(
    client: Wire, arguments: Table, no_ack: bool
) -> None:
    client.declare("q", durable=True, arguments=arguments)
    for i in range(100):
        client.publish("q", b"%d" % i, headers={"key": longstr(str(i))})
    client.receive()
    before = info(client)
    *copies, last = browse(client, no_ack=no_ack)
    assert bodies(copies) == [b"%d" % i for i in range(100)]
    assert [each.arguments["delivery_tag"] for each in copies] == list(range(1, 101))
    assert (last.name, last.arguments["consumer_tag"]) == ("basic.cancel", "b")
    assert info(client) == before


def test_copy_shows_that_the_message_was_delivered_before(client: Wire) -> None:
    client.declare("q", durable=True, arguments=KINDS["quorum"])
    client.publish("q", b"x")
    client.get("q", no_ack=False)
    client.send(1, "basic.nack", delivery_tag=1, requeue=True)
    client.receive()
    copy, _ = browse(client)
    assert copy.arguments["redelivered"]
    assert copy.properties is not None
    assert copy.properties["headers"] == {"x-delivery-count": Field("l", 1)}
    assert client.broker.vhosts["/"].queues["q"].redelivered == 0


def test_empty_queue_ends_a_browsing_consumer_at_once(client: Wire) -> None:
    client.declare("q")
    assert [got.name for got in browse(client)] == ["basic.cancel"]
    assert [got.name for got in browse(client)] == ["basic.cancel"], "the tag is free again"


def test_answers_to_copies_have_no_effect(client: Wire) -> None:
    client.declare("q")
    for _ in range(4):
        client.publish("q", b"x")
    browse(client, no_ack=False)
    client.send(1, "basic.ack", delivery_tag=1)
    client.send(1, "basic.nack", delivery_tag=2, requeue=True)
    client.send(1, "basic.reject", delivery_tag=3, requeue=False)
    client.send(1, "basic.ack", delivery_tag=4, multiple=True)
    assert client.receive() == []
    assert client.depth("q") == 4


def test_copies_without_acknowledgement_must_not_be_settled(client: Wire) -> None:
    client.declare("q")
    client.publish("q", b"x")
    browse(client, no_ack=True)
    got = client.call(1, "basic.ack", delivery_tag=1)
    assert got.arguments["reply_text"] == "PRECONDITION_FAILED - unknown delivery tag 1"


def test_browsing_consumer_is_no_consumer_of_its_queue(client: Wire, other: Wire) -> None:
    client.declare("q", auto_delete=True)
    for _ in range(3):
        client.publish("q", b"x")
    other.call(1, "basic.qos", prefetch_count=1)
    assert bodies(other.consume("q", exclusive=True)) == [b"x"]
    assert bodies(browse(client)) == [b"x"] * 2
    assert client.broker.vhosts["/"].queues["q"].consumer_count == 1
    other.call(1, "basic.cancel", consumer_tag="c")
    assert "q" not in client.broker.vhosts["/"].queues


def test_copies_are_not_counted_as_deliveries(client: Wire) -> None:
    client.declare("q")
    client.publish("q", b"x")
    before = client.connection.channels[1].counters()
    browse(client)
    browse(client, no_ack=True)
    assert client.connection.channels[1].counters() == before


def test_messages_that_arrive_later_are_not_sent() -> None:
    client = Wire(make_broker(bounds=Bounds(room_bytes=1000))).log_in()
    other = Wire(client.broker).log_in()
    client.declare("q")
    for i in range(50):
        client.publish("q", b"%d" % i * 100)
    client.receive()
    client.send(1, "basic.consume", queue="q", consumer_tag="b", arguments=BROWSE)
    for _ in range(10):
        other.publish("q", b"late")
    other.receive()
    got = client.receive()
    assert bodies(got) == [b"%d" % i * 100 for i in range(50)]
    assert got[-1].name == "basic.cancel"


def test_client_that_does_not_read_stops_its_browsing_consumer() -> None:
    client = Wire(make_broker(bounds=Bounds(room_bytes=1000))).log_in()
    client.declare("q")
    for i in range(50):
        client.publish("q", b"%03d" % i * 100)
    client.receive()
    client.connection.set_writable(False)
    client.send(1, "basic.consume", queue="q", consumer_tag="b", arguments=BROWSE)
    assert len(client.connection.output) < 3_000
    client.connection.set_writable(True)
    got = client.receive()
    assert len(bodies(got)) == 50
    assert got[-1].name == "basic.cancel"


def test_browsing_consumer_waits_beside_consumers_of_its_queue_for_output_space() -> None:
    client = Wire(make_broker(bounds=Bounds(room_bytes=1000))).log_in()
    client.declare("q")
    for i in range(60):
        client.publish("q", b"%02d" % i * 100)
    client.receive()
    client.call(1, "basic.qos", prefetch_count=30)
    client.send(1, "basic.consume", queue="q", consumer_tag="c")
    client.send(1, "basic.consume", queue="q", consumer_tag="b", arguments=BROWSE)
    got = client.receive()
    taken = [each.body for each in got if each.arguments.get("consumer_tag") == "c" and each.body]
    copies = [each.body for each in got if each.arguments.get("consumer_tag") == "b" and each.body]
    assert taken == [b"%02d" % i * 100 for i in range(30)]
    assert copies[-30:] == [b"%02d" % i * 100 for i in range(30, 60)]
    assert "basic.cancel" in [each.name for each in got]


def browsing_slowly() -> Wire:
    """Return a client that browses 50 messages, of which its connection takes only a few for now."""
    client = Wire(make_broker(bounds=Bounds(room_bytes=1000))).log_in()
    client.declare("q")
    for i in range(50):
        client.publish("q", b"%03d" % i * 100)
    client.receive()
    client.connection.set_writable(False)
    client.send(1, "basic.consume", queue="q", consumer_tag="b", arguments=BROWSE)
    return client


def test_browsing_consumer_that_is_cancelled_or_whose_channel_closes_stops() -> None:
    client = browsing_slowly()
    client.send(1, "basic.cancel", consumer_tag="b")
    client.connection.set_writable(True)
    got = client.receive()
    assert len(bodies(got)) < 10
    assert got[-1].name == "basic.cancel-ok"
    client.connection.set_writable(False)
    client.send(1, "basic.consume", queue="q", consumer_tag="b", arguments=BROWSE)
    client.send(1, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)
    client.connection.set_writable(True)
    got = client.receive()
    assert len(bodies(got)) < 10
    assert got[-1].name == "channel.close-ok"


def test_deleted_queue_ends_a_browsing_consumer() -> None:
    client = browsing_slowly()
    other = Wire(client.broker).log_in()
    other.call(1, "queue.delete", queue="q")
    client.connection.set_writable(True)
    got = client.receive()
    assert len(bodies(got)) < 10
    assert got[-1].name == "basic.cancel"


def test_argument_that_is_false_starts_an_ordinary_consumer(client: Wire) -> None:
    client.declare("q")
    client.publish("q", b"x")
    assert bodies(client.consume("q", arguments=CONSUME)) == [b"x"]
    assert client.depth("q") == 0


def test_without_extensions_the_argument_is_ignored() -> None:
    client = Wire(make_broker(compat=COMPATS["4.0"].configured({}, False))).log_in()
    client.declare("q")
    client.publish("q", b"x")
    assert bodies(browse(client)) == [b"x"]
    assert client.depth("q") == 0


@pytest.mark.parametrize(
    ("arguments", "exclusive", "problem"),
    [
        ({"x-filter-no-consume": longstr("true")}, False, "{unacceptable_type,longstr}"),
        ({"x-priority": Field("l", 1)}, False, '"copies have no priority: remove x-priority"'),
        (
            {"x-consumer-timeout": Field("l", 100_000)},
            False,
            '"copies have no consumer-timeout: remove x-consumer-timeout"',
        ),
        ({}, True, '"a browsing consumer cannot be exclusive: remove the flag or the argument"'),
    ],
)
def test_values_and_combinations_without_sense_are_refused(
    client: Wire, arguments: Table, exclusive: bool, problem: str
) -> None:
    client.declare("q")
    got = client.call(
        1, "basic.consume", queue="q", consumer_tag="b", arguments=BROWSE | arguments, exclusive=exclusive
    )
    text = f"PRECONDITION_FAILED - invalid arg 'x-filter-no-consume' for queue 'q' in vhost '/': {problem}"
    assert (got.name, got.arguments["reply_code"], got.arguments["reply_text"]) == ("channel.close", 406, text)


def test_browsing_needs_the_permission_to_read(client: Wire) -> None:
    client.declare("q")
    client.broker.users.add_user("u", "p", ())
    client.broker.users.set_permissions("u", "/", ".*", ".*", "")
    user = Wire(client.broker).log_in("u", "p")
    got = user.call(1, "basic.consume", queue="q", consumer_tag="b", arguments=BROWSE)
    assert got.arguments["reply_code"] == 403
