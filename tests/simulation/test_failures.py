"""Scenarios as `make simulate` prints them: each has found a fault, or ends a broker in an unusual place."""

import pytest

from tests.simulation.scenario import Scenario, run
from tests.simulation.steps import Step

FLOW = {
    "flow0": {
        "workload": "flow",
        "kind": "classic",
        "persistent": 1.0,
        "unconfirmed": 0,
        "publishers": 1,
        "consumers": 1,
        "prefetch": 0,
        "priorities": 0,
    }
}

SCENARIOS = {
    "power cuts in starts": Scenario(
        seed=1,
        duration_ms=2000,
        bounds={"segment_bytes": 500},
        settings={},
        workloads=FLOW,
        steps=[
            Step(100, "flow0p0", "publish", (200, 300)),
            Step(300, "flow0c0", "settle", ("ack_multiple",)),
            Step(310, "machine", "cut_power"),
            Step(310, "machine", "crash_at_step", (2, True)),
            Step(600, "machine", "cut_power"),
            Step(600, "machine", "crash_at_step", (5, True)),
        ],
        hasty=True,
    ),
    "a kill in a stop": Scenario(
        seed=2,
        duration_ms=2000,
        bounds={"segment_bytes": 500},
        settings={},
        workloads=FLOW,
        steps=[
            Step(100, "flow0p0", "publish", (200, 300)),
            Step(300, "machine", "restart"),
            Step(301, "machine", "kill"),
            Step(800, "flow0p0", "publish", (10, 300)),
            Step(805, "machine", "restart"),
            Step(805, "machine", "crash_at_step", (3, True)),
        ],
        hasty=True,
    ),
    "a clock that was stepped back before an orderly end": Scenario(
        seed=500134,
        duration_ms=0,
        bounds={},
        settings={},
        workloads={"policies0": {"workload": "policies"}},
        steps=[
            Step(2473, "policies0", "administer", ("put",)),
            Step(3802, "machine", "step_clock", (-3600000,)),
            Step(4468, "policies0p", "publish", (2,)),
            Step(4782, "machine", "restart"),
        ],
        hasty=True,
    ),
    "an answer from a broker that is about to go": Scenario(
        seed=3,
        duration_ms=0,
        bounds={},
        settings={},
        workloads={"modelled0": {"workload": "modelled", "queues": 600}},
        steps=[
            Step(1000, "modelled0m", "operate", ("publish", "modelled0-loose", True, 0, -1, 0)),
            Step(1001, "modelled0m", "operate", ("get", "modelled0-loose", False)),
            Step(1002, "modelled0m", "operate", ("publish", "modelled0-plain", True, 0, -1, 0)),
            Step(1008, "machine", "restart"),
        ],
        hasty=True,
    ),
}

#: Those that end a broker while it starts or stops.
ENDS = ("power cuts in starts", "a kill in a stop")


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_passes(name):
    run(SCENARIOS[name])


@pytest.mark.parametrize("name", ENDS)
def test_scenario_ends_a_broker_where_its_name_says(name):
    lines: list[str] = []
    run(SCENARIOS[name], lines)
    where = "starting" if "start" in name else "stopping"
    assert [line for line in lines if "'crash'" in line and f"'{where}'" in line]
