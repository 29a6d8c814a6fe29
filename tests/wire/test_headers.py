"""The pairs of bytes were recorded from RabbitMQ 4.0.5: published properties, and properties returned by basic.get."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.wire.headers import normalised, with_headers, with_timestamp
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import MAX_DEPTH, Field, MalformedError, Table, longstr


@pytest.mark.parametrize(
    "properties",
    [
        "0000",
        "20000000001001615300000001310162530000000132",  # two in order
        "20000000001f016e4600000018016253000000013101615300000001320162530000000139",  # disorder in a nested table
        "20000000001c016e4100000015460000001001625300000001310161530000000132",  # and in an array
        "200000000008016e4402fffffffe",  # decimal
        "20000000000c016e56017878000000020001",  # void, binary
        "20000000000700530000000131",  # a name without a letter
        "20000000000902fffe5300000001ff",  # bytes that are not UTF-8
        "200000000000",  # no entry
        "20000000000b016e648000000000000000",  # -0.0
        "200000000007016e667f7fffff",  # the largest float
        "184005c80000000000000009",
        "00040163",  # cluster-id
    ],
)
def test_properties_that_rabbitmq_does_not_change_are_the_same_object(properties: str) -> None:
    raw = bytes.fromhex(properties)
    assert normalised(raw) is raw


@pytest.mark.parametrize(
    ("published", "delivered"),
    [
        (  # unsorted, with a duplicate: the first wins
            "200000000018016253000000013101615300000001320162530000000133",
            "20000000001001615300000001320162530000000131",
        ),
        ("20000000001001615300000001310161530000000132", "2000000000080161530000000131"),
        (  # sorted by bytes, a prefix first
            "20000000002a0261625300000001310161530000000132014253000000013302c3a9530000000133017a530000000133",
            "20000000002a01425300000001330161530000000132026162530000000131017a53000000013302c3a9530000000133",
        ),
        ("20000000000b016e4c0000000000000005", "20000000000b016e6c0000000000000005"),  # L is read as l
        ("200000000012016e460000000b017a4c0000000000000005", "200000000012016e460000000b017a6c0000000000000005"),
        ("200000000004016e7402", "200000000004016e7401"),  # any bool but 0 is 1
        ("200000000009016e41000000027402", "200000000009016e41000000027401"),
    ],
)
def test_properties_are_rewritten_as_in_rabbitmq(published: str, delivered: str) -> None:
    assert normalised(bytes.fromhex(published)).hex() == delivered


def test_sorting_keeps_the_properties_around_the_headers() -> None:
    values = {"content_type": b"text/plain", "content_encoding": b"gzip", "delivery_mode": 2, "message_id": b"m"}
    unsorted = encode_properties({**values, "headers": {"b": Field("l", 1), "a": longstr("x")}})
    assert normalised(unsorted) == encode_properties({**values, "headers": {"a": longstr("x"), "b": Field("l", 1)}})


@pytest.mark.parametrize(
    "properties",
    [
        "20000000000b016e647ff8000000000000",  # not a number
        "200000000007016e667f800000",  # infinite
        "200000000009016e41000000056" + "6ff800000",  # minus infinity, in an array
        "200000000003016e51",  # no such type
        "20000000000901615300000001",  # table longer than the properties
        "20000000000a016e4600000003056162",  # nested table ends inside a name
        "2000000000040161530000",  # value longer than the table
        "200000000002056e",  # name longer than the table
        "20000000000" + "2016e",  # no value
        "2000",
        "2000000000",
        "a000ff",
    ],
)
def test_headers_that_rabbitmq_cannot_read_are_malformed(properties: str) -> None:
    with pytest.raises(MalformedError):
        normalised(bytes.fromhex(properties))


def test_nesting_of_table_and_array_fields_is_limited() -> None:
    field = Field("V", None)
    for _ in range(MAX_DEPTH + 10):
        field = Field("A", [field])
    with pytest.raises(MalformedError):
        normalised(encode_properties({"headers": {"a": field}}))


names = st.text(max_size=3)
values = st.recursive(
    st.one_of(
        st.integers(-(2**63), 2**63 - 1).map(lambda value: Field("l", value)),
        st.booleans().map(lambda value: Field("t", value)),
        st.binary(max_size=5).map(lambda value: Field("S", value)),
        st.floats(allow_nan=False, allow_infinity=False).map(lambda value: Field("d", value)),
        st.just(Field("V", None)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda value: Field("A", value)),
        st.dictionaries(names, inner, max_size=3).map(lambda value: Field("F", value)),
    ),
    max_leaves=10,
)
tables = st.dictionaries(names, values, max_size=5)


@given(headers=tables)
def test_normalised_headers_are_sorted_and_have_the_same_values(headers: Table) -> None:
    raw = normalised(encode_properties({"headers": headers, "priority": 3}))
    after = decode_properties(raw)
    assert after == {"headers": headers, "priority": 3}
    assert [name.encode() for name in after["headers"]] == sorted(name.encode() for name in headers)
    assert normalised(raw) is raw


@given(raw=st.binary(min_size=2, max_size=40))
def test_normalising_any_bytes_gives_properties_or_malformed_error(raw: bytes) -> None:
    raw = b"\x20" + raw[1:]
    with contextlib.suppress(MalformedError):
        assert len(normalised(raw)) <= len(raw)


@given(headers=st.none() | tables, changes=tables)
def test_with_headers_sets_and_sorts_headers(headers: Table | None, changes: Table) -> None:
    before = {"content_type": b"c", "priority": 3}
    raw = normalised(encode_properties(before if headers is None else {**before, "headers": headers}))
    after = with_headers(raw, changes)
    assert decode_properties(after) == {**before, "headers": {**(headers or {}), **changes}}
    assert normalised(after) is after


def test_with_headers_leaves_other_bytes_unchanged() -> None:
    twice_nested = bytes.fromhex("20000000001f016e4600000018016253000000013101615300000001320162530000000139")
    assert with_headers(twice_nested, {}) == twice_nested
    assert twice_nested[6:] in with_headers(twice_nested, {"a": longstr("x")})


@pytest.mark.parametrize(
    "before", [{}, {"timestamp": 5}, {"delivery_mode": 2, "message_id": b"m", "timestamp": 5, "app_id": b"a"}]
)
def test_a_timestamp_is_set_or_replaced(before: dict[str, Any]) -> None:
    properties = with_timestamp(encode_properties(before), 1_795_570_159)
    assert decode_properties(properties) == {**before, "timestamp": 1_795_570_159}
