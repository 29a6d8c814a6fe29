from unittest.mock import Mock

import pytest

from amqpbroker.broker.actions import Actions
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.super_streams import (
    Partition,
    create_super_stream,
    delete_super_stream,
    numbered,
    partitions,
    super_streams,
)
from amqpbroker.broker.users.permissions import Grant
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.errors import AmqpError, not_stored
from amqpbroker.store.definitions.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire.values import Field, longstr
from tests.fault_definitions import FaultyDefinitions
from tests.harness import Wire


class Node:
    """A broker whose definitions can refuse one change. fails: number of the `put` that is refused, from 1 on."""

    def __init__(self):
        self.definitions = FaultyDefinitions()
        self.fails = 0
        self._put = self.definitions.put
        self.definitions.put = self.put
        self.broker = Broker(Config(), ManualClock(), MemoryStore(), self.definitions)
        self.vhost = self.broker.vhosts["/"]

    def put(self, *definitions):
        self.fails -= 1
        if self.fails == 0:
            raise not_stored("disk full")
        self._put(*definitions)

    def actions(self, user="guest") -> Actions:
        return Actions(self.vhost, self.broker.users.permissions(self.broker.users.user(user), "/"))

    def create(self, name="s", keys=("0", "1", "2"), user="guest", **arguments):
        create_super_stream(self.actions(user), name, list(keys), {f"x-{n}": v for n, v in arguments.items()})

    def state(self):
        stored = [len(self.definitions.all(kind)) for kind in (ExchangeDefinition, QueueDefinition, BindingDefinition)]
        return sorted(self.vhost.exchanges), sorted(self.vhost.queues), stored


@pytest.fixture
def node():
    return Node()


def test_layout_is_that_of_rabbitmq(node):
    node.create(**{"max-age": longstr("7D"), "queue-type": longstr("stream")})
    exchange = node.vhost.exchanges["s"]
    assert (exchange.type.name, exchange.durable, exchange.auto_delete, exchange.internal) == (
        "direct",
        True,
        False,
        False,
    )
    assert exchange.arguments == {"x-super-stream": Field("t", True)}
    bound = [(b.destination.name, b.routing_key, b.arguments) for b in exchange.bindings.values()]
    assert bound == [
        (f"s-{order}", b"%d" % order, {"x-stream-partition-order": Field("l", order)}) for order in range(3)
    ]
    stream = node.vhost.queues["s-1"]
    assert (stream.kind.name, stream.durable) == ("stream", True)
    assert stream.arguments == {
        "x-queue-leader-locator": longstr("balanced"),
        "x-max-age": longstr("7D"),
        "x-queue-type": longstr("stream"),
    }
    assert node.state()[2] == [1, 3, 3]


def test_partitions_are_in_their_order(node):
    node.create(keys=("emea", "apac"))
    assert partitions(node.vhost, "s") == [Partition("s-emea", "emea"), Partition("s-apac", "apac")]
    node.create("t", numbered(12))
    assert [partition.binding_key for partition in partitions(node.vhost, "t")] == numbered(12)
    assert super_streams(node.vhost) == ["s", "t"]


def test_a_message_goes_to_the_partition_of_its_routing_key(node):
    node.create(keys=("emea", "apac"))
    client = Wire(node.broker).log_in()
    client.publish("apac", b"1", "s")
    client.receive()
    assert [node.vhost.queues[name].ready_count for name in ("s-emea", "s-apac")] == [0, 1]


def test_another_exchange_is_no_super_stream(node):
    node.vhost.declare_exchange("x", "direct", True, False, False, {})
    assert partitions(node.vhost, "x") is None
    assert partitions(node.vhost, "nope") is None
    assert not delete_super_stream(node.actions(), "x")
    assert "x" in node.vhost.exchanges


def test_deletion_deletes_exchange_and_partitions(node):
    before = node.state()
    node.create()
    assert delete_super_stream(node.actions(), "s")
    assert node.state() == before
    assert not delete_super_stream(node.actions(), "s")


def test_deletion_leaves_other_queues_that_are_bound(node):
    node.create()
    node.vhost.declare_queue("q", True, False, False, {})
    node.actions().bind("s", "q", True, "0", {})
    delete_super_stream(node.actions(), "s")
    assert list(node.vhost.queues) == ["q"]


def test_nothing_is_created_if_the_exchange_exists(node):
    node.vhost.declare_exchange("s", "direct", True, False, False, {"x-super-stream": Field("t", True)})
    before = node.state()
    with pytest.raises(AmqpError, match="super stream 's' cannot be created: exchange 's' exists in vhost '/'"):
        node.create()
    assert node.state() == before


def test_nothing_is_created_if_a_partition_exists(node):
    node.vhost.declare_queue("s-2", True, False, False, {"x-queue-type": longstr("stream")})
    before = node.state()
    with pytest.raises(AmqpError, match="queue 's-2' exists in vhost '/'; choose another name, or delete it"):
        node.create()
    assert node.state() == before


@pytest.mark.parametrize(
    ("name", "keys", "arguments", "problem"),
    [
        ("amq.s", ["0"], {}, "does not begin with 'amq.'"),
        ("", ["0"], {}, "does not begin with 'amq.'"),
        ("s", [], {}, "cannot have 0 partitions: the number must be from 1 to 1000"),
        ("s", numbered(1001), {}, "cannot have 1001 partitions"),
        ("s", ["a", "b", "a"], {}, "cannot have two partitions 's-a': use different binding keys"),
        ("s", ["k" * 254], {}, "a name of more than 255 bytes"),
        ("s", ["a\nb"], {}, "names cannot have line breaks"),
        ("s", ["a"], {"max-age": longstr("soon")}, "invalid arg 'x-max-age'"),
        ("s", ["a"], {"message-ttl": Field("l", 1)}, "invalid arg 'x-message-ttl'"),
        (
            "s",
            ["a"],
            {"queue-type": longstr("classic")},
            "super stream 's' in vhost '/' cannot have partitions of the type 'classic': they are always streams,"
            " so leave out x-queue-type",
        ),
        ("s", ["a"], {"queue-type": Field("l", 5)}, "cannot have partitions of the type 5: they are always streams"),
    ],
)
def test_wrong_super_stream_is_refused_and_nothing_is_created(node, name, keys, arguments, problem):
    before = node.state()
    with pytest.raises(AmqpError, match=problem) as raised:
        node.create(name, keys, **arguments)
    assert raised.value.code == 406
    assert node.state() == before


def test_nothing_is_created_beyond_the_limit_of_queues(node):
    node.broker.limits.set_vhost("/", "max-queues", 2)
    before = node.state()
    with pytest.raises(AmqpError, match="queue limit in vhost '/'"):
        node.create()
    assert node.state() == before


@pytest.mark.parametrize("fails", range(1, 8))
def test_nothing_is_created_if_a_definition_cannot_be_stored(node, fails):
    before = node.state()
    node.fails = fails
    with pytest.raises(AmqpError, match="disk full"):
        node.create()
    assert node.state() == before
    node.create()
    assert node.state()[2] == [1, 3, 3]


def test_nothing_is_created_if_changes_cannot_be_stored_for_a_while(node):
    before = node.state()
    node.definitions.may_change = Mock(side_effect=[None, *[not_stored("disk full")] * 10])
    with pytest.raises(AmqpError, match="disk full"):
        node.create()
    node.definitions.may_change = lambda: None
    assert node.state() == before
    node.create()
    assert node.state()[2] == [1, 3, 3]


@pytest.mark.parametrize(
    "grant",
    [
        Grant("^s-", ".*", ".*"),
        Grant("^s$", ".*", ".*"),
        Grant("^s(-[01])?$", ".*", ".*"),
        Grant(".*", "^s-[01]$", ".*"),
        Grant(".*", ".*", "^s-"),
    ],
)
def test_each_declaration_needs_its_permission(node, grant):
    node.broker.users.add_user("u", "p", ())
    node.broker.users.set_permissions("u", "/", *grant)
    before = node.state()
    with pytest.raises(AmqpError) as raised:
        node.create(user="u")
    assert raised.value.code == 403
    assert node.state() == before


def test_deletion_needs_permission_for_all_partitions(node):
    node.create()
    node.broker.users.add_user("u", "p", ())
    before = node.state()
    for configure in ("^s-", "^s(-[01])?$"):
        node.broker.users.set_permissions("u", "/", configure, ".*", ".*")
        with pytest.raises(AmqpError):
            delete_super_stream(node.actions("u"), "s")
        assert node.state() == before
