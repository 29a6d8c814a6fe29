"""Scenarios printed by `make simulate`: each has found a fault, or ends a broker in an unusual state."""

import pytest

from tests.seeds import sampled
from tests.simulation.found_scenarios import FOUND, read
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
    # In the compiled broker, the error of a stop on a full disk has no cause, and looked like damage.
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
    # Pages of an empty log counted as lost for good, so a power failure undid synced definitions.
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
    # The broker returns the messages of an overdue channel before it closes the channel.
    "a single active consumer that is overdue": Scenario(
        seed=100084,
        duration_ms=0,
        bounds={},
        settings={"channel_tick_interval_ms": 50},
        workloads={
            "subscriptions0": {
                "workload": "subscriptions",
                "rule": "single_active",
                "kind": "classic",
                "subscribers": 1,
            }
        },
        steps=[
            Step(1000, "subscriptions0c0", "subscribe", (3, 2, 0, True)),
            Step(2000, "subscriptions0p", "publish", (1,)),
            Step(3000, "subscriptions0c0", "subscribe", (1, 2, 1, True)),
            Step(1_900_000, "subscriptions0p", "publish", (1,)),
        ],
    ),
    "a client that keeps a message for too long": Scenario(
        seed=510561,
        duration_ms=0,
        bounds={},
        settings={},
        workloads={"order2": {"workload": "order", "priorities": 0, "persistent": 0.5}},
        steps=[
            Step(9187185, "order2p", "publish", (1,)),
            Step(9201413, "order2c", "consume", (3, 0, False)),
            Step(10992209, "order2c", "consume", (1, 0, False)),
        ],
    ),
    # A counter that had increased looked like a leak.
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
    # The simulated connection never ended.
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
    # The next start does not know which messages were delivered.
    "a stop that cannot note its end": Scenario(
        seed=213689399782,
        duration_ms=2500,
        bounds={},
        settings={},
        workloads={"order2": {"workload": "order", "priorities": 0, "persistent": 1.0}},
        steps=[
            Step(335, "machine", "fail_disk", ("write", 0.3, 1250)),
            Step(454, "machine", "cut_power"),
            Step(989, "machine", "cut_power"),
            Step(1072, "order2p", "publish", (1,)),
            Step(1257, "machine", "restart"),
        ],
        hasty=True,
    ),
    # The queue is looked at while the next iterations of the event loop have yet to drop messages.
    "a limit that one iteration does not restore": Scenario(
        seed=709262544150,
        duration_ms=0,
        bounds={"leaving_bytes": 1},
        settings={},
        workloads={
            "limits0": {
                "workload": "limits",
                "kind": "quorum",
                "overflow": "drop-head",
                "limit": ("x-max-length-bytes", 300),
                "dlx": True,
                "copies": False,
                "persistent": 1.0,
                "consumes": False,
                "prefetch": 0,
                "publishers": 1,
            }
        },
        steps=[
            Step(10919, "limits0p0", "publish", (12, 0)),
            Step(11812, "limits0p0", "publish", (1, 500)),
        ],
        hasty=True,
    ),
}

#: Scenarios that end a broker in an unusual state -> the state.
ENDS = {"power cuts in starts": "starting", "a kill in a stop": "stopping"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_failure_scenario_passes(name):
    run(SCENARIOS[name])


@pytest.mark.parametrize(("name", "where"), ENDS.items())
def test_scenario_ends_a_broker_in_the_named_state(name, where):
    lines: list[str] = []
    run(SCENARIOS[name], lines)
    assert [line for line in lines if "'crash'" in line and f"'{where}'" in line]


#: Scenarios of a simulated day that take as long as all others together. CI leaves them to the nightly run.
SLOW = ["1050204", "1062091"]

RECORDED = sorted(path.stem for path in FOUND.glob("*.json") if path.stem not in SLOW)


@pytest.mark.parametrize("name", [*sampled(RECORDED, len(RECORDED) // 2), *sampled(SLOW, 0)])
@pytest.mark.explore
def test_recorded_scenarios_that_once_failed_pass(name):
    run(read(FOUND / f"{name}.json"))
