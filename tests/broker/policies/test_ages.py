"""Ages in arguments and policies."""

import pytest

from amqpbroker.broker.policies.ages import age_ms


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ("1s", 1000),
        ("2m", 120_000),
        ("3h", 10_800_000),
        ("1D", 86_400_000),
        ("1M", 30 * 86_400_000),
        ("1Y", 365 * 86_400_000),
    ],
)
def test_age_is_a_number_and_a_unit(age, expected):
    assert age_ms(age) == expected


@pytest.mark.parametrize("text", ["", "1", "s", "0s", "1x", "-1s", "+1s", " 1s", "1s ", "1.5h", "1d", "١s"])
def test_other_text_is_not_an_age(text):
    assert age_ms(text) == -1


@pytest.mark.parametrize("unit", "YMDhms")
def test_number_of_an_age_has_any_length(unit):
    billion_years_ms = 10**9 * age_ms("1Y")
    assert age_ms("9" * 5000 + unit) > billion_years_ms
    assert age_ms("1" + "0" * 5000 + unit) > billion_years_ms
    assert age_ms("0" * 5000 + "7" + unit) == age_ms("7" + unit)
    assert age_ms("0" * 5000 + unit) == -1
