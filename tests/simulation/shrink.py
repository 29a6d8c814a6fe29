"""Shortens a failing scenario as far as it still fails."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.simulation.scenario import Scenario, run
from tests.simulation.world import BrokenError

#: Time after which the search ends.
MOST_S = 120.0


def failure_of(given: Scenario) -> str | None:
    """Return the kind of failure of a scenario, without times and names; None if it passes."""
    try:
        run(given)
    except BrokenError as error:
        text = str(error).split(": ", 1)[1]
        return "".join(letter for letter in text if not letter.isdigit())
    except Exception as error:
        return f"{type(error).__name__}"
    return None


def shrunk(given: Scenario, within_s: float = MOST_S) -> Scenario:
    """Return a smaller scenario with the same failure, found within that time (and one more run)."""
    kind = failure_of(given)
    if kind is None:
        return given
    return Shrinking(given, lambda candidate: failure_of(candidate) == kind, within_s).run()


class Shrinking:
    """The search for a shorter scenario. best: the shortest one so far that fails."""

    def __init__(self, given: Scenario, fails: Callable[[Scenario], bool], within_s: float) -> None:
        self.best = given
        self._fails = fails
        self._end = time.monotonic() + within_s

    def run(self) -> Scenario:
        """Reduce each part in turn, until nothing can be reduced or the time is over."""
        before: Scenario | None = None
        while before != self.best and not self._is_over():
            before = self.best
            self._leave_out_steps()
            self._leave_out_workloads()
            for name in ("bounds", "settings"):
                self._leave_out_entries(name)
            for candidates in (self._durations, self._smaller_plans, self._smaller_steps):
                self._try_all(candidates)
        return self.best

    def _is_over(self) -> bool:
        return time.monotonic() > self._end

    def _try(self, candidate: Scenario) -> bool:
        if self._is_over() or candidate == self.best or not self._fails(candidate):
            return False
        self.best = candidate
        return True

    def _leave_out_steps(self) -> None:
        """Remove halves of the steps, then quarters, and so on (Zeller's ddmin)."""
        size = max(len(self.best.steps) // 2, 1)
        while self.best.steps and not self._is_over():
            start = 0
            while start < len(self.best.steps):
                steps = self.best.steps[:start] + self.best.steps[start + size :]
                if not self._try(replace(self.best, steps=steps)):
                    start += size
            if size == 1:
                break
            size = max(size // 2, 1)

    def _leave_out_workloads(self) -> None:
        for name in list(self.best.workloads):
            workloads = {each: settings for each, settings in self.best.workloads.items() if each != name}
            steps = [step for step in self.best.steps if not step.actor.startswith(name)]
            if workloads:
                self._try(replace(self.best, workloads=workloads, steps=steps))

    def _leave_out_entries(self, name: str) -> None:
        for entry in list(getattr(self.best, name)):
            entries = {each: value for each, value in getattr(self.best, name).items() if each != entry}
            self._try(replace(self.best, **{name: entries}))

    def _try_all(self, candidates: Callable[[], Iterator[Scenario]]) -> None:
        """Take the first candidate that fails, and its candidates, until none of them does."""
        while any(self._try(candidate) for candidate in candidates()):
            pass

    def _durations(self) -> Iterator[Scenario]:
        last_ms = max((step.at_ms for step in self.best.steps), default=0)
        for duration_ms in (last_ms, self.best.duration_ms // 2):
            if duration_ms < self.best.duration_ms:
                yield replace(self.best, duration_ms=duration_ms)

    def _smaller_plans(self) -> Iterator[Scenario]:
        """Make one number of a workload's settings smaller."""
        for name, settings in self.best.workloads.items():
            for setting, value in settings.items():
                for smaller in _smaller(value):
                    workloads = {**self.best.workloads, name: {**settings, setting: smaller}}
                    yield replace(self.best, workloads=workloads)

    def _smaller_steps(self) -> Iterator[Scenario]:
        """Make one argument of a step smaller."""
        for i, step in enumerate(self.best.steps):
            for j, argument in enumerate(step.arguments):
                for smaller in _smaller(argument):
                    arguments = (*step.arguments[:j], smaller, *step.arguments[j + 1 :])
                    steps = [*self.best.steps[:i], step._replace(arguments=arguments), *self.best.steps[i + 1 :]]
                    yield replace(self.best, steps=steps)


def _smaller(value: Any) -> tuple[Any, ...]:
    """Return smaller numbers, the smallest first; none for a value that is not a number."""
    if type(value) is not int or value <= 0:
        return ()
    return tuple(dict.fromkeys(each for each in (0, 1, value // 10, value // 2) if each < value))
