import pytest

from amqpbroker.wire.values import longstr
from tests.harness import Wire

KINDS = pytest.mark.parametrize("kind", ["classic", "quorum"])


@pytest.fixture
def sharing(client: Wire, other: Wire, kind: str) -> Wire:
    """Return a client whose consumers "b" and "a", started in that order, have 0 and 2, 1 and 3 of the queue "q"."""
    client.declare("dead")
    dead = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}
    client.declare("q", durable=True, arguments={"x-queue-type": longstr(kind), **dead})
    client.call(1, "basic.qos", prefetch_count=2)
    client.consume("q", "b", no_ack=False)
    client.consume("q", "a", no_ack=False)
    for i in range(4):
        other.publish("q", b"%d" % i)
    assert deliveries(client) == [("b", b"0"), ("a", b"1"), ("b", b"2"), ("a", b"3")]
    return client


def deliveries(client: Wire) -> list[tuple[str, bytes | None]]:
    return [(got.arguments["consumer_tag"], got.body) for got in client.receive() if got.name == "basic.deliver"]


def waiting(client: Wire, queue: str) -> list[bytes | None]:
    return [client.get(queue).body for _ in range(client.depth(queue))]


@KINDS
def test_waiting_messages_go_to_consumers_in_the_order_of_tags(sharing: Wire, other: Wire, kind: str) -> None:
    for i in range(4, 8):
        other.publish("q", b"%d" % i)
    sharing.send(1, "basic.ack", delivery_tag=0, multiple=True)
    assert deliveries(sharing) == [("a", b"4"), ("a", b"5"), ("b", b"6"), ("b", b"7")]


@KINDS
def test_dead_letters_are_ordered_by_tag(sharing: Wire, other: Wire, kind: str) -> None:
    sharing.send(1, "basic.nack", delivery_tag=0, multiple=True, requeue=False)
    assert waiting(other, "dead") == [b"1", b"3", b"0", b"2"]


@KINDS
def test_a_transaction_settles_in_the_order_of_tags(sharing: Wire, other: Wire, kind: str) -> None:
    sharing.call(1, "tx.select")
    for tag in (3, 1, 2, 4):
        sharing.send(1, "basic.nack", delivery_tag=tag, requeue=False)
    sharing.send(1, "tx.commit")
    assert waiting(other, "dead") == [b"1", b"3", b"0", b"2"]


@pytest.mark.parametrize(("kind", "order"), [("classic", [0, 1, 2, 3]), ("quorum", [1, 3, 0, 2])])
def test_requeued_messages_are_ordered_by_tag(sharing: Wire, other: Wire, order: list[int]) -> None:
    for tag in "ab":
        sharing.call(1, "basic.cancel", consumer_tag=tag)
    sharing.send(1, "basic.nack", delivery_tag=0, multiple=True, requeue=True)
    assert waiting(other, "q") == [b"%d" % i for i in order]


@pytest.mark.parametrize(("kind", "order"), [("classic", [0, 1, 2, 3, 4]), ("quorum", [4, 1, 3, 0, 2])])
def test_messages_got_are_requeued_before_messages_delivered(sharing: Wire, other: Wire, order: list[int]) -> None:
    other.publish("q", b"4")
    sharing.get("q", no_ack=False)
    for tag in "ab":
        sharing.call(1, "basic.cancel", consumer_tag=tag)
    sharing.send(1, "basic.nack", delivery_tag=0, multiple=True, requeue=True)
    assert waiting(other, "q") == [b"%d" % i for i in order]


@pytest.mark.parametrize(("kind", "order"), [("classic", [0, 1, 2, 3, 4]), ("quorum", [0, 2, 1, 3, 4])])
def test_closed_channel_requeues_in_order_of_consumers_and_gets_last(
    sharing: Wire, other: Wire, order: list[int]
) -> None:
    other.publish("q", b"4")
    sharing.get("q", no_ack=False)
    sharing.call(1, "basic.cancel", consumer_tag="b")
    sharing.send(1, "channel.close")
    assert waiting(other, "q") == [b"%d" % i for i in order]


@KINDS
def test_queues_are_settled_in_the_order_of_their_names(client: Wire, other: Wire, kind: str) -> None:
    client.declare("dead")
    dead = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}
    for name in "zm":
        client.declare(name, durable=True, arguments={"x-queue-type": longstr(kind), **dead})
        client.publish(name, name.encode())
        client.get(name, no_ack=False)
    client.send(1, "basic.nack", delivery_tag=0, multiple=True, requeue=False)
    assert waiting(other, "dead") == [b"m", b"z"]
