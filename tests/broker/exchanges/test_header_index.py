"""The index, compared with a comparison of each binding with the decoded headers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.broker.exchanges.exchange import Binding
from amqpbroker.broker.exchanges.headers import HeadersType
from amqpbroker.message.message import Message
from amqpbroker.wire.headers import normalised
from amqpbroker.wire.properties import encode_properties, headers_of
from amqpbroker.wire.values import INTEGER_KINDS, Field, Table, encode_field, longstr
from tests.bench.application import ATTEMPTS, TENANTS
from tests.bench.routing import headers_bindings
from tests.broker.routed import Box, bind, binding_to, names
from tests.wire import fields as wire_fields

MODES = ("all", "any", "all-with-x", "any-with-x")
NAMES = st.sampled_from(["a", "b", "tenant", "x-a", "x-match", "", "é"])

#: Values in several types that are sometimes equal to each other, and any others.
FEW = st.sampled_from(
    [
        *[Field(kind, value) for kind in sorted(INTEGER_KINDS) for value in (1, 5)],
        *[Field(kind, -1) for kind in "bsIl"],
        *[Field("T", value) for value in (0, 1, 1000, 5000, 2**64 - 1)],
        Field("l", 5000),
        Field("l", 2**63 - 1),
        Field("i", 2**32 - 1),
        *[Field(kind, value) for kind in "Sx" for value in (b"", b"a", b"1", b"\xff")],
        *[Field(kind, value) for kind in "fd" for value in (0.0, -0.0, 1.0, 1.5)],
        Field("A", []),
        Field("F", {}),
        Field("A", [Field("I", 1)]),
        Field("A", [Field("l", 1)]),
        Field("F", {"a": Field("A", [Field("t", True)])}),
        Field("D", (1, 10)),
        Field("D", (0, 1)),
        Field("t", True),
        Field("t", False),
        Field("V", None),
    ]
)
VALUES = st.one_of(FEW, FEW, wire_fields.fields)
TABLES: st.SearchStrategy[Table] = st.dictionaries(NAMES.filter(lambda name: name != "x-match"), VALUES, max_size=4)


@st.composite
def arguments(draw: st.DrawFn) -> Table:
    mode = draw(st.sampled_from(["", *MODES]))
    return {**draw(TABLES), **({"x-match": longstr(mode)} if mode else {})}


def comparable(field: Field, sent: bool) -> Any:
    """Return a value in a form in which Python's equality is RabbitMQ's."""
    kind, value = field
    if kind in INTEGER_KINDS:
        return "integer", value
    if kind == "T":
        return "integer", value * 1000 if sent else value
    if kind in "Sx":
        return "string", bytes(value)
    if kind in "fd":
        return "float", encode_field(Field("d", value))
    if kind in "AF":
        return "A" if not value else kind, encode_field(field)[1:]
    return kind, value


def matches(wanted: Table, headers: Table) -> bool:
    mode = wanted.get("x-match", longstr("all")).value
    met = [
        name in headers and (field.kind == "V" or comparable(field, False) == comparable(headers[name], True))
        for name, field in wanted.items()
        if name != "x-match" and (mode.endswith(b"-with-x") or not name.startswith("x-"))
    ]
    return any(met) if mode.startswith(b"any") else all(met)


def sent(headers: Table | None) -> Message:
    properties: dict[str, Any] = {"content_type": b"text/plain", "app_id": b"shop"}
    if headers is not None:
        properties["headers"] = headers
    message = Message(b"\1x\0", normalised(encode_properties(properties)), b"")
    message.undecoded = True
    return message


@given(
    st.lists(st.tuples(arguments(), st.integers(0, 2)), max_size=12),
    st.lists(st.booleans(), min_size=12, max_size=12),
    st.lists(st.one_of(st.none(), TABLES), min_size=1, max_size=4),
)
def test_headers_index_finds_the_bindings_that_match_decoded_headers(
    wanted: list[tuple[Table, int]], stays: list[bool], messages: list[Table | None]
) -> None:
    boxes = [Box(str(number)) for number in range(3)]
    exchange_type = HeadersType()
    bindings = [bind(exchange_type, boxes[number], b"", table) for table, number in wanted]
    # Each binding's own arguments are sent as headers, too: most of those match.
    messages = [*messages, *[table for table, _ in wanted]]
    for _ in range(2):
        for headers in messages:
            message = sent(headers)
            seen = headers_of(message.properties) or {}
            expected = {each.destination.name for each in bindings if matches(each.arguments, seen)}
            assert set(names(exchange_type.route(b"", message))) == expected
        for binding, keep in zip(bindings, stays, strict=False):
            if not keep:
                exchange_type.unbind(binding)
        bindings = [binding for binding, keep in zip(bindings, stays, strict=False) if keep]


def test_headers_exchange_uses_the_first_of_two_values_of_a_header() -> None:
    exchange_type = HeadersType()
    for value in "1", "2":
        bind(exchange_type, Box(value), b"", {"a": longstr(value)})
    entries = b"\1aS\0\0\0\0011\1aS\0\0\0\0012"
    message = Message(b"\1x\0", b"\x20\0" + len(entries).to_bytes(4, "big") + entries, b"")
    assert names(exchange_type.route(b"", message)) == ["1"]


def test_equal_headers_bindings_match_until_the_last_one_is_removed() -> None:
    exchange_type, box = HeadersType(), Box("q")
    bindings: list[Binding] = []
    for number in range(100):
        binding = binding_to(box, b"%d" % number, {"a": longstr("1"), "b": longstr("2")})
        exchange_type.bind(binding)
        bindings.append(binding)
    message = sent({"a": longstr("1"), "b": longstr("2")})
    for binding in bindings:
        assert exchange_type.route(b"", message) == [box]
        exchange_type.unbind(binding)
    assert exchange_type.route(b"", message) == []


def test_exchange_routes_a_message_without_decoding_its_headers() -> None:
    exchange_type = HeadersType()
    bind(exchange_type, Box("q"), b"", {"a": longstr("1")})
    message = sent({"a": longstr("1"), "b": Field("A", [longstr("2")])})
    assert names(exchange_type.route(b"", message)) == ["q"]
    assert message.undecoded


def test_headers_index_compares_a_message_with_few_of_many_bindings() -> None:
    exchange_type = HeadersType()
    for number, arguments in headers_bindings():
        bind(exchange_type, Box(str(number)), b"", arguments)
    headers = exchange_type._index._headers
    most = [max(len(each.combinations) for each in headers[name].values.values()) for name in (b"tenant", b"attempt")]
    assert len(TENANTS) * len(ATTEMPTS) == 1_000
    assert sum(most) <= 2 * len(ATTEMPTS)


@pytest.mark.parametrize("mode", MODES)
def test_headers_index_is_empty_after_all_bindings_are_removed(mode: str) -> None:
    """Test with twice as many different values as a message is compared with at a time."""
    exchange_type = HeadersType()
    for number in range(300):
        tables: list[Table] = [{"x-match": longstr(mode), "a": longstr(str(number)), f"b{number}": Field("V", None)}]
        tables.append({"x-match": longstr(mode)})
        for binding in [bind(exchange_type, Box("q"), b"", table) for table in tables]:
            exchange_type.unbind(binding)
    index = exchange_type._index
    assert not any((index._headers, index._names, index._always, index._combinations))
