import pytest

from amqpbroker.broker.queues.retry_delay import RetryDelay, retry_delay


@pytest.mark.parametrize(
    ("returns", "after_failure", "after_return"),
    [("all", 100, 100), ("failed", 100, 0), ("returned", 0, 100)],
)
def test_retry_delay_type_selects_failed_or_returned_messages_to_delay(
    returns: str, after_failure: int, after_return: int
) -> None:
    delay = RetryDelay(returns, 100, 1000)
    assert delay.delay_ms(True, 1) == after_failure
    assert delay.delay_ms(False, 0) == after_return


def test_the_delay_grows_with_each_failure_up_to_its_maximum() -> None:
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
    assert str(retry_delay(*given)) == expected
