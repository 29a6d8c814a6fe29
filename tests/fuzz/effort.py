"""Effort of the generated tests.

By default they take seconds and try the same examples every time. `HYPOTHESIS_PROFILE=long python -m pytest tests/fuzz
tests/wire` tries many more, and new ones every time. Hypothesis stores failed examples in .hypothesis/, and tries them
first from then on.
"""

import os

from hypothesis import settings

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"


def effort(examples: int, steps: int = 50) -> settings:
    """Return settings for a test with this many examples by default; `steps` is for state machines."""
    return settings(
        max_examples=examples * 40 if LONG else examples,
        stateful_step_count=steps * 2 if LONG else steps,
        derandomize=not LONG,
    )
