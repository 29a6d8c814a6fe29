"""A broker behaves like a small model of it, including crashes. durability.py runs both; tests/model/ is the model."""

import pytest

from tests.broker.durability_seeds import execute, report, script, small_pages
from tests.seeds import sampled

pytestmark = pytest.mark.explore

SEEDS = 20
STEPS = 300


@pytest.mark.parametrize("start", sampled([*range(0, SEEDS, 5)], 2))
@pytest.mark.parametrize("paging", [False, True])
def test_state_after_a_crash_is_allowed_by_the_model(start, paging, monkeypatch):
    if paging:
        small_pages(monkeypatch.setattr)
    for seed in range(start, start + 5):
        steps = script(seed, STEPS)
        try:
            execute(seed, steps)
        except Exception:
            pytest.fail(report(seed, steps))
