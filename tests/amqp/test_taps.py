"""Events for taps, on connections opened before and after the tap."""

from collections.abc import Sequence

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.events.tap import Tap, TappedDestination, TappedVhost, Via
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message
from tests.harness import Wire


class Recorder(Tap):
    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []
        self.via: Via | None = None

    def published(
        self, vhost: TappedVhost, message: Message, destinations: Sequence[TappedDestination], via: Via
    ) -> None:
        names = [destination.name for destination in destinations]
        self.seen.append(("published", message.exchange, message.routing_key, message.body, names))
        self.via = via

    def delivered(self, vhost: TappedVhost, message: Message, queue: str, redelivered: bool, via: Via) -> None:
        self.seen.append(("delivered", queue, message.body, redelivered))
        self.via = via

    def refused(self, vhost: TappedVhost, error: AmqpError, via: Via) -> None:
        self.seen.append(("refused", error.code, error.scope, via.channel))

    def take(self) -> list[tuple[object, ...]]:
        seen, self.seen = self.seen, []
        return seen


@pytest.fixture
def tap() -> Recorder:
    return Recorder()


def test_publishes_and_deliveries_are_tapped_on_channels_opened_before(
    broker: Broker, tap: Recorder, client: Wire, other: Wire
) -> None:
    client.declare("q")
    client.consume("q", no_ack=True)
    for _ in range(3):
        other.publish("q", b"before")
    broker.tap(tap)
    for body in (b"1", b"2"):
        other.publish("q", body)
    assert len(client.receive()) == 5
    assert tap.take() == [
        ("published", "", b"q", b"1", ["q"]),
        ("delivered", "q", b"1", False),
        ("published", "", b"q", b"2", ["q"]),
        ("delivered", "q", b"2", False),
    ]
    assert tap.via == ("127.0.0.1:40000 -> 127.0.0.1:5672", 1, "guest")

    broker.untap(tap)
    for _ in range(3):
        other.publish("q", b"after")
    assert len(client.receive()) == 3
    assert not tap.take()


def test_unroutable_publishes_are_tapped_without_destinations(broker: Broker, tap: Recorder, client: Wire) -> None:
    broker.tap(tap)
    client.publish("k", b"x", exchange="amq.topic")
    assert tap.take() == [("published", "amq.topic", b"k", b"x", [])]


def test_each_repeated_publish_is_tapped(broker: Broker, tap: Recorder, client: Wire) -> None:
    broker.tap(tap)
    client.declare("q")
    for _ in range(5):
        client.publish("q", b"same")
    assert len(tap.take()) == 5
    assert client.depth("q") == 5


def test_gets_and_redeliveries_are_tapped(broker: Broker, tap: Recorder, client: Wire) -> None:
    client.declare("q")
    client.publish("q", b"x")
    broker.tap(tap)
    tag = client.get("q", no_ack=False).arguments["delivery_tag"]
    client.send(1, "basic.nack", delivery_tag=tag, requeue=True)
    assert len(client.consume("q")) == 1
    assert tap.take() == [("delivered", "q", b"x", False), ("delivered", "q", b"x", True)]


def test_direct_replies_are_tapped_as_publishes_only(broker: Broker, tap: Recorder, client: Wire, other: Wire) -> None:
    client.consume("amq.rabbitmq.reply-to", no_ack=True)
    client.declare("q")
    client.publish("q", b"", reply_to="amq.rabbitmq.reply-to")
    properties = other.get("q").properties
    assert properties is not None
    broker.tap(tap)
    other.publish(properties["reply_to"].decode(), b"reply")
    assert [got.body for got in client.receive()] == [b"reply"]
    assert [seen[0] for seen in tap.take()] == ["published"]


def test_errors_of_channels_and_connections_are_tapped(broker: Broker, tap: Recorder, client: Wire) -> None:
    broker.tap(tap)
    client.send(1, "queue.declare", queue="nope", passive=True)
    client.send(1, "channel.close-ok")
    client.send(2, "channel.open")
    client.send(2, "channel.open")
    assert tap.take() == [("refused", 404, "channel", 1), ("refused", 504, "connection", 2)]


def test_a_tap_of_one_vhost_sees_only_that_vhost(broker: Broker, tap: Recorder, client: Wire) -> None:
    elsewhere = broker.add_vhost("elsewhere")
    broker.tap(tap, elsewhere)
    client.publish("q")
    assert not tap.take()


def test_a_tap_of_all_vhosts_sees_later_vhosts(broker: Broker, tap: Recorder) -> None:
    broker.tap(tap)
    broker.add_vhost("later")
    broker.users.set_permissions("guest", "later", ".*", ".*", ".*")
    Wire(broker).log_in(vhost="later").publish("q")
    assert len(tap.take()) == 1
