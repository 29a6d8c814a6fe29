"""Schedule of the checks of a running broker: between two iterations of its loop, most of them now and then."""

from typing import TYPE_CHECKING

from tests.simulation.checks import AROUND, EACH, RUNNING

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess
    from tests.simulation.world import World

#: Mean number of iterations between two checks. Checks may add about a seventh to the time of a world.
INTERVAL = 60


class Watch:
    """Checks of one process. The seed determines after which iterations they run, and affects nothing else."""

    def __init__(self, world: "World", process: "BrokerProcess") -> None:
        self._world = world
        self._process = process
        self._chance = world.chance(f"checks {world.life}")
        self._around = [check(process) for check in AROUND]
        self._each = [check(process) for check in EACH]
        self._left = 1

    def iterated(self) -> None:
        """Run the checks that are scheduled after this iteration."""
        if self._process.stopping:
            return
        for every in self._each:
            for fault in every.check():
                raise self._world.broken(fault)
        self._left -= 1
        if self._left > 0:
            return
        if self._left == 0:
            for check in RUNNING:
                for fault in check(self._process):
                    raise self._world.broken(fault)
            for each in self._around:
                each.begin()
            return
        for each in self._around:
            for fault in each.check():
                raise self._world.broken(fault)
        self._left = self._chance.randint(1, 2 * INTERVAL)


def watch(world: "World", process: "BrokerProcess") -> None:
    """Check a process as long as it runs."""
    process.loop.after_iteration = Watch(world, process).iterated
