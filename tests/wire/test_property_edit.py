import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.wire.frames import PROPERTIES_AT, content_body, content_properties, lone_content
from amqpbroker.wire.headers import normalised
from amqpbroker.wire.properties import PROPERTIES, decode_properties, encode_properties
from amqpbroker.wire.property_edit import headers_between, merge_headers, set_headers, sort_headers, without_expiration
from amqpbroker.wire.raw_headers import value_end
from amqpbroker.wire.values import Field, Table, encode_field, encode_table, longstr
from tests.wire.fields import fields, names, properties

#: Names that sort close to each other, so that two tables have some in common.
close_names = st.one_of(names, st.text("abc", max_size=3))
close_tables = st.dictionaries(close_names, fields, max_size=6)


def entries(table: Table) -> bytes:
    """Return the table as entries on the wire, sorted by name."""
    return encode_table({name: table[name] for name in in_order(table)})[4:]


def in_order(table: Table) -> list[str]:
    return sorted(table, key=str.encode)


@given(fields, st.binary(max_size=3), st.binary(max_size=3))
def test_value_end_finds_the_end_of_any_encoded_field(field: Field, before: bytes, behind: bytes) -> None:
    data = before + encode_field(field) + behind
    assert value_end(data, len(before)) == len(data) - len(behind)


@given(properties, st.none() | close_tables, close_tables)
def test_set_headers_gives_the_same_bytes_as_encoding_sorted_headers(
    values: dict[str, object], headers: Table | None, changes: Table
) -> None:
    values = {name: value for name, value in values.items() if name != "headers"}
    data = normalised(encode_properties(values if headers is None else {**values, "headers": headers}))
    after = {**(headers or {}), **changes}
    wanted = encode_properties({**values, "headers": {name: after[name] for name in in_order(after)}})
    assert set_headers(data, entries(changes)) == wanted
    assert normalised(wanted) is wanted


@pytest.mark.parametrize("name", ["", "a", "m", "mm", "n", "o", "p", "pp", "z"])
def test_a_header_is_inserted_at_any_position_or_replaced(name: str) -> None:
    changes = {"m": longstr("first"), "n": Field("I", 1), "p": longstr("last")}
    data = encode_properties({"headers": {name: longstr("own")}})
    after: Table = decode_properties(set_headers(data, entries(changes)))["headers"]
    assert list(after.items()) == sorted({name: longstr("own"), **changes}.items())


@given(close_tables, close_names, close_names)
def test_headers_between_returns_the_headers_between_two_names(headers: Table, first: str, last: str) -> None:
    data = normalised(encode_properties({"content_type": b"c", "headers": headers, "priority": 1}))
    found = headers_between(data, *(bytes((len(name.encode()),)) + name.encode() for name in (first, last)))
    wanted = {name: headers[name] for name in headers if first.encode() <= name.encode() <= last.encode()}
    assert found == entries(wanted)


def test_headers_between_is_empty_for_properties_without_headers() -> None:
    data = encode_properties({"content_type": b"c", "priority": 1})
    assert headers_between(data, b"\1a", b"\1z") == b""


@given(properties)
def test_without_expiration_removes_only_the_expiration(values: dict[str, object]) -> None:
    data = encode_properties(values)
    without = encode_properties({name: value for name, value in values.items() if name != "expiration"})
    assert without_expiration(data) == without
    assert without_expiration(without) is without


@pytest.mark.parametrize("name", [name for name, _, _ in PROPERTIES])
def test_removing_the_expiration_keeps_each_other_property(name: str) -> None:
    value: dict[str, object] = {
        "headers": {"a": longstr("1")},
        "delivery_mode": 2,
        "priority": 3,
        "timestamp": 2**63 + 1,
    }
    other = {name: value.get(name, b"some text")}
    data = encode_properties({**other, "expiration": b"900"})
    assert without_expiration(data) == encode_properties({} if name == "expiration" else other)


def with_headers(headers: Table) -> tuple[bytes, int]:
    """Return properties with these headers, and the position of the headers."""
    data = encode_properties({"content_type": b"text/plain", "headers": headers, "delivery_mode": 2})
    return data, 2 + 11


@pytest.mark.parametrize("count", range(1, 9))
def test_headers_are_sorted_in_place_in_the_frames(count: int) -> None:
    headers = {f"name-{number}": Field("I", number) for number in range(count)}
    wanted, _ = with_headers(headers)
    orders = list(itertools.islice(itertools.permutations(headers.items()), 1000))
    # Twice: first as new orders, then as cached orders.
    for order in orders + orders:
        data, at = with_headers(dict(order))
        frames = lone_content(7, data, [b"body"], 4)
        after = sort_headers(frames, PROPERTIES_AT + at)
        assert after is not None
        assert content_properties(after) == sort_headers(data, at) == wanted
        assert (after[:7], content_body(after, 4)) == (frames[:7], b"body")


def test_more_header_orders_than_the_cache_holds_are_sorted() -> None:
    dice = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    for _ in range(5000):
        names = dice.sample(letters, dice.randrange(1, 9))
        data, at = with_headers({name: longstr(name * dice.randrange(3)) for name in names})
        assert sort_headers(data, at) == normalised(data)


@pytest.mark.parametrize("names", [["b", "a", "b"], ["a", "a"], ["c", "b", "a", "b"]], ids=str)
def test_headers_with_repeated_names_are_merged(names: list[str]) -> None:
    table = b"".join(b"\1" + name.encode() + b"I" + number.to_bytes(4, "big") for number, name in enumerate(names))
    data = b"\x20\0" + len(table).to_bytes(4, "big") + table
    assert sort_headers(data, 2) is None
    assert merge_headers(data, 2) == normalised(data) != data


def test_unsorted_headers_too_many_to_sort_in_place_are_merged() -> None:
    data, at = with_headers({f"name-{number:02}": Field("I", number) for number in reversed(range(9))})
    assert sort_headers(data, at) is None
    assert merge_headers(data, at) == normalised(data)
