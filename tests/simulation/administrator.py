"""An administrator who changes definitions over HTTP, one after another, and reads back whether they are correct."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from tests.simulation.http import Answer, HttpClient
from tests.simulation.knowledge import Knowledge
from tests.simulation.scheduler import MS
from tests.simulation.world import World

State = TypeVar("State")

#: Time that the broker may still work on a request whose connection has ended.
QUIET_NS = 300 * MS
#: Status of a change that the disk refuses: nothing has changed.
UNSTORED = 503


class Change(NamedTuple, Generic[State]):
    """One request. change(state): returns the statuses that it may be answered with, and the new state."""

    method: str
    target: str
    body: Any
    change: Callable[[State], tuple[Sequence[int], State]]


class Administrator(HttpClient, Generic[State]):
    """Changes and reads resources. known: the expected state. resources: paths to read. parsed(answers): their state.

    changed(change, status): called after each answered change.
    """

    def __init__(
        self,
        world: World,
        name: str,
        known: Knowledge[State],
        resources: Sequence[str],
        parsed: Callable[[list[Any]], State],
        changed: Callable[[Change[State], int], None] = lambda change, status: None,
    ) -> None:
        super().__init__(world, name)
        self.known = known
        self._resources = resources
        self._parsed = parsed
        self._changed = changed
        self._todo: deque[Callable[[State], Change[State] | None]] = deque()
        self._is_busy = False
        self._is_dirty = False
        self._count = 0
        self._deaths = 0

    @property
    def is_at_rest(self) -> bool:
        """Return whether all changes are complete, and the state was read after them."""
        return not self._todo and not self._is_busy and not self._is_dirty and self.known.is_certain

    def make(self, change: Callable[[State], Change[State] | None]) -> None:
        """Make a change after the earlier ones. change: returns it for the current state, None for none."""
        self._todo.append(change)
        self._go_on()

    def read_all(self) -> None:
        """Read all resources."""
        self._is_dirty = True
        self._go_on()

    # ----------------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if self._is_busy:
            return
        self._notice()
        if self._is_dirty:
            self._is_busy = True
            self._read_soon()
            return
        while self._todo and not self._is_busy:
            change = self._todo.popleft()(self.known.state)
            if change is not None:
                self._is_busy = True
                self._begin(change)

    def _notice(self) -> bool:
        """Return whether the broker has ended since the last call; then everything must be read."""
        self.known.outlive()
        deaths, self._deaths = self._deaths, len(self.world.deaths)
        self._is_dirty |= self._deaths > deaths
        return self._deaths > deaths

    def _begin(self, made: Change[State]) -> None:
        before = list(self.known.possible)
        results = [made.change(state) for state in before]
        self.known.may_have_become([after for _, after in results])

        def over(answer: Answer | None) -> None:
            self._is_busy = False
            self._count += 1
            if self._notice():
                # The request waited for a broker, whose state must still be read.
                self.known.may_have_become([made.change(state)[1] for state in self.known.possible])
            elif answer is not None:
                fitting = [after for statuses, after in results if answer.status in statuses]
                if answer.status == UNSTORED:
                    fitting = before
                if not fitting:
                    what = f"{made.method} {made.target} {made.body}"
                    expected = [statuses for statuses, _ in results]
                    raise self.world.broken(f"{self.name}: {what} is answered with {answer}, and not {expected}")
                self.known.became(fitting)
                self._changed(made, answer.status)
            self._is_dirty |= answer is None or self._count % 3 == 0
            self._go_on()

        self.request(made.method, made.target, over, made.body)

    def _read_soon(self) -> None:
        """Read when the broker has stopped working on lost requests."""
        if self.world.process is None or not self.world.ignores(self):
            self.world.scheduler.after(50 * MS, self._read_soon)
        else:
            self.world.scheduler.after(QUIET_NS, self._read_now)

    def _read_now(self) -> None:
        if self.world.process is None or not self.world.ignores(self):
            self._read_soon()
            return
        self._notice()
        self._is_dirty = False
        found: list[Any] = []
        for resource in self._resources:
            self.request("GET", resource, lambda answer: self._on_read(found, answer))

    def _on_read(self, found: list[Any], answer: Answer | None) -> None:
        found.append(None if answer is None else answer.json)
        if len(found) < len(self._resources):
            return
        if self._notice() or None in found:
            self._is_dirty = True
            self._read_soon()
            return
        there = self._parsed(found)
        if there not in self.known.possible:
            raise self.world.broken(f"{self.name}: there is {there}, and not {self.known.possible}")
        self.known.became([there])
        self._is_busy = False
        self._go_on()
