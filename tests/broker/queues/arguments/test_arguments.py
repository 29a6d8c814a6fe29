"""Arguments of queue.declare, with texts that RabbitMQ 4.0.5 prints."""

from decimal import Decimal
from typing import Any

import pytest

from amqpbroker.broker.queues.arguments.arguments import with_queue_type
from amqpbroker.broker.queues.arguments.declaration import Declaration, check_retry, parse_declaration, queue_settings
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.kinds import STREAM
from amqpbroker.compat import COMPATS, DEFAULT_COMPAT, OLDEST_COMPAT
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, Table, longstr

INVALID = "PRECONDITION_FAILED - invalid arg '{}' for queue 'q' in vhost '/': {}"
FOREIGN = "PRECONDITION_FAILED - invalid arg '{}' for queue 'q' in vhost '/' of queue type rabbit_{}_queue"
QUORUM = {"x-queue-type": longstr("quorum")}


def parse(arguments: Table, **declare: Any) -> Declaration:
    flags: dict[str, Any] = {"durable": True, "exclusive": False, "auto_delete": False, "compat": OLDEST_COMPAT}
    return parse_declaration("q", "/", arguments=arguments, **flags | declare)


def refusal(arguments: Table, **declare: Any) -> str:
    with pytest.raises(AmqpError) as refused:
        parse(arguments, **declare)
    return refused.value.text


@pytest.mark.parametrize(
    ("argument", "value", "reason"),
    [
        ("x-expires", Field("l", -1), "{value_negative,-1}"),
        ("x-expires", Field("I", 0), "{value_zero,0}"),
        ("x-expires", Field("l", 315360000001), "{value_too_large,315360000001}"),
        ("x-expires", longstr("1"), '"expected integer, got longstr"'),
        ("x-message-ttl", Field("b", -1), "{value_negative,-1}"),
        ("x-message-ttl", Field("l", 315360000001), "{value_too_large,315360000001}"),
        ("x-message-ttl", Field("d", 1.5), '"expected integer, got double"'),
        ("x-message-ttl", Field("t", True), '"expected integer, got bool"'),
        ("x-message-ttl", Field("V", None), '"expected integer, got void"'),
        ("x-message-ttl", Field("T", 5), '"expected integer, got timestamp"'),
        ("x-message-ttl", Field("F", {}), '"expected integer, got table"'),
        ("x-message-ttl", Field("A", []), '"expected integer, got array"'),
        ("x-message-ttl", Field("D", (0, 5)), '"expected integer, got decimal"'),
        ("x-message-ttl", Field("x", b"1"), '"expected integer, got binary"'),
        ("x-message-ttl", Field("f", 1.0), '"expected integer, got float"'),
        ("x-max-length", Field("s", -5), "{value_negative,-5}"),
        ("x-max-length-bytes", Field("l", -1), "{value_negative,-1}"),
        ("x-max-priority", Field("I", -1), "{value_negative,-1}"),
        ("x-max-priority", Field("I", 256), "{max_value_exceeded,256}"),
        ("x-queue-version", Field("I", -1), "{value_negative,-1}"),
        ("x-queue-version", Field("I", 3), "\"unsupported queue version '3'\""),
        ("x-queue-version", longstr("2"), '"expected integer, got longstr"'),
        ("x-overflow", longstr("foo"), "invalid_overflow"),
        ("x-overflow", Field("I", 1), "{unacceptable_type,signedint}"),
        ("x-single-active-consumer", longstr("true"), "{unacceptable_type,longstr}"),
        ("x-single-active-consumer", Field("V", None), "{unacceptable_type,void}"),
        ("x-queue-mode", longstr("fü"), "\"unsupported queue mode 'fü'\""),
        ("x-queue-mode", longstr(b"\xe9"), "\"unsupported queue mode 'é'\""),
        ("x-queue-mode", Field("I", 1), "{unacceptable_type,signedint}"),
        ("x-queue-leader-locator", longstr("foo"), "invalid_queue_locator_arg"),
        ("x-queue-leader-locator", Field("I", 1), "{unacceptable_type,signedint}"),
        ("x-dead-letter-routing-key", longstr("k"), "routing_key_but_no_dlx_defined"),
        ("x-dead-letter-routing-key", Field("I", 1), "{unacceptable_type,signedint}"),
        ("x-queue-type", longstr("foo"), "\"unsupported queue type 'foo'\""),
        ("x-queue-type", longstr("Classic"), "\"unsupported queue type 'Classic'\""),
        ("x-queue-type", longstr(""), "\"unsupported queue type ''\""),
        ("x-queue-type", Field("I", 1), "{unacceptable_type,signedint}"),
        (
            "x-queue-type",
            longstr("日本"),
            "[117,110,115,117,112,112,111,114,116,101,100,32,113,117,101,117,101,32,116,121,112,101,32,39,26085,26412,39]",
        ),
    ],
)
def test_invalid_argument_value_for_a_classic_queue_is_refused(argument: str, value: Field, reason: str) -> None:
    assert refusal({argument: value}) == INVALID.format(argument, reason)


@pytest.mark.parametrize(
    ("argument", "value", "reason"),
    [
        ("x-dead-letter-strategy", longstr("foo"), "invalid_dlx_strategy"),
        ("x-dead-letter-strategy", Field("I", 1), "{unacceptable_type,signedint}"),
        ("x-quorum-initial-group-size", Field("I", 0), "{value_zero,0}"),
        ("x-quorum-initial-group-size", Field("I", -1), "{value_negative,-1}"),
        ("x-max-in-memory-length", Field("I", -3), "{value_negative,-3}"),
        ("x-max-in-memory-bytes", longstr("1"), '"expected integer, got longstr"'),
    ],
)
def test_invalid_argument_value_for_a_quorum_queue_is_refused(argument: str, value: Field, reason: str) -> None:
    assert refusal(QUORUM | {argument: value}) == INVALID.format(argument, reason)


@pytest.mark.parametrize("argument", ["x-dead-letter-strategy", "x-max-in-memory-length", "x-max-age"])
def test_arguments_of_other_queue_types_are_refused(argument: str) -> None:
    assert refusal({argument: longstr("1h")}) == FOREIGN.format(argument, "classic")


@pytest.mark.parametrize(
    "argument", ["x-max-priority", "x-queue-mode", "x-queue-version", "x-queue-master-locator", "x-max-age"]
)
def test_arguments_that_quorum_queues_lack_are_refused(argument: str) -> None:
    assert refusal(QUORUM | {argument: Field("I", 500)}) == FOREIGN.format(argument, "quorum")


@pytest.mark.parametrize(
    "value", [Field("b", 5), Field("B", 5), Field("s", 5), Field("u", 5), Field("i", 5), Field("l", 5)]
)
def test_integers_of_any_width_are_accepted(value: Field) -> None:
    assert parse({"x-max-length": value}).settings.max_length == 5


def test_argument_values_are_checked_before_queue_type_and_properties() -> None:
    wrong_ttl = {"x-message-ttl": Field("I", -5)}
    assert "'x-expires'" in refusal(wrong_ttl | {"x-expires": Field("I", 0)})
    assert "value_negative" in refusal({"x-delivery-limit": Field("I", 5)} | wrong_ttl)
    assert "'x-max-priority'" in refusal(QUORUM | {"x-max-priority": Field("I", 5)}, auto_delete=True)
    assert "invalid type 'signedint'" in refusal(wrong_ttl | {"x-dead-letter-exchange": Field("I", 1)})


def test_first_foreign_argument_is_reported_if_no_type_is_given() -> None:
    foreign = {"x-max-age": longstr("1h"), "x-dead-letter-strategy": longstr("at-least-once")}
    assert refusal(foreign) == FOREIGN.format("x-dead-letter-strategy", "classic")
    assert refusal({"x-queue-type": longstr("classic")} | foreign) == FOREIGN.format("x-max-age", "classic")


def test_unknown_queue_arguments_are_accepted() -> None:
    assert parse({"x-foo": Field("A", []), "bar": Field("V", None)}).settings == QueueSettings()


@pytest.mark.parametrize("kind", ["I", "x", "V"])
def test_a_dead_letter_exchange_must_be_a_string(kind: str) -> None:
    name = {"I": "signedint", "x": "binary", "V": "void"}[kind]
    assert refusal({"x-dead-letter-exchange": Field(kind, None)}) == (
        f"PRECONDITION_FAILED - invalid type '{name}' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"
    )


@pytest.mark.parametrize(
    ("flags", "prop"),
    [
        ({"durable": False}, "non-durable"),
        ({"exclusive": True}, "exclusive-owner"),
        ({"exclusive": True, "durable": False}, "exclusive-owner"),
        ({"auto_delete": True, "exclusive": True, "durable": False}, "auto-delete"),
    ],
)
def test_quorum_queue_must_be_durable_and_not_exclusive(flags: dict[str, bool], prop: str) -> None:
    assert refusal(QUORUM, **flags) == f"PRECONDITION_FAILED - invalid property '{prop}' for queue 'q' in vhost '/'"


def test_only_classic_queues_may_be_server_named() -> None:
    text = "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"
    assert refusal(QUORUM, server_named=True) == text
    assert refusal({}, server_named=True, default_queue_type="quorum") == text
    assert parse({}, server_named=True).kind.name == "classic"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("x-stream-max-segment-size-bytes", Field("l", 3_000_000_001), "Exceeded max value for x-stream-max-segment"),
        ("x-stream-filter-size-bytes", Field("I", 15), "Invalid value for  x-stream-filter-size-bytes"),
        ("x-stream-filter-size-bytes", longstr("16"), "Invalid value for  x-stream-filter-size-bytes"),
        ("x-max-age", longstr("0s"), "invalid_max_age"),
        ("x-max-length", Field("I", 1), "invalid arg 'x-max-length' for queue 'q' in vhost '/' of queue type"),
    ],
)
def test_argument_of_a_stream_is_refused(name: str, value: Field, text: str) -> None:
    with pytest.raises(AmqpError) as refused:
        parse({"x-queue-type": longstr("stream"), name: value})
    assert refused.value.code == 406
    assert text in refused.value.text


@pytest.mark.parametrize("series", ["4.2", "4.3"])
@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("stream", Field("I", 15), "PRECONDITION_FAILED - Invalid value for x-stream-filter-size-bytes"),
        ("stream", longstr("16"), INVALID.format("x-stream-filter-size-bytes", '"expected integer, got longstr"')),
        ("classic", Field("I", 16), FOREIGN.format("x-stream-filter-size-bytes", "classic")),
        ("quorum", Field("I", 16), FOREIGN.format("x-stream-filter-size-bytes", "quorum")),
    ],
)
def test_filter_size_is_an_argument_like_others_from_4_2_on(series: str, kind: str, value: Field, text: str) -> None:
    arguments = {"x-queue-type": longstr(kind), "x-stream-filter-size-bytes": value}
    assert refusal(arguments, compat=COMPATS[series]) == text


@pytest.mark.parametrize("series", ["4.0", "4.1"])
def test_filter_size_of_other_queues_than_streams_is_ignored_up_to_4_1(series: str) -> None:
    for kind in ("classic", "quorum"):
        parse({"x-queue-type": longstr(kind), "x-stream-filter-size-bytes": longstr("16")}, compat=COMPATS[series])


def test_settings_of_a_stream() -> None:
    arguments = {
        "x-queue-type": longstr("stream"),
        "x-max-age": longstr("2h"),
        "x-max-length-bytes": Field("l", 1000),
        "x-stream-max-segment-size-bytes": Field("I", 100),
    }
    settings = parse(arguments).settings
    assert (settings.max_age_ms, settings.max_length_bytes, settings.segment_bytes) == (7_200_000, 1000, 100)
    policy = {"max-age": "1D", "max-length-bytes": 5000}
    settings = queue_settings(STREAM, arguments, policy)
    assert (settings.max_age_ms, settings.max_length_bytes) == (86_400_000, 5000)


@pytest.mark.parametrize(
    ("flags", "queue_type"),
    [
        ({}, "quorum"),
        ({"durable": False}, "classic"),
        ({"exclusive": True}, "classic"),
        ({"auto_delete": True}, "classic"),
    ],
)
def test_default_type_applies_only_to_suitable_queues(flags: dict[str, bool], queue_type: str) -> None:
    assert parse({}, default_queue_type="quorum", **flags).kind.name == queue_type


def test_queue_type_undefined_means_the_default_type() -> None:
    assert parse({"x-queue-type": longstr("undefined")}, default_queue_type="quorum").kind.name == "quorum"


def test_queue_type_is_added_to_stored_arguments() -> None:
    flags: dict[str, Any] = {
        "durable": True,
        "exclusive": False,
        "auto_delete": False,
        "default_queue_type": "quorum",
    }
    kept = with_queue_type({"x-z": Field("t", True), "x-a": Field("t", True)}, **flags)
    assert list(kept.items()) == [
        ("x-a", Field("t", True)),
        ("x-queue-type", longstr("quorum")),
        ("x-z", Field("t", True)),
    ]
    given = {"x-z": Field("t", True), "x-queue-type": longstr("classic")}
    assert list(with_queue_type(given, **flags).items()) == list(given.items())


# --- delayed retry and delivery limit, with extensions ----------------------------------------------------------------


def retry_arguments(values: dict[str, Any]) -> Table:
    """Return arguments of a delayed retry, with their types on the wire; the names lack `x-delayed-retry-`."""
    fields: dict[str, Field] = {}
    for name, value in values.items():
        if isinstance(value, str):
            field = longstr(value)
        elif isinstance(value, Decimal):
            _, digits, exponent = value.as_tuple()
            assert isinstance(exponent, int)
            field = Field("D", (-exponent, int("".join(map(str, digits)))))
        else:
            field = Field("d" if isinstance(value, float) else "l", value)
        fields[f"x-delayed-retry-{name}"] = field
    return fields


RETRY: Table = {"x-delayed-retry-type": longstr("all"), "x-delayed-retry-min": Field("l", 10)}


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize(
    ("arguments", "argument", "problem"),
    [
        ({"type": "al", "min": 10}, "type", "unsupported type 'al', expected all, failed, returned or disabled"),
        ({"type": 5, "min": 10}, "type", None),
        ({"type": "all", "min": 0}, "min", "expected milliseconds from 1 to 315360000000, got 0"),
        ({"type": "all", "min": "10"}, "min", "expected milliseconds from 1 to 315360000000, got longstr"),
        ({"type": "all", "min": 10.5}, "min", "expected milliseconds from 1 to 315360000000, got 10.5"),
        ({"type": "all", "min": 10, "max": 9}, "max", "9 is smaller than x-delayed-retry-min (10)"),
        ({"type": "all", "min": 10, "max": 2**60}, "max", f"expected milliseconds from 1 to 315360000000, got {2**60}"),
        ({"type": "all", "min": 10, "multiplier": 0.5}, "multiplier", "expected a number from 1 on, got 0.5"),
        ({"type": "all", "min": 10, "multiplier": "2"}, "multiplier", "expected a number from 1 on, got longstr"),
        ({"type": "all", "min": 10, "jitter": 1.5}, "jitter", "expected a number from 0 to 1, got 1.5"),
        ({"type": "all", "min": 10, "jitter": -1}, "jitter", "expected a number from 0 to 1, got -1"),
        ({"jitter": Decimal("1.25")}, "jitter", "expected a number from 0 to 1, got 1.25"),
    ],
)
def test_delayed_retry_that_would_not_work_is_refused(
    queue_type: str, arguments: dict[str, Any], argument: str, problem: str | None
) -> None:
    declared = retry_arguments(arguments)
    reason = "{unacceptable_type,long}" if problem is None else f'"{problem}"'
    text = refusal({"x-queue-type": longstr(queue_type), **declared}, compat=DEFAULT_COMPAT)
    assert text == INVALID.format(f"x-delayed-retry-{argument}", reason)
    parse({"x-queue-type": longstr("quorum"), **declared}, compat=OLDEST_COMPAT)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_multiplier_that_is_no_finite_number_is_refused(value: float) -> None:
    assert "expected a number from 1 on" in refusal(
        RETRY | {"x-delayed-retry-multiplier": Field("d", value)}, compat=DEFAULT_COMPAT
    )


@pytest.mark.parametrize(
    ("field", "multiplier"),
    [
        (Field("f", 1.5), 1.5),
        (Field("d", 1.5), 1.5),
        (Field("b", 2), 2),
        (Field("l", 2), 2),
        (Field("D", (2, 125)), 1.25),
    ],
)
def test_multiplier_may_be_any_kind_of_number(field: Field, multiplier: float) -> None:
    retry = parse(RETRY | {"x-delayed-retry-multiplier": field}, compat=DEFAULT_COMPAT).settings.retry
    assert retry is not None
    assert retry.multiplier == multiplier


MISSING_TYPE = "x-delayed-retry-type is missing, and no policy sets it: all, failed, returned or disabled"
MISSING_MIN = "x-delayed-retry-min is missing, and no policy sets it: the delay in milliseconds"


@pytest.mark.parametrize(
    ("arguments", "policy", "argument", "problem"),
    [
        ({"type": "all"}, {}, "type", MISSING_MIN),
        ({"type": "all"}, {"delayed-retry-max": 5}, "type", MISSING_MIN),
        ({"min": 10}, {}, "min", MISSING_TYPE),
        ({"jitter": 1}, {"delayed-retry-min": 5}, "jitter", MISSING_TYPE),
        ({"max": 10}, {"delayed-retry-type": "all"}, "max", MISSING_MIN),
    ],
)
def test_delayed_retry_that_is_incomplete_also_with_the_policy_is_refused(
    arguments: dict[str, Any], policy: dict[str, Any], argument: str, problem: str
) -> None:
    with pytest.raises(AmqpError) as refused:
        check_retry("q", "/", retry_arguments(arguments), policy)
    assert refused.value.text == INVALID.format(f"x-delayed-retry-{argument}", f'"{problem}"')


@pytest.mark.parametrize(
    ("arguments", "policy"),
    [
        ({}, {}),
        ({"type": "disabled", "max": 5}, {}),
        ({"type": "all", "min": 5}, {}),
        ({"min": 5}, {"delayed-retry-type": "all", "delayed-retry-min": 9}),
        ({"type": "all"}, {"delayed-retry-min": 9}),
    ],
)
def test_policy_may_complete_a_delayed_retry(arguments: dict[str, Any], policy: dict[str, Any]) -> None:
    check_retry("q", "/", retry_arguments(arguments), policy)


def test_disabled_delayed_retry_needs_nothing_else() -> None:
    assert parse({"x-delayed-retry-type": longstr("disabled")}, compat=DEFAULT_COMPAT).settings.retry is None


def test_delivery_limit_is_an_integer_and_none_if_negative() -> None:
    assert refusal({"x-delivery-limit": longstr("5")}, compat=DEFAULT_COMPAT) == INVALID.format(
        "x-delivery-limit", '"expected integer, got longstr"'
    )
    assert parse({"x-delivery-limit": Field("I", 5)}, compat=DEFAULT_COMPAT).settings.delivery_limit == 5
    assert parse({"x-delivery-limit": Field("I", -1)}, compat=DEFAULT_COMPAT).settings.delivery_limit == -1
