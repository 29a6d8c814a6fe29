"""Declarations of an existing queue with other arguments, by the setting and by policies."""

import logging
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

from amqpbroker.broker.policies.policies import Policy
from amqpbroker.broker.queues.arguments.difference import Difference
from amqpbroker.broker.queues.arguments.redeclaration import KEPT
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.kinds import CLASSIC, QUORUM
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.streams.queue import StreamQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.compat import COMPATS, OLDEST_COMPAT
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, Table, longstr
from tests.broker.queueing import (
    Subscriber,
    clock_of,
    declare,
    declare_stream,
    message,
    publish,
    ready,
    reasons,
    table,
)
from tests.harness import make_broker

MODES = ("strict", "warn", "update")
KINDS: dict[str, dict[str, Any]] = {
    "classic": {},
    "priority": {"max_priority": 5},
    "single active consumer": {"single_active_consumer": True},
    "quorum": {"queue_type": "quorum"},
}


def vhost_in(mode: str, **settings: Any) -> Vhost:
    return make_broker(redeclare=mode, **settings).vhosts["/"]


def put_policy(vhost: Vhost, mode: str, operator: bool = False, **more: Any) -> None:
    definition = {"redeclare": mode, **more}
    vhost.policies.put(Policy("/", "p", "^q$", definition, operator=operator))  # type: ignore[attr-defined]


def refusal(vhost: Vhost, **arguments: Any) -> str:
    with pytest.raises(AmqpError) as refused:
        declare(vhost, **arguments)
    assert refused.value.code == 406
    return refused.value.text


def declare_raw(vhost: Vhost, arguments: Table) -> LocalQueue:
    queue = vhost.declare_queue("q", False, False, False, arguments)
    assert isinstance(queue, LocalQueue)
    return queue


# --- modes ------------------------------------------------------------------------------------------------------------


def test_other_argument_is_refused_by_default_and_leaves_no_record() -> None:
    vhost = make_broker().vhosts["/"]
    queue = declare(vhost, message_ttl=1000)
    assert refusal(vhost, message_ttl=2000) == (
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/':"
        " received '2000' but current is '1000'"
    )
    assert (queue.settings.message_ttl_ms, queue.differences) == (1000, ())


@pytest.mark.parametrize("kind", KINDS)
def test_warn_accepts_other_arguments_and_changes_nothing(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    vhost, own = vhost_in("warn"), KINDS[kind]
    queue = declare(vhost, message_ttl=1000, **own)
    before = queue.arguments, queue.settings
    assert declare(vhost, message_ttl=2000, max_length=5, **own) is queue
    assert (queue.arguments, queue.settings) == before
    assert set(queue.differences) == {
        Difference("x-message-ttl", Field("l", 1000), Field("l", 2000)),
        Difference("x-max-length", None, Field("l", 5)),
    }
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    text = record.getMessage()
    assert text.startswith("queue 'q' in vhost '/' was declared by user 'rmq-internal' with arguments that differ")
    assert "x-message-ttl is '1000' and was declared as '2000'" in text
    assert "x-max-length is none and was declared as '5'" in text


@pytest.mark.parametrize("kind", KINDS)
def test_update_replaces_arguments_and_applies_them_immediately(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    vhost, own = vhost_in("update"), KINDS[kind]
    queue = declare(vhost, message_ttl=1000, max_length=10, **own)
    publish(queue, b"1", b"2", b"3")
    assert declare(vhost, max_length=2, overflow="drop-head", **own) is queue
    assert ready(queue) == [b"2", b"3"]
    assert (queue.settings.message_ttl_ms, queue.settings.max_length) == (-1, 2)
    kept = {"x-queue-type": longstr(queue.kind.name)}
    assert queue.arguments == kept | table(max_length=2, overflow="drop-head", **own)
    assert list(queue.arguments) == sorted(queue.arguments)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert "queue 'q' in vhost '/' has new arguments, declared by user 'rmq-internal'" in record.getMessage()
    assert "x-message-ttl is '1000' and was declared as none" in record.getMessage()


def test_update_changes_the_size_of_the_next_segments_of_a_stream() -> None:
    vhost = vhost_in("update")
    stream = declare_stream(vhost, "q", stream_max_segment_size_bytes=100_000)
    publish_each(stream, 3)
    assert stream.info().segments == 1
    assert declare_stream(vhost, "q", stream_max_segment_size_bytes=500) is stream
    publish_each(stream, 3)
    assert stream.info().segments == 4
    assert declare_stream(vhost, "q") is stream
    publish_each(stream, 3)
    assert stream.info().segments == 4


def publish_each(stream: StreamQueue, count: int) -> None:
    """Publish messages of 500 bytes, each in a chunk of its own."""
    for _ in range(count):
        stream.publish(message(b"x" * 500))
        stream.vhost.store.sync()


def test_update_sends_the_messages_over_a_new_limit_to_the_new_dead_letter_exchange() -> None:
    vhost = vhost_in("update")
    grave, queue = declare(vhost, "grave"), declare(vhost)
    publish(queue, b"1", b"2")
    declare(vhost, max_length=1, dead_letter_exchange="", dead_letter_routing_key="grave")
    assert reasons(grave) == [(b"1", "maxlen")]


@pytest.mark.parametrize("mode", MODES)
def test_equal_declaration_is_accepted_without_a_log_line(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    vhost = vhost_in(mode)
    queue = declare_raw(vhost, {"x-message-ttl": Field("l", 1000)})
    declare_raw(vhost, {"x-message-ttl": Field("I", 1000), "x-mine": Field("I", 1)})
    assert (queue.differences, caplog.records) == ((), [])


def test_update_changes_the_delivery_limit_and_the_dead_letter_strategy_of_a_quorum_queue() -> None:
    vhost = vhost_in("update")
    queue = declare(vhost, queue_type="quorum", delivery_limit=3, dead_letter_exchange="x", overflow="reject-publish")
    declare(
        vhost,
        queue_type="quorum",
        dead_letter_exchange="x",
        dead_letter_strategy="at-least-once",
        overflow="reject-publish",
    )
    assert queue.settings.delivery_limit == 20
    assert queue.settings.dead_letter_strategy == "at-least-once"


def test_update_changes_the_retry_delay_and_the_consumer_timeout() -> None:
    vhost = vhost_in("update", compat=COMPATS["4.3"])
    queue = declare(vhost, queue_type="quorum", consumer_timeout=1000)
    declare(vhost, queue_type="quorum", consumer_timeout=2000, delayed_retry_type="all", delayed_retry_min=500)
    assert queue.settings.consumer_timeout_ms == 2000
    publish(queue, b"1")
    consumer = Subscriber(queue).subscribe()
    consumer.requeue()
    assert queue.delayed_count == 1


def test_update_restarts_the_period_after_which_the_queue_expires() -> None:
    vhost = vhost_in("update")
    declare(vhost, expires=1000)
    declare(vhost, expires=5000)
    clock_of(vhost).advance(2000)
    assert "q" in vhost.queues
    declare(vhost)
    clock_of(vhost).advance(10_000)
    assert "q" in vhost.queues


# --- refused differences ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_other_flags_and_another_type_are_refused_in_every_mode(mode: str) -> None:
    vhost = vhost_in(mode)
    declare(vhost)
    for flags in ((True, False, False), (False, False, True)):
        with pytest.raises(AmqpError) as refused:
            vhost.declare_queue("q", *flags, {})
        assert refused.value.code == 406
    with pytest.raises(AmqpError, match="RESOURCE_LOCKED"):
        vhost.declare_queue("q", False, True, False, {}, object())
    vhost.declare_queue("r", True, False, False, {})
    with pytest.raises(AmqpError, match="'x-queue-type'"):
        vhost.declare_queue("r", True, False, False, {"x-queue-type": longstr("quorum")})


@pytest.mark.parametrize("mode", MODES)
def test_exclusive_queue_of_another_connection_stays_locked(mode: str) -> None:
    vhost = vhost_in(mode)
    queue = declare(vhost, session=object())
    with pytest.raises(AmqpError, match="RESOURCE_LOCKED"):
        vhost.declare_queue("q", False, True, False, table(max_length=5), object())
    assert queue.differences == ()


@pytest.mark.parametrize(
    "fixed", [{"max_priority": 5}, {"single_active_consumer": True}, {"queue_version": 2}, {"queue_mode": "lazy"}]
)
def test_argument_that_cannot_change_is_refused_by_update_and_accepted_by_warn(fixed: dict[str, Any]) -> None:
    vhost = vhost_in("update")
    queue = declare(vhost)
    assert "inequivalent arg" in refusal(vhost, message_ttl=1000, **fixed)
    assert queue.settings.message_ttl_ms == -1
    assert queue.arguments == {"x-queue-type": longstr("classic")}
    vhost = vhost_in("warn")
    queue = declare(vhost)
    declare(vhost, **fixed)
    assert len(queue.differences) == 1


@pytest.mark.parametrize("mode", ["warn", "update"])
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"message_ttl": -1}, "value_negative"),
        ({"dead_letter_routing_key": "k"}, "routing_key_but_no_dlx_defined"),
        ({"max_length": 1, "max_age": "1h"}, "invalid arg 'x-max-age' for queue 'q' in vhost '/' of queue type"),
    ],
)
def test_invalid_declaration_is_refused_and_not_recorded(mode: str, arguments: dict[str, Any], problem: str) -> None:
    vhost = vhost_in(mode)
    queue = declare(vhost)
    assert problem in refusal(vhost, **arguments)
    assert (queue.differences, queue.arguments) == ((), {"x-queue-type": longstr("classic")})


def test_policy_may_complete_the_delayed_retry_of_a_declaration() -> None:
    vhost = vhost_in("update")
    assert "x-delayed-retry-min is missing" in refusal(vhost, delayed_retry_type="all")
    put_policy(vhost, "update", **{"delayed-retry-min": 100})
    assert declare(vhost, delayed_retry_type="all").info().delayed_retry == "all (min: 100ms, max: 100ms)"
    assert "x-delayed-retry-type is missing" in refusal(vhost, delayed_retry_max=500)


def test_arguments_that_the_queue_type_does_not_know_are_not_replaced() -> None:
    vhost = vhost_in("update")
    queue = declare_raw(vhost, {"x-mine": Field("I", 1), "x-max-length": Field("I", 1)})
    declare_raw(vhost, {"x-mine": Field("I", 2), "x-max-length": Field("I", 2)})
    assert queue.arguments["x-mine"] == Field("I", 1)
    assert queue.arguments["x-max-length"] == Field("I", 2)


# --- the record of differences ----------------------------------------------------------------------------------------


def test_same_difference_is_logged_and_recorded_once(caplog: pytest.LogCaptureFixture) -> None:
    vhost = vhost_in("warn")
    queue = declare(vhost)
    for _ in range(3):
        declare(vhost, max_length=5)
        declare(vhost)
    assert (len(caplog.records), len(queue.differences)) == (1, 1)
    declare(vhost, max_length=5, message_ttl=1)
    assert len(caplog.records) == 2
    assert "x-max-length" not in caplog.records[1].getMessage()


def test_only_the_latest_differences_are_recorded() -> None:
    vhost = vhost_in("warn")
    queue = declare(vhost)
    for number in range(3 * KEPT):
        declare(vhost, max_length=number)
    assert [each.declared for each in queue.differences] == [Field("l", n) for n in range(2 * KEPT, 3 * KEPT)]


def test_update_removes_the_recorded_differences() -> None:
    vhost = vhost_in("warn")
    queue = declare(vhost)
    declare(vhost, max_length=5)
    put_policy(vhost, "update")
    declare(vhost, max_length=5)
    assert (queue.differences, queue.settings.max_length) == ((), 5)


# --- policies ---------------------------------------------------------------------------------------------------------


def test_policy_has_precedence_over_the_setting_and_operator_policy_over_both() -> None:
    vhost = vhost_in("update")
    queue = declare(vhost)
    put_policy(vhost, "warn")
    declare(vhost, max_length=5)
    assert (queue.settings.max_length, len(queue.differences)) == (-1, 1)
    put_policy(vhost, "strict", operator=True)
    refusal(vhost, max_length=5)
    assert vhost.queues["q"].effective_policy == {"redeclare": "strict"}


@pytest.mark.parametrize("kind", KINDS)
def test_policies_stay_merged_with_the_new_arguments(kind: str) -> None:
    vhost, own = vhost_in("strict"), KINDS[kind]
    queue = declare(vhost, max_length=10, **own)
    put_policy(vhost, "update", **{"max-length": 7, "message-ttl": 1000})
    declare(vhost, max_length=9, **own)
    assert (queue.settings.max_length, queue.settings.message_ttl_ms) == (7, 1000)
    declare(vhost, max_length=3, **own)
    assert queue.settings.max_length == 3


@pytest.mark.parametrize("value", ["ignore", 1, True, None])
def test_other_value_of_the_policy_key_is_refused(vhost: Vhost, value: object) -> None:
    with pytest.raises(ValueError, match="is not a valid redeclaration mode"):
        put_policy(vhost, value)  # type: ignore[arg-type]


def test_policy_key_is_unknown_and_has_no_effect_without_extensions() -> None:
    vhost = make_broker(compat=OLDEST_COMPAT).vhosts["/"]
    with pytest.raises(ValueError, match="not recognised policy settings"):
        put_policy(vhost, "warn")
    vhost = vhost_in("warn", compat=OLDEST_COMPAT)  # as restored from a broker with extensions
    declare(vhost)
    refusal(vhost, max_length=5)


# --- which arguments can change ---------------------------------------------------------------------------------------


def documented(answer: str) -> list[str]:
    """Return the patterns of the arguments in the row of the page's table whose answer in mode update begins so."""
    page = Path(__file__).parents[4] / "docs" / "features" / "redeclaration.md"
    (row,) = [line for line in page.read_text().splitlines() if f"| accepted | {answer}" in line]
    return re.findall(r"`([^`]+)`", row.split("|")[1])


@pytest.mark.parametrize("kind", [CLASSIC, QUORUM], ids=["classic", "quorum"])
def test_page_says_for_each_argument_whether_it_can_change(kind: Kind) -> None:
    arguments = kind.arguments_in(COMPATS["4.3"])
    for name, argument in arguments.items():
        found = [answer for answer in ("changed", "406") if any(fnmatch(name, each) for each in documented(answer))]
        assert found == (["406"] if argument.fixed else ["changed"]) or name == "x-queue-type", name


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"message_deduplication": True, "cache_ttl": 60_000}),
        ({"message_deduplication": True}, {}),
        ({"message_deduplication": True, "cache_ttl": 1}, {"message_deduplication": True, "cache_ttl": 2}),
        ({}, {"last_value_key": "k"}),
    ],
    ids=["on", "off", "other time", "last value"],
)
def test_update_refuses_other_arguments_of_duplicates_and_last_values(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    vhost = vhost_in("update")
    queue = declare(vhost, **before)
    arguments = queue.arguments
    assert "inequivalent arg" in refusal(vhost, **after)
    assert queue.arguments == arguments
