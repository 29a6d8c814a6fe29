"""Arguments and policies of message groups."""

from typing import Any

import pytest

from amqpbroker.broker.queues.arguments.declaration import queue_settings
from amqpbroker.broker.queues.groups.options import Grouping
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.kinds import policy_keys
from amqpbroker.broker.vhost import Vhost
from amqpbroker.compat import COMPATS
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, Table, longstr
from tests.broker.queueing import declare as declare_plain
from tests.broker.queueing import table
from tests.broker.queues.groups.grouped import KEY, STORED_KINDS, declare, send, states, work
from tests.harness import make_broker

# --- declaration ------------------------------------------------------------------------------------------------------

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"group_header": 3}, "x-group-header", "expected the name of a header as a string"),
    ({"group_header": "x" * 256}, "x-group-header", "1 to 255 bytes"),
    ({"group_header": "k", "max_priority": 3}, "x-group-header", "leave out x-max-priority"),
    ({"group_header": "k", "last_value_key": "v"}, "x-group-header", "leave out x-last-value-key"),
    ({"group_header": "k", "message_deduplication": True}, "x-group-header", "leave out x-message-deduplication"),
    ({"group_type": "fair"}, "x-group-type", "has no effect without x-group-header"),
    ({"group_header": "k", "group_type": "unfair"}, "x-group-type", "expected 'ordered' or 'fair'"),
    ({"group_header": "k", "group_prefetch": 0}, "x-group-prefetch", "expected 1 to 65535, got 0"),
    ({"group_header": "k", "group_prefetch": "2"}, "x-group-prefetch", "expected integer"),
    ({"group_header": "k", "group_prefetch": 2, "group_type": "fair"}, "x-group-prefetch", "does not limit"),
    ({"group_header": "k", "group_on_dead": "stop"}, "x-group-on-dead", "expected 'skip', 'park' or 'follow'"),
    ({"group_header": "k", "group_on_dead": "park", "group_type": "fair"}, "x-group-on-dead", "has no order"),
    ({"group_header": "k", "group_version_header": ""}, "x-group-version-header", "1 to 255 bytes"),
    ({"group_version_header": "v"}, "x-group-version-header", "has no effect without x-group-header"),
    ({"group_header": "k", "group_version_header": "v", "group_type": "fair"}, "x-group-version-header", "no order"),
    ({"group_header": "k", "group_version_ttl": 5}, "x-group-version-ttl", "without x-group-version-header"),
    ({"group_header": "k", "group_version_header": "v", "group_version_ttl": 0}, "x-group-version-ttl", "from 1"),
    ({"group_on_dead": "park"}, "x-group-on-dead", "has no effect without x-group-header"),
    ({"group_header": "k", "group_on_dead": "park", "max_length": 3}, "x-group-on-dead", "'reject-publish'"),
    (
        {"group_header": "k", "group_on_dead": "follow", "max_length_bytes": 3, "overflow": "reject-publish-dlx"},
        "x-group-on-dead",
        "'reject-publish'",
    ),
]


@pytest.mark.parametrize(("arguments", "name", "reason"), REFUSED)
def test_declaration_that_makes_no_sense_is_refused(
    vhost: Vhost, arguments: dict[str, Any], name: str, reason: str
) -> None:
    with pytest.raises(AmqpError) as refused:
        vhost.declare_queue("q", True, False, False, table(**arguments))
    assert refused.value.code == 406
    assert f"invalid arg '{name}' for queue 'q' in vhost '/'" in str(refused.value)
    assert reason in str(refused.value)


def qpid(**more: Field) -> Table:
    return {"qpid.group_header_key": longstr(KEY), **more}


def test_names_of_qpid_are_known(vhost: Vhost) -> None:
    queue = vhost.declare_queue("q", False, False, False, qpid(**{"qpid.shared_msg_group": longstr("1")}))
    assert isinstance(queue, GroupQueue)
    worker = work(queue)
    send(queue, "a1", "a2", "b1")
    assert worker.texts() == ["a1", "b1"]


@pytest.mark.parametrize(
    "arguments",
    [
        qpid(),
        qpid(**{"qpid.shared_msg_group": longstr("0")}),
        {"qpid.shared_msg_group": longstr("1")},
        qpid(**{"qpid.shared_msg_group": longstr("1"), "x-group-header": longstr(KEY)}),
    ],
)
def test_other_groups_of_qpid_are_refused(vhost: Vhost, arguments: Table) -> None:
    with pytest.raises(AmqpError):
        vhost.declare_queue("q", False, False, False, arguments)


def test_arguments_have_no_effect_without_extensions() -> None:
    vhost = make_broker(compat=COMPATS["4.0"].configured({}, extensions=False)).vhosts["/"]
    queue = vhost.declare_queue("q", False, False, False, table(group_header=3, group_on_dead="x"))
    assert not isinstance(queue, GroupQueue)


# --- policies ---------------------------------------------------------------------------------------------------------


@STORED_KINDS
def test_policy_changes_the_groups_of_a_queue(vhost: Vhost, kind: dict[str, Any]) -> None:
    queue = declare(vhost, **kind)
    worker = work(queue)
    send(queue, "a1", "a2", "a3", "a4")
    assert worker.texts() == ["a1"]
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"group-type": "fair"}))
    assert worker.texts() == ["a2", "a3", "a4"]
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"group-on-dead": "park"}))
    worker.reject_text("a2")
    assert states(queue) == {"a": "parked"}
    queue.apply_settings(queue_settings(queue.kind, queue.arguments, {"group-prefetch": 5}))
    assert states(queue) == {"a": "parked"}


def test_smaller_prefetch_of_policy_and_argument_applies(vhost: Vhost) -> None:
    queue = declare(vhost, group_prefetch=3)
    settings = queue_settings(queue.kind, queue.arguments, {"group-prefetch": 2})
    assert settings.groups == Grouping(KEY.encode(), prefetch=2)


def test_length_limit_of_a_policy_refuses_publishes_if_groups_stop(vhost: Vhost) -> None:
    queue = declare(vhost, group_on_dead="park")
    assert queue_settings(queue.kind, queue.arguments, {"max-length": 1}).overflow == "reject-publish"
    assert queue_settings(queue.kind, queue.arguments, {}).overflow == "drop-head"


def test_policy_without_groups_has_no_effect(vhost: Vhost) -> None:
    plain = declare_plain(vhost, "plain", max_length=1)
    settings = queue_settings(plain.kind, plain.arguments, {"group-on-dead": "park", "group-prefetch": 3})
    assert (settings.groups, settings.overflow) == (None, "drop-head")


@pytest.mark.parametrize(
    ("definition", "problem"),
    [
        ({"group-type": "odd"}, '<<"odd">> is not a valid group type. Must be one of: ordered, fair'),
        ({"group-prefetch": 0}, "0 is not a valid group prefetch. Must be an integer from 1 to 65535"),
        ({"group-type": "fair", "group-prefetch": 2}, "group-prefetch has no effect with group-type fair"),
        ({"group-type": "fair", "group-on-dead": "park"}, "group-on-dead park needs an order to keep"),
        ({"group-on-dead": "park", "max-length": 3}, "overflow must be reject-publish when group-on-dead is park"),
        ({"group-on-dead": "park", "max-length": 3, "overflow": "reject-publish"}, None),
        ({"group-header": "k"}, "are not recognised policy settings"),
    ],
)
def test_policy_that_makes_no_sense_is_refused(definition: dict[str, Any], problem: str | None) -> None:
    found = policy_keys(COMPATS["4.0"]).problem(definition, operator=False)
    assert (found is None) if problem is None else problem in (found or "")


def test_policy_keys_are_unknown_without_extensions() -> None:
    keys = policy_keys(COMPATS["4.0"].configured({}, extensions=False))
    assert "are not recognised policy settings" in (keys.problem({"group-type": "fair"}, operator=False) or "")
