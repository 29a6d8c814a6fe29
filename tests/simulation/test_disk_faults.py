"""Faults of the simulated disk overlap, and each of them ends by itself."""

import pytest

from tests.simulation.broker_process import configured
from tests.simulation.machine import Machine
from tests.simulation.scheduler import MS
from tests.simulation.world import World


@pytest.fixture
def world():
    world = World(1, configured({}, {}))
    yield world
    world.close()


def test_end_of_a_fault_does_not_end_others(world):
    machine, disk = Machine(world), world.disk
    machine.do_fail_once("sync")
    machine.do_fill_disk(100)
    machine.do_slow_reads(0.5, 200)
    machine.do_slow_disk(5, 300)
    machine.do_fail_disk("write", 0.3, 400)
    seen = []
    for _ in range(5):
        faults = disk.faults
        seen.append((faults.full, faults.slow_reads, faults.latency, faults.failing))
        world.run(100 * MS)
    assert seen == [
        (True, 0.5, 5 * MS, {"write": 0.3}),
        (False, 0.5, 5 * MS, {"write": 0.3}),
        (False, 0.0, 5 * MS, {"write": 0.3}),
        (False, 0.0, 0, {"write": 0.3}),
        (False, 0.0, 0, {}),
    ]
    assert disk.failing_once == ["sync"]


def test_worst_of_overlapping_faults_counts(world):
    machine, disk = Machine(world), world.disk
    machine.do_fill_disk(100)
    machine.do_fill_disk(200)
    machine.do_fail_disk("read", 0.3, 200)
    machine.do_fail_disk("read", 1.0, 100)
    assert disk.faults.failing == {"read": 1.0}
    world.run(100 * MS)
    assert (disk.faults.full, disk.faults.failing) == (True, {"read": 0.3})
    world.run(100 * MS)
    assert (disk.faults.full, disk.faults.failing) == (False, {})


def test_recovery_ends_all_faults_of_the_disk(world):
    machine, disk = Machine(world), world.disk
    machine.do_fail_once("sync")
    machine.do_fill_disk(100)
    machine.recover()
    assert (disk.faults.full, disk.is_failing) == (False, False)
    machine.do_fill_disk(200)
    world.run(100 * MS)
    assert disk.faults.full
