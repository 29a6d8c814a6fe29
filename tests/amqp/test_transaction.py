import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, Wire


@pytest.fixture
def tx(client: Wire) -> Wire:
    """A client whose channel 1 is transactional, with a queue."""
    client.declare("q")
    assert client.call(1, "tx.select").name == "tx.select-ok"
    return client


def commit(client: Wire) -> list[Received]:
    """Commit; return everything received before the answer."""
    client.send(1, "tx.commit")
    *before, answer = client.receive()
    assert answer.name == "tx.commit-ok"
    return before


def test_a_rollback_restores_settled_deliveries_under_their_tags(tx: Wire, other: Wire) -> None:
    for body in (b"1", b"2", b"3"):
        other.publish("q", body)
    delivered = tx.consume("q")
    assert [got.arguments["delivery_tag"] for got in delivered] == [1, 2, 3]
    tx.send(1, "basic.ack", delivery_tag=2)
    tx.send(1, "basic.reject", delivery_tag=1, requeue=True)
    tx.call(1, "tx.rollback")
    assert other.depth("q") == 0
    tx.send(1, "basic.ack", delivery_tag=2, multiple=True)
    commit(tx)
    tx.send(1, "basic.nack", delivery_tag=3, requeue=False)
    commit(tx)
    tx.send(1, "channel.close")
    tx.receive()
    assert other.depth("q") == 0


def test_a_delivery_that_is_acknowledged_cannot_be_rejected(tx: Wire, other: Wire) -> None:
    other.publish("q", b"1")
    tx.consume("q")
    tx.send(1, "basic.ack", delivery_tag=1)
    got = tx.call(1, "basic.nack", delivery_tag=1)
    assert got.arguments["reply_text"] == "PRECONDITION_FAILED - unknown delivery tag 1"


def test_uncommitted_acknowledgements_are_requeued_with_the_channel(tx: Wire, other: Wire) -> None:
    other.publish("q", b"1")
    other.publish("q", b"2")
    tx.consume("q")
    tx.publish("q", b"forgotten")
    tx.send(1, "basic.ack", delivery_tag=1)
    tx.send(1, "channel.close")
    tx.receive()
    got = [other.get("q") for _ in range(2)]
    assert [(each.body, each.arguments["redelivered"]) for each in got] == [(b"1", True), (b"2", True)]
    assert other.get("q").name == "basic.get-empty"


def test_messages_are_routed_when_they_are_published(tx: Wire, other: Wire) -> None:
    tx.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    tx.publish("k", b"1", exchange="amq.direct")
    other.call(1, "queue.unbind", queue="q", exchange="amq.direct", routing_key="k")
    commit(tx)
    assert other.depth("q") == 1


def test_a_commit_is_all_or_nothing_across_queues(tx: Wire, other: Wire) -> None:
    other.declare("small", arguments={"x-max-length": Field("I", 2), "x-overflow": longstr("reject-publish")})
    other.publish("small", b"there")
    other.publish("q", b"old")
    tx.consume("q")
    tx.send(1, "basic.ack", delivery_tag=1)
    for body in (b"1", b"2"):
        tx.publish("q", body)
        tx.publish("small", body)
    tx.send(1, "tx.commit")
    (closed,) = tx.receive()
    assert (closed.name, closed.arguments["reply_code"]) == ("channel.close", 406)
    assert other.depth("small") == 1
    assert other.get("q").body == b"old"
    assert other.get("q").name == "basic.get-empty"


def test_messages_for_a_deleted_quorum_queue_are_lost_at_commit(tx: Wire, other: Wire, broker: Broker) -> None:
    tx.declare("gone", durable=True, arguments={"x-queue-type": longstr("quorum")})
    gone = broker.vhosts["/"].queues["gone"]
    tx.publish("gone", b"1", mandatory=True)
    tx.publish("q", b"2")
    tx.call(1, "queue.delete", queue="gone")
    tx.send(1, "tx.commit")
    assert [got.name for got in tx.receive()] == ["tx.commit-ok"]
    assert (gone.ready_count, other.depth("q")) == (0, 1)


def test_a_deleted_classic_queue_refuses_the_commit(tx: Wire, other: Wire) -> None:
    tx.declare("gone")
    tx.publish("gone", b"1")
    tx.publish("q", b"2")
    tx.call(1, "queue.delete", queue="gone")
    tx.send(1, "tx.commit")
    (got,) = tx.receive()
    assert (got.name, got.arguments["reply_code"]) == ("channel.close", 406)
    assert other.depth("q") == 0


def test_a_commit_that_fills_a_queue_exactly_is_accepted(tx: Wire, other: Wire) -> None:
    other.declare("small", arguments={"x-max-length": Field("I", 2), "x-overflow": longstr("reject-publish")})
    tx.publish("small", b"1")
    tx.publish("small", b"2")
    assert commit(tx) == []
    assert other.depth("small") == 2


def test_ttl_counts_from_the_commit(tx: Wire, other: Wire, clock: ManualClock) -> None:
    tx.publish("q", b"1", expiration="1000")
    clock.advance(5000)
    commit(tx)
    assert other.depth("q") == 1
    clock.advance(1000)
    assert other.depth("q") == 0


def test_recover_does_not_requeue_acknowledged_deliveries(tx: Wire, other: Wire) -> None:
    other.publish("q", b"1")
    other.publish("q", b"2")
    tx.consume("q")
    tx.send(1, "basic.ack", delivery_tag=1)
    tx.send(1, "basic.recover", requeue=True)
    ok, again = tx.receive()
    assert (ok.name, again.body, again.arguments["redelivered"]) == ("basic.recover-ok", b"2", True)
    commit(tx)
    assert other.depth("q") == 0


# --- space in queues that refuse messages -----------------------------------------------------------------------------

KINDS = pytest.mark.parametrize(
    "kind",
    [{"x-queue-type": longstr("classic")}, {"x-queue-type": longstr("quorum")}, {"x-max-priority": Field("I", 5)}],
    ids=["classic", "quorum", "priority"],
)
REFUSING = {"x-max-length": Field("I", 1), "x-overflow": longstr("reject-publish")}
WINDOW = {"x-message-deduplication": Field("t", True), "x-cache-ttl": Field("I", 60_000)}
WHILE_QUEUED = {"x-message-deduplication": Field("t", True)}
LAST_VALUE = {"x-last-value-key": longstr("x-deduplication-header")}
EQUAL_IDS = pytest.mark.parametrize("option", [WINDOW, WHILE_QUEUED, LAST_VALUE], ids=["window", "queue", "last_value"])


def publish_ids(tx: Wire, *ids: str, body: bytes = b"", exchange: str = "", queue: str = "small") -> None:
    for each in ids:
        headers = {"x-deduplication-header": longstr(each)}
        tx.publish(queue, body, exchange=exchange, headers=headers)


@KINDS
@EQUAL_IDS
def test_messages_with_one_id_need_the_space_of_one(tx: Wire, other: Wire, kind: Table, option: Table) -> None:
    other.declare("small", durable=True, arguments={**kind, **REFUSING, **option})
    publish_ids(tx, "a", "a", "a")
    commit(tx)
    assert other.depth("small") == 1


@pytest.mark.parametrize("kind", ["classic", "priority"])
@EQUAL_IDS
def test_messages_with_two_ids_are_refused_by_a_queue_with_space_for_one(
    tx: Wire, other: Wire, kind: str, option: Table
) -> None:
    arguments = {"x-max-priority": Field("I", 5)} if kind == "priority" else {}
    other.declare("small", durable=True, arguments={**arguments, **REFUSING, **option})
    publish_ids(tx, "a", "b", "a")
    tx.send(1, "tx.commit")
    (closed,) = tx.receive()
    assert (closed.name, closed.arguments["reply_code"]) == ("channel.close", 406)
    assert other.depth("small") == 0


def test_message_that_its_exchange_drops_needs_no_space(tx: Wire, other: Wire) -> None:
    arguments = {"x-cache-size": Field("I", 100)}
    other.call(1, "exchange.declare", exchange="once", exchange_type="x-message-deduplication", arguments=arguments)
    other.declare("small", arguments=REFUSING)
    other.call(1, "queue.bind", queue="small", exchange="once")
    publish_ids(tx, "a", "a", exchange="once")
    commit(tx)
    assert other.depth("small") == 1


def test_last_values_need_the_bytes_of_the_largest(tx: Wire, other: Wire) -> None:
    limit = {"x-max-length-bytes": Field("I", 3), "x-overflow": longstr("reject-publish")}
    other.declare("small", arguments={**limit, **LAST_VALUE})
    for body in (b"22", b"333", b"1"):
        publish_ids(tx, "a", body=body)
    commit(tx)
    assert other.get("small").body == b"1"
    for body in (b"22", b"4444"):
        publish_ids(tx, "a", body=body)
    tx.send(1, "tx.commit")
    (closed,) = tx.receive()
    assert closed.arguments["reply_code"] == 406


def test_delayed_message_of_a_last_value_queue_needs_space_of_its_own(tx: Wire, other: Wire) -> None:
    arguments = {**REFUSING, **LAST_VALUE, "x-delivery-time-header": longstr("at")}
    other.declare("small", arguments=arguments)
    publish_ids(other, "a")
    tx.publish("small", b"", headers={"x-deduplication-header": longstr("a"), "at": Field("l", 1 << 45)})
    tx.send(1, "tx.commit")
    (closed,) = tx.receive()
    assert closed.arguments["reply_code"] == 406
