"""Whole lives of a broker, each from one seed: `make simulate`.

usage: python -m tests.simulation [--seconds N] [--first SEED] [--jobs N] [--as-found] [--seed SEED [--transcript]]

Runs new seeds until the time is over or one fails. A failing seed is made as short as it still fails, and printed as a
scenario that `tests/simulation/test_failures.py` takes. With --seed only that one runs; --transcript prints all that
happens in it.
"""

import argparse
import os
import random
import sys

from tests.simulation.scenario import run, scenario
from tests.simulation.seeds import many

HASH_SEED = "0"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--first", type=int, help="the first of the seeds; a random one without")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--transcript", action="store_true")
    parser.add_argument("--as-found", action="store_true", help="do not make a failing seed shorter")
    given = parser.parse_args()
    if given.seed is not None:
        return one(given.seed, given.transcript)
    first = given.first if given.first is not None else random.SystemRandom().randrange(1 << 40)
    return many(first, given.seconds, given.jobs, shortens=not given.as_found)


def one(seed: int, transcript: bool) -> int:
    """Run one seed; returns the exit status."""
    lines: list[str] = []
    try:
        outcome = run(scenario(seed), lines)
    except Exception as error:
        print("\n".join(lines if transcript else lines[-30:]))
        print(f"seed {seed} fails: {type(error).__name__}: {error}")
        return 1
    if transcript:
        print("\n".join(lines))
    print(f"seed {seed} passes: {outcome}")
    return 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        # Sets of strings are ordered by hashes that Python draws at each start.
        os.environ["PYTHONHASHSEED"] = HASH_SEED
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    sys.exit(main())
