"""Methods that concern many messages continue in later event loop iterations, before the client's next methods."""

import pytest

from amqpbroker.amqp.output import Output
from amqpbroker.amqp.state import RUNNING, Status
from amqpbroker.amqp.unfinished import Unfinished
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Wire, make_broker, method

DELAYED: Table = {"x-delayed-retry-type": longstr("all"), "x-delayed-retry-min": Field("I", 1000)}
TO_DEAD: Table = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}


@pytest.fixture
def broker() -> Broker:
    """Return a broker that settles three messages in an iteration, five that are only removed, and expires four."""
    return make_broker(bounds=BOUNDS._replace(departures=3, deferred_free=5, expiries=4))


def iterations(client: Wire, queue: Queue) -> list[int]:
    """Run iterations until no timer is due; return the number of unacknowledged messages after each."""
    clock = client.broker.clock
    assert isinstance(clock, ManualClock)
    counts = [queue.unacked_count]
    while clock.next_due_ms() is not None and clock.next_due_ms() == clock.now_ms():
        clock.fire_due()
        counts.append(queue.unacked_count)
    return counts


def holding(client: Wire, count: int, arguments: Table, tag: str = "c") -> Queue:
    """Deliver messages of a new queue "q" to the client; the last one has the body `count`."""
    client.declare("dead")
    client.declare("q", durable=True, arguments=arguments)
    client.consume("q", tag, no_ack=False)
    for number in range(1, count + 1):
        client.publish("q", b"%d" % number)
    assert len(client.receive()) == count
    return client.broker.vhosts["/"].queues["q"]


def nack(requeue: bool, tag: int = 0) -> bytes:
    return method("basic.nack", delivery_tag=tag, multiple=True, requeue=requeue)


@pytest.mark.parametrize(
    ("arguments", "data", "counts"),
    [
        (DELAYED, nack(requeue=True), [8, 5, 2, 0]),
        (TO_DEAD, nack(requeue=False), [8, 5, 2, 0]),
        ({}, nack(requeue=False), [8, 5, 2, 0]),
        ({}, method("basic.ack", delivery_tag=8, multiple=True), [8, 3, 0]),
        (DELAYED, method("basic.recover-async", requeue=True), [8, 5, 2, 0]),
    ],
)
def test_many_deliveries_are_settled_in_slices(client: Wire, arguments: Table, data: bytes, counts: list[int]) -> None:
    queue = holding(client, 8, arguments)
    client.feed(data)
    assert iterations(client, queue) == counts


@pytest.mark.parametrize("count", [1, 3])
def test_few_deliveries_are_settled_at_once(client: Wire, count: int) -> None:
    queue = holding(client, count, TO_DEAD)
    client.feed(nack(requeue=False))
    assert iterations(client, queue) == [0]
    assert client.depth("dead") == count


@pytest.mark.parametrize("data", [nack(requeue=True), method("basic.recover-async", requeue=True)])
def test_deliveries_return_to_their_places_together(client: Wire, other: Wire, data: bytes) -> None:
    queue = holding(client, 8, {})
    client.call(1, "basic.cancel", consumer_tag="c")
    client.feed(data)
    assert iterations(client, queue) == [0]
    assert [other.get("q").body for _ in range(8)] == [b"%d" % number for number in range(1, 9)]


def test_deliveries_that_go_to_the_end_return_in_slices(client: Wire) -> None:
    queue = holding(client, 8, {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", -1)})
    client.call(1, "basic.cancel", consumer_tag="c")
    client.feed(nack(requeue=True))
    assert iterations(client, queue) == [8, 5, 2, 0]


def test_next_methods_of_the_client_are_handled_after_a_slow_one(client: Wire) -> None:
    queue = holding(client, 8, TO_DEAD)
    client.call(2, "channel.open")
    rest = method("basic.get", 2, queue="dead", no_ack=True) + method("queue.declare", queue="dead", passive=True)
    client.feed(nack(requeue=False) + rest)
    assert (client.receive(), client.connection.reading) == ([], False)
    client.feed(method("queue.declare", queue="q", passive=True))
    assert iterations(client, queue) == [8, 5, 2, 0]
    got, *counts = client.receive()
    assert (got.name, got.body, got.arguments["message_count"]) == ("basic.get-ok", b"1", 7)
    assert [each.arguments["message_count"] for each in counts] == [7, 0]
    assert client.connection.reading


def test_acks_in_one_read_are_handled_in_order(client: Wire) -> None:
    queue = holding(client, 8, {})
    client.feed(method("basic.ack", delivery_tag=7, multiple=True) + method("basic.ack", delivery_tag=7))
    assert iterations(client, queue)[-1] == 1
    (error,) = client.receive()
    assert (error.name, error.arguments["reply_code"]) == ("channel.close", 406)


def test_other_clients_are_served_between_slices(client: Wire, other: Wire) -> None:
    queue = holding(client, 8, TO_DEAD)
    client.feed(nack(requeue=False))
    assert (queue.unacked_count, other.depth("dead")) == (8, 0)
    assert isinstance(client.broker.clock, ManualClock)
    client.broker.clock.fire_due()
    assert (queue.unacked_count, other.depth("dead")) == (5, 3)


def test_deliveries_of_a_client_that_leaves_are_settled_as_it_said(client: Wire, other: Wire) -> None:
    queue = holding(client, 8, TO_DEAD)
    client.feed(nack(requeue=False, tag=7))
    client.connection.lost()
    assert iterations(client, queue)[-1] == 0
    assert [other.get("dead").body for _ in range(8)][-2:] == [b"7", None]
    assert other.get("q").body == b"8"


def test_dead_letters_have_the_same_order_in_slices(client: Wire, other: Wire) -> None:
    client.declare("dead")
    client.declare("q", arguments={**TO_DEAD, "x-max-priority": Field("I", 5)})
    client.consume("q", no_ack=False)
    for number in range(8):
        other.publish("q", b"%d" % number, priority=number % 2)
    assert len(client.receive()) == 8
    queue = client.broker.vhosts["/"].queues["q"]
    client.feed(nack(requeue=False))
    assert iterations(client, queue)[-1] == 0
    assert [other.get("dead").body for _ in range(8)] == [b"1", b"3", b"5", b"7", b"0", b"2", b"4", b"6"]


def test_consumers_that_the_channel_stopped_share_what_slices_have_freed(client: Wire, other: Wire) -> None:
    client.call(1, "basic.qos", prefetch_count=8, global_=True)
    queue = holding(client, 8, TO_DEAD)
    for number in range(9, 15):
        other.publish("q", b"%d" % number)
    assert client.receive() == []
    client.feed(nack(requeue=False))
    iterations(client, queue)
    assert [got.body for got in client.receive()] == [b"%d" % number for number in range(9, 15)]


def test_commit_settles_all_deliveries_together(client: Wire) -> None:
    queue = holding(client, 8, TO_DEAD)
    client.call(1, "tx.select")
    client.feed(nack(requeue=False))
    assert client.call(1, "tx.commit").name == "tx.commit-ok"
    assert (queue.unacked_count, client.depth("dead")) == (0, 8)


# --- basic.get behind expired messages --------------------------------------------------------------------------------


def expired(client: Wire, count: int, *bodies: bytes) -> Queue:
    """Publish to a new queue "q" messages that have expired, although the timer has not fired, and others."""
    client.declare("q", arguments=TO_DEAD)
    client.declare("dead")
    for _ in range(count):
        client.publish("q", b"late", expiration="10")
    for body in bodies:
        client.publish("q", body)
    assert client.receive() == []
    clock = client.broker.clock
    assert isinstance(clock, ManualClock)
    clock._now_ms += 10
    return client.broker.vhosts["/"].queues["q"]


@pytest.mark.parametrize("no_ack", [False, True])
def test_get_waits_until_expired_messages_are_removed(client: Wire, other: Wire, no_ack: bool) -> None:
    queue = expired(client, 30, b"first", b"second")
    client.feed(method("basic.get", queue="q", no_ack=no_ack) + method("queue.declare", queue="q", passive=True))
    assert client.receive() == []
    assert 20 < queue.ready_count < 30
    iterations(client, queue)
    got, declared = client.receive()
    assert (got.name, got.body, got.arguments["message_count"]) == ("basic.get-ok", b"first", 1)
    assert declared.arguments["message_count"] == 1
    assert other.depth("dead") == 30


def test_get_finds_nothing_behind_expired_messages(client: Wire) -> None:
    queue = expired(client, 30)
    client.send(1, "basic.get", queue="q")
    iterations(client, queue)
    assert [got.name for got in client.receive()] == ["basic.get-empty"]
    assert queue.counters()[5] == 1


@pytest.mark.parametrize("ends", ["deleted", "purged"])
def test_get_finds_nothing_in_a_queue_that_is_emptied_meanwhile(client: Wire, other: Wire, ends: str) -> None:
    queue = expired(client, 30, b"first")
    client.send(1, "basic.get", queue="q")
    assert client.receive() == []
    other.call(1, "queue.delete" if ends == "deleted" else "queue.purge", queue="q")
    iterations(client, queue)
    assert [got.name for got in client.receive()] == ["basic.get-empty"]


def test_get_of_a_client_that_leaves_takes_no_message(client: Wire, other: Wire) -> None:
    queue = expired(client, 30, b"first")
    client.send(1, "basic.get", queue="q", no_ack=True)
    client.connection.lost()
    iterations(client, queue)
    assert other.get("q").body == b"first"


# --- the part alone ---------------------------------------------------------------------------------------------------


def test_frames_wait_until_each_method_has_ended() -> None:
    status = Status()
    status.state = RUNNING
    unfinished = Unfinished(ManualClock(), Output(status, lambda: None))
    unfinished.begin()
    unfinished.begin()
    unfinished.end()
    assert (status.read_on(), status.stopped, status.reading) == (False, True, False)
    unfinished.end()
    assert (status.read_on(), status.stopped, status.reading) == (True, False, True)


def test_step_is_repeated_once_in_an_iteration() -> None:
    clock, status, dirty = ManualClock(), Status(), list[None]()
    output = Output(status, lambda: dirty.append(None))
    steps = iter([False, True])
    Unfinished(clock, output).repeat(lambda: next(steps))
    assert (status.suspended, dirty) == (1, [])
    clock.fire_due()
    assert (status.suspended, dirty) == (1, [])
    clock.fire_due()
    assert (status.suspended, dirty, clock.next_due_ms()) == (0, [None], None)
