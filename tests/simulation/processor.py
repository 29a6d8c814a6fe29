"""The processor of a simulated machine, which is sometimes slow, and sometimes does not run the broker at all."""

from functools import partial

from tests.simulation.scheduler import Scheduler


class Processor:
    """The processor. slowness: factor by which the steps of the broker's threads take longer now.

    Slow times may overlap, and each ends without the others; the slowest one counts.
    troubled_until: the last time at which it was slow or did not run the broker, or a thread was in a step that began
    while it was slow.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.slowness = 1
        self.troubled_until = 0
        self._scheduler = scheduler
        #: Present slow times: number -> slowness.
        self._slow: dict[int, int] = {}
        self._slowed = 0
        #: Time of the start of the last stop.
        self.stopped_at = 0
        self._stopped_until = 0

    def stop(self, duration: int) -> None:
        """Suspend the broker for that many nanoseconds, like SIGSTOP and SIGCONT."""
        if not self.rest:
            self.stopped_at = self._scheduler.now
        self._stopped_until = max(self._stopped_until, self._scheduler.now + duration)
        self.hold_up(duration)

    def slow_down(self, slowness: int, duration: int) -> None:
        """Make everything take `slowness` times as long for that many nanoseconds."""
        self._slowed += 1
        self._slow[self._slowed] = slowness
        self._combine()
        self.hold_up(duration)
        self._scheduler.after(duration, partial(self._speed_up, self._slowed))

    def hold_up(self, duration: int) -> None:
        """Note that something else may delay the broker's threads for that many nanoseconds."""
        self.troubled_until = max(self.troubled_until, self._scheduler.now + duration)

    @property
    def rest(self) -> int:
        """Return the remaining nanoseconds of a stop, 0 if there is none."""
        return max(self._stopped_until - self._scheduler.now, 0)

    def recover(self) -> None:
        """Run at full speed."""
        self._slow.clear()
        self._combine()
        self._stopped_until = 0

    def _speed_up(self, number: int) -> None:
        """End one slow time, unless it has ended already."""
        self._slow.pop(number, None)
        self._combine()

    def _combine(self) -> None:
        self.slowness = max(self._slow.values(), default=1)
