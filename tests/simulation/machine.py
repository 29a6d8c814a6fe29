"""Faults of the machine: crashes, power failures, orderly restarts, a failing disk, low memory."""

import random
from functools import partial

from tests.simulation.disk import ERRORS
from tests.simulation.disk_faults import DiskFault
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step
from tests.simulation.world import World

#: Workloads that expect each change of definitions to succeed. Clients of all others connect again, and repeat refused
#: changes. A queue that expires while the disk is full returns with the next start, which no check expects.
UNREFUSABLE = {"expiring", "reads", "topology", "unused", "users"}
#: Faults that end the broker, and faults of the disk.
ENDS = ("kill", "cut_power", "restart")
DISK_FAULTS = ("fill_disk", "fail_disk", "fail_once", "slow_disk", "slow_reads")

#: Faults of the disk while clients connect for the first time.
EARLY_FAULTS = (("fill_disk", (1000,)), ("fill_disk", (5000,)), ("fail_disk", ("write", 0.3, 3000)))

#: Time for which the loop may still wait for the disk when the disk is fast again.
WAIT_NS = 30 * SECOND


class Machine:
    """The actor `machine`."""

    def __init__(self, world: World) -> None:
        self._world = world

    @staticmethod
    def plan(chance: random.Random, end_ms: int) -> list[Step]:
        """Return faults for a world of `end_ms` milliseconds."""
        steps = []
        if chance.randrange(8) == 0:  # clients make most of their changes of definitions now
            steps.append(Step(0, "machine", *chance.choice(EARLY_FAULTS)))
        for _ in range(chance.choice((0, 1, 2, 4, 8))):
            at_ms = chance.randint(0, end_ms)
            if chance.random() < 0.5:
                steps.append(Step(at_ms, "machine", chance.choice(ENDS)))
            else:
                steps += _disk_fault(chance, at_ms)
        for _ in range(chance.choice((0, 0, 1, 3))):
            duration_ms = chance.choice((10, 500, 5_000, 20_000))
            steps.append(Step(chance.randint(0, end_ms), "machine", "short_memory", (duration_ms,)))
        return steps + _time_steps(chance, end_ms)

    def recover(self) -> None:
        """End all faults. The wall clock catches up, because messages from when it was ahead wait for that time.

        A broker that started meanwhile ignores that, and starts again.
        """
        self._world.disk.recover_faults()
        self._world.processor.recover()
        self._world.time.wake()
        self._world.crash_at_step(0, power=False)
        self._world.time.catch_up()
        self._end_shortage(at_once=True)
        if self._world.process is not None and self._world.process.began_behind:
            self._world.stop()

    # --- ends of the broker -------------------------------------------------------------------------------------------

    def do_kill(self) -> None:
        self._world.crash(power=False)

    def do_cut_power(self) -> None:
        self._world.crash(power=True)

    def do_crash_at_step(self, steps: int, power: bool) -> None:
        """Crash at a step on the disk: during a start, a stop, or a batch."""
        self._world.crash_at_step(steps, power)

    def do_restart(self) -> None:
        self._world.stop()

    # --- the disk -----------------------------------------------------------------------------------------------------

    def do_fill_disk(self, duration_ms: int) -> None:
        self._begin(DiskFault(full=True), duration_ms)

    def do_fail_disk(self, operation: str, share: float, duration_ms: int) -> None:
        """Make a fraction of the operations fail for a while."""
        self._begin(DiskFault(operation=operation, share=share), duration_ms)

    def do_fail_once(self, operation: str) -> None:
        """Make the next such operation fail."""
        self._world.disk.failing_once.append(operation)

    def do_slow_disk(self, latency_ms: int, duration_ms: int) -> None:
        """Make each step on the disk slower for a while."""
        self._hold_up(duration_ms)
        self._begin(DiskFault(latency=latency_ms * MS), duration_ms)

    def do_slow_reads(self, share: float, duration_ms: int) -> None:
        """Make a fraction of the reads take up to seconds for a while, which blocks the loop."""
        self._hold_up(duration_ms)
        self._begin(DiskFault(slow_reads=share), duration_ms)

    def _hold_up(self, duration_ms: int) -> None:
        """Block the loop by its own steps on the disk: reads, and pages that it writes when memory is low."""
        self._world.processor.hold_up(duration_ms * MS + WAIT_NS)

    def _begin(self, fault: DiskFault, duration_ms: int) -> None:
        """Begin a fault of the disk, which ends after that time."""
        faults = self._world.disk.faults
        faults.begin(fault)
        self._world.scheduler.after(duration_ms * MS, partial(faults.end, fault))

    # --- time ---------------------------------------------------------------------------------------------------------

    def do_step_clock(self, by_ms: int) -> None:
        """Step the wall clock, as NTP does."""
        self._world.time.step(by_ms * MS)

    def do_short_memory(self, duration_ms: int) -> None:
        """Make the queues move messages out of memory for a while."""
        process = self._world.process
        if process is None:
            return
        self._world.note("memory is short", duration_ms)
        process.shorten_memory(duration_ms * MS)
        self._world.scheduler.after(duration_ms * MS, self._end_shortage)

    def _end_shortage(self, at_once: bool = False) -> None:
        if self._world.process is not None:
            self._world.process.end_shortage(at_once)

    def do_set_clock_right(self) -> None:
        self._world.time.set_right()

    def do_stop_process(self, duration_ms: int) -> None:
        """Suspend the broker's process for a while (SIGSTOP)."""
        self._world.processor.stop(duration_ms * MS)

    def do_suspend(self, duration_ms: int, sleeps: bool) -> None:
        """Suspend the machine. sleeps: its monotonic clock stands still meanwhile."""
        self._world.processor.stop(duration_ms * MS)
        if sleeps:
            self._world.time.sleep(duration_ms * MS)

    def do_slow_down(self, slowness: int, duration_ms: int) -> None:
        """Make everything in the broker slower for a while."""
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


def _disk_fault(chance: random.Random, at_ms: int) -> list[Step]:
    """Return a fault of the disk. One that loses data is sometimes followed by a power failure, which reveals that."""
    verb = chance.choice(DISK_FAULTS)
    duration_ms = chance.choice((10, 1000, 5000))
    operation = chance.choice((*ERRORS, "sync", "read", "read"))
    # Several reads in a row must fail until a queue waits for longer than once.
    shares = (0.3, 1.0, 1.0) if operation == "read" else (0.05, 0.3, 1.0)
    arguments: dict[str, tuple[object, ...]] = {
        "fill_disk": (duration_ms,),
        "fail_disk": (operation, chance.choice(shares), duration_ms),
        "fail_once": (operation,),
        "slow_disk": (chance.choice((5, 100, 3_000)), duration_ms),
        "slow_reads": (chance.choice((0.05, 0.5)), duration_ms),
    }
    steps = [Step(at_ms, "machine", verb, arguments[verb])]
    if chance.random() < (0.7 if "sync" in arguments[verb] else 0.2):
        steps.append(Step(at_ms + chance.choice((10, 1000, 3000, 10_000)), "machine", "cut_power"))
    return steps
