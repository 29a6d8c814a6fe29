"""Many messages that left a queue at once are freed a slice at a time."""

from collections import deque
from typing import Final

from amqpbroker.broker.message import Entry
from amqpbroker.clock import Clock, Timer

#: How many entries are freed at a time, and how many are worth the trouble.
SLICE: Final = 10_000


class Disposal:
    """Holds entries that nobody needs any more until they are freed, which takes long for a million of them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: deque[deque[Entry]] = deque()
        self._timer: Timer | None = None

    def add(self, line: deque[Entry]) -> None:
        """Free these, at once if they are few. They are the caller's no more."""
        if len(line) <= SLICE:
            return
        self._lines.append(line)
        if self._timer is None:
            self._timer = self._clock.after(0, self._go_on)

    def _go_on(self) -> None:
        line = self._lines[0]
        for _ in range(min(SLICE, len(line))):
            line.pop()
        if not line:
            self._lines.popleft()
        self._timer = self._clock.after(0, self._go_on) if self._lines else None
