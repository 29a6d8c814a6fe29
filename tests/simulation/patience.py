"""Deadlines of a broker that count only the time in which its process runs."""

from collections.abc import Callable

from tests.simulation.broker_process import BrokerProcess
from tests.simulation.scheduler import MS
from tests.simulation.world import World

#: Interval at which the time is counted. A longer pause of the process counts as this time.
GRAIN_NS = 250 * MS


class Deadlines:
    """The deadlines of one workload."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pending: dict[_Deadline, None] = {}

    @property
    def are_over(self) -> bool:
        """Return whether the present process has no deadline."""
        self._forget_ended()
        return not self._pending

    def after(self, duration: int, call: Callable[[], None]) -> None:
        """Make a call once the present process has run for `duration` nanoseconds, unless it ends before."""
        process = self._world.process
        self._forget_ended()
        if process is not None:
            deadline = _Deadline(self._world, process, duration, call, self._pending)
            self._pending[deadline] = None

    def _forget_ended(self) -> None:
        """Discard deadlines of processes that have ended, and so the processes."""
        for each in [each for each in self._pending if each.process is not self._world.process]:
            del self._pending[each]


class _Deadline:
    def __init__(
        self,
        world: World,
        process: BrokerProcess,
        left: int,
        call: Callable[[], None],
        pending: "dict[_Deadline, None]",
    ) -> None:
        self.process = process
        self._scheduler = world.scheduler
        self._left = left
        self._call = call
        self._pending = pending
        self._since = 0
        self._wait()

    def _wait(self) -> None:
        self._since = self._scheduler.now
        self.process.loop.call_later(min(self._left, GRAIN_NS) / 1e9, self._count)

    def _count(self) -> None:
        self._left -= min(self._scheduler.now - self._since, GRAIN_NS)
        if self._left > 0:
            self._wait()
        else:
            # Called outside of the broker's loop, which would catch exceptions of the call.
            self._scheduler.after(0, self._fire)

    def _fire(self) -> None:
        if self in self._pending:
            del self._pending[self]
            self._call()
