"""Deadlines of a broker that count only the time in which its process runs."""

from collections.abc import Callable

from tests.simulation.broker_process import BrokerProcess
from tests.simulation.scheduler import MS, Scheduler

#: Interval at which the time is counted. A process that stood still for longer has run for this long.
GRAIN_NS = 250 * MS


class Deadline:
    """Makes a call once the broker has run for `duration` nanoseconds, unless its process has ended."""

    def __init__(self, process: BrokerProcess, scheduler: Scheduler, duration: int, call: Callable[[], None]) -> None:
        self._loop = process.loop
        self._scheduler = scheduler
        self._left = duration
        self._call = call
        self._since = scheduler.now
        self._wait()

    def _wait(self) -> None:
        self._since = self._scheduler.now
        self._loop.call_later(min(self._left, GRAIN_NS) / 1e9, self._count)

    def _count(self) -> None:
        self._left -= min(self._scheduler.now - self._since, GRAIN_NS)
        if self._left <= 0:
            # Not within the broker's loop, which would catch what the call raises.
            self._scheduler.after(0, self._call)
        else:
            self._wait()
