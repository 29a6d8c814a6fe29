"""The end of a loop turn: everything that was read has been acted on, so persist once, then answer once."""

from collections.abc import Callable
from typing import Protocol


class Dirty(Protocol):
    """Something that has output to write at the end of the turn."""

    def end_turn(self) -> None: ...


class Tick:
    """Collects who has output during a turn of the event loop, and serves them all when the turn ends.

    The first mark of a turn schedules one run. A run calls `sync()`, which may mark more, and only then every
    marked one's `end_turn()`, so that no confirm leaves before what it confirms is safe. Clients that asked for
    something come last: those whom it concerns hear of it before the answer is written. When `sync` raises,
    `on_failure(error)` is called, and nothing is ever answered again.
    """

    __slots__ = ("_asked", "_call_soon", "_dirty", "_on_failure", "_scheduled", "_sync")

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

    @property
    def pending(self) -> bool:
        """Whether a turn is to be ended."""
        return self._scheduled

    def mark(self, dirty: Dirty, asked: bool = False) -> None:
        """Have `dirty.end_turn()` called when this turn ends; the caller marks only once a turn.

        asked: its output answers what it sent itself.
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
        dirty, asked = self._dirty, self._asked
        self._dirty, self._asked = [], []
        for one in dirty:
            one.end_turn()
        for one in asked:
            one.end_turn()
