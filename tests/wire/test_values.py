import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.wire.values import (
    INTEGER_KINDS,
    MAX_DEPTH,
    TYPE_NAMES,
    Field,
    MalformedError,
    Table,
    decode_table,
    encode_field,
    encode_table,
    longstr,
    text,
)
from tests.fuzz.effort import effort
from tests.wire.fields import SCALARS, tables


def decoded(table: bytes) -> Table:
    """Decode a table without its length."""
    return decode_table(table, 0, len(table))


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("7400", Field("t", False)),
        ("7401", Field("t", True)),
        ("6280", Field("b", -128)),
        ("42ff", Field("B", 255)),
        ("738000", Field("s", -32768)),
        ("75ffff", Field("u", 65535)),
        ("49fffffffe", Field("I", -2)),
        ("69fffffffe", Field("i", 4294967294)),
        ("6c8000000000000000", Field("l", -(2**63))),
        ("663f800000", Field("f", 1.0)),
        ("64c000000000000000", Field("d", -2.0)),
        ("4402fffffffe", Field("D", (2, -2))),
        ("53000000020a0b", Field("S", b"\x0a\x0b")),
        ("78000000020a0b", Field("x", b"\x0a\x0b")),
        ("54ffffffffffffffff", Field("T", 2**64 - 1)),
        ("56", Field("V", None)),
        ("4100000003567401", Field("A", [Field("V", None), Field("t", True)])),
        ("4600000003017856", Field("F", {"x": Field("V", None)})),
    ],
)
def test_field_of_every_type_has_the_expected_bytes(raw: str, field: Field) -> None:
    data = bytes.fromhex(raw)
    assert decoded(b"\x01k" + data) == {"k": field}
    assert encode_field(field) == data


def test_alternative_encodings_of_a_field_type_are_decoded_to_one_type() -> None:
    assert decoded(bytes.fromhex("016b4c7fffffffffffffff")) == {"k": Field("l", 2**63 - 1)}
    assert decoded(bytes.fromhex("016b74ff")) == {"k": Field("t", True)}


def test_every_field_type_has_a_name_and_is_covered_by_these_tests() -> None:
    assert set(SCALARS) | {"A", "F"} == set(TYPE_NAMES)
    assert set("bBsuIil") == INTEGER_KINDS


@given(table=tables)
@effort(150)
def test_a_table_of_every_type_is_decoded_again(table: Table) -> None:
    raw = encode_table(table)
    assert int.from_bytes(raw[:4], "big") == len(raw) - 4
    again = decoded(raw[4:])
    assert again == table
    assert [field.kind for field in again.values()] == [field.kind for field in table.values()]
    assert encode_table(again) == raw


@given(table=tables, data=st.data())
@effort(100)
def test_a_truncated_table_is_malformed(table: Table, data: st.DataObject) -> None:
    raw = encode_table({**table, "last.": longstr("last")})[4:]
    cut = raw[: data.draw(st.integers(len(raw) - 14, len(raw) - 1))]
    with pytest.raises(MalformedError):
        decoded(cut)


@given(raw=st.binary(max_size=40), table=tables, data=st.data())
@effort(200)
def test_any_bytes_decode_as_a_table_or_are_malformed(raw: bytes, table: Table, data: st.DataObject) -> None:
    valid = encode_table(table)[4:]
    place = data.draw(st.integers(0, len(valid)))
    for candidate in (raw, valid[:place] + raw + valid[place + len(raw) :]):
        try:
            again = decoded(candidate)
        except MalformedError:
            continue
        assert decoded(encode_table(again)[4:]) == again


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("kind", "layout"), [("f", ">f"), ("d", ">d")])
def test_floats_that_erlang_cannot_read_are_malformed(kind: str, layout: str, value: float) -> None:
    with pytest.raises(MalformedError):
        decoded(b"\x01k" + kind.encode() + struct.pack(layout, value))


@pytest.mark.parametrize("kind", ["A", "F"])
def test_nesting_of_table_and_array_fields_is_limited(kind: str) -> None:
    def nested(depth: int) -> Field:
        field = Field("V", None)
        for _ in range(depth):
            field = Field("A", [field]) if kind == "A" else Field("F", {"": field})
        return field

    table = {"k": nested(MAX_DEPTH)}
    raw = encode_table(table)[4:]
    assert decoded(raw) == table
    body = raw[2:]
    body = (b"\0" if kind == "F" else b"") + body
    with pytest.raises(MalformedError, match="deep"):
        decoded(b"\x01k" + kind.encode() + len(body).to_bytes(4, "big") + body)
    with pytest.raises(MalformedError, match="deep"):
        encode_table({"k": nested(MAX_DEPTH + 1)})


def test_very_deep_nesting_is_malformed_and_causes_no_other_error() -> None:
    raw = b"V"
    for _ in range(10_000):
        raw = b"A" + len(raw).to_bytes(4, "big") + raw
    with pytest.raises(MalformedError, match="deep"):
        decoded(b"\x01k" + raw)


def test_first_of_duplicate_table_entries_is_used() -> None:
    assert decoded(b"\x01kt\x01\x01kV") == {"k": Field("t", True)}


@pytest.mark.parametrize("raw", [b"\x01k?", b"\x01kQ\0", b"\x01k\0"])
def test_field_of_an_unknown_type_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedError, match="unknown field type"):
        decoded(raw)


@given(raw=st.binary(max_size=20))
@effort(50)
def test_strings_are_decoded_without_loss(raw: bytes) -> None:
    assert longstr(text(raw)) == Field("S", raw)
