import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.wire.headers import normalised
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.raw_headers import find_header, header, headers_end, headers_start, message_id, value_end
from amqpbroker.wire.values import Field, MalformedError, longstr
from tests.wire.fields import fields, names, properties

TABLES = st.dictionaries(names, fields, max_size=4)
BEFORE = st.fixed_dictionaries(
    {}, optional={"content_type": st.binary(max_size=9), "content_encoding": st.binary(max_size=9)}
)


def found(data):
    """Return the names, and the start and end of each value, from a walk over the bytes."""
    at = headers_start(data)
    if not at:
        return None
    end, entries = headers_end(data, at), []
    while at < end:
        value = at + 1 + data[at]
        name, at = data[at + 1 : value].decode("utf-8", "surrogateescape"), value_end(data, value)
        entries.append((name, header(data, name.encode("utf-8", "surrogateescape"))))
    assert at == end
    return dict(entries)


@given(properties, BEFORE)
def test_raw_header_walk_and_decoder_find_the_same_headers(values, before):
    data = encode_properties({**values, **before})
    assert found(data) == decode_properties(data).get("headers")


@given(properties, BEFORE)
def test_message_id_is_the_one_that_the_decoder_finds(values, before):
    data = encode_properties({**values, **before})
    assert message_id(data) == decode_properties(data).get("message_id", b"")


@given(TABLES, names)
def test_find_header_returns_only_headers_that_exist(table, name):
    data = encode_properties({"headers": table})
    assert header(data, name.encode()) == table.get(name)
    assert bool(find_header(data, name.encode())) == (name in table)


@given(TABLES, st.integers(0, 2**32))
def test_headers_that_are_normalised_are_found_as_the_decoder_finds_them(table, seed):
    """Covers names that occur twice, names out of order, and L and true as other clients write them."""
    chance = random.Random(seed)
    entries = [b"%c%b" % (len(raw := name.encode()), raw) for name in table for _ in range(chance.randint(1, 2))]
    values = [chance.choice([b"L\0\0\0\0\0\0\0\1", b"t\7", b"V", b"S\0\0\0\1x"]) for _ in entries]
    body = b"".join(entry + value for entry, value in zip(entries, values, strict=True))
    raw = b"\x20\0" + len(body).to_bytes(4, "big") + body
    decoded = decode_properties(raw)["headers"]
    for data in raw, normalised(raw):
        assert {name: header(data, name.encode()) for name in table} == {name: decoded.get(name) for name in table}


def test_properties_without_headers_have_no_header_to_find():
    for values in {}, {"content_type": b"a", "content_encoding": b"b", "app_id": b"c"}:
        data = encode_properties(values)
        assert headers_start(data) == 0
        assert header(data, b"a") is None


def test_header_name_inside_values_or_other_names_is_not_found():
    table = {"ab": longstr(b"\1aI\0\0\0\1"), "in": Field("F", {"a": longstr("inner")}), "": longstr("empty")}
    data = encode_properties({"headers": table})
    assert header(data, b"a") is None
    assert header(data, b"") == longstr("empty")
    assert header(data, b"ab") == table["ab"]


def test_header_of_an_unknown_field_type_is_refused():
    with pytest.raises(MalformedError, match="unknown field type 'Q'"):
        value_end(b"Q\0\0\0\0", 0)
