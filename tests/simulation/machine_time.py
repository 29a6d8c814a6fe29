"""The two clocks of a simulated machine: a wall clock that is stepped, and a monotonic one that may sleep."""

from tests.simulation.scheduler import Scheduler

#: The wall clock when a world begins, in nanoseconds since the Unix epoch.
EPOCH_NS = 1_700_000_000_000_000_000
#: The monotonic clock when a world begins.
UPTIME_NS = 5_000_000_000


class MachineTime:
    """Clocks as `SystemClock` reads them.

    A step moves the wall clock, forward or back. While the machine is suspended, the monotonic clock may stand still:
    Linux stops CLOCK_MONOTONIC, Windows goes on.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        #: Steps of the wall clock: time, and nanoseconds.
        self._steps: list[tuple[int, int]] = []
        self._ahead = 0
        self._most_ahead = 0
        #: The most nanoseconds by which the wall clock was behind.
        self.most_behind = 0
        self._asleep = 0
        self._wakes_at = 0

    def monotonic_ns(self) -> int:
        return UPTIME_NS + self._scheduler.now - self._asleep + self._left_asleep

    def wall_ns(self) -> int:
        return EPOCH_NS + self._scheduler.now + self._ahead

    def step(self, by: int) -> None:
        """Step the wall clock by `by` nanoseconds."""
        self._steps.append((self._scheduler.now, by))
        self._ahead += by
        self._most_ahead = max(self._most_ahead, self._ahead)
        self.most_behind = max(self.most_behind, -self._ahead)

    def set_right(self) -> None:
        """Step the wall clock to the time without any steps."""
        if self._ahead:
            self.step(-self._ahead)

    @property
    def is_behind(self) -> bool:
        """Return whether the wall clock was further ahead before."""
        return self._ahead < self._most_ahead

    def catch_up(self) -> None:
        """Step the wall clock forward to its latest time so far, so that nothing has to wait for that."""
        if self.is_behind:
            self.step(self._most_ahead - self._ahead)

    def sleep(self, duration: int) -> None:
        """Stop the monotonic clock for so many nanoseconds, unless it is stopped already."""
        if self._wakes_at <= self._scheduler.now:
            self._asleep += duration
            self._wakes_at = self._scheduler.now + duration

    def wake(self) -> None:
        """Start the monotonic clock again before its sleep is over."""
        self._asleep -= self._left_asleep
        self._wakes_at = 0

    @property
    def _left_asleep(self) -> int:
        return max(self._wakes_at - self._scheduler.now, 0)

    def is_steady(self, since: int) -> bool:
        """Return whether the wall clock was not stepped from `since` (`Scheduler.now`) to now."""
        return not self._steps or self._steps[-1][0] < since

    def rise(self, since: int) -> int:
        """Return the most time that can have passed for brokers from `since` (`Scheduler.now`) to now.

        A broker that starts reads the wall clock, and ignores all later steps. So it sees those forward before its
        start, but not one back after it.
        """
        most = ahead = least_ahead = 0
        for at, by in self._steps:
            if at >= since:
                ahead += by
                least_ahead = min(least_ahead, ahead)
                most = max(most, ahead - least_ahead)
        return most + self._scheduler.now - since
