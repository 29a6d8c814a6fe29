"""Scenarios that failed once, as JSON files in `found/`. Each file has the seed as its name.

A seed alone does not keep a failure: with every new bound or workload it gives another world.
"""

import json
from pathlib import Path
from typing import Any

from tests.simulation.scenario import Scenario
from tests.simulation.steps import Step

FOUND = Path(__file__).parent / "found"


def read(path: Path) -> Scenario:
    """Return the scenario in a file."""
    fields = json.loads(path.read_text())
    steps = [Step(at_ms, actor, verb, _tuples(arguments)) for at_ms, actor, verb, arguments in fields.pop("steps")]
    return Scenario(**fields, steps=steps)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
