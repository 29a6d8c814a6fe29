import pytest

from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire


def close(client: Wire) -> tuple[int, str]:
    (got,) = client.receive()
    assert got.name == "channel.close"
    client.send(1, "channel.close-ok")
    client.call(1, "channel.open")
    return got.arguments["reply_code"], got.arguments["reply_text"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("exchange.declare", {"exchange": "", "exchange_type": "direct"}),
        ("exchange.declare", {"exchange": "", "passive": True}),
        ("exchange.delete", {"exchange": ""}),
        ("exchange.bind", {"source": "", "destination": "amq.fanout"}),
        ("exchange.bind", {"source": "amq.fanout", "destination": ""}),
        ("exchange.unbind", {"source": "", "destination": "amq.fanout"}),
    ],
)
def test_the_default_exchange_cannot_be_changed(client: Wire, name: str, arguments: dict[str, object]) -> None:
    client.send(1, name, **arguments)
    assert close(client) == (403, "ACCESS_REFUSED - operation not permitted on the default exchange")


def test_exchange_in_use_is_not_deleted_if_unused_is_set(client: Wire) -> None:
    client.call(1, "exchange.declare", exchange="x", exchange_type="fanout")
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="x")
    client.send(1, "exchange.delete", exchange="x", if_unused=True)
    assert close(client) == (406, "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use")
    client.call(1, "queue.delete", queue="q")
    assert client.call(1, "exchange.delete", exchange="x", if_unused=True).name == "exchange.delete-ok"


def test_a_delayed_message_is_delivered_when_it_is_due(client: Wire) -> None:
    arguments = {"x-delayed-type": longstr("direct")}
    client.call(1, "exchange.declare", exchange="x", exchange_type="x-delayed-message", arguments=arguments)
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="x", routing_key="k")
    client.publish("k", b"later", exchange="x", headers={"x-delay": Field("I", 5000)})
    client.publish("k", b"now", exchange="x")
    assert client.get("q").body == b"now"
    client.broker.clock.advance(4999)  # type: ignore[attr-defined]
    assert client.depth("q") == 0
    client.broker.clock.advance(1)  # type: ignore[attr-defined]
    got = client.get("q")
    assert got.body == b"later"
    assert got.properties == {"headers": {"x-delay": Field("I", -5000)}}
