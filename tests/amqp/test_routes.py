"""Routes of publishes: the same for a new key, a repeated key, and a key after very many others."""

import pytest

from amqpbroker.amqp.routes import ADMITTED, COLD
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.users.permissions import Grant, TopicGrant
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Wire, make_broker, published

FEW, MOST, ALL = 8, 64, 100


@pytest.fixture
def broker() -> Broker:
    return make_broker(bounds=BOUNDS._replace(few_routes=FEW, routes=MOST, all_routes=ALL))


@pytest.fixture
def client(broker: Broker) -> Wire:
    return Wire(broker).log_in()


def known(client: Wire) -> int:
    """Return the number of routes in the cache of the client's channel."""
    return len(client.connection.channels[1].publishing.routes.known)


def bound(client: Wire, exchange: str, *keys: str, queue: str = "q") -> None:
    client.declare(queue)
    for key in keys:
        client.call(1, "queue.bind", queue=queue, exchange=exchange, routing_key=key)


def publish(client: Wire, keys: list[str], exchange: str) -> None:
    """Publish a message with each key, all in one write."""
    client.connection.feed(b"".join([published(key, key.encode(), exchange) for key in keys]))
    assert client.receive() == []


def taken(client: Wire, queue: str = "q") -> list[str]:
    """Return the routing keys of the queue's messages, which are also their bodies."""
    keys = []
    while (got := client.get(queue)) is not None and got.name == "basic.get-ok":
        assert got.body == got.arguments["routing_key"].encode()
        keys.append(got.arguments["routing_key"])
    return keys


def test_cached_routes_are_discarded_when_bindings_change(client: Wire) -> None:
    client.publish("k", b"lost", exchange="amq.direct")
    client.declare("q")
    client.publish("q", b"1")
    client.call(1, "queue.bind", queue="q", exchange="amq.direct", routing_key="k")
    client.publish("k", b"2", exchange="amq.direct")
    client.call(1, "queue.delete", queue="q")
    client.publish("q", b"lost")
    client.publish("k", b"lost", exchange="amq.direct")
    client.declare("q")
    client.publish("q", b"3")
    assert client.depth("q") == 1


@pytest.mark.parametrize(
    ("exchange", "pattern"),
    [("amq.topic", "#"), ("amq.topic", "key.*"), ("amq.topic", "*.#"), ("amq.fanout", ""), ("amq.headers", "")],
)
def test_keys_that_never_repeat_are_routed_like_others(client: Wire, exchange: str, pattern: str) -> None:
    bound(client, exchange, pattern)
    keys = [f"key.{i}" for i in range(2 * MOST * ADMITTED)]
    publish(client, keys, exchange)
    assert known(client) <= MOST
    assert taken(client) == keys


@pytest.mark.parametrize("exchange", ["amq.direct", ""])
def test_each_of_many_keys_is_routed_to_its_own_queue(client: Wire, exchange: str) -> None:
    names = [f"q{i}" for i in range(2 * MOST)]
    for name in names:
        bound(client, exchange, *([name] if exchange else []), queue=name)
    for _ in range(2 * ADMITTED):
        publish(client, names, exchange)
    for name in names:
        assert taken(client, name) == [name] * 2 * ADMITTED


def test_a_repeated_key_is_cached_among_keys_that_never_repeat(client: Wire) -> None:
    bound(client, "amq.topic", "#")
    fresh = [f"key.{i}" for i in range(4 * COLD)]
    publish(client, fresh, "amq.topic")
    publish(client, ["again"] * 2 * ADMITTED, "amq.topic")
    assert b"\x09amq.topic\x05again" in client.connection.channels[1].publishing.routes.known
    assert taken(client) == fresh + ["again"] * 2 * ADMITTED


def test_alternating_keys_are_cached_up_to_a_limit(client: Wire) -> None:
    bound(client, "amq.topic", "#")
    keys = [f"key.{i}" for i in range(MOST // 2)]
    for _ in range(8 * ADMITTED):
        publish(client, keys, "amq.topic")
    assert known(client) == len(keys)


def test_channels_cache_few_routes_if_others_use_the_limit(broker: Broker, client: Wire) -> None:
    vhost = broker.vhosts["/"]
    bound(client, "amq.fanout", "")
    publish(client, ["key"], "amq.fanout")
    assert vhost.remembered == 1
    vhost.remembered += ALL
    other = Wire(broker).log_in()
    publish(other, [f"key{i}" for i in range(FEW)], "amq.fanout")
    assert known(other) == FEW
    publish(other, [f"more{i}" for i in range(ADMITTED)], "amq.fanout")
    assert (known(other), vhost.remembered) == (1, ALL + 2)
    other.call(1, "queue.unbind", queue="q", exchange="amq.fanout")
    publish(other, ["key"], "amq.fanout")
    assert (known(other), vhost.remembered) == (0, ALL + 1)
    client.call(1, "channel.close", reply_code=0, reply_text="", class_id=0, method_id=0)
    assert vhost.remembered == ALL


def test_a_route_that_is_cached_again_counts_once(broker: Broker, client: Wire) -> None:
    bound(client, "amq.direct", "k")
    for misses in range(ADMITTED):
        publish(client, ["k", *["nowhere"] * (COLD + misses), "k"], "amq.direct")
    assert (known(client), broker.vhost("/").remembered) == (1, 1)
    client.call(1, "channel.close", reply_code=200, class_id=0, method_id=0)
    assert broker.vhost("/").remembered == 0


def test_unroutable_keys_are_not_cached(client: Wire) -> None:
    publish(client, [f"no.{i}" for i in range(2 * MOST)], "")
    assert known(client) == 0
    client.declare("no.1")
    publish(client, ["no.0", "no.1", "no.2"], "")
    assert taken(client, "no.1") == ["no.1"]


def test_keys_that_never_repeat_follow_bindings_between_exchanges(client: Wire) -> None:
    bound(client, "amq.fanout", "")
    client.call(1, "exchange.bind", source="amq.topic", destination="amq.fanout", routing_key="to.#")
    keys = [f"to.{i}" for i in range(2 * COLD)]
    publish(client, [*keys, "not.this"], "amq.topic")
    assert taken(client) == keys
    client.call(1, "exchange.unbind", source="amq.topic", destination="amq.fanout", routing_key="to.#")
    publish(client, ["to.0"], "amq.topic")
    assert taken(client) == []


def test_keys_that_never_repeat_follow_the_alternate_exchange(client: Wire) -> None:
    bound(client, "amq.fanout", "")
    arguments: Table = {"alternate-exchange": longstr("amq.fanout")}
    client.call(1, "exchange.declare", exchange="x", exchange_type="direct", arguments=arguments)
    bound(client, "x", "own", queue="own")
    keys = [f"other.{i}" for i in range(2 * COLD)]
    publish(client, [*keys, "own"], "x")
    assert (taken(client), taken(client, "own")) == (keys, ["own"])


def test_keys_that_never_repeat_are_routed_to_each_queue_once(client: Wire) -> None:
    for queue in ("q", "r"):
        bound(client, "amq.topic", "#", "a.*", queue=queue)
    keys = [f"a.{i}" for i in range(2 * COLD)]
    publish(client, keys, "amq.topic")
    assert (taken(client), taken(client, "r")) == (keys, keys)


def test_alternating_exchanges_have_separate_routes(client: Wire) -> None:
    bound(client, "amq.topic", "#")
    bound(client, "amq.direct", "key.1", queue="r")
    for i in range(2 * COLD):
        publish(client, [f"key.{i}"], "amq.topic")
        publish(client, [f"key.{i}"], "amq.direct")
    assert taken(client) == [f"key.{i}" for i in range(2 * COLD)]
    assert taken(client, "r") == ["key.1"]


def test_a_forbidden_topic_is_refused_after_many_allowed_ones(broker: Broker, client: Wire) -> None:
    bound(client, "amq.topic", "#")
    permissions = client.connection.channels[1].client.permissions
    permissions.grant_topics("amq.topic", TopicGrant("^ok", ".*"))
    broker.vhosts["/"].route_epoch += 1
    keys = [f"ok.{i}" for i in range(2 * COLD)]
    publish(client, keys, "amq.topic")
    client.connection.feed(published("no", b"x", "amq.topic"))
    (closed,) = client.receive()
    assert closed.arguments["reply_code"] == 403


def test_an_exchange_without_write_permission_is_refused_for_every_key(broker: Broker, client: Wire) -> None:
    client.connection.channels[1].client.permissions.grant(Grant(".*", "^amq.direct$", ".*"))
    broker.vhosts["/"].route_epoch += 1
    publish(client, ["a"], "amq.direct")
    client.connection.feed(published("b", b"x", "amq.topic"))
    (closed,) = client.receive()
    assert closed.arguments["reply_code"] == 403


def test_mandatory_messages_with_keys_that_never_repeat_are_returned(client: Wire) -> None:
    keys = [f"no.{i}" for i in range(2 * COLD)]
    client.connection.feed(b"".join([published(key, b"x", "amq.topic", mandatory=True) for key in keys]))
    got = client.receive()
    assert [each.arguments["routing_key"] for each in got] == keys
    assert {each.name for each in got} == {"basic.return"}


def test_extra_keys_are_routed_if_keys_never_repeat(client: Wire) -> None:
    bound(client, "amq.topic", "a.*")
    bound(client, "amq.topic", "cc", queue="r")
    headers: Table = {"CC": Field("A", [longstr("cc")])}
    for i in range(2 * COLD):
        client.publish(f"a.{i}", b"x", exchange="amq.topic", headers=headers)
    assert (client.depth("q"), client.depth("r")) == (2 * COLD, 2 * COLD)
