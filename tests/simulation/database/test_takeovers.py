"""Many takeovers of brokers with one simulated engine."""

import pytest

from tests.simulation.database.patched import simulated
from tests.simulation.database.run import run, run_many


def failures(first, takeovers):
    with simulated():
        return [outcome for outcome in run_many(first, takeovers) if outcome.failure]


def test_what_was_acknowledged_survives_takeovers():
    assert failures(1, 100) == []


@pytest.mark.explore
def test_what_was_acknowledged_survives_thousands_of_takeovers():
    assert failures(1_000, 2_000) == []


def test_the_same_seed_gives_the_same_world():
    with simulated():
        assert run(30) == run(30) != run(31)
