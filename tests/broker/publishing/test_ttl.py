import pytest

from amqpbroker.broker.publishing.ttl import MAX_EXPIRY_MS, expiry_problem


@pytest.mark.parametrize(
    ("value_ms", "problem"),
    [
        (0, None),
        (MAX_EXPIRY_MS, None),
        (-1, "{value_negative,-1}"),
        (MAX_EXPIRY_MS + 1, "{value_too_large,315360000001}"),
    ],
)
def test_times_to_live_last_up_to_ten_years(value_ms: int, problem: str | None) -> None:
    assert expiry_problem(value_ms) == problem
