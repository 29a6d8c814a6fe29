"""Equality of header values. The expectations are answers of RabbitMQ 4.0.5 for each pair."""

import pytest

from amqpbroker.broker.exchanges.headers import HeadersType
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, Table, longstr
from tests.broker.routed import Box, bind, integer, routed

VOID = Field("V", None)
ALL, ANY, ALL_X, ANY_X = ({"x-match": longstr(mode)} for mode in ("all", "any", "all-with-x", "any-with-x"))


def matches(arguments: Table, headers: Table | None) -> bool:
    exchange_type = HeadersType()
    bind(exchange_type, Box("q"), b"", arguments)
    return bool(routed(exchange_type, b"", headers))


@pytest.mark.parametrize(
    ("bound", "sent", "equal"),
    [
        (integer(5), Field("I", 5), True),
        (integer(-1), Field("b", -1), True),
        (Field("b", 1), Field("d", 1.0), False),
        (Field("f", 1.5), Field("d", 1.5), True),
        (Field("d", 0.0), Field("d", -0.0), False),
        (longstr("q"), longstr("q"), True),
        (longstr("q"), longstr("Q"), False),
        (longstr("q"), Field("x", b"q"), True),
        (longstr("1"), integer(1), False),
        (longstr("true"), Field("t", True), False),
        (Field("b", 1), Field("t", True), False),
        (Field("t", True), Field("t", True), True),
        (Field("A", [Field("b", 1)]), Field("A", [Field("b", 1)]), True),
        (Field("A", [Field("b", 1)]), Field("A", [integer(1)]), False),
        (Field("A", []), Field("F", {}), True),
        (Field("F", {"x": VOID, "y": longstr("")}), Field("F", {"x": VOID, "y": longstr("")}), True),
        (Field("F", {"x": VOID, "y": longstr("")}), Field("F", {"y": longstr(""), "x": VOID}), False),
        (Field("D", (1, 5)), Field("D", (1, 5)), True),
        (Field("D", (1, 5)), Field("D", (2, 50)), False),
        (VOID, VOID, True),
        (VOID, Field("A", []), True),
        (longstr("undefined"), VOID, False),
        # 4.0.5 has the timestamps of messages in milliseconds here, those of bindings in seconds
        (Field("T", 5), Field("T", 5), False),
        (Field("T", 5000), Field("T", 5), True),
        (integer(5000), Field("T", 5), True),
        (Field("T", 5), integer(5), True),
    ],
)
def test_header_values_are_compared_as_in_rabbitmq(bound: Field, sent: Field, equal: bool) -> None:
    assert matches({"a": bound}, {"a": sent}) is equal
    assert matches({**ANY, "a": bound, "b": VOID}, {"a": sent}) is equal


ONE, TWO = {"a": longstr("1")}, {"b": longstr("2")}


@pytest.mark.parametrize(
    ("arguments", "headers", "match"),
    [
        ({}, None, True),
        ({}, ONE, True),
        (ALL, {}, True),
        (ANY, ONE, False),
        ({**ONE, **TWO}, {**TWO, **ONE, "c": VOID}, True),
        ({**ALL, **ONE, **TWO}, ONE, False),
        ({**ALL, **ONE}, None, False),
        ({**ANY, **ONE, **TWO}, TWO, True),
        ({**ANY, **ONE, **TWO}, {"a": longstr("2")}, False),
        ({"a": VOID, **TWO}, {"a": longstr("x"), **TWO}, True),
        ({"a": VOID, **TWO}, TWO, False),
        # only with-x uses names that start with x-, and x-match is never used
        ({"x-a": longstr("1")}, None, True),
        ({**ANY, "x-a": longstr("1")}, {"x-a": longstr("1")}, False),
        ({**ALL_X, "x-a": longstr("1")}, None, False),
        ({**ALL_X, "x-a": longstr("1")}, {"x-a": longstr("1")}, True),
        ({**ANY_X, "x-a": longstr("1"), **ONE}, {"x-a": longstr("1")}, True),
        (ANY_X, ANY_X, False),
        (ALL_X, None, True),
    ],
)
def test_headers_binding_matches_by_its_x_match_mode(arguments: Table, headers: Table | None, match: bool) -> None:
    assert matches(arguments, headers) is match


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (longstr("foo"), 'value <<"foo">>; expected all, any, all-with-x, or any-with-x'),
        (longstr(""), "value <<>>; expected all, any, all-with-x, or any-with-x"),
        (longstr("hé"), 'value <<"hé"/utf8>>; expected all, any, all-with-x, or any-with-x'),
        (Field("I", 1), "type signedint (value 1); expected longstr"),
        (Field("t", True), "type bool (value true); expected longstr"),
        (VOID, "type void (value undefined); expected longstr"),
        (Field("x", b"all"), 'type binary (value <<"all">>); expected longstr'),
    ],
)
def test_invalid_x_match_is_refused(match: Field, text: str) -> None:
    with pytest.raises(AmqpError) as refusal:
        HeadersType().validate_binding(b"", {"x-match": match})
    assert refusal.value.text == f"PRECONDITION_FAILED - Invalid x-match field {text}"


def test_removed_headers_binding_does_not_affect_other_bindings() -> None:
    exchange_type, box = HeadersType(), Box("q")
    bindings = [
        bind(exchange_type, box, b"", ONE),
        bind(exchange_type, Box("r"), b"", ONE),
        bind(exchange_type, Box("any"), b"", {**ANY, **ONE, **TWO}),
        bind(exchange_type, Box("always"), b"", {}),
        bind(exchange_type, Box("never"), b"", ANY),
    ]
    assert routed(exchange_type, b"", ONE) == ["always", "any", "q", "r"]
    for binding, left in zip(bindings, (["always", "any", "r"], ["always", "any"], ["always"], [], []), strict=True):
        exchange_type.unbind(binding)
        assert routed(exchange_type, b"", ONE) == left


def test_routes_of_a_headers_exchange_depend_on_the_message() -> None:
    assert not HeadersType().keyed
    assert not HeadersType().per_key


def test_headers_bindings_with_a_common_header_are_distinguished() -> None:
    exchange_type = HeadersType()
    for number in range(200):
        bind(exchange_type, Box(str(number)), b"", {"type": longstr("order"), "id": integer(number)})
    for number in range(200):
        assert routed(exchange_type, b"", {"type": longstr("order"), "id": integer(number)}) == [str(number)]
    assert routed(exchange_type, b"", {"type": longstr("order")}) == []
    assert routed(exchange_type, b"", {"type": longstr("other"), "id": integer(1)}) == []
