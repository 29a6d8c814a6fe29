import pytest

from amqpbroker.broker.publishing.choices import choice, header_name
from amqpbroker.wire.values import Field, longstr


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (longstr("red"), None),
        (longstr("blue"), None),
        (longstr("Red"), "\"expected 'red' or 'blue', got 'Red'\""),
        (longstr(""), "\"expected 'red' or 'blue', got ''\""),
        (Field("l", 1), "\"expected 'red' or 'blue' as a string, got long\""),
    ],
)
def test_choice_accepts_its_texts_and_names_them_otherwise(given: Field, problem: str | None) -> None:
    shown = choice("red", "blue")(given, {})
    assert shown == problem


def test_choice_of_three_names_them_as_a_list() -> None:
    assert choice("red", "blue", "green")(longstr("x"), {}) == "\"expected 'red', 'blue' or 'green', got 'x'\""


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (longstr("x"), None),
        (longstr("x" * 255), None),
        (longstr("x" * 256), '"expected the name of a header, 1 to 255 bytes"'),
        (longstr(""), '"expected the name of a header, 1 to 255 bytes"'),
        (Field("l", 1), '"expected the name of a header as a string, got long"'),
    ],
)
def test_header_name_has_1_to_255_bytes(given: Field, problem: str | None) -> None:
    assert header_name(given, {}) == problem
