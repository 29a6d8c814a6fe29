from typing import Any

import pytest

from amqpbroker.broker.deduplication.message_key import MOST_BYTES, message_key, message_ttl_ms
from amqpbroker.message.message import Message
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr


def key(field: Field | None, name: bytes | None = b"id", **properties: Any) -> bytes | None:
    headers = {"before": Field("t", True), "id": field} if field is not None else {}
    return message_key(Message(b"\0\0", encode_properties({"headers": headers, **properties}), b""), name)


def test_ids_are_equal_if_type_and_value_are() -> None:
    assert key(longstr("1")) == key(longstr("1"))
    assert len({key(longstr("1")), key(longstr("2")), key(Field("x", b"1")), key(Field("I", 1))}) == 4
    assert key(Field("t", True)) != key(Field("I", 1))
    assert key(longstr("")) is not None


def test_integers_of_all_sizes_are_equal() -> None:
    assert {key(Field(kind, 5)) for kind in "bBsuIil"} == {key(Field("I", 5))}
    assert key(Field("I", 5)) != key(Field("I", -5))


@pytest.mark.parametrize("field", [None, Field("V", None), Field("A", [longstr("1")]), Field("F", {})])
def test_lists_tables_and_no_value_are_no_ids(field: Field | None) -> None:
    assert key(field) is None


def test_message_without_headers_has_no_id() -> None:
    assert message_key(Message(b"\0\0", encode_properties({}), b""), b"id") is None


def test_property_message_id_equals_a_header_with_the_same_text() -> None:
    assert key(None, None, message_id=b"1") == key(longstr("1"))
    assert key(longstr("1"), None) is None


def test_long_ids_take_little_memory_and_stay_different() -> None:
    first, second = key(longstr("x" * 10_000 + "1")), key(longstr("x" * 10_000 + "2"))
    assert first is not None
    assert len(first) <= MOST_BYTES
    assert first != second
    assert key(longstr("x" * 63)) == b"S" + b"x" * 63


@pytest.mark.parametrize(
    ("field", "ttl_ms"),
    [
        (Field("I", 5), 5),
        (Field("l", 2**40), 2**40),
        (Field("I", 0), 0),
        (Field("I", -5), 0),
        (longstr("5"), 0),
    ],
)
def test_time_to_remember_an_id_is_a_positive_integer(field: Field, ttl_ms: int) -> None:
    assert message_ttl_ms(Message(b"\0\0", encode_properties({"headers": {"x-cache-ttl": field}}), b"")) == ttl_ms
