"""Faults of the machine: crashes, power cuts, orderly restarts, a disk that fails, memory that is short."""

import random

from amqpbroker.broker.queues.shortage import Shortage
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
        for _ in range(chance.choice((0, 0, 1, 3))):
            duration_ms = chance.choice((10, 500, 5000))
            steps.append(Step(chance.randint(0, end_ms), "machine", "short_memory", (duration_ms,)))
        return steps

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

    def do_short_memory(self, duration_ms: int) -> None:
        """Have the queues move messages out of memory for a while."""
        process = self._world.process
        if process is None:
            return
        self._world.note("memory is short", duration_ms)
        broker = process.broker
        shortage = Shortage(broker.clock, broker._spill, broker.queues, lambda: None)
        shortage.set(True)
        self._world.scheduler.after(duration_ms * MS, lambda: shortage.set(False))
