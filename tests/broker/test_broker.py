import re

import pytest

from amqpbroker.broker.broker import generated_name
from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.clock import ManualClock
from amqpbroker.config import DefaultUser
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire, make_broker


def test_new_broker_has_the_default_vhost_and_user() -> None:
    broker = make_broker()
    assert list(broker.vhosts) == ["/"]
    guest = broker.users.authenticate("guest", b"guest")
    assert guest is not None
    broker.users.permissions(guest, "/").check("configure", "queue", "any")


def test_default_vhost_and_user_are_configurable() -> None:
    broker = make_broker(default_vhost="mine", default_users=(DefaultUser("me", "secret"),))
    assert list(broker.vhosts) == ["mine"]
    assert broker.users.authenticate("guest", b"guest") is None
    assert broker.users.authenticate("me", b"secret") is not None


def test_adding_an_existing_vhost_returns_it() -> None:
    broker = make_broker()
    other = broker.add_vhost("other")
    assert broker.add_vhost("other") is other
    assert broker.vhost("other") is other
    assert other is not broker.vhost("/")


def test_vhosts_share_only_the_clock() -> None:
    broker = make_broker()
    broker.vhost("/").declare_queue("q", False, False, False, {})
    other = broker.add_vhost("other")
    assert not other.queues
    assert other.exchange("amq.direct") is not broker.vhost("/").exchange("amq.direct")
    assert other.clock is broker.clock


def test_vhost_properties_can_be_set_and_updated() -> None:
    broker = make_broker()
    assert broker.vhost("/").description == "Default virtual host"
    vhost = broker.add_vhost("v", "ours", ["a", "b"], "quorum", protected=True)
    assert (vhost.description, vhost.tags, vhost.default_queue_type, vhost.protected) == (
        "ours", ("a", "b"), "quorum", True,
    )  # fmt: skip
    broker.update_vhost("v", tags=())
    assert (vhost.description, vhost.tags, vhost.default_queue_type, vhost.protected) == ("ours", (), "quorum", True)
    broker.update_vhost("v", "theirs", default_queue_type="undefined", protected=False)
    assert (vhost.description, vhost.default_queue_type, vhost.protected) == ("theirs", "classic", False)
    with pytest.raises(LookupError, match="vhost 'nope' does not exist"):
        broker.update_vhost("nope", "theirs")


def test_unknown_default_queue_type_is_refused() -> None:
    broker = make_broker()
    with pytest.raises(ValueError, match="Unsupported queue type 'foo'"):
        broker.add_vhost("v", default_queue_type="foo")
    assert "v" not in broker.vhosts
    with pytest.raises(ValueError, match="Unsupported queue type 'foo'"):
        broker.update_vhost("/", default_queue_type="foo")


def test_each_vhost_has_its_default_queue_type() -> None:
    broker = make_broker()
    broker.add_vhost("v", default_queue_type="quorum")
    types = [broker.vhost(name).declare_queue("q", True, False, False, {}).kind.name for name in ("/", "v")]
    assert types == ["classic", "quorum"]
    broker.update_vhost("/", default_queue_type="quorum")
    assert broker.vhost("/").declare_queue("q2", True, False, False, {}).kind.name == "quorum"


def test_deleting_a_vhost_deletes_its_objects_and_settings() -> None:
    broker = make_broker()
    vhost = broker.add_vhost("v")
    broker.users.set_permissions("guest", "v", ".*", ".*", ".*")
    broker.policies.put(Policy("v", "p", "", {"expires": 1000}))
    broker.policies.put(Policy("v", "p", "", {"expires": 1000}, operator=True))
    broker.limits.set_vhost("v", "max-queues", 5)
    queue = vhost.declare_queue("q", False, False, False, {})
    delayed = {"x-delayed-type": longstr("direct")}
    delaying = vhost.declare_exchange("x", "x-delayed-message", False, False, False, delayed)
    publisher = Wire(broker).log_in(vhost="v")
    publisher.publish("q", b"m", "x", headers={"x-delay": Field("l", 500)})
    broker.delete_vhost("v")
    assert list(broker.vhosts) == ["/"]
    assert broker.users.list_permissions(vhost="v") == []
    assert broker.policies.list() == broker.policies.list(operator=True) == []
    assert broker.limits.vhosts() == {}
    assert queue.closed
    # Timers of the deleted vhost do nothing, and a new vhost of the same name is empty.
    clock = broker.clock
    assert isinstance(clock, ManualClock)
    clock.advance(10_000)
    assert not vhost.queues
    assert delaying.name not in broker.add_vhost("v").exchanges
    assert broker.vhost("v").declare_queue("q", False, False, False, {}).policy is None


def test_deleting_a_vhost_closes_its_connections_only() -> None:
    broker = make_broker()
    broker.add_vhost("v")
    broker.users.set_permissions("guest", "v", ".*", ".*", ".*")
    client, other = Wire(broker).log_in(vhost="v"), Wire(broker).log_in()
    client.declare("q", exclusive=True)
    client.declare("shared")
    client.publish("shared", b"1")
    client.publish("shared", b"2")
    assert len(client.consume("shared")) == 2
    broker.delete_vhost("v")
    cancelled, closed = client.receive()
    assert (cancelled.name, cancelled.arguments["consumer_tag"]) == ("basic.cancel", "c")
    assert (closed.name, closed.arguments["reply_code"]) == ("connection.close", 320)
    assert closed.arguments["reply_text"] == "CONNECTION_FORCED - vhost 'v' is deleted"
    client.send(0, "connection.close-ok")
    assert client.connection.closing
    assert list(broker.sessions) == [other.connection]
    other.declare("q")


def test_protected_vhost_cannot_be_deleted() -> None:
    broker = make_broker()
    broker.update_vhost("/", protected=True)
    with pytest.raises(ValueError, match="Refusing to delete virtual host '/' because it is protected from deletion"):
        broker.delete_vhost("/")
    broker.update_vhost("/", protected=False)
    broker.delete_vhost("/")
    with pytest.raises(LookupError, match="vhost '/' does not exist"):
        broker.delete_vhost("/")


def test_deleting_a_user_closes_its_connections() -> None:
    broker = make_broker()
    broker.users.add_user("ann", "secret")
    broker.users.set_permissions("ann", "/", ".*", ".*", ".*")
    client, other = Wire(broker).log_in("ann", "secret"), Wire(broker).log_in()
    broker.users.delete_user("ann")
    (closed,) = client.receive()
    assert (closed.name, closed.arguments["reply_code"]) == ("connection.close", 320)
    assert closed.arguments["reply_text"] == "CONNECTION_FORCED - user 'ann' is deleted"
    client.send(0, "connection.close-ok")
    assert list(broker.sessions) == [other.connection]


def test_cluster_name_parameter_overrides_the_configured_name() -> None:
    broker = make_broker(cluster_name="configured")
    assert broker.cluster_name == "configured"
    broker.global_parameters.put("cluster_name", "ours")
    client = Wire(broker)
    client.feed(b"AMQP\0\0\x09\x01")
    assert client.receive()[0].arguments["server_properties"]["cluster_name"] == longstr("ours")
    broker.global_parameters.put("cluster_name", 5)
    assert broker.cluster_name == "configured"
    broker.global_parameters.delete("cluster_name")
    assert broker.cluster_name == "configured"


def test_missing_vhost_is_an_error() -> None:
    with pytest.raises(AmqpError) as error:
        make_broker().vhost("nope")
    assert error.value.text == "NOT_ALLOWED - vhost nope not found"


def test_default_queue_type_applies_only_to_suitable_queues() -> None:
    vhost = make_broker(default_queue_type="quorum").vhost("/")
    assert vhost.declare_queue("durable", True, False, False, {}).settings == QueueSettings(delivery_limit=20)
    assert vhost.declare_queue("transient", False, False, False, {}).kind.name == "classic"


def test_changed_permissions_invalidate_caches_of_channels() -> None:
    broker = make_broker()
    client = Wire(broker).log_in()
    client.declare("q")
    client.publish("q", b"1")
    client.publish("q", b"2")
    broker.users.set_permissions("guest", "/", ".*", "^$", ".*")
    client.publish("q", b"3")
    (closed,) = client.receive()
    assert closed.arguments["reply_text"] == (
        "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'guest'"
    )


def test_generated_names_are_unique_with_22_characters_of_base64url() -> None:
    names = {generated_name("amq.gen-") for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name) for name in names)
