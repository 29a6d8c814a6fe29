"""Worlds in which lagging standbys are promoted one after another: brokers serve what is left, and agree on it."""

from tests.simulation.chance import Chance
from tests.simulation.database.ledger import BrokenError
from tests.simulation.database.world import World
from tests.simulation.scheduler import MS, SECOND

#: Promotions of a world, and the most commits by which a standby is behind besides its usual lag.
PROMOTIONS = 12
BEHIND = 12
#: Time for a deletion of a vhost, which a promotion is to undo, and from there to the promotion.
DELETION_NS = 10 * SECOND
UNDONE_NS = (0, 400 * MS)
STEP_NS = 10 * MS


def run_lagging(seed: int) -> str:
    """Run the world of a seed, within `simulated`; return what it broke, an empty text if nothing.

    A world without an asynchronous standby does nothing.
    """
    world, chance = World(seed), Chance(f"{seed} lagging")
    try:
        if world.has_asynchronous:
            world.begin()
            world.rest()
            for _ in range(PROMOTIONS):
                _promote(world, chance)
    except BrokenError as error:
        return str(error)
    finally:
        world.end()
    return ""


def _promote(world: World, chance: Chance) -> None:
    # From here on, only the checks of what is served hold.
    world.lossy = True
    world.run(chance.randint(0, 6 * SECOND))
    end, before = world.scheduler.now + DELETION_NS, world.vhosts.all_deletions
    while world.vhosts.all_deletions == before and world.scheduler.now < end:
        world.run(STEP_NS)
    world.run(chance.randint(*UNDONE_NS))
    cluster = world.cluster
    if cluster.primary is not None and cluster.standbys:
        for standby in cluster.standbys:
            if not standby.synchronous:
                standby.delay(chance.randint(0, BEHIND))
        cluster.crash(silent=False)
        cluster.promote(synchronous=False)
        world.fault_until(world.scheduler.now + 3 * SECOND)
        world.rest()
