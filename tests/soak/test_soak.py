"""Short form of the soak: all bounds are lowered, and every feature is driven past twice each of them."""

import pytest

from amqpbroker.config.bounds import Bounds
from tests.soak.__main__ import PHASES
from tests.soak.census import census
from tests.soak.soak import run

DIVISOR = 50

#: Features in a single mode, which is enough here; `make soak` runs them in each mode.
SHORT = [phase for phase in PHASES if not phase.name.endswith((", transient", ", persistent"))]


@pytest.mark.alone
def test_after_each_feature_the_broker_is_at_rest(tmp_path):
    wrong = {phase.name: lines for phase, _, _, lines in run(SHORT, tmp_path, DIVISOR) if lines}
    assert wrong == {}


class _Counter:
    __module__ = Bounds.__module__

    def __init__(self):
        self.waiting = 3
        self.kept = {"a": [1, 2]}
        self.other = None


def test_census_follows_attributes_and_containers():
    first, second = _Counter(), _Counter()
    first.other = lambda: second
    found = census(first)
    assert (found["_Counter"], found["_Counter.waiting"], found["_Counter.kept[]"]) == (2, 6, 2)
