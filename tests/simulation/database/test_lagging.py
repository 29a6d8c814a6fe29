"""Promotions of lagging standbys, which may undo anything that was confirmed."""

import pytest

from tests.seeds import sampled
from tests.simulation.database.lagging import run_lagging
from tests.simulation.database.patched import simulated
from tests.simulation.database.planted import planted
from tests.simulation.planted.fault import Planted

#: Numbers of a quick test and of an exploring one.
WORLDS = (2, 10)

#: Faults that these worlds find.
NOT_CHECKED = Planted("what is served not checked", "sharing.py", "self._leaderships.run(self._server.check)", "pass")
NOT_RELEASED = Planted(
    "the log of a removed vhost not released",
    "vhost_serving.py",
    "        self._released.put(Released(removed.name, epoch))",
    "        pass",
)
NOT_DELETED = Planted(
    "a vhost removed that is not deleted any more",
    "vhost_logs.py",
    "Statement(_STILL_REMOVED, (log.number,))",
    'Statement("SELECT 1")',
)
#: Each with the first seed of a search. One world of some 100 finds the last fault.
PLANTED = ((NOT_CHECKED, 1), (NOT_RELEASED, 1), pytest.param(NOT_DELETED, 180, marks=pytest.mark.explore))
#: Worlds of a search.
MOST = 400


def failures(first, worlds):
    with simulated():
        return [(seed, failure) for seed in range(first, first + worlds) if (failure := run_lagging(seed))]


def test_what_is_left_is_served():
    assert failures(1, WORLDS[0]) == []


@pytest.mark.explore
def test_what_is_left_is_served_in_further_worlds():
    assert failures(1 + WORLDS[0], WORLDS[1]) == []


@pytest.mark.explore
@pytest.mark.parametrize("first", sampled([1_000, 1_010, 1_020], 1))
def test_what_is_left_is_served_in_many_worlds(first):
    assert failures(first, 10) == []


@pytest.mark.parametrize(("fault", "first"), PLANTED, ids=lambda value: getattr(value, "name", value))
def test_a_fault_is_found(fault, first):
    with planted(fault), simulated():
        assert any(map(run_lagging, range(first, first + MOST)))
