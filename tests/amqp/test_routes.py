"""Where publishes lead: the same whether the key comes for the first time, again, or after very many others."""

import dataclasses

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
    return make_broker(bounds=dataclasses.replace(BOUNDS, few_routes=FEW, routes=MOST, all_routes=ALL))


@pytest.fixture
def client(broker: Broker) -> Wire:
    return Wire(broker).log_in()


def known(client: Wire) -> int:
    """Number of routes that the client's channel remembers."""
    return len(client.connection.channels[1].publishing.routes.known)


def bound(client: Wire, exchange: str, *keys: str, queue: str = "q") -> None:
    client.declare(queue)
    for key in keys:
        client.call(1, "queue.bind", queue=queue, exchange=exchange, routing_key=key)


def publish(client: Wire, keys: list[str], exchange: str) -> None:
    """Publish a message with each key, all at once."""
    client.connection.feed(b"".join([published(key, key.encode(), exchange) for key in keys]))
    assert client.receive() == []


def taken(client: Wire, queue: str = "q") -> list[str]:
    """The routing keys of the queue's messages, which are also their bodies."""
    keys = []
    while (got := client.get(queue)) is not None and got.name == "basic.get-ok":
        assert got.body == got.arguments["routing_key"].encode()
        keys.append(got.arguments["routing_key"])
    return keys


def test_routes_are_remembered_only_while_they_are_right(client: Wire) -> None:
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
def test_keys_that_never_repeat_lead_where_others_do(client: Wire, exchange: str, pattern: str) -> None:
    bound(client, exchange, pattern)
    keys = [f"key.{i}" for i in range(2 * MOST * ADMITTED)]
    publish(client, keys, exchange)
    assert known(client) <= MOST
    assert taken(client) == keys


@pytest.mark.parametrize("exchange", ["amq.direct", ""])
def test_each_key_leads_to_its_own_queue_however_many_come_in_turn(client: Wire, exchange: str) -> None:
    names = [f"q{i}" for i in range(2 * MOST)]
    for name in names:
        bound(client, exchange, *([name] if exchange else []), queue=name)
    for _ in range(2 * ADMITTED):
        publish(client, names, exchange)
    for name in names:
        assert taken(client, name) == [name] * 2 * ADMITTED


def test_a_key_that_comes_again_is_remembered_among_keys_that_do_not(client: Wire) -> None:
    bound(client, "amq.topic", "#")
    fresh = [f"key.{i}" for i in range(4 * COLD)]
    publish(client, fresh, "amq.topic")
    publish(client, ["again"] * 2 * ADMITTED, "amq.topic")
    assert b"\x09amq.topic\x05again" in client.connection.channels[1].publishing.routes.known
    assert taken(client) == fresh + ["again"] * 2 * ADMITTED


def test_keys_in_turn_are_remembered_if_they_are_not_too_many(client: Wire) -> None:
    bound(client, "amq.topic", "#")
    keys = [f"key.{i}" for i in range(MOST // 2)]
    for _ in range(8 * ADMITTED):
        publish(client, keys, "amq.topic")
    assert known(client) == len(keys)


def test_channels_that_others_leave_little_room_remember_few_routes(broker: Broker, client: Wire) -> None:
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


def test_a_route_that_is_remembered_again_counts_once(broker: Broker, client: Wire) -> None:
    bound(client, "amq.direct", "k")
    for misses in range(ADMITTED):
        publish(client, ["k", *["nowhere"] * (COLD + misses), "k"], "amq.direct")
    assert (known(client), broker.vhost("/").remembered) == (1, 1)
    client.call(1, "channel.close", reply_code=200, class_id=0, method_id=0)
    assert broker.vhost("/").remembered == 0


def test_keys_that_lead_nowhere_are_not_remembered(client: Wire) -> None:
    publish(client, [f"no.{i}" for i in range(2 * MOST)], "")
    assert known(client) == 0
    client.declare("no.1")
    publish(client, ["no.0", "no.1", "no.2"], "")
    assert taken(client, "no.1") == ["no.1"]


def test_keys_that_never_repeat_go_by_bindings_between_exchanges(client: Wire) -> None:
    bound(client, "amq.fanout", "")
    client.call(1, "exchange.bind", source="amq.topic", destination="amq.fanout", routing_key="to.#")
    keys = [f"to.{i}" for i in range(2 * COLD)]
    publish(client, [*keys, "not.this"], "amq.topic")
    assert taken(client) == keys
    client.call(1, "exchange.unbind", source="amq.topic", destination="amq.fanout", routing_key="to.#")
    publish(client, ["to.0"], "amq.topic")
    assert taken(client) == []


def test_keys_that_never_repeat_go_by_the_alternate_exchange(client: Wire) -> None:
    bound(client, "amq.fanout", "")
    arguments: Table = {"alternate-exchange": longstr("amq.fanout")}
    client.call(1, "exchange.declare", exchange="x", exchange_type="direct", arguments=arguments)
    bound(client, "x", "own", queue="own")
    keys = [f"other.{i}" for i in range(2 * COLD)]
    publish(client, [*keys, "own"], "x")
    assert (taken(client), taken(client, "own")) == (keys, ["own"])


def test_keys_that_never_repeat_are_given_to_each_queue_once(client: Wire) -> None:
    for queue in ("q", "r"):
        bound(client, "amq.topic", "#", "a.*", queue=queue)
    keys = [f"a.{i}" for i in range(2 * COLD)]
    publish(client, keys, "amq.topic")
    assert (taken(client), taken(client, "r")) == (keys, keys)


def test_exchanges_in_turn_keep_their_routes_apart(client: Wire) -> None:
    bound(client, "amq.topic", "#")
    bound(client, "amq.direct", "key.1", queue="r")
    for i in range(2 * COLD):
        publish(client, [f"key.{i}"], "amq.topic")
        publish(client, [f"key.{i}"], "amq.direct")
    assert taken(client) == [f"key.{i}" for i in range(2 * COLD)]
    assert taken(client, "r") == ["key.1"]


def test_a_topic_that_is_not_permitted_is_refused_however_many_came_before(broker: Broker, client: Wire) -> None:
    bound(client, "amq.topic", "#")
    permissions = client.connection.channels[1].client.permissions
    permissions.grant_topics("amq.topic", TopicGrant("^ok", ".*"))
    broker.vhosts["/"].route_epoch += 1
    keys = [f"ok.{i}" for i in range(2 * COLD)]
    publish(client, keys, "amq.topic")
    client.connection.feed(published("no", b"x", "amq.topic"))
    (closed,) = client.receive()
    assert closed.arguments["reply_code"] == 403


def test_an_exchange_that_may_not_be_written_to_is_refused_for_every_key(broker: Broker, client: Wire) -> None:
    client.connection.channels[1].client.permissions.grant(Grant(".*", "^amq.direct$", ".*"))
    broker.vhosts["/"].route_epoch += 1
    publish(client, ["a"], "amq.direct")
    client.connection.feed(published("b", b"x", "amq.topic"))
    (closed,) = client.receive()
    assert closed.arguments["reply_code"] == 403


def test_messages_of_keys_that_never_repeat_are_returned_if_they_are_mandatory(client: Wire) -> None:
    keys = [f"no.{i}" for i in range(2 * COLD)]
    client.connection.feed(b"".join([published(key, b"x", "amq.topic", mandatory=True) for key in keys]))
    got = client.receive()
    assert [each.arguments["routing_key"] for each in got] == keys
    assert {each.name for each in got} == {"basic.return"}


def test_extra_keys_count_where_keys_never_repeat(client: Wire) -> None:
    bound(client, "amq.topic", "a.*")
    bound(client, "amq.topic", "cc", queue="r")
    headers: Table = {"CC": Field("A", [longstr("cc")])}
    for i in range(2 * COLD):
        client.publish(f"a.{i}", b"x", exchange="amq.topic", headers=headers)
    assert (client.depth("q"), client.depth("r")) == (2 * COLD, 2 * COLD)
