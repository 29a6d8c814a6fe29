import pytest

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, Wire


def close(client: Wire) -> tuple[int, str]:
    (got,) = client.receive()
    assert got.name == "channel.close"
    client.send(1, "channel.close-ok")
    client.call(1, "channel.open")
    return got.arguments["reply_code"], got.arguments["reply_text"]


@pytest.mark.parametrize("kind", ["direct", "fanout", "topic", "headers", "x-consistent-hash", "x-random"])
def test_declaring(client: Wire, kind: str) -> None:
    for _ in range(2):
        assert client.call(1, "exchange.declare", exchange="x", exchange_type=kind) == Received(
            1, "exchange.declare-ok", {}
        )
    assert client.call(1, "exchange.declare", exchange="x", passive=True).name == "exchange.declare-ok"
    client.send(1, "exchange.declare", exchange="x", exchange_type=kind, durable=True)
    assert close(client) == (
        406,
        "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'x' in vhost '/':"
        " received 'true' but current is 'false'",
    )


def test_what_is_not_there(client: Wire) -> None:
    client.send(1, "exchange.declare", exchange="x", passive=True)
    assert close(client) == (404, "NOT_FOUND - no exchange 'x' in vhost '/'")
    assert client.call(1, "exchange.delete", exchange="x").name == "exchange.delete-ok"


def test_names(client: Wire) -> None:
    client.send(1, "exchange.declare", exchange="amq.mine", exchange_type="direct")
    assert close(client) == (403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'")
    assert client.call(1, "exchange.declare", exchange="a\r\nb", exchange_type="direct").name == "exchange.declare-ok"
    assert client.call(1, "exchange.declare", exchange="ab", passive=True).name == "exchange.declare-ok"


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
def test_the_default_exchange_is_left_alone(client: Wire, name: str, arguments: dict[str, object]) -> None:
    client.send(1, name, **arguments)
    assert close(client) == (403, "ACCESS_REFUSED - operation not permitted on the default exchange")


def test_exchanges_lead_to_exchanges(client: Wire) -> None:
    for name in ("one", "two"):
        client.call(1, "exchange.declare", exchange=name, exchange_type="fanout")
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="two")
    for _ in range(2):
        assert client.call(1, "exchange.bind", source="one", destination="two").name == "exchange.bind-ok"
    client.call(1, "exchange.bind", source="two", destination="one")
    client.publish("", b"1", exchange="one")
    client.publish("", b"2", exchange="two")
    assert client.depth("q") == 2
    for _ in range(2):
        assert client.call(1, "exchange.unbind", source="one", destination="two").name == "exchange.unbind-ok"
    client.publish("", b"3", exchange="one")
    assert client.depth("q") == 2


def test_what_cannot_be_bound(client: Wire) -> None:
    client.send(1, "exchange.bind", source="nope", destination="amq.fanout")
    assert close(client)[0] == 404
    client.send(1, "exchange.bind", source="amq.fanout", destination="nope")
    assert close(client)[0] == 404


def test_deleting_only_if_unused(client: Wire) -> None:
    client.call(1, "exchange.declare", exchange="x", exchange_type="fanout")
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="x")
    client.send(1, "exchange.delete", exchange="x", if_unused=True)
    assert close(client) == (406, "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use")
    client.call(1, "queue.delete", queue="q")
    assert client.call(1, "exchange.delete", exchange="x", if_unused=True).name == "exchange.delete-ok"


def test_an_alternate_exchange_gets_what_finds_no_way(client: Wire) -> None:
    client.declare("q")
    client.call(
        1,
        "exchange.declare",
        exchange="x",
        exchange_type="direct",
        arguments={"alternate-exchange": longstr("amq.fanout")},
    )
    client.call(1, "queue.bind", queue="q", exchange="amq.fanout")
    client.publish("k", b"1", exchange="x", mandatory=True)
    got = client.get("q")
    assert (got.arguments["exchange"], got.arguments["routing_key"]) == ("x", "k")


def test_a_delayed_message_comes_when_it_is_due(client: Wire) -> None:
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


@pytest.mark.parametrize("kind", ["nope", "", "x-nope", "Direct"])
def test_types_that_are_none(client: Wire, kind: str) -> None:
    client.send(1, "exchange.declare", exchange="x", exchange_type=kind)
    assert close(client)[0] == 406
    client.send(1, "exchange.declare", exchange="x", passive=True)
    assert close(client)[0] == 404


@pytest.mark.parametrize(
    ("name", "arguments", "permission"),
    [
        ("exchange.declare", {"exchange": "x", "exchange_type": "direct"}, "configure"),
        ("exchange.delete", {"exchange": "x"}, "configure"),
        ("exchange.bind", {"source": "amq.fanout", "destination": "x"}, "write"),
        ("exchange.bind", {"source": "x", "destination": "amq.fanout"}, "read"),
    ],
)
def test_permissions(client: Wire, name: str, arguments: dict[str, str], permission: str) -> None:
    client.call(1, "exchange.declare", exchange="x", exchange_type="direct")
    kinds = {"configure": ".*", "write": ".*", "read": ".*", permission: "^amq"}
    client.broker.users.set_permissions("guest", "/", *kinds.values())
    client.call(2, "channel.open")
    client.send(2, name, **arguments)
    (got,) = client.receive()
    assert got.arguments["reply_text"] == (
        f"ACCESS_REFUSED - {permission} access to exchange 'x' in vhost '/' refused for user 'guest'"
    )


def test_topics_take_permission_of_their_own(client: Wire) -> None:
    client.declare("q")
    client.call(1, "queue.bind", queue="q", exchange="amq.topic", routing_key="#")
    client.broker.users.set_topic_permissions("guest", "/", "amq.topic", "^mine\\.", "^mine\\.")
    client.call(2, "channel.open")
    client.publish("mine.a", b"1", exchange="amq.topic", channel=2)
    assert client.depth("q") == 1
    client.publish("yours.a", b"2", exchange="amq.topic", channel=2)
    (got,) = client.receive()
    assert got.arguments["reply_text"].startswith("ACCESS_REFUSED - write access to topic 'yours.a'")
    assert client.depth("q") == 1
