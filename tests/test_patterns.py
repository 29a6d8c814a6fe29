import logging
import subprocess
import sys
import time

import pytest

from amqpbroker.patterns import Pattern, PatternError

#: Patterns that no optimisation makes fast.
ENDLESS = ["^(a|aa)+$", "^(a|a)*$", "(.*a){25}x", "^" + "(a|a)" * 30 + "b"]
NAME = "a" * 200 + "!"


def test_pattern_matches_anywhere_and_an_empty_one_matches_any_text() -> None:
    assert Pattern("b").found_in("abc")
    assert Pattern("").found_in("")
    assert not Pattern("^$").found_in("a")


@pytest.mark.parametrize(
    ("pattern", "found", "missed"),
    [
        (".*", "", None),
        ("^a.*$", "abc", "ba"),
        (r"^amq\.", "amq.gen", "amqp"),
        ("^(a|b)+$", "ab", "abc"),
        ("^[[:alpha:]]+$", "ab", "a1"),
        ("^a++b", "aab", "b"),
        ("(?i)^a", "A", "B"),
        (r"[(]{1,2}\(", "((", "("),
    ],
)
def test_pattern_matches_only_the_expected_text(pattern: str, found: str, missed: str | None) -> None:
    assert Pattern(pattern).found_in(found)
    assert missed is None or not Pattern(pattern).found_in(missed)


@pytest.mark.parametrize(
    ("pattern", "found", "missed"),
    [
        ("^(a|b)[.][0-9]+$", "a.17", "a.x"),
        (r"^(?:a|b|)\.[^.]*x", "b.yyx", "b.y.x"),
        (r"^[^.]+\.events\..*", "shop.events.new", "shop.x.events."),
        ("[a-c]+d$", "xabcd", "xabc"),
        ("^.+@.+$", "a@b\n", "a@"),
        ("^[a-]b", "-b", "bb"),
        ("^()$", "", "a"),
        (r"^a\.b\-.*", "a.b-\nc", "axb-c"),
        ("^a", "a", "ba"),
        ("^a.*", "a", "ba"),
        ("^a.*$", "ab\n", "ab\nc"),
    ],
)
def test_plain_patterns_match_as_without_the_fast_path(pattern: str, found: str, missed: str) -> None:
    for each in (Pattern(pattern), Pattern(f"(?:{pattern})")):
        assert each.found_in(found)
        assert not each.found_in(missed)


@pytest.mark.alone
@pytest.mark.parametrize("pattern", ["[a]*b", "[ab]*[bc]$", "^[a]*[a]*b", "^(a|aa|aaa)[a]*b", "^.*a.*b$"])
def test_pattern_search_without_a_time_limit_is_fast(pattern: str) -> None:
    plain = Pattern(pattern)
    began = time.process_time()
    assert not plain.found_in("a" * 255)
    assert time.process_time() - began < 0.01


@pytest.mark.alone
@pytest.mark.parametrize("repeated", ["[a]*", ".*", "[^b]+", "(a|aa)", "(a|a)[a]*"])
@pytest.mark.parametrize("start", ["", "^"])
@pytest.mark.parametrize("count", range(1, 9))
def test_pattern_search_ends_quickly_for_any_number_of_repetitions(start: str, repeated: str, count: int) -> None:
    pattern = Pattern(f"{start}{repeated * count}[bc]")
    began = time.process_time()
    assert not pattern.found_in("a" * 255)
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize("pattern", [r"^\w+$", r"^(?:\w)+$", "^[[:alpha:]]+$"])
def test_character_classes_of_patterns_are_ascii_by_default(pattern: str) -> None:
    assert not Pattern(pattern).found_in("日本")
    assert Pattern(pattern, unicode=True).found_in("日本")


@pytest.mark.parametrize("pattern", ["^ab$", "^(ab)$"])
def test_case_matters_unless_configured_otherwise(pattern: str) -> None:
    assert not Pattern(pattern).found_in("AB")
    assert Pattern(pattern, ignore_case=True).found_in("AB")


@pytest.mark.parametrize(
    ("pattern", "reason", "at"),
    [
        ("a(", "missing )", 2),
        ("*", "nothing to repeat", 0),
        ("b|(?i)a", "(?i) is not supported", 2),
        ("(?x)a", "(?x is not supported", 0),
        ("(?#(((((((a)", "(?# is not supported", 0),
        ("[z-a]", "bad character range", 4),
        ("a{e<=2}", "is not supported", 1),
        ("(a)" * 700, "too large", 2048),
    ],
)
def test_errors_of_patterns_have_reason_and_position(pattern: str, reason: str, at: int) -> None:
    with pytest.raises(PatternError, match="invalid regular expression") as refused:
        Pattern(pattern)
    assert reason in refused.value.reason
    assert refused.value.at == at


@pytest.mark.parametrize("depth", [7, 30, 600])
def test_patterns_that_compile_slowly_are_refused(depth: int) -> None:
    for inner in ("a?", "[)))]a?", r"\)\)\)a?"):
        with pytest.raises(PatternError, match="too deeply nested"):
            Pattern("([)])" + "(" * depth + inner + ")+" * depth)


@pytest.mark.parametrize("pattern", ENDLESS)
def test_regular_expression_that_never_ends_is_interrupted(pattern: str, caplog: pytest.LogCaptureFixture) -> None:
    endless = Pattern(pattern)
    began = time.process_time()
    with caplog.at_level(logging.WARNING):
        assert not any(endless.found_in(NAME) for _ in range(1000))
    assert time.process_time() - began < 1
    assert [record.getMessage() for record in caplog.records] == [
        f"regular expression {pattern!r} takes too long: search interrupted, no match"
    ]


def test_pattern_is_disabled_after_three_long_searches() -> None:
    endless = Pattern("^(a|aa)+$")
    for _ in range(2):
        assert not endless.found_in(NAME)
    assert endless.found_in("aa")
    assert not endless.found_in(NAME)
    assert not endless.found_in("aa")
    assert Pattern("^(a|aa)+$").found_in("aa")


@pytest.mark.parametrize("pattern", ["^m(a+)+$", "^(a+)+$", r"^(\w+\s?)*$"])
def test_searches_with_exponential_time_are_interrupted(pattern: str) -> None:
    began = time.process_time()
    ended = Pattern(pattern)
    for _ in range(10):
        assert not ended.found_in("m" + NAME)
    assert time.process_time() - began < 1


def test_common_patterns_do_not_load_the_regex_library() -> None:
    code = (
        "import sys; from amqpbroker.patterns import Pattern\n"
        "for text in ('', '^$', '.*', '^a.*', r'^amq\\.', 'a-b/c:d', '^(a|b)[.][0-9]+$'): Pattern(text)\n"
        "assert 'regex' not in sys.modules\n"
        "Pattern('^(a|b)+$'); assert 'regex' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
