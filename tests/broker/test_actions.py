import pytest

from amqpbroker.broker.actions import Actions, exchange_to_publish_to
from amqpbroker.broker.users.permissions import Grant, Permissions
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, longstr
from tests.harness import make_broker


@pytest.fixture
def vhost():
    return make_broker().vhosts["/"]


def actions(vhost, configure="", write="", read=""):
    permissions = Permissions("u", "/")
    permissions.grant(Grant(configure, write, read))
    return Actions(vhost, permissions)


def prepared(vhost):
    """Return a vhost with a queue q and exchanges x and y, and a user with all permissions."""
    anything = actions(vhost, ".*", ".*", ".*")
    anything.declare_queue("q", False, False, False, {})
    for name in "xy":
        anything.declare_exchange(name, "direct", False, False, False, {})
    return anything


DEAD_LETTERS = {"x-dead-letter-exchange": longstr("x")}
ALTERNATE = {"alternate-exchange": longstr("y")}
#: Operations, and the minimum permissions that each needs.
NEEDED = {
    "declare a queue": (lambda a: a.declare_queue("n", False, False, False, {}), ("^n$", "", "")),
    "with dead letters": (lambda a: a.declare_queue("n", False, False, False, DEAD_LETTERS), ("^n$", "^x$", "^n$")),
    "delete a queue": (lambda a: a.delete_queue("q", False, False), ("^q$", "", "")),
    "purge": (lambda a: a.purge_queue("q"), ("", "", "^q$")),
    "get": (lambda a: a.queue_to_get_from("q"), ("", "", "^q$")),
    "declare an exchange": (lambda a: a.declare_exchange("n", "direct", False, False, False, {}), ("^n$", "", "")),
    "with an alternate": (
        lambda a: a.declare_exchange("n", "direct", False, False, False, ALTERNATE),
        ("^n$", "^y$", "^n$"),
    ),
    "delete an exchange": (lambda a: a.delete_exchange("x", False), ("^x$", "", "")),
    "bind a queue": (lambda a: a.bind("x", "q", True, "k", {}), ("", "^q$", "^x$")),
    "unbind a queue": (lambda a: a.unbind("x", "q", True, "k", {}), ("", "^q$", "^x$")),
    "bind an exchange": (lambda a: a.bind("x", "y", False, "k", {}), ("", "^y$", "^x$")),
    "publish": (lambda a: exchange_to_publish_to(a.vhost, a.permissions, "x", ()), ("", "^x$", "")),
}


@pytest.mark.parametrize("what", NEEDED)
def test_operation_without_a_required_permission_is_refused(vhost, what):
    do, least = NEEDED[what]
    prepared(vhost)
    for place, pattern in enumerate(least):
        if pattern:
            less = (*least[:place], "", *least[place + 1 :])
            with pytest.raises(AmqpError) as refused:
                do(actions(vhost, *less))
            assert refused.value.code == 403
    do(actions(vhost, *least))


def test_update_to_another_dead_letter_exchange_requires_its_permissions():
    vhost = make_broker(redeclare="update").vhosts["/"]
    prepared(vhost)
    configures = actions(vhost, "^q$", "", "")
    configures.declare_queue("q", False, False, False, {"x-max-length": Field("I", 5)})
    for less in (("^q$", "^x$", ""), ("^q$", "", "^q$")):
        with pytest.raises(AmqpError) as refused:
            actions(vhost, *less).declare_queue("q", False, False, False, DEAD_LETTERS)
        assert refused.value.code == 403
    actions(vhost, "^q$", "^x$", "^q$").declare_queue("q", False, False, False, DEAD_LETTERS)
    configures.declare_queue("q", False, False, False, DEAD_LETTERS)
    assert vhost.queues["q"].settings.dead_letter_exchange == "x"


def test_queue_name_reserved_for_the_broker_cannot_be_declared(vhost):
    anything = prepared(vhost)
    with pytest.raises(AmqpError) as refused:
        anything.declare_queue("amq.mine", False, False, False, {})
    assert refused.value.code == 403
    assert anything.declare_queue("", False, False, False, {}).name.startswith("amq.gen-")


def test_line_breaks_are_removed_from_queue_names(vhost):
    anything = prepared(vhost)
    anything.declare_queue("a\r\nb", False, False, False, {})
    assert "ab" in vhost.queues
    anything.delete_queue("a\nb", False, False)
    assert "ab" not in vhost.queues


def test_delete_of_a_missing_queue_answers_zero_messages(vhost):
    counts = []
    prepared(vhost).delete_queue("nope", False, False, counts.append)
    assert counts == [0]


def test_unbind_of_a_missing_binding_succeeds(vhost):
    prepared(vhost).unbind("nope", "neither", True, "k", {})


def test_publish_to_an_internal_exchange_is_refused(vhost):
    anything = prepared(vhost)
    with pytest.raises(AmqpError) as refused:
        exchange_to_publish_to(vhost, anything.permissions, "amq.rabbitmq.trace", ())
    assert refused.value.code == 403


def test_exclusive_queue_is_locked_for_other_connections(vhost):
    anything = prepared(vhost)
    Actions(vhost, anything.permissions, object()).declare_queue("mine", False, True, False, {})
    with pytest.raises(AmqpError) as refused:
        anything.purge_queue("mine")
    assert refused.value.code == 405
