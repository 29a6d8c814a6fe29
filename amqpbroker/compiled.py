"""Report whether the hot path is compiled, and if not, the reason recorded by setup.py."""

import functools
import importlib.util
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path

PACKAGE = Path(__file__).parent

#: The file that setup.py writes the reason to.
REASON = PACKAGE / "interpreted.txt"


@functools.cache
def is_compiled() -> bool:
    """Return whether the hot modules are compiled.

    It checks only one of them, since they are compiled together or not at all.
    """
    spec = importlib.util.find_spec("amqpbroker.clock")
    return spec is not None and not str(spec.origin).endswith(tuple(SOURCE_SUFFIXES))


def how_it_runs() -> str:
    """Return `compiled`, or `interpreted: ` and the reason."""
    if is_compiled():
        return "compiled"
    try:
        return f"interpreted: {REASON.read_text().strip()}"
    except FileNotFoundError:
        return "interpreted: run from its source code"
