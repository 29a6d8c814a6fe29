"""Times at which batches and jobs are forgotten."""

import heapq
from collections.abc import Callable
from typing import Final, final

from amqpbroker.clock import Clock, Timer

#: Number of void items that the heap may have in any case.
SLACK: Final = 64


@final
class Expiries:
    """The times at which ids expire, with one timer for all of them.

    They are set as times of the wall clock. Its later steps do not move them.

    The heap never has more than twice as many items as there are ids, plus `SLACK`.
    """

    def __init__(self, clock: Clock, expired: Callable[[bytes], None]) -> None:
        """expired(id): called when the time of an id is over. The id has no time then."""
        self._clock: Clock = clock
        clock.watch()
        self._expired: Callable[[bytes], None] = expired
        self._times_ms: dict[bytes, int] = {}
        self._heap: list[tuple[int, bytes]] = []
        self._timer: Timer | None = None

    def __len__(self) -> int:
        """Return the number of items in the heap."""
        return len(self._heap)

    def set(self, id_: bytes, expires_ms: int) -> None:
        """Set the time of an id, in place of an earlier one."""
        expires_ms -= self._clock.ahead_ms
        self._times_ms[id_] = expires_ms
        first = self._heap[0] if self._heap else None
        heapq.heappush(self._heap, (expires_ms, id_))
        self._shrink()
        if self._heap[0] != first:
            self._arm()

    def remove(self, id_: bytes) -> None:
        """Remove the time of an id, if it has one."""
        if self._times_ms.pop(id_, None) is not None:
            self._shrink()
            if not self._times_ms:
                self._arm()

    def close(self) -> None:
        """Remove all times, and stop the timer. This object is not used after that."""
        self._times_ms.clear()
        self._heap.clear()
        self._expired = _ignore
        self._arm()

    def _shrink(self) -> None:
        """Remove void items from the heap, if there are too many, or if all are void."""
        if not self._times_ms or len(self._heap) > 2 * len(self._times_ms) + SLACK:
            self._heap = [(time_ms, each) for each, time_ms in self._times_ms.items()]
            heapq.heapify(self._heap)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = self._clock.at(self._heap[0][0], self._expire)

    def _expire(self) -> None:
        self._timer = None
        now_ms = self._clock.now_ms()
        while self._heap and self._heap[0][0] <= now_ms:
            expires_ms, id_ = heapq.heappop(self._heap)
            if self._times_ms.get(id_) == expires_ms:
                del self._times_ms[id_]
                self._expired(id_)
        self._arm()


def _ignore(id_: bytes) -> None:
    pass
