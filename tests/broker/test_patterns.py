import pytest

from amqpbroker.broker.patterns import PatternError, compile_pattern


def test_a_pattern_is_searched_for_and_an_empty_one_is_everywhere() -> None:
    assert compile_pattern("b").search("abc")
    assert compile_pattern("").search("")


def test_classes_are_ascii_as_in_rabbitmq() -> None:
    assert compile_pattern(r"^\w+$").search("日本") is None


@pytest.mark.parametrize(
    ("pattern", "reason", "at"),
    [("a(", "missing ), unterminated subpattern", 1), ("*", "nothing to repeat", 0), ("[[:alpha:]]", "set", 0)],
)
def test_what_is_wrong_with_a_pattern_and_where(pattern: str, reason: str, at: int) -> None:
    with pytest.raises(PatternError, match="invalid regular expression") as refused:
        compile_pattern(pattern)
    assert reason in refused.value.reason
    assert refused.value.at == at
    assert repr(pattern) in str(refused.value)
