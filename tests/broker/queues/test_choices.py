import pytest

from amqpbroker.broker.queues.choices import choice
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
