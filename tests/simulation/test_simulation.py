"""The simulator itself: the same seed gives the same world, and seeds pass."""

import random
from dataclasses import fields

import pytest

from amqpbroker.config.bounds import Bounds
from tests.simulation.bounds import LOWERED, NOT_LOWERED
from tests.simulation.broker_process import configured
from tests.simulation.scenario import Scenario, run, scenario
from tests.simulation.settings import varied
from tests.simulation.shrink import shrunk
from tests.simulation.steps import Step
from tests.simulation.workloads import WORKLOADS

#: Seeds whose world found a fault of the simulator or of the broker once.
FOUND = (101, 1008, 2000, 2003, 7037, 50_013)


def test_every_bound_is_lowered_or_listed_with_a_reason():
    assert {field.name for field in fields(Bounds)} == LOWERED.keys() | NOT_LOWERED.keys()
    assert not LOWERED.keys() & NOT_LOWERED.keys()


def test_every_setting_that_is_varied_exists():
    chance = random.Random(1)
    for _ in range(100):
        configured({}, varied(chance))
    assert configured({}, {"compat": "4.3"}).compat.version.startswith("4.3")


@pytest.mark.parametrize("name", WORKLOADS)
def test_each_workload_gives_the_same_world_twice(name):
    chance = random.Random(name)
    settings = {"workload": name, **WORKLOADS[name].settings(chance)}
    steps = sorted(WORKLOADS[name].plan(chance, 2_000, name, settings), key=lambda step: step.at_ms)
    given = Scenario(1, 2_000, {}, {"compat": "4.3"}, {name: settings}, steps)
    lines, again = [], []
    assert run(given, lines) == run(given, again)
    assert lines == again


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_world(seed):
    lines, again = [], []
    assert run(scenario(seed), lines) == run(scenario(seed), again)
    assert lines == again


@pytest.mark.parametrize("seed", FOUND)
@pytest.mark.explore
def test_seeds_that_found_a_fault_pass(seed):
    run(scenario(seed))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.explore
def test_seeds_pass(seed):
    run(scenario(seed))


def test_a_failing_scenario_is_made_shorter(monkeypatch):
    """The failure is one that needs two steps of twenty."""
    steps = [Step(i, "machine", "kill") for i in range(20)]
    given = Scenario(1, 20, {"routes": 1, "entries": 1}, {}, {}, steps)

    def failure(candidate):
        needed = {steps[3], steps[17]}
        return "it fails" if needed <= set(candidate.steps) and "routes" in candidate.bounds else None

    monkeypatch.setattr("tests.simulation.shrink.failure_of", failure)
    short = shrunk(given)
    assert short.steps == [steps[3], steps[17]]
    assert short.bounds == {"routes": 1}
