"""Histories of the objects that were active or shown last."""

from amqpbroker.broker.counters.histories import HELD_MS, Histories
from amqpbroker.broker.counters.stats import Sample

STEP_MS = 5_000


class Gauge:
    """Something that has one counter."""

    counter_names = ("count",)

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self.sample: Sample | None = Sample((0,))

    def counters(self) -> tuple[int, ...]:
        return (self.count,)


def change(histories: Histories, gauge: Gauge, now_ms: int) -> None:
    """Count one more, and record a sample of that."""
    gauge.count += 1
    assert gauge.sample is not None
    gauge.sample.add(gauge.counters(), now_ms, STEP_MS)
    histories.record(gauge, gauge.sample)


def samples(histories: Histories, gauge: Gauge, now_ms: int = 0) -> list[tuple[int, tuple[int, ...]]]:
    return histories.request(gauge, now_ms, 0, (0,)).samples(1)


def test_a_history_begins_with_the_sample_before_the_first_change():
    histories, gauge = Histories(2, 10), Gauge()
    change(histories, gauge, 20_000)
    change(histories, gauge, 30_000)
    assert samples(histories, gauge) == [(15_000, (0,)), (20_000, (1,)), (30_000, (2,))]


def test_the_history_that_changed_longest_ago_is_replaced():
    histories, first, second, third = Histories(2, 10), Gauge(), Gauge(), Gauge()
    change(histories, first, 0)
    change(histories, second, 1)
    change(histories, first, 2)
    change(histories, third, HELD_MS + 1)
    assert [gauge in histories for gauge in (first, second, third)] == [True, False, True]


def test_a_history_of_an_active_object_is_not_replaced_by_that_of_another():
    histories, first, second, third = Histories(2, 10), Gauge(), Gauge(), Gauge()
    for now_ms in (0, HELD_MS):
        change(histories, first, now_ms)
        change(histories, second, now_ms)
        change(histories, third, now_ms)
    assert [gauge in histories for gauge in (first, second, third)] == [True, True, False]


def test_request_always_starts_a_history_even_at_the_limit():
    histories, first, second, third = Histories(2, 10), Gauge(), Gauge(), Gauge()
    change(histories, first, 0)
    change(histories, second, 0)
    assert histories.request(third, 5, 3, (7,)).samples(1) == [(3, (7,))]
    assert [gauge in histories for gauge in (first, second, third)] == [False, True, True]
    change(histories, first, 10)
    assert first not in histories, "the others are in use"


def test_requested_history_is_not_replaced():
    histories, first, second, third = Histories(2, 10), Gauge(), Gauge(), Gauge()
    change(histories, first, 0)
    change(histories, second, 1)
    histories.request(first, HELD_MS, 0, (0,))
    change(histories, third, HELD_MS + 2)
    assert [gauge in histories for gauge in (first, second, third)] == [True, False, True]


def test_number_of_histories_never_exceeds_its_limit():
    histories = Histories(5, 10)
    gauges = [Gauge() for _ in range(20)]
    for number, gauge in enumerate(gauges):
        change(histories, gauge, number * 2 * HELD_MS)
        assert len(histories) == min(5, number + 1)
    for gauge in gauges:
        histories.request(gauge, 0, 0, (0,))
        assert len(histories) == 5


def test_histories_of_objects_no_longer_seen_are_discarded():
    histories, kept, deleted = Histories(5, 10), Gauge(), Gauge()
    change(histories, kept, 0)
    change(histories, deleted, 0)
    histories.discard_unseen()
    assert len(histories) == 2, "both were changed in this round"
    histories.see(kept)
    histories.see(Gauge())
    histories.discard_unseen()
    assert [gauge in histories for gauge in (kept, deleted)] == [True, False]
