"""Changes of durable objects that cannot be stored."""

from collections.abc import Callable

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.errors import AmqpError, not_stored
from amqpbroker.store.definitions.definitions import Definition, Definitions, MemoryDefinitions
from amqpbroker.store.store import MemoryStore
from amqpbroker.wire.values import Field
from tests.broker.queueing import clock_of
from tests.broker.restoring import everything, exchange, queue


class Full(MemoryDefinitions):
    """Definitions that accept changes until `full` is set."""

    full = False

    def put(self, *definitions: Definition) -> None:
        if self.full:
            raise not_stored("disk is full")

    remove = put

    def remove_vhost(self, name: str) -> None:
        self.put()


def crowded(definitions: Definitions) -> Broker:
    """Return a broker in which everything is bound to everything, durable and not."""
    broker = Broker(Config(), ManualClock(), MemoryStore(), definitions)
    vhost = broker.vhosts["/"]
    x, auto = exchange(vhost, "x"), exchange(vhost, "auto", auto_delete=True)
    q, transient = queue(vhost, "q"), queue(vhost, "transient", durable=False)
    vhost.bind(x, auto, b"", {})
    vhost.bind(x, q, b"", {})
    vhost.bind(x, transient, b"", {})
    vhost.bind(auto, transient, b"", {})
    broker.users.set_topic_permissions("guest", "/", "x", ".*", ".*")
    broker.policies.put(Policy("/", "p", "^x$", {"alternate-exchange": "auto"}))
    broker.limits.set_vhost("/", "max-connections", 5)
    return broker


CHANGES: dict[str, Callable[[Broker, Vhost], object]] = {
    "declare exchange": lambda broker, vhost: exchange(vhost, "new"),
    "declare queue": lambda broker, vhost: queue(vhost, "new", arguments={"x-expires": Field("I", 1000)}),
    "bind queue": lambda broker, vhost: vhost.bind(vhost.exchange("x"), vhost.queue("q", None), b"new", {}),
    "bind exchange": lambda broker, vhost: vhost.bind(vhost.exchange("x"), vhost.exchange("auto"), b"new", {}),
    "unbind": lambda broker, vhost: vhost.unbind(vhost.exchange("x"), vhost.queue("q", None), b"", {}),
    "unbind last": lambda broker, vhost: vhost.unbind(vhost.exchange("auto"), vhost.queue("transient", None), b"", {}),
    "delete exchange": lambda broker, vhost: vhost.delete_exchange("x"),
    "delete queue": lambda broker, vhost: vhost.delete_queue(vhost.queue("q", None)),
    "delete transient queue": lambda broker, vhost: vhost.delete_queue(vhost.queue("transient", None)),
    "add vhost": lambda broker, vhost: broker.add_vhost("new"),
    "add user": lambda broker, vhost: broker.users.add_user("new", "new"),
    "delete user": lambda broker, vhost: broker.users.delete_user("guest"),
    "change password": lambda broker, vhost: broker.users.change_password("guest", "new"),
    "clear password": lambda broker, vhost: broker.users.clear_password("guest"),
    "set tags": lambda broker, vhost: broker.users.set_tags("guest", []),
    "set permissions": lambda broker, vhost: broker.users.set_permissions("guest", "/", "", "", ""),
    "clear permissions": lambda broker, vhost: broker.users.clear_permissions("guest", "/"),
    "set topic permissions": lambda broker, vhost: broker.users.set_topic_permissions("guest", "/", "x", "", ""),
    "clear topic permissions": lambda broker, vhost: broker.users.clear_topic_permissions("guest", "/"),
    "delete vhost": lambda broker, vhost: broker.delete_vhost("/"),
    "update vhost": lambda broker, vhost: broker.update_vhost("/", "changed"),
    "put policy": lambda broker, vhost: broker.policies.put(Policy("/", "new", "^q$", {"max-length": 1})),
    "delete policy": lambda broker, vhost: broker.policies.delete("/", "p"),
    "put global parameter": lambda broker, vhost: broker.global_parameters.put("new", 1),
    "limit vhost": lambda broker, vhost: broker.limits.set_vhost("/", "max-queues", 5),
    "free vhost": lambda broker, vhost: broker.limits.clear_vhost("/", "max-connections"),
    "limit user": lambda broker, vhost: broker.limits.set_user("guest", "max-channels", 5),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change_that_cannot_be_stored_is_refused(change: Callable[[Broker, Vhost], object]) -> None:
    definitions = Full()
    broker = crowded(definitions)
    before = everything(broker)
    definitions.full = True
    with pytest.raises(AmqpError) as raised:
        change(broker, broker.vhosts["/"])
    assert raised.value.text == "RESOURCE_ERROR - the change cannot be stored: disk is full"
    assert raised.value.scope == "connection"
    clock_of(broker.vhosts["/"]).advance(10_000)
    assert everything(broker) == before
    definitions.full = False
    change(broker, broker.vhosts["/"])
    assert everything(broker) != before


def test_transient_objects_can_be_changed_if_nothing_can_be_stored() -> None:
    definitions = Full()
    vhost = crowded(definitions).vhosts["/"]
    definitions.full = True
    q = queue(vhost, "other", durable=False)
    vhost.bind(vhost.exchange("x"), q, b"", {})
    vhost.unbind(vhost.exchange("x"), q, b"", {})
    vhost.delete_queue(q)
    assert "other" not in vhost.queues


def test_queues_of_a_closed_connection_are_deleted_even_if_that_cannot_be_stored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    definitions = Full()
    vhost = crowded(definitions).vhosts["/"]
    session = object()
    exclusive = vhost.declare_queue("exclusive", False, True, False, {}, session)
    vhost.unbind(vhost.exchange("auto"), vhost.queue("transient", None), b"", {})
    auto = exchange(vhost, "auto", auto_delete=True)
    vhost.bind(auto, exclusive, b"", {})
    definitions.full = True
    vhost.delete_exclusive_queues(session)
    assert "exclusive" not in vhost.queues
    assert "auto" not in vhost.exchanges
    assert caplog.messages == [
        "queue 'exclusive' in vhost '/' is deleted, but its stored definition cannot be removed:"
        " RESOURCE_ERROR - the change cannot be stored:"
        " disk is full"
    ]
