"""State of the compiled core: whether the hot path is compiled, why not, and what to do about it.

setup.py writes the reason when it builds an interpreted wheel.
"""

import contextlib
import functools
import importlib.util
from importlib.machinery import SOURCE_SUFFIXES
from pathlib import Path

PACKAGE = Path(__file__).parent

#: File in which setup.py writes the reason.
REASON = PACKAGE / "interpreted.txt"

#: Reason of a checkout and of an editable installation, which are never compiled.
FROM_SOURCE = "run from its source code"

_COST = "amqpbroker runs interpreted ({reason}), so each message takes five to ten times the CPU."
_ENOUGH = "That is fast enough for most development and tests."
_REINSTALL = "pip install --force-reinstall --no-deps --no-cache-dir --no-binary amqpbroker amqpbroker"


@functools.cache
def is_compiled() -> bool:
    """Return whether the hot modules are compiled. All of them are or none is, so one module is checked."""
    spec = importlib.util.find_spec("amqpbroker.clock")
    return spec is not None and not str(spec.origin).endswith(tuple(SOURCE_SUFFIXES))


def how_it_runs() -> str:
    """Return `compiled`, or `interpreted: ` and the reason."""
    return "compiled" if is_compiled() else f"interpreted: {_reason()}"


def advice() -> str:
    """Return what running interpreted costs and how to change it. Empty if the core is compiled, or cannot be."""
    if is_compiled():
        return ""
    reason = _reason()
    if reason == FROM_SOURCE:
        remedy = (
            "`make run` compiles the core of a checkout for the next start, and `pip install .` when it is installed."
        )
    elif "compiles by itself" in reason:
        return ""  # PyPy
    elif "AMQPBROKER_COMPILE" in reason:
        remedy = f"To compile the core, unset AMQPBROKER_COMPILE and run: {_REINSTALL}"
    else:
        remedy = (
            "To compile the core, install a C compiler and Python's header files "
            f"(Debian: apt-get install gcc python3-dev), then run: {_REINSTALL}"
        )
    return f"{_COST.format(reason=reason)} {_ENOUGH} {remedy}"


def advice_once(directory: Path | None = None) -> str:
    """Return `advice()` if it was not returned here before, and an empty text from then on.

    directory: where a file records what was returned, None for the user's cache directory. If the file cannot be
    written, the advice is returned each time.
    """
    text = advice()
    if not text:
        return ""
    if directory is None:
        import platformdirs

        directory = platformdirs.user_cache_path("amqpbroker", appauthor=False)
    returned = directory / "advice.txt"
    with contextlib.suppress(OSError, ValueError):
        if returned.read_text(encoding="utf-8") == text:
            return ""
    with contextlib.suppress(OSError):
        directory.mkdir(parents=True, exist_ok=True)
        returned.write_text(text, encoding="utf-8")
    return text


def _reason() -> str:
    try:
        return REASON.read_text().strip()
    except FileNotFoundError:
        return FROM_SOURCE
