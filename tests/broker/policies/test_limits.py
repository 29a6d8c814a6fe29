"""Limits of connections, channels and queues, with the texts, scope and order of checks of RabbitMQ 4.0.5."""

import re

import pytest

from amqpbroker.amqp.state import CLOSING_TIMEOUT_MS
from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire, make_broker


@pytest.fixture
def broker() -> Broker:
    made = make_broker()
    made.users.add_user("ann", "secret")
    made.users.set_permissions("ann", "/", ".*", ".*", ".*")
    made.users.add_user("nobody", "secret")
    return made


def log_in(broker: Broker, user: str = "ann") -> Wire:
    return Wire(broker).log_in(user, "guest" if user == "guest" else "secret")


def refusal(broker: Broker, user: str = "ann", vhost: str = "/") -> str:
    """Return the printed answer to connection.open."""
    with pytest.raises(AssertionError, match=r"'connection.close'.*'reply_code': 530") as refused:
        Wire(broker).log_in(user, "guest" if user == "guest" else "secret", vhost)
    return str(refused.value)


# --- values -----------------------------------------------------------------------------------------------------------


def test_vhost_and_user_limits_are_set_and_cleared(broker: Broker) -> None:
    limits = broker.limits
    limits.set_vhost("/", "max-connections", 5)
    limits.set_vhost("/", "max-queues", -7)
    limits.set_user("ann", "max-channels", 0)
    assert limits.vhost("/") == {"max-connections": 5, "max-queues": -7}
    assert limits.vhosts() == {"/": {"max-connections": 5, "max-queues": -7}}
    assert limits.user("ann") == {"max-channels": 0}
    assert limits.vhost("other") == limits.user("guest") == {}
    limits.clear_vhost("/", "max-queues")
    limits.clear_vhost("/", "foo")
    limits.clear_user("ann", "max-channels")
    limits.clear_user("ann", "max-channels")
    assert (limits.vhosts(), limits.user("ann")) == ({"/": {"max-connections": 5}}, {})
    limits.clear_vhost("/")
    assert limits.vhosts() == {}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("max-queues", "a", 'max-queues should be a number, actually was <<"a">>'),
        ("max-queues", 1.5, "max-queues should be a number, actually was 1.5"),
        ("max-queues", None, "max-queues should be a number, actually was null"),
        ("max-connections", True, "max-connections should be a number, actually was true"),
        ("foo", 1, 'Unrecognised terms [{<<"foo">>,1}] in limits'),
        ("max-channels", 1, 'Unrecognised terms [{<<"max-channels">>,1}] in limits'),
    ],
)
def test_invalid_vhost_limit_is_refused(broker: Broker, name: str, value: int, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^Validation failed\n\n") as refused:
        broker.limits.set_vhost("/", name, value)
    assert str(refused.value) == f"Validation failed\n\n{reason}\n"
    assert broker.limits.vhosts() == {}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("max-channels", "a", 'max-channels should be a number, actually was <<"a">>'),
        ("max-connections", None, "max-connections should be a number, actually was null"),
        ("max-queues", 1, 'Unrecognised terms [{<<"max-queues">>,1}] in user-limits'),
    ],
)
def test_invalid_user_limit_is_refused(broker: Broker, name: str, value: int, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        broker.limits.set_user("ann", name, value)
    assert broker.limits.user("ann") == {}


def test_missing_user_has_no_limits(broker: Broker) -> None:
    for change in (
        lambda: broker.limits.user("zoe"),
        lambda: broker.limits.set_user("zoe", "max-channels", 1),
        lambda: broker.limits.clear_user("zoe", "max-channels"),
    ):
        with pytest.raises(LookupError, match="user 'zoe' does not exist"):
            change()


def test_changing_a_password_retains_the_limits(broker: Broker) -> None:
    broker.limits.set_user("ann", "max-channels", 3)
    broker.users.change_password("ann", "new")
    assert broker.limits.user("ann") == {"max-channels": 3}
    broker.users.delete_user("ann")
    broker.users.add_user("ann", "new")
    assert broker.limits.user("ann") == {}


# --- as parameters ----------------------------------------------------------------------------------------------------


def test_vhost_limits_can_be_set_and_deleted_as_a_parameter(broker: Broker) -> None:
    broker.limits.set_vhost("/", "max-queues", 5)
    assert broker.parameters.list() == [("vhost-limits", "/", "limits", {"max-queues": 5})]
    broker.parameters.put("vhost-limits", "/", "limits", {"max-connections": 1})
    assert broker.limits.vhost("/") == {"max-connections": 1}
    broker.parameters.put("vhost-limits", "/", "limits", [])
    assert broker.parameters.list() == []
    broker.parameters.put("vhost-limits", "/", "limits", {"max-connections": 1})
    broker.parameters.delete("vhost-limits", "/", "limits")
    assert broker.limits.vhosts() == {}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("limits", 5, "limits not a list 5"),
        ("limits", {"max-foo": 5}, 'Unrecognised terms [{<<"max-foo">>,5}] in limits'),
        ("other", {"max-queues": 5}, "vhost-limits of a vhost are named limits, not other"),
    ],
)
def test_invalid_limit_parameter_is_refused(broker: Broker, name: str, value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^Validation failed\n\n") as refused:
        broker.parameters.put("vhost-limits", "/", name, value)
    assert str(refused.value) == f"Validation failed\n\n{reason}\n"


# --- connections ------------------------------------------------------------------------------------------------------


def test_connection_over_the_limit_of_its_vhost_is_refused(broker: Broker) -> None:
    broker.limits.set_vhost("/", "max-connections", 1)
    first = log_in(broker)
    full = "NOT_ALLOWED - access to vhost '/' refused for user '{}': connection limit (1) is reached"
    assert full.format("ann") in refusal(broker)
    assert full.format("guest") in refusal(broker, "guest")
    first.connection.lost()
    log_in(broker, "guest")


def test_connection_over_the_limit_of_its_user_is_refused(broker: Broker) -> None:
    broker.limits.set_user("ann", "max-connections", 1)
    first = log_in(broker)
    assert "NOT_ALLOWED - connection refused for user 'ann': user connection limit (1) is reached" in refusal(broker)
    log_in(broker, "guest")
    first.call(0, "connection.close", reply_code=200, reply_text="", class_id=0, method_id=0)
    assert "user connection limit (1) is reached" in refusal(broker)
    first.connection.lost()
    log_in(broker)


def test_connection_that_does_not_answer_connection_close_counts_until_it_ends(broker: Broker) -> None:
    clock = broker.clock
    assert isinstance(clock, ManualClock)
    broker.limits.set_user("ann", "max-connections", 1)
    for _ in range(3):
        first = log_in(broker)
        first.send(9, "basic.ack", delivery_tag=1)
        assert first.closed()[0] == 504
        (listed,) = broker.sessions
        assert listed.info().state == "closing"
        assert "user connection limit (1) is reached" in refusal(broker)
        clock.advance(CLOSING_TIMEOUT_MS)
        assert first.connection.closing
        assert not broker.sessions


def test_deleting_a_user_ends_its_closing_connection(broker: Broker) -> None:
    first = log_in(broker)
    first.send(9, "basic.ack", delivery_tag=1)
    broker.users.delete_user("ann")
    assert first.connection.closing
    assert not broker.sessions


@pytest.mark.parametrize("limit", [-1, -7])
def test_negative_limit_means_no_limit(broker: Broker, limit: int) -> None:
    broker.limits.set_vhost("/", "max-connections", limit)
    broker.limits.set_vhost("/", "max-queues", limit)
    broker.limits.set_user("ann", "max-connections", limit)
    broker.limits.set_user("ann", "max-channels", limit)
    log_in(broker).declare("q")


def test_vhost_limit_is_checked_before_user_limit_before_permissions(broker: Broker) -> None:
    broker.limits.set_vhost("/", "max-connections", 0)
    broker.limits.set_user("nobody", "max-connections", 0)
    assert "connection limit (0)" in refusal(broker, "nobody")
    assert "NOT_ALLOWED - vhost nope not found" in refusal(broker, "nobody", "nope")
    broker.limits.clear_vhost("/", "max-connections")
    assert "user connection limit (0)" in refusal(broker, "nobody")
    broker.limits.clear_user("nobody", "max-connections")
    assert """NOT_ALLOWED - access to vhost '/' refused for user 'nobody'",""" in refusal(broker, "nobody")


# --- channels ---------------------------------------------------------------------------------------------------------


def test_channel_over_the_limit_of_its_user_is_refused(broker: Broker) -> None:
    broker.limits.set_user("ann", "max-channels", 3)
    one, other = log_in(broker), log_in(broker)
    assert one.call(2, "channel.open").name == "channel.open-ok"
    refused = other.call(2, "channel.open")
    assert (refused.name, refused.arguments["reply_code"]) == ("connection.close", 530)
    assert refused.arguments["reply_text"] == (
        "NOT_ALLOWED - number of channels opened for user 'amqpbroker@localhost' has reached the maximum allowed user"
        " limit of (3)"
    )


def test_closed_channels_do_not_count_for_the_limit_of_a_user(broker: Broker) -> None:
    broker.limits.set_user("ann", "max-channels", 2)
    one, other = log_in(broker), log_in(broker)
    one.call(1, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)
    other.send(1, "queue.declare", queue="nope", passive=True)
    assert other.receive()[0].name == "channel.close"
    assert one.call(2, "channel.open").name == one.call(3, "channel.open").name == "channel.open-ok"
    one.connection.lost()
    other.send(1, "channel.close-ok")
    assert other.call(1, "channel.open").name == other.call(2, "channel.open").name == "channel.open-ok"


def test_closed_connections_leave_no_counters_for_limits(broker: Broker) -> None:
    client = log_in(broker)
    client.call(2, "channel.open")
    client.connection.lost()
    limits = broker.limits
    assert not limits._connections_of_vhosts
    assert not limits._connections_of_users
    assert not limits._channels_of_users


# --- queues -----------------------------------------------------------------------------------------------------------


def test_queue_over_the_limit_of_its_vhost_is_refused(broker: Broker) -> None:
    broker.limits.set_vhost("/", "max-queues", 1)
    client = log_in(broker)
    client.declare("a", exclusive=True)
    client.declare("a", exclusive=True)
    refused = client.call(1, "queue.declare", queue="b")
    assert (refused.name, refused.arguments["reply_code"]) == ("channel.close", 406)
    assert refused.arguments["reply_text"] == (
        "PRECONDITION_FAILED - cannot declare queue 'b': queue limit in vhost '/' (1) is reached"
    )


@pytest.mark.parametrize(
    ("arguments", "durable", "text"),
    [
        ({"x-message-ttl": longstr("z")}, True, "invalid arg 'x-message-ttl'"),
        ({"x-dead-letter-exchange": Field("I", 5)}, True, "invalid type 'signedint'"),
        ({"x-max-age": longstr("1D")}, True, "invalid arg 'x-max-age'"),
        ({"x-queue-type": longstr("quorum")}, False, "queue limit in vhost"),
    ],
)
def test_queue_limit_is_checked_after_arguments_and_before_properties(
    broker: Broker, arguments: dict[str, Field], durable: bool, text: str
) -> None:
    broker.limits.set_vhost("/", "max-queues", 0)
    with pytest.raises(AmqpError, match=text):
        broker.vhosts["/"].declare_queue("q", durable, False, False, arguments)
