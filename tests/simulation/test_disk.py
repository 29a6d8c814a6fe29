"""Writes of the simulated disk may end in the middle when their process is killed."""

import random
from pathlib import Path

from tests.simulation.disk import Disk
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
