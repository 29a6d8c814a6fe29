"""Simulated time: what is due is done in its order."""

import heapq
from collections.abc import Callable


class Events:
    """Simulated time. now_s: in seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def after(self, wait_s: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.now_s + wait_s, self._count, action))

    def run_until(self, end_s: float, done: Callable[[], bool] = lambda: False) -> None:
        """Do what is due until `end_s`, or until `done` returns true, which is called before each action."""
        while self._due and self._due[0][0] <= end_s and not done():
            self.now_s, _, action = heapq.heappop(self._due)
            action()
        if not done():
            self.now_s = end_s
