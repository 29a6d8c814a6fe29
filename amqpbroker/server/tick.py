"""The end of a loop turn: everything that was read has been acted on, so persist once, then answer once."""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

#: Maximum time in one event loop iteration for serving what was marked. One message may go to all of ten thousand
#: clients, each of which takes a system call, and other clients must not wait for all of these.
SLICE_MS: Final = 20
#: Number of clients after which the time is looked at.
BATCH: Final = 32


class Dirty(Protocol):
    """Something that has output to write at the end of the turn."""

    def end_turn(self) -> None: ...


class Tick:
    """Collects the objects that have output in an event loop iteration, and serves all of them when it ends.

    The first mark of an iteration schedules one run. A run calls `sync()`, which may mark more, and only then
    `end_turn()` of every marked object, so that a confirm is sent only after its message is persisted. Clients that
    made a request come last, so that other clients are notified before the answer is written. Objects that a run has no
    time for come first in the next iteration. If `sync` raises, `on_failure(error)` is called, and nothing is ever
    answered again.
    """

    __slots__ = ("_asked", "_call_soon", "_dirty", "_now_ms", "_on_failure", "_scheduled", "_sync", "_waiting")

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        sync: Callable[[], None],
        on_failure: Callable[[Exception], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._call_soon = call_soon
        self._sync = sync
        self._on_failure = on_failure
        self._dirty: list[Dirty] = []
        self._asked: list[Dirty] = []
        self._now_ms = now_ms
        self._waiting: deque[Dirty] = deque()
        self._scheduled = False

    @property
    def pending(self) -> bool:
        """Whether a turn is to be ended."""
        return self._scheduled

    def mark(self, dirty: Dirty, asked: bool = False) -> None:
        """Call `dirty.end_turn()` when this event loop iteration ends; the caller marks again only after that.

        asked: the output answers a request of the same client.
        """
        if not self._scheduled:
            self.request()
        (self._asked if asked else self._dirty).append(dirty)

    def request(self) -> None:
        """Have the turn ended although nothing may have been marked: there is something to persist."""
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self.run)

    def run(self) -> None:
        try:
            self._sync()
        except Exception as error:
            self._on_failure(error)
            return
        self._scheduled = False
        waiting = self._waiting
        waiting += self._dirty
        waiting += self._asked
        self._dirty, self._asked = [], []
        began_ms = self._now_ms()
        while waiting:
            for _ in range(min(len(waiting), BATCH)):
                waiting.popleft().end_turn()
            if waiting and self._now_ms() - began_ms >= SLICE_MS:
                self.request()
                return
