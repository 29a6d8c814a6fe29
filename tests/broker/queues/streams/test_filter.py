"""Filters of the consumers of a stream."""

import pytest

from amqpbroker.broker.queues.streams.filter import filter_of
from amqpbroker.message.message import Message
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr

UNFILTERED = {"x-stream-match-unfiltered": Field("t", True)}


def message(value: Field | None) -> Message:
    headers = {"other": longstr("a")} | ({} if value is None else {"x-stream-filter-value": value})
    return Message(b"\0\0", encode_properties({"headers": headers}), b"")


def wanted(value: Field, **others: Field) -> str:
    """Return the values that a filter accepts among a, b, none and an empty one."""
    found = filter_of({"x-stream-filter": value, **{name.replace("_", "-"): each for name, each in others.items()}})
    assert found is not None
    values = {"a": longstr("a"), "b": longstr("b"), "none": None, "empty": longstr("")}
    return " ".join(name for name, each in values.items() if found.accepts(message(each)))


def test_filter_is_a_value_or_an_array_of_values():
    assert wanted(longstr("a")) == "a"
    assert wanted(Field("A", [longstr("a"), longstr("b"), Field("I", 1)])) == "a b"


def test_messages_without_a_value_may_match_as_well():
    assert wanted(longstr("a"), **{"x-stream-match-unfiltered": Field("t", True)}) == "a none empty"
    assert wanted(longstr("a"), **{"x-stream-match-unfiltered": Field("t", False)}) == "a"
    assert wanted(longstr("a"), **{"x-stream-match-unfiltered": Field("I", 1)}) == "a"


def test_empty_filter_accepts_messages_without_a_value():
    assert wanted(longstr("")) == "none empty"


@pytest.mark.parametrize("value", [Field("I", 1), Field("x", b"a"), Field("F", {})])
def test_filter_of_another_type_is_none(value):
    assert filter_of({"x-stream-filter": value} | UNFILTERED) is None


def test_no_filter_without_the_argument():
    assert filter_of(UNFILTERED) is None


def test_value_that_is_not_text_is_none():
    found = filter_of({"x-stream-filter": longstr("5")})
    assert found is not None
    assert not found.accepts(message(Field("I", 5)))
