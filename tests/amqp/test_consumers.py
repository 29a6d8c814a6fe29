import pytest

from amqpbroker.wire.values import longstr
from tests.harness import Wire


def declare(client: Wire, kind: str) -> None:
    client.declare("q", durable=True, arguments={"x-queue-type": longstr(kind)})


def hold(client: Wire, other: Wire, count: int) -> None:
    """Deliver so many messages to the consumer "c" and cancel it; ten times as many wait then."""
    client.consume("q", tag="c")
    for number in range(count):
        other.publish("q", b"%d" % number)
    assert tags(client) == list(range(1, count + 1))
    client.call(1, "basic.cancel", consumer_tag="c")
    for number in range(count * 10):
        other.publish("q", b"%d" % number)


def consume(client: Wire, prefetch: int) -> None:
    """Start a consumer "c" with that prefetch, which gets nothing immediately."""
    client.call(1, "basic.qos", prefetch_count=prefetch)
    assert client.consume("q", tag="c") == []


def tags(client: Wire) -> list[int]:
    return [got.arguments["delivery_tag"] for got in client.receive() if got.name == "basic.deliver"]


def ack_all(client: Wire) -> list[int]:
    client.send(1, "basic.ack", delivery_tag=0, multiple=True)
    return tags(client)


def test_a_lowered_prefetch_does_not_grow_again(client: Wire, other: Wire) -> None:
    declare(client, "quorum")
    hold(client, other, 4)
    other.call(1, "queue.purge", queue="q")
    consume(client, 1)
    assert ack_all(client) == []
    for _ in range(3):
        other.publish("q", b"")
    assert tags(client) == [5]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_cancelled_consumers_are_known_only_while_they_hold_messages(client: Wire, other: Wire, kind: str) -> None:
    declare(client, kind)
    (channel,) = client.connection.channels.values()
    hold(client, other, 2)
    assert len(channel.consumers.former) == 1
    other.call(1, "queue.purge", queue="q")
    consume(client, 1)
    client.call(1, "basic.cancel", consumer_tag="c")
    assert len(channel.consumers.former) == 1
    ack_all(client)
    consume(client, 1)
    client.call(1, "basic.cancel", consumer_tag="c")
    assert channel.consumers.former == []
