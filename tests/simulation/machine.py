"""Faults of the machine: crashes, power cuts, orderly restarts, a disk that fails."""

import random

from tests.simulation.scheduler import MS
from tests.simulation.steps import Step
from tests.simulation.world import World


class Machine:
    """The actor `machine`."""

    def __init__(self, world: World) -> None:
        self._world = world

    @staticmethod
    def plan(chance: random.Random, end_ms: int) -> list[Step]:
        """Return faults for a world of `end_ms` milliseconds."""
        steps = []
        for _ in range(chance.choice((0, 1, 2, 4, 8))):
            at_ms = chance.randint(0, end_ms)
            verb = chance.choice(
                ("kill", "kill", "cut_power", "cut_power", "restart", "fill_disk", "fail_writes", "fail_reads")
            )
            arguments = () if verb in ("kill", "cut_power", "restart") else (chance.choice((10, 1000, 5000)),)
            steps.append(Step(at_ms, "machine", verb, arguments))
        if chance.randrange(10) == 0:
            steps.append(Step(chance.randint(0, end_ms), "machine", "wedge_disk"))
        return steps + _time_steps(chance, end_ms)

    def recover(self) -> None:
        """End all faults. The wall clock gets ahead: a message that came while it was ahead waits for that time."""
        self._world.disk.recover_faults()
        self._world.processor.recover()
        self._world.time.catch_up()

    def do_kill(self) -> None:
        self._world.crash(power=False)

    def do_cut_power(self) -> None:
        self._world.crash(power=True)

    def do_restart(self) -> None:
        self._world.stop()

    def do_fill_disk(self, duration_ms: int) -> None:
        self._world.note("disk full", duration_ms)
        self._world.disk.full = True
        self._world.scheduler.after(duration_ms * MS, self._world.disk.recover_faults)

    def do_fail_writes(self, duration_ms: int) -> None:
        self._world.note("writes fail", duration_ms)
        self._world.disk.failing_writes = 0.3
        self._world.scheduler.after(duration_ms * MS, self._world.disk.recover_faults)

    def do_fail_reads(self, duration_ms: int) -> None:
        self._world.note("reads fail", duration_ms)
        self._world.disk.failing_reads = 0.3
        self._world.scheduler.after(duration_ms * MS, self._world.disk.recover_faults)

    def do_wedge_disk(self) -> None:
        self._world.note("syncs fail")
        self._world.disk.wedged = True
        self._world.scheduler.after(2000 * MS, self._world.disk.recover_faults)

    # --- time -------------------------------------------------------------------------------------------------------

    def do_step_clock(self, by_ms: int) -> None:
        """Step the wall clock, as NTP does."""
        self._world.time.step(by_ms * MS)

    def do_set_clock_right(self) -> None:
        self._world.time.set_right()

    def do_stop_process(self, duration_ms: int) -> None:
        """Run nothing of the broker for a while (SIGSTOP)."""
        self._world.processor.stop(duration_ms * MS)

    def do_suspend(self, duration_ms: int, sleeps: bool) -> None:
        """Suspend the machine. sleeps: its monotonic clock stands still meanwhile."""
        self._world.processor.stop(duration_ms * MS)
        if sleeps:
            self._world.time.sleep(duration_ms * MS)

    def do_slow_down(self, slowness: int, duration_ms: int) -> None:
        """Have everything that the broker does take longer for a while."""
        self._world.processor.slow_down(slowness, duration_ms * MS)


def _time_steps(chance: random.Random, end_ms: int) -> list[Step]:
    """Return steps of the wall clock, and times in which the broker is slow or does not run."""
    steps = []
    for _ in range(chance.choice((0, 0, 0, 1, 3))):
        by_ms = chance.choice((1, 4, 7, 60, 900, 5_000, 3_600_000)) * chance.choice((1, -1))
        steps.append(Step(chance.randint(0, end_ms), "machine", "step_clock", (by_ms,)))
    if chance.randrange(3) == 0:
        steps.append(Step(chance.randint(0, end_ms), "machine", "set_clock_right"))
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        verb = chance.choice(("stop_process", "suspend", "slow_down"))
        duration_ms = chance.choice((20, 700, 6_000, 40_000))
        arguments: tuple[object, ...] = (duration_ms,)
        if verb == "suspend":
            arguments = duration_ms, chance.random() < 0.7
        elif verb == "slow_down":
            arguments = chance.choice((10, 100)), duration_ms
        steps.append(Step(chance.randint(0, end_ms), "machine", verb, arguments))
    return steps
