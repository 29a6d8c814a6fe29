"""The only source of time, and the only timer heap, of the broker.

No other module reads a clock. The server fires due timers from its event loop. The broker's own unit tests move a
`ManualClock` by hand; tests of users move the `TravelClock` of a running broker.

There are two times. `now_ms` is for durations: heartbeats, timeouts, TTLs, rates. It runs evenly even if the machine's
wall clock is stepped. `wall_ms` is the wall clock, and follows its steps. It is for points in time that clients name,
and for times that are shown, sent or stored. The end of a duration is stored as `now_ms` plus `ahead_ms`, and computed
back when it is restored, because only the wall clock continues over a restart.
"""

import heapq
import time
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import Final


class Timer:
    """A pending call. `cancel()` is idempotent and cheap; a cancelled timer never fires.

    due_ms: a time of the wall clock if `follows` is set, so that steps of the wall clock move the timer; otherwise a
    time of `Clock.now_ms`.
    """

    __slots__ = ("callback", "clock", "due_ms", "follows")

    def __init__(self, clock: "Clock", due_ms: int, callback: Callable[[], None], follows: bool) -> None:
        self.clock: Clock = clock
        self.due_ms = due_ms
        self.follows: bool = follows
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self.clock.count_cancelled()


class Clock(metaclass=ABCMeta):
    """Time in milliseconds since the Unix epoch, never going backwards, and the timers that wait for it.

    `turn_ms` is the latest result of `now_ms`, accurate to one event loop iteration. `ahead_ms` is the lead of the wall
    clock over `now_ms` when the clock was last checked for steps; it is checked only after a call of `watch`, `follow`
    or `at_wall`. `on_earlier(due_ms)` is called when a timer becomes the earliest one, so that the driver of the clock
    can wake up in time.
    """

    def __init__(self) -> None:
        self.on_earlier: Callable[[int], None] | None = None
        self.turn_ms: int = 0
        self.ahead_ms: int = 0
        self._heap: list[tuple[int, int, Timer]] = []
        self._sequence = 0
        self._cancelled = 0
        self._followers: dict[Callable[[int], None], None] = {}

    @abstractmethod
    def now_ms(self) -> int:
        """Return the current time in milliseconds since the Unix epoch. It follows the wall clock only at creation."""

    def wall_ms(self) -> int:
        """Return the wall clock's time in milliseconds since the Unix epoch. It may go backwards."""
        return self.now_ms() + self.ahead_ms

    def at(self, due_ms: int, callback: Callable[[], None]) -> Timer:
        """Call `callback()` once `now_ms() >= due_ms`.

        Timers with the same due time fire in the order they were set.
        """
        return self._add(due_ms, Timer(self, due_ms, callback, False))

    def at_wall(self, due_ms: int, callback: Callable[[], None]) -> Timer:
        """Call `callback()` once the wall clock shows `due_ms`. A step of the wall clock moves the call."""
        return self._add(due_ms - self.ahead_ms, Timer(self, due_ms, callback, True))

    def _add(self, due_ms: int, timer: Timer) -> Timer:
        self._sequence += 1
        heapq.heappush(self._heap, (due_ms, self._sequence, timer))
        if self.on_earlier is not None and self._heap[0][2] is timer:
            self.on_earlier(due_ms)
        return timer

    def after(self, delay_ms: int, callback: Callable[[], None]) -> Timer:
        """Call `callback()` in `delay_ms` milliseconds."""
        return self.at(self.now_ms() + delay_ms, callback)

    def watch(self) -> None:
        """Keep `ahead_ms` up to date from now on."""
        return

    def follow(self, stepped: Callable[[int], None]) -> None:
        """Call `stepped(moved_ms)` after each step of the wall clock, until `unfollow`. moved_ms: size of the step."""
        self.watch()
        self._followers[stepped] = None

    def unfollow(self, stepped: Callable[[int], None]) -> None:
        """Undo `follow`, if it was called."""
        self._followers.pop(stepped, None)

    def stepped(self, ahead_ms: int) -> None:
        """Set the lead of the wall clock to `ahead_ms`, and move the timers that follow the wall clock."""
        moved_ms = ahead_ms - self.ahead_ms
        self.ahead_ms = ahead_ms
        self._heap = [
            (due_ms - moved_ms if timer.follows else due_ms, sequence, timer) for due_ms, sequence, timer in self._heap
        ]
        heapq.heapify(self._heap)
        for follower in list(self._followers):
            follower(moved_ms)
        due = self.next_due_ms()
        if due is not None and self.on_earlier is not None:
            self.on_earlier(due)

    def count_cancelled(self) -> None:
        """Count one cancelled timer, and rebuild the heap when more than half of it is cancelled timers.

        The heap is rebuilt even if it is small: a long-lived object between short-lived ones prevents a mebibyte of
        memory from being returned to the operating system.
        """
        self._cancelled += 1
        if self._cancelled > 8 and self._cancelled * 2 > len(self._heap):
            self._heap = [item for item in self._heap if item[2].callback is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_due_ms(self) -> int | None:
        """Return the due time of the earliest pending timer, or None."""
        heap = self._heap
        while heap and heap[0][2].callback is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def fire_due(self) -> int | None:
        """Fire every due timer, in order; return the due time of the next one, or None.

        Timers that the callbacks set for now or earlier wait for the next call, so one call always ends.
        """
        now = self.now_ms()
        last = self._sequence
        later: list[tuple[int, int, Timer]] = []
        try:
            while True:
                due = self.next_due_ms()
                if due is None or due > now:
                    break
                item = heapq.heappop(self._heap)
                if item[1] > last:
                    later.append(item)
                    continue
                callback = item[2].callback
                item[2].callback = None
                if callback is not None:
                    callback()
        finally:
            for item in later:
                heapq.heappush(self._heap, item)
        return self.next_due_ms()


#: Interval of the check for steps of the wall clock, in ms; timers that follow the wall clock notice a step up to so
#: much later.
STEP_LOOK_MS: Final = 1000
#: Threshold of a step: smaller differences come from reading the two clocks one after the other.
_STEP_NS: Final = 5_000_000
_READ_WITHIN_NS: Final = 1_000_000


class SystemClock(Clock):
    """The machine's time: the wall clock at creation, advanced by the monotonic clock.

    A step of the wall clock moves only the timers that follow the wall clock.
    """

    def __init__(
        self, monotonic_ns: Callable[[], int] = time.monotonic_ns, wall_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """monotonic_ns, wall_ns: the machine's two clocks."""
        super().__init__()
        self._monotonic_ns: Callable[[], int] = monotonic_ns
        self._wall_ns: Callable[[], int] = wall_ns
        self._offset_ns: int = wall_ns() - monotonic_ns()
        self._looks: bool = False

    def now_ms(self) -> int:
        now_ms = (self._monotonic_ns() + self._offset_ns) // 1_000_000
        self.turn_ms = now_ms
        return now_ms

    def wall_ms(self) -> int:
        return self._wall_ns() // 1_000_000

    def at_wall(self, due_ms: int, callback: Callable[[], None]) -> Timer:
        self.watch()
        return super().at_wall(due_ms, callback)

    def watch(self) -> None:
        if not self._looks:
            self._looks = True
            self._check_wall_clock()

    def _check_wall_clock(self) -> None:
        """Check now, and every `STEP_LOOK_MS` from now on, whether the wall clock was stepped."""
        before_ns = self._monotonic_ns()
        ahead_ns = self._wall_ns() - before_ns - self._offset_ns
        if self._monotonic_ns() - before_ns < _READ_WITHIN_NS and abs(ahead_ns - self.ahead_ms * 1_000_000) > _STEP_NS:
            self.stepped(ahead_ns // 1_000_000)
        self.after(STEP_LOOK_MS, self._check_wall_clock)


class TravelClock(Clock):
    """The machine's time, until a test moves or freezes it.

    After a move it runs on from there. It must be frozen while it is moved.
    """

    def __init__(self) -> None:
        super().__init__()
        self._offset_ns: int = time.time_ns() - time.monotonic_ns()
        self._frozen_ms: int = -1

    def now_ms(self) -> int:
        now_ms = self._frozen_ms
        if now_ms < 0:
            now_ms = (time.monotonic_ns() + self._offset_ns) // 1_000_000
        self.turn_ms = now_ms
        return now_ms

    @property
    def frozen(self) -> bool:
        """Return whether the clock is frozen."""
        return self._frozen_ms >= 0

    def freeze(self) -> None:
        """Stop the clock at the current time."""
        self._frozen_ms = self.now_ms()

    def resume(self) -> None:
        """Run the clock again, from where it stopped."""
        if self._frozen_ms >= 0:
            self._offset_ns = self._frozen_ms * 1_000_000 - time.monotonic_ns()
            self._frozen_ms = -1

    def clear(self) -> None:
        """Remove all timers, because their owners have ended."""
        self._heap.clear()
        self._followers.clear()
        self._cancelled = 0

    def step(self, end_ms: int) -> bool:
        """Move to the earliest timer due by `end_ms`, and fire the timers due then. The clock must be frozen.

        Without a timer due by `end_ms`, move to `end_ms` and return False.
        """
        due_ms = self.next_due_ms()
        if due_ms is None or due_ms > end_ms:
            self._frozen_ms = max(self._frozen_ms, end_ms)
            return False
        self._frozen_ms = max(self._frozen_ms, due_ms)
        self.fire_due()
        return True


class ManualClock(Clock):
    """A clock for unit tests: it stands still until it is moved."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        super().__init__()
        self._now_ms = start_ms
        self.turn_ms = start_ms

    def now_ms(self) -> int:
        self.turn_ms = self._now_ms
        return self._now_ms

    def advance(self, delta_ms: int) -> None:
        """Advance by `delta_ms`, stopping at the due time of each timer to fire it."""
        end = self._now_ms + delta_ms
        while True:
            due = self.next_due_ms()
            if due is None or due > end:
                break
            self._now_ms = max(self._now_ms, due)
            self.fire_due()
        self._now_ms = end
