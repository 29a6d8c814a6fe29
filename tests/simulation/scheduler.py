"""Simulated time: all events of a world are calls in one heap, in an order that the seed determines."""

import heapq
from collections.abc import Callable

MS = 1_000_000
SECOND = 1000 * MS


class Scheduler:
    """The future calls. now: nanoseconds since the world began. calls: number of calls made so far."""

    def __init__(self) -> None:
        self.now = 0
        self.calls = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0

    def after(self, delay: int, call: Callable[[], None]) -> None:
        """Make a call in `delay` nanoseconds.

        Calls of the same time are made in the order in which they were scheduled.
        """
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + max(delay, 0), self._sequence, call))

    @property
    def next_due(self) -> int:
        """The time of the next call, 0 if there is none."""
        return self._heap[0][0] if self._heap else 0

    def run(self, until: int) -> None:
        """Make every call that is due by `until`, and move the time there."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, call = heapq.heappop(heap)
            self.calls += 1
            call()
        self.now = max(self.now, until)
