"""Writes of the simulated disk end in the middle when their process is killed, and fail with the disk."""

import random
from pathlib import Path

import pytest

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import VhostDefinition
from tests.simulation.disk import Disk
from tests.simulation.disk_faults import DiskFault
from tests.simulation.processor import Processor
from tests.simulation.scheduler import SECOND, Scheduler
from tests.simulation.threads import Threads

PATH = Path("/simulated/x")
PARTS = [b"one", b"two", b"three"]


def written_until_killed(seed, steps):
    """Return the content of a file whose writer was killed at the given number of steps."""
    scheduler, disk, left = Scheduler(), Disk(random.Random(seed)), [steps]
    descriptor = disk.create(PATH)

    def step():
        left[0] -= 1
        if not left[0]:
            scheduler.after(0, threads.kill)

    threads = Threads(scheduler, Processor(scheduler), random.Random(seed), step)
    threads.start(lambda: disk.write(descriptor, *PARTS))
    scheduler.run(10 * SECOND)
    disk.end_process()
    return bytes(disk.contents[PATH])


def test_killed_process_leaves_any_part_of_a_write():
    whole = b"".join(PARTS)
    left = {written_until_killed(seed, steps=2) for seed in range(400)}
    assert all(whole.startswith(content) for content in left)
    assert {b"one", b"onetwo", b"o", b"onetwothr"} < left


def test_write_that_is_not_killed_is_complete():
    assert {written_until_killed(seed, steps=9) for seed in range(100)} == {b"".join(PARTS)}


@pytest.mark.parametrize("sqlite", [False, True])
@pytest.mark.parametrize("fault", [DiskFault(full=True), DiskFault(operation="write", share=1.0)])
def test_changes_of_definitions_fail_with_the_disk(sqlite, fault):
    disk = Disk(random.Random(1), sqlite)
    disk.refuses = True
    disk.faults.begin(fault)
    definitions = disk.open_definitions(BOUNDS)
    definitions.put(VhostDefinition("made in a start"))
    disk.serve()
    with pytest.raises(AmqpError, match="cannot be stored"):
        definitions.put(VhostDefinition("refused"))
    disk.faults.end_all()
    definitions.put(VhostDefinition("later"))
    assert [vhost.name for vhost in definitions.all(VhostDefinition)] == ["made in a start", "later"]
    disk.release()
