"""The processor of a simulated machine: at times slow, and at times it does not run the broker at all."""

from tests.simulation.scheduler import Scheduler


class Processor:
    """slowness: how many times as long everything takes now that the broker's threads do.

    troubled_until: the last instant at which it was slow or did not run the broker.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.slowness = 1
        self.troubled_until = 0
        self._scheduler = scheduler
        self._stopped_until = 0

    def stop(self, duration: int) -> None:
        """Run nothing of the broker for that many nanoseconds, as SIGSTOP and SIGCONT do."""
        self._stopped_until = max(self._stopped_until, self._scheduler.now + duration)
        self.hold_up(duration)

    def slow_down(self, slowness: int, duration: int) -> None:
        """Make everything take `slowness` times as long for that many nanoseconds."""
        self.slowness = slowness
        self.hold_up(duration)
        self._scheduler.after(duration, self._speed_up)

    def hold_up(self, duration: int) -> None:
        """Note that something else may keep the broker's threads waiting for that many nanoseconds."""
        self.troubled_until = max(self.troubled_until, self._scheduler.now + duration)

    @property
    def rest(self) -> int:
        """Return how many nanoseconds are left of a stop, 0 if there is none."""
        return max(self._stopped_until - self._scheduler.now, 0)

    def recover(self) -> None:
        """Run at full speed."""
        self._speed_up()
        self._stopped_until = 0

    def _speed_up(self) -> None:
        self.slowness = 1
