"""Incremental freeing of many messages that left a queue at once."""

from collections import deque
from typing import Any

from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import BOUNDS


class Disposal:
    """Holds unused objects until they are freed, because freeing a million objects at once takes long."""

    def __init__(self, clock: Clock, most: int = BOUNDS.disposal) -> None:
        """most: number of objects freed in one event loop iteration. Lists of at most this size are freed at once."""
        self._clock = clock
        self._most = most
        self._lines: deque[deque[Any]] = deque()
        self._timer: Timer | None = None

    def add(self, line: deque[Any]) -> None:
        """Free entries or other objects, at once if they are few. The caller must not use `line` afterwards."""
        if len(line) <= self._most:
            return
        self._lines.append(line)
        if self._timer is None:
            self._timer = self._clock.after(0, self._go_on)

    def discard(self) -> None:
        """Free all objects now, after the broker has ended."""
        self._lines.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self) -> None:
        line = self._lines[0]
        for _ in range(min(self._most, len(line))):
            line.pop()
        if not line:
            self._lines.popleft()
        self._timer = self._clock.after(0, self._go_on) if self._lines else None
