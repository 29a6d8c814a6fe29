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
    # Compiled, the error of a stop on a full disk has no cause, and looked like damage.
    "a stop on a full disk": Scenario(
        seed=100769,
        duration_ms=15000,
        bounds={},
        settings={},
        workloads={"poison0": {"workload": "poison", "limit": 0, "prefetch": 0, "retry": ("all", 100, 1000)}},
        steps=[
            Step(5015, "poison0p", "publish", (1,)),
            Step(6224, "machine", "fill_disk", (5000,)),
            Step(10535, "machine", "restart"),
        ],
        sqlite=True,
    ),
    # Pages of an empty log were taken as lost for good, so that a power cut took synced definitions back.
    "a power cut after a failed sync of definitions": Scenario(
        seed=100421,
        duration_ms=0,
        bounds={},
        settings={},
        workloads={
            "vhosts0": {"workload": "vhosts"},
            "expiry1": {
                "workload": "expiry",
                "kind": "classic",
                "ttls_ms": [50, 1],
                "own_ttls": 0.5,
                "longest_ms": 0,
                "persistent": 1.0,
                "after": "consumer",
                "keeps_keys": False,
                "cc": False,
            },
        },
        steps=[
            Step(14929, "machine", "restart"),
            Step(16361, "machine", "fail_once", ("sync",)),
            Step(18030, "vhosts0", "administer", ("delete", 0)),
            Step(25924, "machine", "cut_power"),
            Step(26060, "vhosts0c0", "act", ("delete",)),
        ],
        sqlite=True,
    ),
    # A slow broker drops a client for a silence that has just ended.
    "a silence in a slow broker": Scenario(
        seed=100036,
        duration_ms=60000,
        bounds={},
        settings={"handshake_timeout_ms": 3000},
        workloads={
            "standstills0": {"workload": "standstills", "intervals": [5, 1]},
            "expiry1": {
                "workload": "expiry",
                "kind": "quorum",
                "ttls_ms": [50, 50],
                "own_ttls": 0.0,
                "longest_ms": 0,
                "persistent": 1.0,
                "after": "first",
                "keeps_keys": True,
                "cc": True,
            },
        },
        steps=[
            Step(20891, "standstills0w0", "freeze", (22128,)),
            Step(23052, "expiry1p", "publish", (5,)),
            Step(31778, "expiry1p", "publish", (10,)),
            Step(31938, "machine", "slow_down", (50, 3000)),
            Step(32605, "standstills0w1", "freeze", (2000,)),
        ],
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
