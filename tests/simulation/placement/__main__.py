"""Placement of many vhosts on many brokers while brokers come and go: `python -m tests.simulation.placement`.

usage: python -m tests.simulation.placement [--vhosts N] [--brokers N] [--seed SEED] [--restarts N] [--work-ms MS]
           [--round-trip-ms MS] [--clients SHARE]

Prints a Markdown table with a row for each event. Time is simulated; a takeover costs its broker the given time of work
and several round trips to the database, one takeover after another. Fails if two brokers lead one vhost.
"""

import argparse
import time

from tests.simulation.placement.broker import Costs
from tests.simulation.placement.phases import phases, row, table
from tests.simulation.placement.world import World


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.placement", description=__doc__)
    parser.add_argument("--vhosts", type=int, default=10_000)
    parser.add_argument("--brokers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--restarts", type=int, help="number of brokers that are restarted; all by default")
    parser.add_argument("--work-ms", type=float, default=20.0)
    parser.add_argument("--round-trip-ms", type=float, default=1.0)
    parser.add_argument("--clients", type=float, default=0.5, help="share of vhosts with clients, which do not move")
    given = parser.parse_args()
    costs = Costs(work_s=given.work_ms / 1000, round_trip_s=given.round_trip_ms / 1000)
    start_s = time.monotonic()
    world = World(given.vhosts, given.brokers, costs, given.seed, given.clients)
    rows = []
    restarts = given.brokers if given.restarts is None else given.restarts
    for figures in phases(world, restarts):
        rows.append(row(figures))
        # Printed at once, because the last one takes long.
        print(*rows[-1], f"again {figures.again}, back {figures.back}", sep="  ", flush=True)
    print(table(rows))
    print(f"{world.events.now_s:,.0f} simulated seconds in {time.monotonic() - start_s:.0f} s")


if __name__ == "__main__":
    main()
