"""A history of counters."""

from amqpbroker.broker.counters.history import History


def test_history_samples_are_ordered_oldest_first():
    history = History(3)
    assert history.samples(2) == []
    history.append(1_700_000_000_000, (1, 2))
    history.append(1_700_000_005_000, (3, 4))
    assert history.samples(2) == [(1_700_000_000_000, (1, 2)), (1_700_000_005_000, (3, 4))]


def test_the_newest_samples_replace_the_oldest():
    history = History(3)
    for at_ms in range(8):
        history.append(at_ms, (at_ms * 10,))
        assert history.samples(1) == [(each, (each * 10,)) for each in range(max(0, at_ms - 2), at_ms + 1)]
