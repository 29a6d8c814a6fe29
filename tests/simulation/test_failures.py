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
    # What had counted up was taken for a leak.
    "a headers exchange has met messages": Scenario(
        seed=100797,
        duration_ms=0,
        bounds={},
        settings={},
        workloads={
            "routing2": {
                "workload": "routing",
                "kind": "quorum",
                "persistent": 0.0,
                "type": "headers",
                "inner_type": "headers",
                "alternate": True,
                "queues": 1,
                "bindings": 0,
                "publishers": 2,
            }
        },
        steps=[Step(90, "routing2p1", "publish", (5, False))],
    ),
    # The simulated connection stayed for ever.
    "a connection breaks that is written to and not read": Scenario(
        seed=100899,
        duration_ms=0,
        bounds={"unread_bytes": 50_000},
        settings={},
        workloads={"slow_readers1": {"workload": "slow_readers", "automatic": True}},
        steps=[
            Step(2651, "slow_readers1c", "drop"),
            Step(3546, "slow_readers1r", "drop"),
            Step(4586, "slow_readers1r", "publish", (50, 20_000)),
            Step(4736, "slow_readers1r", "drop"),
        ],
        sqlite=True,
    ),
}

#: Scenarios that end a broker in an unusual place -> the place.
ENDS = {"power cuts in starts": "starting", "a kill in a stop": "stopping"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario_passes(name):
    run(SCENARIOS[name])


@pytest.mark.parametrize(("name", "where"), ENDS.items())
def test_scenario_ends_a_broker_where_its_name_says(name, where):
    lines: list[str] = []
    run(SCENARIOS[name], lines)
    assert [line for line in lines if "'crash'" in line and f"'{where}'" in line]
