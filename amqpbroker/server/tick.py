"""The end of a loop turn: everything that was read has been acted on, so persist once, then answer once."""

from collections.abc import Callable
from typing import Protocol


class Dirty(Protocol):
    """Something that has output to write at the end of the turn."""

    def end_turn(self) -> None: ...


class Tick:
    """Collects the objects that have output in an event loop iteration, and serves all of them when it ends.

    The first mark of an iteration schedules one run. A run calls `sync()`, which may mark more, and only then
    `end_turn()` of every marked object, so that a confirm is sent only after its message is persisted. Clients that
    made a request come last, so that other clients are notified before the answer is written. If `sync` raises,
    `on_failure(error)` is called, and nothing is ever answered again. If `sync` itself requests a run, because
    it has left something to persist, another run follows.
    """

    __slots__ = ("_asked", "_call_soon", "_dirty", "_on_failure", "_requested", "_scheduled", "_sync")

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        sync: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._call_soon = call_soon
        self._sync = sync
        self._on_failure = on_failure
        self._dirty: list[Dirty] = []
        self._asked: list[Dirty] = []
        self._scheduled = False
        self._requested = False

    @property
    def pending(self) -> bool:
        """Return whether a run is scheduled."""
        return self._scheduled

    def mark(self, dirty: Dirty, asked: bool = False) -> None:
        """Call `dirty.end_turn()` when this event loop iteration ends; the caller marks only once in an iteration.

        asked: the output answers a request of the same client.
        """
        if not self._scheduled:
            self._schedule()
        (self._asked if asked else self._dirty).append(dirty)

    def request(self) -> None:
        """Schedule a run although nothing may have been marked: there is something to persist."""
        self._requested = True
        if not self._scheduled:
            self._schedule()

    def _schedule(self) -> None:
        self._scheduled = True
        self._call_soon(self.run)

    def run(self) -> None:
        self._requested = False
        try:
            self._sync()
        except Exception as error:
            self._on_failure(error)
            return
        self._scheduled = False
        dirty, asked = self._dirty, self._asked
        self._dirty, self._asked = [], []
        for one in dirty:
            one.end_turn()
        for one in asked:
            one.end_turn()
        if self._requested and not self._scheduled:
            self._schedule()
