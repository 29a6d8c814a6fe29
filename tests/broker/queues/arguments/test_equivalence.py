"""Equivalence of declarations, with texts that RabbitMQ 4.0.5 prints.

The queue master locator is an argument whose value RabbitMQ does not check.
"""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.queues.arguments.equivalence import assert_exchange_equivalent, queue_differences
from amqpbroker.broker.queues.kinds import CLASSIC
from amqpbroker.broker.queues.kinds import QUORUM as QUORUM_QUEUE
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.compat import OLDEST_COMPAT
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, Table, longstr

LOCATOR = "x-queue-master-locator"
QUORUM = {"x-queue-type": longstr("quorum")}


def declare_again(
    was: dict[str, Any], now: dict[str, Any], owned: bool = True, default_queue_type: str = "classic"
) -> None:
    flags: dict[str, Any] = {"durable": True, "exclusive": False, "auto_delete": False, "arguments": {}}
    was, now = flags | was, flags | now
    existing = SimpleNamespace(
        name="q",
        durable=was["durable"],
        auto_delete=was["auto_delete"],
        owner="connection" if was["exclusive"] else None,
        arguments=was["arguments"],
        kind=QUORUM_QUEUE if was["arguments"].get("x-queue-type") == longstr("quorum") else CLASSIC,
    )
    how = {"owned": owned, "default_queue_type": default_queue_type, "compat": OLDEST_COMPAT}
    for difference in queue_differences(cast(Queue, existing), "/", **how, **now):
        raise difference.refusal("queue", "q", "/")


def refusal(was: dict[str, Any], now: dict[str, Any], **how: Any) -> str:
    with pytest.raises(AmqpError) as refused:
        declare_again(was, now, **how)
    return refused.value.text


def inequivalent(argument: str, received: str, current: str) -> str:
    return (
        f"PRECONDITION_FAILED - inequivalent arg '{argument}' for queue 'q' in vhost '/':"
        f" received {received} but current is {current}"
    )


def of_arguments(was: Table, now: Table) -> str:
    return refusal({"arguments": was}, {"arguments": now})


def test_queue_redeclared_with_other_flags_is_inequivalent() -> None:
    assert refusal({}, {"durable": False}) == inequivalent("durable", "'false'", "'true'")
    assert refusal({"auto_delete": True}, {}) == inequivalent("auto_delete", "'false'", "'true'")
    assert refusal({}, {"durable": False, "auto_delete": True}) == inequivalent("durable", "'false'", "'true'")


@pytest.mark.parametrize(
    ("was", "now", "owned"),
    [
        ({"exclusive": True}, {"exclusive": True}, False),
        ({"exclusive": True}, {}, True),
        ({}, {"exclusive": True, "durable": False, "auto_delete": True}, True),
    ],
)
def test_exclusiveness_is_checked_first_when_a_queue_is_redeclared(
    was: dict[str, bool], now: dict[str, bool], owned: bool
) -> None:
    assert refusal(was, now, owned=owned).startswith(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'."
    )


def test_exclusive_queue_counts_as_transient() -> None:
    declare_again({"exclusive": True, "durable": True}, {"exclusive": True, "durable": False})


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        (Field("I", 1000), "'1000' of type 'signedint'"),
        (Field("l", 1000), "'1000' of type 'long'"),
        (Field("B", 100), "'100' of type 'unsignedbyte'"),
        (Field("t", True), "'true' of type 'bool'"),
        (Field("d", 1e20), "'1.0e20' of type 'double'"),
        (Field("D", (1, 5)), "'{1,5}' of type 'decimal'"),
        (Field("V", None), "'undefined' of type 'void'"),
        (Field("T", 5), "'5' of type 'timestamp'"),
        (Field("x", b"5"), "'5' of type 'binary'"),
        (longstr("日本"), "'日本' of type 'longstr'"),
        (longstr(b"\xff\xe9"), "'ÿé' of type 'longstr'"),
        (Field("A", [longstr("a"), Field("I", 1)]), """'[{longstr,<<"a">>},{signedint,1}]' of type 'array'"""),
        (Field("F", {}), "'[]' of type 'table'"),
    ],
)
def test_error_shows_an_argument_of_only_one_declaration_with_its_type(field: Field, shown: str) -> None:
    assert of_arguments({}, {LOCATOR: field}) == inequivalent(LOCATOR, f"the value {shown}", "none")
    assert of_arguments({LOCATOR: field}, {}) == inequivalent(LOCATOR, "none", f"the value {shown}")


@pytest.mark.parametrize(
    ("was", "now", "received", "current"),
    [
        (Field("I", 1000), Field("l", 2000), "'2000'", "'1000'"),
        (longstr("a"), Field("I", 5), "'5'", "'a'"),
        (Field("d", 1.0), Field("I", 1), "'1'", "'1.0'"),
        (Field("t", True), Field("I", 1), "'1'", "'true'"),
        (longstr("true"), Field("t", True), "'true'", "'true'"),
        (Field("V", None), longstr("a"), "'a'", "none"),
        (Field("A", []), longstr(""), "''", "'[]'"),
        (longstr(b"\xff"), longstr(b"\xfe"), "'þ'", "'ÿ'"),
        (longstr(b"\xe9"), longstr("é"), "'é'", "'é'"),
    ],
)
def test_error_shows_inequivalent_argument_values_without_their_types(
    was: Field, now: Field, received: str, current: str
) -> None:
    assert of_arguments({LOCATOR: was}, {LOCATOR: now}) == inequivalent(LOCATOR, received, current)


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (Field("I", 1000), Field("l", 1000)),
        (Field("f", 1.0), Field("d", 1.0)),
        (Field("T", 5), Field("I", 5)),
        (longstr("5"), Field("x", b"5")),
        (Field("A", []), Field("F", {})),
    ],
)
def test_equal_argument_values_of_similar_field_types_are_equivalent(was: Field, now: Field) -> None:
    declare_again({"arguments": {LOCATOR: was}}, {"arguments": {LOCATOR: now}})


def test_only_arguments_that_the_queue_s_type_knows_are_compared() -> None:
    declare_again({"arguments": {"x-foo": longstr("a")}}, {"arguments": {"x-foo": longstr("b")}})
    declare_again({}, {"arguments": {"x-dead-letter-strategy": longstr("at-least-once")}})
    declare_again({"arguments": QUORUM}, {"arguments": QUORUM | {"x-max-priority": Field("I", 5)}})
    declare_again({"arguments": {"x-consumer-timeout": Field("I", 1)}}, {})


def test_redeclaration_does_not_validate_argument_values() -> None:
    assert of_arguments({}, {"x-message-ttl": Field("I", -5)}) == inequivalent(
        "x-message-ttl", "the value '-5' of type 'signedint'", "none"
    )


def test_arguments_are_compared_in_the_order_of_the_existing_queue_type() -> None:
    both = {"x-message-ttl": Field("I", 5), "x-dead-letter-exchange": longstr("x")}
    assert "'x-message-ttl'" in of_arguments({}, both)
    assert "'x-dead-letter-exchange'" in of_arguments(QUORUM, QUORUM | both)


def test_redeclaration_without_queue_type_means_the_default_type() -> None:
    declare_again({}, {"arguments": {"x-queue-type": longstr("classic")}})
    declare_again({"arguments": {"x-queue-type": longstr("classic")}}, {})
    declare_again({"arguments": QUORUM}, {}, default_queue_type="quorum")
    assert of_arguments(QUORUM, {}) == inequivalent("x-queue-type", "'classic'", "'quorum'")
    assert of_arguments({}, QUORUM) == inequivalent("x-queue-type", "'quorum'", "'classic'")
    assert of_arguments({}, {"x-queue-type": longstr("foo")}) == inequivalent("x-queue-type", "'foo'", "'classic'")


AE = "alternate-exchange"


def declare_exchange_again(now: dict[str, Any], arguments: Table | None = None) -> None:
    kind = SimpleNamespace(name="direct")
    existing = Exchange("x", cast(Any, kind), True, False, False, arguments)
    same: dict[str, Any] = {"kind": "direct", "durable": True, "auto_delete": False, "internal": False, "arguments": {}}
    assert_exchange_equivalent(existing, "/", **same | now)


@pytest.mark.parametrize(
    ("now", "argument", "received", "current"),
    [
        ({"kind": "fanout", "durable": False}, "type", "'fanout'", "'direct'"),
        ({"kind": "x-random", "durable": False}, "type", "''x-random''", "'direct'"),
        ({"durable": False, "internal": True}, "durable", "'false'", "'true'"),
        ({"auto_delete": True, "internal": True}, "auto_delete", "'true'", "'false'"),
        ({"internal": True}, "internal", "'true'", "'false'"),
        ({"arguments": {AE: longstr("b")}}, AE, "the value 'b' of type 'longstr'", "none"),
        ({"arguments": {AE: Field("I", 1)}}, AE, "the value '1' of type 'signedint'", "none"),
    ],
)
def test_exchange_redeclared_with_other_properties_is_inequivalent(
    now: dict[str, Any], argument: str, received: str, current: str
) -> None:
    with pytest.raises(AmqpError) as refused:
        declare_exchange_again(now)
    assert refused.value.text == (
        f"PRECONDITION_FAILED - inequivalent arg '{argument}' for exchange 'x' in vhost '/':"
        f" received {received} but current is {current}"
    )


def test_exchange_redeclared_with_another_alternate_exchange_is_refused() -> None:
    with pytest.raises(AmqpError, match="received 'b' but current is 'ae'"):
        declare_exchange_again({"arguments": {AE: longstr("b")}}, {AE: longstr("ae")})


def test_only_the_alternate_exchange_argument_of_exchanges_is_compared() -> None:
    declare_exchange_again({"arguments": {"foo": Field("I", 1), AE: longstr("ae")}}, {AE: longstr("ae")})
