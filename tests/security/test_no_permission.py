"""Access by AMQP for a user without any permission in a vhost. docs/security.md has the table.

The refusals and their texts are those of RabbitMQ 4.0.5 for the same requests.
"""

import base64

import pytest

from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire, make_broker, published

#: In this order: an existing queue, a missing one, another connection's exclusive one, a quorum queue.
QUEUES = ("there", "missing", "locked", "quorum")
EXCHANGES = ("x", "missing", "inner", "amq.direct", "amq.rabbitmq.trace")


@pytest.fixture
def broker():
    broker = make_broker()
    broker.add_vhost("shared")
    broker.add_vhost("secret")
    for user in ("owner", "nobody"):
        broker.users.add_user(user, "p")
    broker.users.set_permissions("owner", "shared", ".*", ".*", ".*")
    broker.users.set_permissions("owner", "secret", ".*", ".*", ".*")
    broker.users.set_permissions("nobody", "shared", "", "", "")
    return broker


@pytest.fixture
def owner(broker):
    owner = Wire(broker).log_in("owner", "p", "shared")
    owner.declare("there")
    owner.declare("locked", exclusive=True)
    owner.declare("quorum", durable=True, arguments={"x-queue-type": longstr("quorum")})
    owner.call(1, "exchange.declare", exchange="x", exchange_type="topic")
    owner.call(1, "exchange.declare", exchange="y", exchange_type="fanout")
    owner.call(1, "exchange.declare", exchange="inner", exchange_type="fanout", internal=True)
    owner.call(1, "queue.bind", queue="there", exchange="x", routing_key="k")
    owner.publish("there", b"secret")
    return owner


@pytest.fixture
def nobody(broker, owner):
    return Wire(broker).log_in("nobody", "p", "shared")


class Channels:
    """Opens a channel for each request, because a refusal closes it."""

    def __init__(self, wire):
        self.wire = wire
        self.number = 1

    def call(self, method, **arguments):
        """Send a request; return the answers as (name, text)."""
        self.number += 1
        self.wire.call(self.number, "channel.open")
        return self._shown(self.wire.call(self.number, method, **arguments))

    def publish(self, exchange, routing_key, **properties):
        self.number += 1
        self.wire.call(self.number, "channel.open")
        self.wire.feed(published(routing_key, b"x", exchange, self.number, mandatory=True, **properties))
        return [self._shown(got) for got in self.wire.receive()]

    def _shown(self, got):
        return got.name, got.arguments.get("reply_text", "")


@pytest.fixture
def channels(nobody):
    return Channels(nobody)


def refusal(permission, kind, name):
    return (
        "channel.close",
        f"ACCESS_REFUSED - {permission} access to {kind} '{name}' in vhost 'shared' refused for user 'nobody'",
    )


def snapshot(broker):
    """Return the state of the vhost that somebody could have changed."""
    vhost = broker.vhosts["shared"]
    return (
        sorted(vhost.exchanges),
        {name: (queue.ready_count, queue.consumer_count) for name, queue in vhost.queues.items()},
        {name: len(exchange.bindings) for name, exchange in vhost.exchanges.items()},
    )


# --- queues -----------------------------------------------------------------------------------------------------------

ON_QUEUES = {
    "declare": ("configure", "queue.declare", {}),
    "declare durable": ("configure", "queue.declare", {"durable": True}),
    "declare with wrong arguments": ("configure", "queue.declare", {"arguments": {"x-message-ttl": Field("I", -1)}}),
    "declare with dead letters": (
        "configure",
        "queue.declare",
        {"arguments": {"x-dead-letter-exchange": longstr("x")}},
    ),
    "delete": ("configure", "queue.delete", {}),
    "delete if empty": ("configure", "queue.delete", {"if_empty": True}),
    "delete if unused": ("configure", "queue.delete", {"if_unused": True}),
    "purge": ("read", "queue.purge", {}),
    "consume": ("read", "basic.consume", {}),
    "get": ("read", "basic.get", {}),
    "bind": ("write", "queue.bind", {"exchange": "x", "routing_key": "k"}),
    "bind to a missing exchange": ("write", "queue.bind", {"exchange": "missing", "routing_key": "k"}),
    "bind to the default exchange": ("write", "queue.bind", {"exchange": "", "routing_key": "k"}),
    "unbind": ("write", "queue.unbind", {"exchange": "x", "routing_key": "k"}),
}


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("operation", ON_QUEUES)
def test_queues_are_refused_whether_or_not_they_exist(broker, channels, operation, queue):
    permission, method, arguments = ON_QUEUES[operation]
    before = snapshot(broker)
    assert channels.call(method, queue=queue, **arguments) == refusal(permission, "queue", queue)
    assert snapshot(broker) == before


def test_no_queue_can_be_declared_without_permission_not_even_an_exclusive_one(channels):
    name, text = channels.call("queue.declare", queue="", exclusive=True)
    assert (name, text[:49]) == ("channel.close", "ACCESS_REFUSED - configure access to queue 'amq.g")
    assert "reserved prefix" in channels.call("queue.declare", queue="amq.gen-mine")[1]


# --- exchanges --------------------------------------------------------------------------------------------------------

ON_EXCHANGES = {
    "declare": ("configure", "exchange.declare", {"exchange": "{}", "exchange_type": "direct"}),
    "declare with alternate": (
        "configure",
        "exchange.declare",
        {"exchange": "{}", "exchange_type": "direct", "arguments": {"alternate-exchange": longstr("x")}},
    ),
    "bind to": ("write", "exchange.bind", {"destination": "{}", "source": "x"}),
    "unbind from": ("write", "exchange.unbind", {"destination": "{}", "source": "x"}),
}


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("operation", ON_EXCHANGES)
def test_exchanges_are_refused_whether_or_not_they_exist(broker, channels, operation, exchange):
    permission, method, arguments = ON_EXCHANGES[operation]
    arguments = {key: value.format(exchange) if isinstance(value, str) else value for key, value in arguments.items()}
    before = snapshot(broker)
    assert channels.call(method, **arguments) == refusal(permission, "exchange", exchange)
    assert snapshot(broker) == before


@pytest.mark.parametrize("exchange", EXCHANGES[:3])
def test_exchanges_cannot_be_deleted_without_permission(broker, channels, exchange):
    for if_unused in (False, True):
        answer = channels.call("exchange.delete", exchange=exchange, if_unused=if_unused)
        assert answer == refusal("configure", "exchange", exchange)


@pytest.mark.parametrize("source", ["x", "missing", "inner"])
def test_binding_requires_read_permission_for_the_source(channels, source):
    """Check that write permission on the destination does not reveal whether a source exists."""
    channels.wire.broker.users.set_permissions("nobody", "shared", "", "^(there|y)$", "")
    answer = channels.call("exchange.bind", destination="y", source=source)
    assert answer == refusal("read", "exchange", source)
    answer = channels.call("queue.bind", queue="there", exchange=source)
    assert answer == refusal("read", "exchange", source)


# --- publishing -------------------------------------------------------------------------------------------------------

BODIES = {
    "plain": {},
    "with CC and BCC": {"headers": {name: Field("A", [longstr("there")]) for name in ("CC", "BCC")}},
    "that cannot expire": {"expiration": "never"},
    "in another's name": {"user_id": "owner"},
    "for replies": {"reply_to": "amq.rabbitmq.reply-to"},
}


@pytest.mark.parametrize("message", BODIES)
@pytest.mark.parametrize("exchange", [*EXCHANGES, ""])
def test_publish_without_permission_is_refused_before_any_other_check(broker, channels, exchange, message):
    before = snapshot(broker)
    answer = channels.publish(exchange, "there", **BODIES[message])
    assert answer == [refusal("write", "exchange", exchange or "amq.default")]
    assert snapshot(broker) == before


def test_topic_permissions_apply_to_every_routing_key(broker, owner, channels):
    broker.users.set_permissions("nobody", "shared", "", "^x$", "")
    broker.users.set_topic_permissions("nobody", "shared", "x", "^mine$", "")
    assert channels.publish("x", "k")[0][1].startswith("ACCESS_REFUSED - write access to topic 'k'")
    further = {"headers": {"BCC": Field("A", [longstr("k")])}}
    assert channels.publish("x", "mine", **further)[0][1].startswith("ACCESS_REFUSED - write access to topic 'k'")
    assert owner.depth("there") == 1


def test_internal_exchange_refuses_publishes_even_with_permission(channels):
    channels.wire.broker.users.set_permissions("nobody", "shared", "", ".*", "")
    assert channels.publish("inner", "k") == [
        ("channel.close", "ACCESS_REFUSED - cannot publish to internal exchange 'inner' in vhost 'shared'")
    ]


def test_user_id_of_another_user_requires_the_impersonator_tag(channels):
    channels.wire.broker.users.set_permissions("nobody", "shared", "", ".*", "")
    ((name, text),) = channels.publish("", "there", user_id="owner")
    assert (name, text[:19]) == ("channel.close", "PRECONDITION_FAILED")


# --- indirect access --------------------------------------------------------------------------------------------------


def test_queue_cannot_dead_letter_to_an_exchange_without_write_permission(broker, channels):
    broker.users.set_permissions("nobody", "shared", "^mine", "^mine", "^mine")
    dead_letters = {"x-dead-letter-exchange": longstr("x"), "x-message-ttl": Field("I", 0)}
    answer = channels.call("queue.declare", queue="mine", arguments=dead_letters)
    assert answer == refusal("write", "exchange", "x")
    default = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("there")}
    answer = channels.call("queue.declare", queue="mine", arguments=default)
    assert answer == refusal("write", "exchange", "amq.default")


def test_exchange_cannot_route_to_a_destination_without_write_permission(broker, channels):
    broker.users.set_permissions("nobody", "shared", "^mine", "^mine", "^mine")
    arguments = {"alternate-exchange": longstr("x")}
    answer = channels.call("exchange.declare", exchange="mine", exchange_type="fanout", arguments=arguments)
    assert answer == refusal("write", "exchange", "x")
    channels.call("exchange.declare", exchange="mine", exchange_type="fanout")
    assert channels.call("exchange.bind", destination="x", source="mine") == refusal("write", "exchange", "x")
    assert channels.call("queue.bind", queue="there", exchange="mine") == refusal("write", "queue", "there")


def test_delayed_exchange_cannot_route_to_a_destination_without_write_permission(broker, channels):
    broker.users.set_permissions("nobody", "shared", "^mine", "^mine", "^mine")
    arguments = {"x-delayed-type": longstr("fanout"), "alternate-exchange": longstr("x")}
    answer = channels.call("exchange.declare", exchange="mine", exchange_type="x-delayed-message", arguments=arguments)
    assert answer == refusal("write", "exchange", "x")


# --- objects of other connections -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("queue.declare", {}),
        ("queue.delete", {}),
        ("queue.purge", {}),
        ("queue.bind", {"exchange": "x"}),
        ("basic.consume", {}),
        ("basic.get", {}),
    ],
)
def test_exclusive_queue_belongs_to_its_connection_regardless_of_permissions(broker, channels, method, arguments):
    broker.users.set_permissions("nobody", "shared", ".*", ".*", ".*")
    before = snapshot(broker)
    name, text = channels.call(method, queue="locked", **arguments)
    assert (name, text[:15]) == ("channel.close", "RESOURCE_LOCKED")
    assert snapshot(broker) == before


def test_consumer_and_delivery_tags_of_other_channels_are_unknown(broker, owner, channels):
    owner.consume("there", "tag")
    assert channels.call("basic.cancel", consumer_tag="tag")[0] == "basic.cancel-ok"
    assert channels.call("basic.nack", delivery_tag=1, requeue=True)[1] == (
        "PRECONDITION_FAILED - unknown delivery tag 1"
    )
    assert channels.call("basic.recover", requeue=True)[0] == "basic.recover-ok"
    assert owner.receive() == []
    assert broker.vhosts["shared"].queues["there"].consumer_count == 1


def test_direct_reply_names_cannot_be_guessed_and_lead_to_one_channel(broker, owner, channels):
    names = set()
    for number in range(2, 12):
        owner.call(number, "channel.open")
        owner.consume("amq.rabbitmq.reply-to", f"r{number}", number, no_ack=True)
        owner.publish("there", b"", channel=number, reply_to="amq.rabbitmq.reply-to")
    owner.receive()
    for _ in range(11):
        got = owner.get("there")
        if "reply_to" in got.properties:
            names.add(got.properties["reply_to"].decode())
    assert len(names) == 10
    keys = {base64.b64decode(name.rpartition(".")[2]) for name in names}
    assert [len(key) for key in keys] == [16] * 10
    # A client that knows such a name still needs permission for the default exchange to answer, and reads nothing.
    name = names.pop()
    assert channels.publish("", name) == [refusal("write", "exchange", "amq.default")]
    for method in ("basic.consume", "basic.get", "queue.purge"):
        assert channels.call(method, queue=name)[1].startswith("ACCESS_REFUSED - read access to queue")
    assert owner.receive() == []


# --- vhosts -----------------------------------------------------------------------------------------------------------


def test_vhost_without_permissions_is_not_opened(broker):
    with pytest.raises(AssertionError, match="access to vhost 'secret' refused for user 'nobody'"):
        Wire(broker).log_in("nobody", "p", "secret")


def test_names_of_one_vhost_are_unknown_in_another(broker, channels):
    elsewhere = Wire(broker).log_in("owner", "p", "secret")
    elsewhere.declare("hidden")
    broker.users.set_permissions("nobody", "shared", ".*", ".*", ".*")
    assert channels.call("queue.declare", queue="hidden", passive=True)[1] == (
        "NOT_FOUND - no queue 'hidden' in vhost 'shared'"
    )


# --- revoked permissions ----------------------------------------------------------------------------------------------


def test_revoked_permissions_apply_to_open_connections(broker, channels):
    broker.users.set_permissions("nobody", "shared", ".*", ".*", ".*")
    assert channels.publish("x", "k") == []
    broker.users.set_permissions("nobody", "shared", "", "", "")
    assert channels.publish("x", "k") == [refusal("write", "exchange", "x")]
    assert channels.call("basic.get", queue="there") == refusal("read", "queue", "there")


def test_connections_of_a_deleted_user_are_closed(broker, nobody):
    broker.users.delete_user("nobody")
    assert [got.name for got in nobody.receive()] == ["connection.close"]


# --- accessible information, as in RabbitMQ ---------------------------------------------------------------------------


def test_passive_declarations_show_what_exists_and_its_counts(channels):
    """Check that every user who may open a vhost may declare passively, as in RabbitMQ before 4.2.6."""
    assert channels.call("queue.declare", queue="there", passive=True)[0] == "queue.declare-ok"
    assert channels.call("queue.declare", queue="missing", passive=True)[1].startswith("NOT_FOUND")
    assert channels.call("queue.declare", queue="locked", passive=True)[1].startswith("RESOURCE_LOCKED")
    assert channels.call("exchange.declare", exchange="x", passive=True)[0] == "exchange.declare-ok"
    assert channels.call("exchange.declare", exchange="missing", passive=True)[1].startswith("NOT_FOUND")


def test_refusal_discloses_whether_a_vhost_exists(broker):
    """Check that a logged-in user can distinguish a forbidden vhost from a missing one, as in RabbitMQ."""
    with pytest.raises(AssertionError, match="vhost nothing not found"):
        Wire(broker).log_in("nobody", "p", "nothing")


def test_channel_methods_succeed_without_permissions(channels):
    """Check operations that need no permission. They use the channel's own memory only."""
    for method, arguments in {
        "confirm.select": {},
        "tx.select": {},
        "basic.qos": {"prefetch_count": 10},
        "access.request": {},
        "channel.flow": {"active": True},
    }.items():
        assert channels.call(method, **arguments)[0] == f"{method}-ok"
    assert channels.call("basic.consume", queue="amq.rabbitmq.reply-to", no_ack=True)[0] == "basic.consume-ok"


def test_number_of_channels_is_limited_by_channel_max(nobody):
    for number in range(2, 2048):
        nobody.send(number, "channel.open")
    nobody.receive()
    nobody.send(2048, "channel.open")
    assert [got.name for got in nobody.receive()] == ["connection.close"]
