"""Definitions that a broker may have after a power failure."""

from types import SimpleNamespace

import pytest

from tests.simulation.knowledge import SYNCED_NS, Knowledge
from tests.simulation.scheduler import SECOND
from tests.simulation.world import KILLED, POWER, Death


@pytest.fixture
def world():
    return SimpleNamespace(deaths=[], scheduler=SimpleNamespace(now=0))


@pytest.fixture
def known(world):
    known = Knowledge(world, "first", lambda state, is_old: state)
    world.scheduler.now = SECOND
    known.became(["second"])
    return known


def die(world, known, at_ns, kind=POWER, synced_ns=0, troubled_ns=0):
    """End the broker's process, and return the possible states after it."""
    world.scheduler.now = at_ns
    world.deaths.append(Death(at_ns, kind, synced_ns, troubled_ns))
    known.outlive()
    return known.possible


def test_power_failure_may_undo_a_change_that_was_not_synced(world, known):
    assert die(world, known, 2 * SECOND) == ["second", "first"]


def test_power_failure_does_not_undo_a_synced_change(world, known):
    assert die(world, known, 2 * SECOND, synced_ns=SECOND + 1) == ["second"]


def test_kill_undoes_no_change(world, known):
    assert die(world, known, 2 * SECOND, KILLED) == ["second"]


def test_change_must_be_synced_in_time(world, known):
    assert die(world, known, SECOND + SYNCED_NS + 1) == ["second"]


def test_change_may_wait_while_the_processor_is_slow(world, known):
    at_ns = SECOND + 2 * SYNCED_NS
    assert die(world, known, at_ns, troubled_ns=at_ns - SYNCED_NS) == ["second", "first"]


def test_earlier_slow_times_do_not_count(world, known):
    at_ns = SECOND + 2 * SYNCED_NS
    assert die(world, known, at_ns, troubled_ns=at_ns - SYNCED_NS - 1) == ["second"]
