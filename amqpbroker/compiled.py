"""Tells whether the hot path is compiled, and why not if it is not. setup.py leaves the reason."""

import functools
import importlib.util
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path

PACKAGE = Path(__file__).parent

#: Where setup.py writes it.
REASON = PACKAGE / "interpreted.txt"

#: The reason in a checkout.
FROM_SOURCE = "run from its source code"


@functools.cache
def is_compiled() -> bool:
    """The hot modules are compiled together or not at all, so that one of them tells."""
    spec = importlib.util.find_spec("amqpbroker.clock")
    return spec is not None and not str(spec.origin).endswith(tuple(SOURCE_SUFFIXES))


def how_it_runs() -> str:
    """`compiled`, or `interpreted: ` and why."""
    if is_compiled():
        return "compiled"
    try:
        return f"interpreted: {REASON.read_text().strip()}"
    except FileNotFoundError:
        return f"interpreted: {FROM_SOURCE}"
