"""Planted faults apply to the source, and the worlds find them."""

import pytest

from amqpbroker.store.database.fence import Fence
from tests.seeds import sampled
from tests.simulation.database.patched import simulated
from tests.simulation.database.planted import PLANTED, planted
from tests.simulation.database.run import run_many

#: Number of takeovers in which each fault is found.
MOST = 5_000
#: First seeds of faults that others do not reach in so many takeovers.
FIRST = {
    "a takeover that no standby has": 50_000,
    "a gap not found": 20_000,
}
#: Faults that are found within some takeovers.
SOON = {"the epoch not raised", "a lost answer taken for success", "the rest of the journal not read"}


def is_found(fault, takeovers):
    with planted(fault), simulated():
        return any(outcome.failure for outcome in run_many(FIRST.get(fault.name, 1_000), takeovers))


def test_names_of_faults_are_unique():
    assert len({fault.name for fault in PLANTED}) == len(PLANTED) >= 12


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_a_fault_applies_to_the_source(fault):
    with planted(fault):
        pass


def test_a_fault_is_undone():
    before = Fence.write.__code__
    with planted(PLANTED[0]):
        assert Fence.write.__code__ != before
    assert Fence.write.__code__ is before


@pytest.mark.parametrize("fault", [fault for fault in PLANTED if fault.name in SOON], ids=lambda fault: fault.name)
def test_a_fault_is_found_soon(fault):
    assert is_found(fault, 150)


@pytest.mark.explore
@pytest.mark.parametrize("fault", sampled([*PLANTED], 3), ids=lambda fault: fault.name)
def test_a_fault_is_found(fault):
    assert is_found(fault, MOST)
