"""Incremental work on many messages that left a queue, or are settled, at once: recorded and freed in slices."""

from collections import deque
from collections.abc import Callable
from typing import Any

from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import BOUNDS


class _Departure:
    """Objects whose departure is recorded in slices. on_done: called when that is complete."""

    __slots__ = ("line", "most", "on_done", "record")

    def __init__(self, line: deque[Any], record: Callable[[list[Any]], None], most: int) -> None:
        self.line: deque[Any] = line
        self.record: Callable[[list[Any]], None] = record
        self.most: int = most
        self.on_done: list[Callable[[], None]] = []

    def next_slice(self) -> list[Any]:
        """Remove and return the next objects."""
        line = self.line
        return [line.popleft() for _ in range(min(self.most, len(line)))]


class DeferredFree:
    """Holds objects that have left until they are recorded as gone and freed, which takes long for a million objects.

    most: number of objects that are freed in one event loop iteration. few: number of objects of which each takes
    several operations of the store, such as a member of a batch.
    """

    def __init__(self, clock: Clock, most: int = BOUNDS.deferred_free, few: int = BOUNDS.departures) -> None:
        self.most: int = most
        self.few: int = few
        self._clock = clock
        self._lines: deque[deque[Any] | list[Any] | dict[Any, Any]] = deque()
        self._departures: deque[_Departure] = deque()
        self._timer: Timer | None = None
        #: The part of the present iteration that was used, and the time of that iteration.
        self._used: float = 0.0
        self._used_ms: int = -1

    @property
    def is_recording(self) -> bool:
        """Return whether departures are not recorded yet."""
        return len(self._departures) > 0

    def add(self, line: deque[Any] | list[Any] | dict[Any, Any]) -> None:
        """Free entries or other objects, at once if they are few. The caller must not use `line` afterwards."""
        if len(line) <= self.most:
            return
        self._lines.append(line)
        self._arm()

    def record(self, line: deque[Any], record: Callable[[list[Any]], None], most: int) -> bool:
        """Call `record` with all objects, in order, and free them: at once if they are few, otherwise in slices.

        most: number of objects for which it is called in one iteration, `self.most` or fewer. The caller must not use
        `line` afterwards. Return whether all are recorded.
        """
        if not line:
            return True
        now_ms = self._clock.now_ms()
        if now_ms != self._used_ms:
            self._used, self._used_ms = 0.0, now_ms
        self._used += len(line) / most
        if self._used <= 1:
            record(list(line))
            return True
        self._departures.append(_Departure(line, record, most))
        self._arm()
        return False

    def when_recorded(self, on_done: Callable[[], None]) -> None:
        """Call `on_done` when all departures so far are recorded, perhaps at once."""
        if self._departures:
            self._departures[-1].on_done.append(on_done)
        else:
            on_done()

    def finish(self) -> None:
        """Record all departures now."""
        while self._departures:
            self._record_next()

    def discard(self) -> None:
        """Free all objects now, after the broker has ended, without recording departures."""
        self._lines.clear()
        waiting = [on_done for departure in self._departures for on_done in departure.on_done]
        self._departures.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for on_done in waiting:
            on_done()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self._clock.after(0, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        try:
            if self._departures:
                self._record_next()
            else:
                self._free_next()
        finally:
            if self._departures or self._lines:
                self._arm()

    def _record_next(self) -> None:
        departure = self._departures[0]
        objects = departure.next_slice()
        # Before the call, which may lead to `finish`.
        is_last = not departure.line
        if is_last:
            self._departures.popleft()
        try:
            departure.record(objects)
        finally:
            if is_last:
                for on_done in departure.on_done:
                    on_done()

    def _free_next(self) -> None:
        if not self._lines:
            return
        line = self._lines[0]
        for _ in range(min(self.most, len(line))):
            if isinstance(line, dict):
                line.popitem()
            else:
                line.pop()
        if not line:
            self._lines.popleft()
