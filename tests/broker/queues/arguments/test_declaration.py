from typing import Any

import pytest

from amqpbroker.broker.queues.arguments.declaration import check_consumer_arguments, queue_settings
from amqpbroker.broker.queues.arguments.retry_delay import RetryDelay
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.kinds import CLASSIC, QUORUM
from amqpbroker.compat import COMPATS, DEFAULT_COMPAT, NEWEST_COMPAT, OLDEST_COMPAT, Compat
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, Table, longstr


def test_queue_without_arguments_has_the_default_settings() -> None:
    settings = queue_settings(CLASSIC, {})
    assert settings == QueueSettings()
    assert settings.plain
    assert settings.delivery_limit == -1


def test_settings_contain_all_arguments_of_a_classic_queue() -> None:
    arguments = {
        "x-expires": Field("I", 1),
        "x-message-ttl": Field("I", 2),
        "x-max-length": Field("I", 3),
        "x-max-length-bytes": Field("I", 4),
        "x-max-priority": Field("I", 5),
        "x-overflow": longstr("reject-publish-dlx"),
        "x-dead-letter-exchange": longstr("dlx"),
        "x-dead-letter-routing-key": longstr(b"k\xff"),
        "x-single-active-consumer": Field("t", True),
        "x-consumer-timeout": Field("I", 6),
    }
    assert queue_settings(CLASSIC, arguments) == QueueSettings(
        expires_ms=1,
        message_ttl_ms=2,
        max_length=3,
        max_length_bytes=4,
        max_priority=5,
        overflow="reject-publish-dlx",
        dead_letter_exchange="dlx",
        dead_letter_routing_key=b"k\xff",
        single_active_consumer=True,
        consumer_timeout_ms=6,
    )


@pytest.mark.parametrize("argument", ["x-message-ttl", "x-max-length", "x-max-length-bytes"])
def test_limit_of_zero_does_not_mean_unlimited(argument: str) -> None:
    assert not queue_settings(CLASSIC, {argument: Field("I", 0)}).plain


@pytest.mark.parametrize("argument", ["x-expires", "x-max-priority"])
def test_settings_that_do_not_affect_publishing_leave_a_queue_plain(argument: str) -> None:
    assert queue_settings(CLASSIC, {argument: Field("I", 10)}).plain


def test_max_priority_of_zero_means_one() -> None:
    assert queue_settings(CLASSIC, {"x-max-priority": Field("I", 0)}).max_priority == 1


def test_single_active_consumer_may_be_false() -> None:
    assert not queue_settings(CLASSIC, {"x-single-active-consumer": Field("t", False)}).single_active_consumer


def test_the_default_exchange_may_be_the_dead_letter_exchange() -> None:
    assert queue_settings(CLASSIC, {"x-dead-letter-exchange": longstr("")}).dead_letter_exchange == ""


@pytest.mark.parametrize(
    ("argument", "limit"),
    [(None, 20), (Field("I", 3), 3), (Field("I", -1), -1), (longstr("5"), 20), (Field("t", True), 20)],
)
def test_quorum_queue_has_the_declared_or_default_delivery_limit(argument: Field | None, limit: int) -> None:
    arguments: Table = {} if argument is None else {"x-delivery-limit": argument}
    assert queue_settings(QUORUM, arguments).delivery_limit == limit


def test_quorum_queues_do_not_reject_to_the_dead_letter_exchange() -> None:
    assert queue_settings(QUORUM, {"x-overflow": longstr("reject-publish-dlx")}).overflow == "drop-head"


@pytest.mark.parametrize(
    ("overflow", "exchange", "strategy"),
    [
        ("reject-publish", "dlx", "at-least-once"),
        ("drop-head", "dlx", "at-most-once"),
        ("reject-publish", None, "at-most-once"),
    ],
)
def test_at_least_once_needs_reject_publish_and_a_dead_letter_exchange(
    overflow: str, exchange: str | None, strategy: str
) -> None:
    arguments = {"x-dead-letter-strategy": longstr("at-least-once"), "x-overflow": longstr(overflow)}
    if exchange is not None:
        arguments["x-dead-letter-exchange"] = longstr(exchange)
    assert queue_settings(QUORUM, arguments).dead_letter_strategy == strategy


@pytest.mark.parametrize("kind", [CLASSIC, QUORUM])
def test_policy_applies_if_the_argument_is_missing(kind: Kind) -> None:
    policy = {
        "message-ttl": 5,
        "dead-letter-exchange": "dlx",
        "dead-letter-routing-key": "ü",
        "overflow": "reject-publish",
        "consumer-timeout": 7,
    }
    settings = queue_settings(kind, {}, policy)
    assert (settings.message_ttl_ms, settings.plain) == (5, False)
    assert (settings.dead_letter_exchange, settings.dead_letter_routing_key) == ("dlx", "ü".encode())
    assert (settings.overflow, settings.consumer_timeout_ms) == ("reject-publish", 7)


@pytest.mark.parametrize("kind", [CLASSIC, QUORUM])
def test_smaller_limit_of_policy_and_argument_applies(kind: Kind) -> None:
    arguments = {"x-max-length": Field("I", 5), "x-expires": Field("I", 5)}
    settings = queue_settings(kind, arguments, {"max-length": 3, "expires": 9})
    assert (settings.max_length, settings.expires_ms) == (3, 5)


@pytest.mark.parametrize(("kind", "overflow"), [(CLASSIC, "drop-head"), (QUORUM, "reject-publish")])
def test_overflow_argument_overrides_policy_in_classic_queues_only(kind: Kind, overflow: str) -> None:
    arguments = {"x-overflow": longstr("drop-head"), "x-dead-letter-exchange": longstr("mine")}
    settings = queue_settings(kind, arguments, {"overflow": "reject-publish", "dead-letter-exchange": "theirs"})
    assert settings.overflow == overflow
    assert settings.dead_letter_exchange == "mine"


@pytest.mark.parametrize(("policy", "argument", "limit"), [(5, 3, 3), (3, 5, 3), (-1, 5, 5), (5, -1, 5), (-1, -1, -1)])
def test_finite_delivery_limit_of_two_is_used(policy: int, argument: int, limit: int) -> None:
    arguments = {"x-delivery-limit": Field("I", argument)}
    assert queue_settings(QUORUM, arguments, {"delivery-limit": policy}).delivery_limit == limit


def test_a_classic_queue_has_a_delivery_limit_with_extensions_only() -> None:
    limited: Table = {"x-delivery-limit": Field("I", 3)}
    assert queue_settings(CLASSIC, {}, {"delivery-limit": 5}, OLDEST_COMPAT).delivery_limit == -1
    assert queue_settings(CLASSIC, limited, {}, OLDEST_COMPAT).delivery_limit == -1
    assert queue_settings(CLASSIC, {}, {}).delivery_limit == -1
    assert queue_settings(CLASSIC, {}, {"delivery-limit": 5}).delivery_limit == 5
    assert queue_settings(CLASSIC, limited, {"delivery-limit": 5}).delivery_limit == 3


@pytest.mark.parametrize("compat", COMPATS.values(), ids=COMPATS)
@pytest.mark.parametrize("kind", [CLASSIC, QUORUM])
def test_every_queue_has_a_delayed_retry_with_extensions(kind: Kind, compat: Compat) -> None:
    declared = {
        "x-delayed-retry-type": longstr("all"),
        "x-delayed-retry-min": Field("l", 10),
        "x-delayed-retry-max": Field("l", 90),
        "x-delayed-retry-multiplier": Field("d", 2.5),
        "x-delayed-retry-jitter": Field("f", 0.5),
    }
    retry = RetryDelay("all", 10, 90, 2.5, 0.5)
    assert queue_settings(kind, declared, compat=compat).retry == retry
    policy: dict[str, Any] = {"delayed-retry-type": "all", "delayed-retry-min": 10, "delayed-retry-max": 90}
    policy |= {"delayed-retry-multiplier": 2.5, "delayed-retry-jitter": 0.5}
    assert queue_settings(kind, {}, policy, compat).retry == retry
    smaller: dict[str, Any] = {"delayed-retry-multiplier": 2, "delayed-retry-jitter": 1, "delayed-retry-min": 11}
    assert queue_settings(kind, declared, smaller, compat).retry == RetryDelay("all", 10, 90, 2, 0.5)


@pytest.mark.parametrize("argument", ["x-consumer-timeout-action", "x-consumer-timeout-renew"])
def test_consumer_without_acknowledgements_cannot_have_arguments_of_locks(argument: str) -> None:
    value = {"x-consumer-timeout-action": "return", "x-consumer-timeout-renew": "heartbeat"}[argument]
    arguments: Table = {"x-consumer-timeout": Field("I", 5), argument: longstr(value)}
    check_consumer_arguments("q", "/", CLASSIC, arguments, DEFAULT_COMPAT)
    with pytest.raises(AmqpError) as refused:
        check_consumer_arguments("q", "/", CLASSIC, arguments, DEFAULT_COMPAT, no_ack=True)
    assert refused.value.text == (
        f"PRECONDITION_FAILED - invalid arg '{argument}' for queue 'q' in vhost '/':"
        ' "a consumer with no_ack has no locks: consume with acknowledgements"'
    )
    strict = DEFAULT_COMPAT.configured({}, extensions=False)
    check_consumer_arguments("q", "/", CLASSIC, arguments, strict, no_ack=True)


@pytest.mark.parametrize(
    ("arguments", "policy", "delay"),
    [
        ({"type": "all", "min": 10, "max": 30}, {}, RetryDelay("all", 10, 30)),
        ({}, {"type": "failed", "min": 10}, RetryDelay("failed", 10, 10)),
        ({"type": "all", "min": 10, "max": 30}, {"type": "failed", "min": 20, "max": 20}, RetryDelay("failed", 10, 20)),
        ({"type": "all", "min": 10, "max": 30}, {"type": "disabled"}, None),
        ({"type": "disabled", "min": 10}, {"type": "returned"}, RetryDelay("returned", 10, 10)),
        ({"type": "all"}, {"min": 5}, RetryDelay("all", 5, 5)),
        ({"type": "all", "min": -5}, {"min": 5}, None),
        ({"type": "all", "min": 5, "max": -1}, {}, RetryDelay("all", 5, 5)),
        ({"type": "al", "min": 10}, {}, None),
        ({"type": 5, "min": 10}, {}, None),
        ({"type": "all", "min": "10"}, {}, None),
        ({"type": "all"}, {}, None),
        ({"min": 10}, {}, None),
    ],
)
def test_delayed_retry_of_a_quorum_queue_merges_arguments_and_policy(
    arguments: dict[str, Any], policy: dict[str, Any], delay: RetryDelay | None
) -> None:
    """Check rabbit_quorum_queue:get_delayed_retry_config/1. Arguments are not checked when a queue is declared."""
    declared = {
        f"x-delayed-retry-{name}": Field("l", value) if isinstance(value, int) else longstr(value)
        for name, value in arguments.items()
    }
    definition = {f"delayed-retry-{name}": value for name, value in policy.items()}
    strict = NEWEST_COMPAT.configured({}, extensions=False)
    assert queue_settings(QUORUM, declared, definition, strict).retry == delay
    assert queue_settings(CLASSIC, declared, definition, strict).retry is None
    assert queue_settings(QUORUM, declared, definition, OLDEST_COMPAT).retry is None
