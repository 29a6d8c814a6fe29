"""Many takeovers of brokers with one simulated engine."""

import pytest

from tests.seeds import sampled
from tests.simulation.database.patched import simulated
from tests.simulation.database.run import run, run_many
from tests.simulation.database.vhosts import DEFAULT
from tests.simulation.database.world import World
from tests.simulation.scheduler import SECOND


def failures(first, takeovers):
    with simulated():
        return [outcome for outcome in run_many(first, takeovers) if outcome.failure]


@pytest.mark.parametrize("takeovers", [30, pytest.param(100, marks=pytest.mark.explore)])
def test_what_was_acknowledged_survives_takeovers(takeovers):
    assert failures(1, takeovers) == []


@pytest.mark.explore
@pytest.mark.parametrize("first", sampled([1_000, 2_000, 3_000, 4_000], 1))
def test_what_was_acknowledged_survives_hundreds_of_takeovers(first):
    assert failures(first, 500) == []


def exchange(world, rows):
    """Exchange the definitions of vhosts for others, as a promoted standby may have them; return those before."""
    assert world.cluster.primary is not None
    for tables in (world.cluster.tables, world.cluster.primary.tables):
        before, tables["vhost"] = tables["vhost"], dict(rows)
        epoch, number = tables["proof"]["0"]
        tables["proof"]["0"] = epoch, number + 1
    return before


@pytest.mark.parametrize("seed", [1, 4, 8])
def test_a_vhost_whose_deletion_was_followed_is_served_again_if_a_promoted_standby_lacks_the_deletion(seed):
    with simulated():
        world = World(seed)
        try:
            world.begin()
            world.rest()
            world.vhosts.pauses = True
            # Otherwise it may be served again because it moves to another broker.
            world.run(10 * SECOND)
            before = exchange(world, {})
            world.run_until(lambda: "".join(each.name for each in world.brokers if each.served), 5 * SECOND)
            exchange(world, before)
            world.rest()
            assert DEFAULT in {vhost.name for each in world.brokers for vhost in each.served}
        finally:
            world.end()


@pytest.mark.explore
def test_the_same_seed_gives_the_same_world():
    with simulated():
        assert run(30) == run(30) != run(31)
