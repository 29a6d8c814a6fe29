"""Takeovers of brokers with one simulated database engine: `python -m tests.simulation.database`.

usage: python -m tests.simulation.database [--takeovers N] [--seed SEED] [--one]

Runs worlds with consecutive seeds, from SEED on, until there were N takeovers. Prints the number and the rate from time
to time, and each failing seed; ends with status 1 if there was one. --one runs only the world of SEED.
"""

import argparse
import gc
import sys
import time

from tests.simulation.database.patched import simulated
from tests.simulation.database.run import run_many

REPORT_S = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.database", description=__doc__)
    parser.add_argument("--takeovers", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--one", action="store_true")
    given = parser.parse_args()
    # A fifth faster.
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    start = reported = time.monotonic()
    total = failures = worlds = 0
    with simulated():
        for outcome in run_many(given.seed, 1 if given.one else given.takeovers):
            total, worlds = total + outcome.takeovers, worlds + 1
            if outcome.failure:
                failures += 1
                print(f"seed {outcome.seed} fails: {outcome.failure}", flush=True)
            if time.monotonic() - reported > REPORT_S:
                reported = time.monotonic()
                print(f"{total} takeovers, {total / (reported - start):.0f}/s", flush=True)
    took_s = time.monotonic() - start
    print(f"{total} takeovers in {worlds} worlds, {failures} failed, {total / took_s:.0f}/s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
