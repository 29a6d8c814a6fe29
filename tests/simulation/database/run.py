"""Runs worlds, one for each seed."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from tests.simulation.database.faults import any_fault
from tests.simulation.database.ledger import BrokenError
from tests.simulation.database.world import World
from tests.simulation.scheduler import SECOND

#: Number of takeovers of a world, and the largest number of faults.
TAKEOVERS = 40
FAULTS = 120


class Outcome(NamedTuple):
    """Result of a world. failure: what it broke, empty if nothing. digest: of everything that has happened."""

    seed: int
    takeovers: int
    failure: str
    digest: str


def run(seed: int) -> Outcome:
    """Run the world of a seed, within `simulated`."""
    world = World(seed)
    failure = ""
    try:
        _run(world)
    except BrokenError as error:
        failure = str(error)
    finally:
        world.end()
    return Outcome(seed, world.takeovers, failure, f"{world.scheduler.now}-{world.scheduler.calls}")


def run_many(first: int, takeovers: int) -> Iterator[Outcome]:
    """Run worlds with consecutive seeds until there were so many takeovers."""
    total = 0
    for seed in itertools.count(first):
        if total >= takeovers:
            return
        outcome = run(seed)
        total += outcome.takeovers
        yield outcome


def _run(world: World) -> None:
    chance = world.chance
    world.begin()
    world.rest()
    for _ in range(FAULTS):
        if world.takeovers >= TAKEOVERS:
            break
        world.inflict(any_fault(world))
        if chance.random() < 0.6:
            world.rest()
        else:
            world.run(chance.randint(0, 2 * SECOND))
    world.rest()
    world.verify()
    if world.has_asynchronous and chance.random() < 0.5:
        world.promote_lagging()
