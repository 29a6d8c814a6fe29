"""Seeds of tests that try random operations."""

from typing import Any

import pytest


def seeds(count: int, quick: int = 2) -> list[Any]:
    """Return values for `pytest.mark.parametrize`: the first seeds are quick tests, all others explore."""
    rest = (pytest.param(seed, marks=pytest.mark.explore) for seed in range(quick, count))
    return [*range(quick), *rest]
