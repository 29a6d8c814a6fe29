"""Expectations printed by RabbitMQ 4.0.5 (in an invalid x-match) and by its Erlang's io:format("~tp")."""

import pytest

from amqpbroker.wire.erlang import (
    erlang_binary,
    erlang_characters,
    erlang_entries,
    erlang_float,
    erlang_json,
    erlang_string,
    erlang_term,
)
from amqpbroker.wire.values import Field, longstr


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (b"", "<<>>"),
        (b"foo", '<<"foo">>'),
        ("hé".encode(), '<<"hé"/utf8>>'),
        ("€".encode(), '<<"€"/utf8>>'),
        (b'a"b\\c\n', '<<"a\\"b\\\\c\\n">>'),
        (b"\t\x1b\b\v\f", '<<"\\t\\e\\b\\v\\f">>'),
        (b"abc\1", "<<97,98,99,1>>"),
        (b"a\x7f", "<<97,127>>"),
        (b"\xff", '<<"ÿ">>'),
        (b"\xe9\xe9", '<<"éé">>'),
        (b"\xc2\x85", "<<194,133>>"),
        (b"\xa0", '<<"\xa0">>'),
    ],
)
def test_binaries_are_printed_as_in_erlang(value: bytes, printed: str) -> None:
    assert erlang_binary(value) == printed


@pytest.mark.parametrize(
    "printed",
    [
        "100.0",
        "1.0e3",
        "1.2e4",
        "1.2e5",
        "1.2e6",
        "0.01",
        "0.001",
        "0.0012",
        "1.2e-4",
        "1.5e-5",
        "0.0001",
        "12345678.0",
        "1.2345e8",
        "-0.0",
        "0.1",
        "1.0e22",
        "9.007199254740993e18",
        "123456789012.5",
        "123456.0",
        "1.0000000116860974e-7",
        "1.5",
    ],
)
def test_floats_are_printed_as_in_erlang(printed: str) -> None:
    assert erlang_float(float(printed)) == printed


@pytest.mark.parametrize(
    ("field", "printed"),
    [
        (Field("b", -5), "-5"),
        (Field("l", 2**40), "1099511627776"),
        (Field("T", 1577836800), "1577836800"),
        (Field("t", True), "true"),
        (Field("t", False), "false"),
        (Field("V", None), "undefined"),
        (Field("D", (1, 15)), "{1,15}"),
        (Field("x", b"ba"), '<<"ba">>'),
        (Field("d", 1.5), "1.5"),
        (Field("A", []), "[]"),
        (Field("F", {}), "[]"),
        (Field("A", [Field("b", 1), longstr("a"), Field("V", None)]), '[{byte,1},{longstr,<<"a">>},{void,undefined}]'),
        (Field("F", {"a": Field("F", {"b": longstr("c")})}), '[{<<"a">>,table,[{<<"b">>,longstr,<<"c">>}]}]'),
    ],
)
def test_field_values_are_printed_as_erlang_terms(field: Field, printed: str) -> None:
    assert erlang_term(field) == printed


@pytest.mark.parametrize(
    ("characters", "printed"),
    [
        ("", "[]"),
        (".5", '".5"'),
        ("é\xa0", '"é\xa0"'),
        ('a"b\\\n\x1b', '"a\\"b\\\\\\n\\e"'),
        ("a\1", "[97,1]"),
        ("\x7f", "[127]"),
        ("日", "[26085]"),
    ],
)
def test_strings_are_printed_as_in_erlang(characters: str, printed: str) -> None:
    assert erlang_string(characters) == printed


@pytest.mark.parametrize(
    ("value", "printed"), [(b"abc", "abc"), ("日".encode(), "日"), (b"bo\xe9", "boé"), (b"1\xe6\x97", "1æ\x97")]
)
def test_bytes_are_printed_as_utf_8_or_else_latin_1_as_in_erlang(value: bytes, printed: str) -> None:
    assert erlang_characters(value) == printed


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (1.5, "1.5"),
        ("a\n", r'<<"a\n">>'),
        ("é", '<<"é"/utf8>>'),
        ("", "<<>>"),
        ([], "[]"),
        ([1, "a"], '[1,<<"a">>]'),
        ({}, "#{}"),
        ({"b": 1, "a": [None]}, '#{<<"b">> => 1,<<"a">> => [null]}'),
    ],
)
def test_json(value: object, printed: str) -> None:
    assert erlang_json(value) == printed


def test_json_objects_are_printed_as_lists_sorted_by_name() -> None:
    assert erlang_entries({"b": "x", "a": 1}) == '[{<<"a">>,1},{<<"b">>,<<"x">>}]'
    assert erlang_entries({}) == "[]"
