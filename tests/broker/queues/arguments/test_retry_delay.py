import math
import random

import pytest

from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS
from amqpbroker.broker.queues.arguments.retry_delay import RetryDelay, retry_delay


@pytest.mark.parametrize(
    ("returns", "after_failure", "after_return"),
    [("all", 100, 100), ("failed", 100, 0), ("returned", 0, 100)],
)
def test_retry_delay_type_selects_failed_or_returned_messages_to_delay(
    returns: str, after_failure: int, after_return: int
) -> None:
    """Check rabbit_fifo:should_delay0/4 (rabbit_fifo.erl:2424 in 4.3.5)."""
    delay = RetryDelay(returns, 100, 1000)
    assert delay.delay_ms(True, 1) == after_failure
    assert delay.delay_ms(False, 0) == after_return


def test_the_delay_grows_with_each_failure_up_to_its_maximum() -> None:
    """Check rabbit_fifo:calculate_ready_at/4 (rabbit_fifo.erl:2437 in 4.3.5)."""
    delay = RetryDelay("all", 100, 250)
    assert [delay.delay_ms(True, failures) for failures in (1, 2, 3, 20)] == [100, 200, 250, 250]
    assert [delay.delay_ms(False, failures) for failures in (0, 1, 2)] == [100, 100, 200]
    assert RetryDelay("all", 100, 50).delay_ms(True, 1) == 50


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("all", 1000, 30_000), "all (min: 1000ms, max: 30000ms)"),
        (("failed", 5, None), "failed (min: 5ms, max: 5ms)"),
        (("returned", 5, 0), "returned (min: 5ms, max: 5ms)"),
        (("disabled", 5, 10), "None"),
        (("al", 5, 10), "None"),
        ((None, 5, 10), "None"),
        (("all", None, 10), "None"),
        (("all", 0, 10), "None"),
    ],
)
def test_incomplete_or_disabled_retry_delay_settings_mean_no_delay(
    given: tuple[object, object, object], expected: str
) -> None:
    """Check rabbit_quorum_queue:get_delayed_retry_config/1 (rabbit_quorum_queue.erl:1967 in 4.3.5)."""
    assert str(retry_delay(*given)) == expected


def test_delay_with_a_multiplier_grows_exponentially_up_to_its_maximum() -> None:
    delay = RetryDelay("all", 100, 1000, multiplier=2)
    assert [delay.delay_ms(True, failures) for failures in range(1, 7)] == [100, 200, 400, 800, 1000, 1000]
    assert delay.delay_ms(True, 65535) == 1000
    assert delay.delay_ms(False, 0) == 100
    assert [RetryDelay("all", 100, 1000, 1.5).delay_ms(True, count) for count in (1, 2, 3)] == [100, 150, 225]
    assert [RetryDelay("all", 100, 1000, 1).delay_ms(True, count) for count in (1, 2, 9)] == [100, 100, 100]
    assert RetryDelay("all", 100, 1000, 1e300).delay_ms(True, 65535) == 1000


def test_maximum_of_a_multiplied_delay_is_ten_times_its_minimum_by_default() -> None:
    assert retry_delay("all", 100, None, 2, None) == RetryDelay("all", 100, 1000, 2.0, 0.0)
    assert str(retry_delay("all", 100, None, 2, 0.25)) == "all (min: 100ms, max: 1000ms, multiplier: 2, jitter: 0.25)"


def test_jitter_multiplies_the_delay_by_a_random_factor() -> None:
    delay = RetryDelay("all", 1000, 1000, jitter=0.2)
    random.seed(1)
    first = [delay.delay_ms(True, 1) for _ in range(500)]
    assert min(first) >= 800
    assert max(first) <= 1200
    assert len(set(first)) > 200
    random.seed(1)
    assert [delay.delay_ms(True, 1) for _ in range(500)] == first


def test_delay_with_jitter_is_at_least_a_millisecond() -> None:
    delay = RetryDelay("all", 1, 1, jitter=1)
    assert {delay.delay_ms(True, 1) for _ in range(200)} == {1, 2}


@pytest.mark.parametrize(("multiplier", "jitter"), [(0.5, 2), (math.nan, math.nan), (math.inf, -1), (-3, math.inf)])
def test_unusable_multiplier_and_jitter_of_a_stored_queue_are_ignored(multiplier: float, jitter: float) -> None:
    assert retry_delay("all", 10, 20, multiplier, jitter) == RetryDelay("all", 10, 20)


def test_delays_are_limited_to_ten_years() -> None:
    delay = retry_delay("all", 10**30, 10**40, 3)
    assert delay is not None
    assert delay.delay_ms(True, 5) == MAX_EXPIRY_MS
