"""Differences of arguments, as they are refused, logged and kept."""

import pytest

from amqpbroker.broker.queues.arguments.difference import SHOWN_BYTES, Difference, difference
from amqpbroker.wire.values import Field, longstr


@pytest.mark.parametrize("kind", "bBsuIil")
def test_integers_of_any_width_are_the_same(kind: str) -> None:
    assert difference("x-max-length", Field(kind, 100), Field("l", 100)) is None


@pytest.mark.parametrize("value", [None, Field("d", 100.0), longstr("100"), Field("I", 101)])
def test_other_types_and_values_and_missing_arguments_differ(value: Field | None) -> None:
    current = Field("I", 100)
    assert difference("x-max-length", value, current) == Difference("x-max-length", current, value)
    assert difference("x-max-length", current, value) == Difference("x-max-length", value, current)


def test_argument_that_is_missing_on_both_sides_does_not_differ() -> None:
    assert difference("x-max-length", None, None) is None


def test_difference_is_described_with_both_values() -> None:
    assert str(Difference("x-overflow", None, longstr("drop-head"))) == (
        "x-overflow is none and was declared as 'drop-head'"
    )
    assert str(Difference("x-expires", Field("I", 5), Field("l", 6))) == "x-expires is '5' and was declared as '6'"


def test_long_and_nested_values_are_shortened() -> None:
    long, nested = longstr("x" * 1000), Field("A", [longstr("y" * 1000)])
    found = Difference("x-a", long, nested).shortened()
    assert found.current == longstr("x" * SHOWN_BYTES)
    assert found.declared is not None
    assert found.declared.kind == "S"
    assert len(found.declared.value) == SHOWN_BYTES
    short = Difference("x-a", Field("I", 1), None)
    assert short.shortened() == short
