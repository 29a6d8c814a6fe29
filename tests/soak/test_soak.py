"""Short form of the soak: all bounds are lowered, and every feature is driven past twice each of them."""

import os

import pytest

from amqpbroker.config.bounds import Bounds
from tests.soak.__main__ import PHASES, mixed, sample, shares
from tests.soak.census import census
from tests.soak.client import ACK, NACK, Settled
from tests.soak.rest import balanced
from tests.soak.soak import run

DIVISOR = 50


@pytest.mark.alone
@pytest.mark.skipif(os.environ.get("SOAK_TESTS") == "done", reason="CI has run it before, with several brokers at once")
def test_broker_is_at_rest_after_each_feature(tmp_path):
    wrong = {phase.name: lines for phase, _, _, lines in run(mixed(PHASES), tmp_path, DIVISOR) if lines}
    assert wrong == {}


def test_brokers_share_the_phases_without_running_one_twice():
    both = shares(PHASES, 2)
    assert sorted(phase.name for share in both for phase in share) == sorted(phase.name for phase in PHASES)
    assert abs(len(both[0]) - len(both[1])) <= 1
    assert shares(PHASES[:1], 2) == [PHASES[:1]]


def test_samples_of_some_seeds_have_every_phase():
    assert sample(PHASES, 1) == sample(PHASES, 1) != sample(PHASES, 2)
    assert len(sample(PHASES, 1)) == -(-len(PHASES) // 10)
    assert {phase.name for seed in range(100) for phase in sample(PHASES, seed)} == {phase.name for phase in PHASES}


def test_names_of_phases_are_unique():
    """A phase is sent to the process that drives it by its name."""
    assert len({phase.name for phase in PHASES}) == len(PHASES)


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


def test_open_connection_at_rest_is_a_difference():
    before = {"Churn.connection_created": 3, "Churn.connection_closed": 2, "Persistence.appended": 5}
    after = {**before, "Churn.connection_created": 8, "Churn.connection_closed": 6, "Persistence.synced": 4}
    assert balanced(before | {"Persistence.synced": 6}) == {"Churn.connection_created": 1, "Persistence.appended": 0}
    assert balanced(after) == {"Churn.connection_created": 2, "Persistence.appended": 1}


def test_heap_is_counted_without_the_entries_of_the_open_segment():
    before = {"bytes of heap": 20_000_000, "LiveEntries._offsets[]": 0, "LiveEntries._sizes[]": 0}
    after = {"bytes of heap": 24_800_000, "LiveEntries._offsets[]": 600_000, "LiveEntries._sizes[]": 600_000}
    assert balanced(before)["bytes of heap"] == balanced(after)["bytes of heap"] == 20_000_000


def _settlement(ids: int, tag: int, multiple: bool = False) -> tuple[int, bytes]:
    return ids, ids.to_bytes(4, "big") + tag.to_bytes(8, "big") + bytes([multiple])


def test_publishes_are_settled_one_by_one_and_refused_ones_are_counted():
    settled = Settled()
    settled.on_method(*_settlement(NACK, 3))
    assert (settled.tag, settled.refused) == (0, 1)
    settled.on_method(*_settlement(ACK, 4, multiple=True))
    assert (settled.tag, settled.refused) == (4, 1)
    with pytest.raises(AssertionError, match="settled twice"):
        settled.on_method(*_settlement(ACK, 3))
