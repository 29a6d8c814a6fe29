"""Limits and defaults of the configuration for the whole broker."""

import pytest

from amqpbroker.config import DefaultLimits, DefaultOperatorPolicy
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import longstr
from tests.harness import Wire, make_broker


def test_vhost_above_the_configured_limit_is_refused():
    broker = make_broker(vhost_max=2)
    broker.add_vhost("v2")
    with pytest.raises(ValueError, match=r"^cannot create vhost 'v3': vhost limit of 2 is reached$"):
        broker.add_vhost("v3")
    assert broker.add_vhost("v2") is broker.vhosts["v2"]
    broker.delete_vhost("v2")
    broker.add_vhost("v3")


def test_queue_above_the_limit_over_all_vhosts_is_refused():
    broker = make_broker(cluster_queue_limit=2)
    other = broker.add_vhost("other")
    other.declare_queue("a", True, False, False, {})
    broker.vhosts["/"].declare_queue("b", False, False, False, {})
    with pytest.raises(AmqpError) as refused:
        other.declare_queue("d", True, False, False, {})
    assert refused.value.text == "PRECONDITION_FAILED - cannot declare queue 'd': queue limit in cluster (2) is reached"
    other.declare_queue("a", True, False, False, {})
    broker.delete_vhost("other")
    broker.vhosts["/"].declare_queue("d", True, False, False, {})


def test_exchange_above_the_configured_limit_is_refused():
    broker = make_broker()
    count = len(broker.vhosts["/"].exchanges)
    vhost = make_broker(cluster_exchange_limit=count + 1).vhosts["/"]
    vhost.declare_exchange("a", "direct", True, False, False, {})
    vhost.declare_exchange("a", "direct", True, False, False, {})
    with pytest.raises(AmqpError) as refused:
        vhost.declare_exchange("b", "direct", True, False, False, {})
    assert refused.value.code == 406


def test_channel_above_the_limit_over_all_connections_is_refused():
    broker = make_broker(channel_max_per_node=2)
    first, second = Wire(broker).log_in(), Wire(broker).log_in()
    got = first.call(2, "channel.open")
    assert (got.name, got.arguments["reply_code"]) == ("connection.close", 530)
    assert got.arguments["reply_text"] == (
        "NOT_ALLOWED - number of channels opened on node 'amqpbroker@localhost' has reached the maximum allowed limit"
        " of (2)"
    )
    assert second.call(2, "channel.open").name == "channel.open-ok"


def test_quorum_queue_can_be_redeclared_as_classic_if_so_configured():
    broker = make_broker(relaxed_redeclaration=True)
    client = Wire(broker).log_in()
    quorum, classic = {"x-queue-type": b"quorum"}, {"x-queue-type": b"classic"}
    client.declare("q", durable=True, arguments=typed(quorum))
    client.declare("q", durable=True, arguments=typed(classic))
    client.declare("q", durable=True)
    client.declare("q")
    client.declare("q", exclusive=True)
    client.declare("q", auto_delete=True, arguments=typed(classic))
    client.declare("c", durable=True, arguments=typed(classic))
    assert client.call(1, "queue.declare", queue="c", durable=True, arguments=typed(quorum)).name == "channel.close"


@pytest.mark.parametrize(
    ("flags", "arguments"),
    [
        ({"durable": True}, {"x-queue-type": b"stream"}),
        ({"durable": True}, {"x-queue-type": b"foo"}),
        ({}, {"x-queue-type": b"quorum"}),
        ({"durable": True, "exclusive": True}, {"x-queue-type": b"quorum"}),
        ({"durable": True}, {"x-queue-type": b"classic", "x-overflow": b"drop-head"}),
    ],
)
def test_quorum_queue_cannot_be_redeclared_as_another_type(flags, arguments):
    client = Wire(make_broker(relaxed_redeclaration=True)).log_in()
    client.declare("q", durable=True, arguments=typed({"x-queue-type": b"quorum"}))
    again = client.call(1, "queue.declare", queue="q", arguments=typed(arguments), **flags)
    assert again.name == "channel.close"


def test_new_vhost_gets_configured_default_limits_and_operator_policies():
    broker = make_broker(
        default_limits=(DefaultLimits("^a", max_connections=10), DefaultLimits(max_queues=7)),
        default_operator_policies=(
            DefaultOperatorPolicy("p1", "^a", "^q", (("max-length", 3),)),
            DefaultOperatorPolicy("p2", definition=(("delivery-limit", 3),)),
        ),
    )
    broker.add_vhost("a1")
    assert broker.limits.vhosts() == {"/": {"max-queues": 7}, "a1": {"max-connections": 10}}
    assert {(p.vhost, p.name, p.pattern, p.apply_to) for p in broker.policies.list(operator=True)} == {
        ("/", "p2", ".*", "all"),
        ("a1", "p1", "^q", "all"),
        ("a1", "p2", ".*", "all"),
    }
    assert broker.policies.get("a1", "p1", operator=True).definition == {"max-length": 3}
    broker.limits.clear_vhost("a1")
    broker.add_vhost("a1")
    assert broker.limits.vhost("a1") == {}


def test_vhost_with_invalid_defaults_is_not_created():
    broker = make_broker(default_operator_policies=(DefaultOperatorPolicy("p", "^a", definition=(("no-key", 3),)),))
    with pytest.raises(ValueError, match="no-key"):
        broker.add_vhost("a")
    assert "a" not in broker.vhosts
    assert broker.policies.list(operator=True) == []


def typed(arguments):
    return {name: longstr(value.decode()) for name, value in arguments.items()}
