import random

import pytest

from amqpbroker.cli.perf.latencies import Latencies


def of(values):
    latencies = Latencies()
    latencies.add(values)
    return latencies


def test_none():
    assert Latencies().summary_ms() is None
    assert Latencies().percentile_ns(50) == 0


def test_summary_of_one_latency_has_only_that_value():
    assert of([1_500_000]).summary_ms() == {
        "min": 1.5,
        "mean": 1.5,
        "p50": 1.5,
        "p75": 1.5,
        "p95": 1.5,
        "p99": 1.5,
        "p99.9": 1.5,
        "max": 1.5,
    }


@pytest.mark.parametrize("percent", [1, 50, 95, 99, 99.9, 100])
def test_percentiles_are_exact_to_one_percent(percent):
    values = [int(random.Random(percent).lognormvariate(12, 2)) for _ in range(5000)]
    exact = sorted(values)[max(0, -(-len(values) * percent // 100) - 1).__int__()]
    assert exact <= of(values).percentile_ns(percent) <= exact * 1.01


def test_merged_histograms_equal_one_of_all_values():
    values = [7, 900, 12_345, 12_345, 88_888_888]
    merged = Latencies()
    for some in ([], values[:2], values[2:], []):
        merged.merge(of(some))
    assert merged.summary_ms() == of(values).summary_ms()
    assert merged.buckets == of(values).buckets


def test_buckets_are_contiguous():
    # 256 to 511 have buckets of 2, 512 to 1023 of 4
    assert of([256, 257]).buckets == {256: 2}
    assert of([511, 512, 515]).buckets == {510: 1, 512: 2}
    assert of([258, 259, 512]).percentile_ns(50) == 259


@pytest.mark.parametrize("count", [1000, 3000, 7000])
def test_percentiles_of_a_known_distribution_are_at_most_1_percent_higher(count):
    """The percentiles of 1, 2, 3... are known. Results are not lower, and at most 1 % higher."""
    summary = of([number * 1_000_000_000 // count for number in range(1, count + 1)]).summary_ms()
    assert summary["mean"] == pytest.approx(500, rel=0.01)
    for percent in (50, 75, 95, 99, 99.9):
        assert 10 * percent <= summary[f"p{percent:g}"] <= 10 * percent * 1.01
    assert summary["max"] == 1000


def test_rank_of_a_percentile_is_exact():
    """2997 of 3000 are 99.9 %, although 3000 times 99.9 is a little more than 299700 as a float."""
    assert of([1] * 2997 + [2] * 3).percentile_ns(99.9) == 1
    assert of([1] * 2996 + [2] * 4).percentile_ns(99.9) == 2
