"""A failing scenario made as short as it still fails."""

from collections.abc import Callable
from dataclasses import replace

from tests.simulation.scenario import Scenario, run
from tests.simulation.steps import Step
from tests.simulation.world import BrokenError


def failure_of(given: Scenario) -> str | None:
    """Return the kind of failure that a scenario ends with, None if it ends well. Times and names are left out."""
    try:
        run(given)
    except BrokenError as error:
        text = str(error).split(": ", 1)[1]
        return "".join(letter for letter in text if not letter.isdigit())
    except Exception as error:
        return f"{type(error).__name__}"
    return None


def shrunk(given: Scenario, within: int = 300) -> Scenario:
    """Return a scenario with as few steps, workloads and lowered bounds as still fail alike, found in so many runs."""
    kind = failure_of(given)
    if kind is None:
        return given
    left = within

    def fails(candidate: Scenario) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and failure_of(candidate) == kind

    best = replace(given, steps=_fewer(given.steps, lambda steps: fails(replace(given, steps=steps))))
    for name in list(best.workloads):
        workloads = {each: settings for each, settings in best.workloads.items() if each != name}
        steps = [step for step in best.steps if not step.actor.startswith(name)]
        candidate = replace(best, workloads=workloads, steps=steps)
        if workloads and fails(candidate):
            best = candidate
    for bound in list(best.bounds):
        candidate = replace(best, bounds={each: value for each, value in best.bounds.items() if each != bound})
        if fails(candidate):
            best = candidate
    return best


def _fewer(steps: list[Step], fails: Callable[[list[Step]], bool]) -> list[Step]:
    """Leave out halves, then quarters, and so on (Zeller's ddmin)."""
    size = max(len(steps) // 2, 1)
    while steps:
        start = 0
        while start < len(steps):
            candidate = steps[:start] + steps[start + size :]
            if fails(candidate):
                steps = candidate
            else:
                start += size
        if size == 1:
            break
        size = max(size // 2, 1)
    return steps
