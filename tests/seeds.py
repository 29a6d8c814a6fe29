"""Seeds of tests that try random operations, and samples of cases that take long."""

import os
import random
from typing import Any

import pytest


def seeds(count: int, quick: int = 2) -> list[Any]:
    """Return values for `pytest.mark.parametrize`: the first seeds are quick tests, all others explore."""
    rest = (pytest.param(seed, marks=pytest.mark.explore) for seed in range(quick, count))
    return [*range(quick), *rest]


def sampled(cases: list[Any], count: int) -> list[Any]:
    """Return all cases, or some where SAMPLE_SEED is set: CI has another seed for each change."""
    seed = os.environ.get("SAMPLE_SEED")
    return random.Random(seed).sample(cases, count) if seed else cases
