"""The simulator itself: the same seed produces the same world, and seeds pass."""

import random

import pytest

from amqpbroker.config.bounds import Bounds
from tests.seeds import sampled, seeds
from tests.simulation.bounds import CONSTANTS, LOWERED, NOT_LOWERED
from tests.simulation.broker_process import configured
from tests.simulation.scenario import Scenario, run, scenario
from tests.simulation.settings import varied
from tests.simulation.shrink import shrunk
from tests.simulation.steps import Step
from tests.simulation.workloads import WORKLOADS
from tests.soak.constants import NOT_LIMITS, collected

#: Seeds whose world once found a fault of the simulator or of the broker.
FOUND = (101, 1008, 2000, 2003, 7037, 50_013)


def test_simulation_lowers_every_bound_or_gives_a_reason():
    assert set(Bounds._fields) == LOWERED.keys() | NOT_LOWERED.keys()
    assert not LOWERED.keys() & NOT_LOWERED.keys()


def test_every_limit_of_the_code_is_lowered_or_has_a_reason():
    """Test with the constants that the soak test collects, except arguments, which have spaces in their names."""
    known = [name for table in (NOT_LIMITS, CONSTANTS) for names in table.values() for name in names.split()]
    constants = {name for name in collected() if " " not in name and not name.startswith("config.bounds.")}
    assert sorted(constants - set(known)) == []
    assert sorted(set(known) - constants) == []
    assert len(known) == len(set(known))


def test_every_setting_that_is_varied_exists():
    chance = random.Random(1)
    for _ in range(100):
        configured({}, varied(chance))
    assert configured({}, {"compat": "4.3"}).compat.version.startswith("4.3")


def test_each_workload_is_in_a_world_of_consecutive_seeds():
    for first in (0, 1_000):
        consecutive = range(first, first + len(WORKLOADS))
        assert {next(iter(scenario(seed).workloads.values()))["workload"] for seed in consecutive} == set(WORKLOADS)


#: Workloads that have most of the operations. The others are run in the exploring tests.
QUICK = ("flow", "streams", "topology")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.explore) for name in WORKLOADS]
)
def test_workload_with_the_same_plan_runs_identically_twice(name):
    chance = random.Random(name)
    settings = {"workload": name, **WORKLOADS[name].settings(chance)}
    steps = sorted(WORKLOADS[name].plan(chance, 2_000, name, settings), key=lambda step: step.at_ms)
    given = Scenario(1, 2_000, {}, {"compat": "4.3"}, {name: settings}, steps)
    lines, again = [], []
    assert run(given, lines) == run(given, again)
    assert lines == again


@pytest.mark.parametrize("seed", seeds(3, 0))
def test_the_same_seed_gives_the_same_world(seed):
    lines, again = [], []
    assert run(scenario(seed), lines) == run(scenario(seed), again)
    assert lines == again


@pytest.mark.parametrize("seed", FOUND)
@pytest.mark.explore
def test_simulation_passes_with_seeds_that_once_found_a_fault(seed):
    run(scenario(seed))


@pytest.mark.parametrize("seed", sampled([*range(40)], 15))
@pytest.mark.explore
def test_simulation_of_a_seed_passes(seed):
    run(scenario(seed))


def test_failing_scenario_is_shortened(monkeypatch):
    """Test a failure that needs two steps of twenty, the first with an argument of at least 3."""
    steps = [Step(i, "machine", "fill_disk", (1000,)) for i in range(20)]
    plan = {"flow0": {"workload": "flow", "publishers": 3}, "flow1": {"workload": "flow", "publishers": 3}}
    given = Scenario(1, 20, {"routes": 1, "entries": 1}, {"a": 1, "b": 2}, plan, steps)

    def failure(candidate):
        found = {step.at_ms: step.arguments[0] for step in candidate.steps}
        fails = found.get(3, 0) >= 3 and 17 in found and "routes" in candidate.bounds and "b" in candidate.settings
        return "it fails" if fails else None

    monkeypatch.setattr("tests.simulation.shrink.failure_of", failure)
    short = shrunk(given)
    assert [step.at_ms for step in short.steps] == [3, 17]
    assert 3 <= short.steps[0].arguments[0] <= 6
    assert short.steps[1].arguments == (0,)
    assert (short.bounds, short.settings) == ({"routes": 1}, {"b": 2})
    assert short.workloads == {"flow1": {"workload": "flow", "publishers": 0}}
    assert short.duration_ms == 0


def test_passing_scenario_is_not_changed(monkeypatch):
    monkeypatch.setattr("tests.simulation.shrink.failure_of", lambda _: None)
    given = scenario(1)
    assert shrunk(given) == given


def test_shrinking_ends_in_time(monkeypatch):
    """Test with runs of a second each: no more runs are made than the time allows."""
    now = [0.0]
    runs = []

    def failure(candidate):
        now[0] += 1
        runs.append(candidate)
        return "it fails" if len(candidate.steps) > 900 else None

    monkeypatch.setattr("tests.simulation.shrink.failure_of", failure)
    monkeypatch.setattr("tests.simulation.shrink.time.monotonic", lambda: now[0])
    steps = [Step(i, "machine", "kill") for i in range(1000)]
    short = shrunk(Scenario(1, 1000, {}, {}, {}, steps), within_s=100)
    assert len(runs) <= 102
    assert 900 < len(short.steps) <= 1000
