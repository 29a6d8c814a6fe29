"""Simulated lives of a broker, each from one seed: `make simulate`.

usage: python -m tests.simulation [--seconds N] [--first SEED] [--jobs N] [--as-found] [--seed SEED [--transcript]]
                                  [--twice N | --digests N]

Runs new seeds until the time is over or one fails. A failing seed is shortened as far as it still fails, and printed as
a script that replays it; add the scenario to `tests/simulation/test_failures.py`. --seed runs only that seed;
--transcript prints its events. --twice runs N seeds twice each, and fails if one has two different transcripts.
--digests prints a hash of each transcript, to compare an interpreted broker with a compiled one.
"""

import argparse
import os
import random
import sys

from tests.simulation.digests import print_digests, run_twice
from tests.simulation.scenario import run, scenario
from tests.simulation.seeds import many, shorten

HASH_SEED = "0"
TRANSCRIPT_LINES = 30


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--first", type=int, help="the first seed; random by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--transcript", action="store_true")
    parser.add_argument("--as-found", action="store_true", help="do not shorten a failing seed")
    parser.add_argument("--twice", type=int, metavar="N")
    parser.add_argument("--digests", type=int, metavar="N")
    given = parser.parse_args()
    if given.seed is not None:
        return one(given.seed, given.transcript, shortens=not given.as_found)
    first = given.first if given.first is not None else random.SystemRandom().randrange(1 << 40)
    if given.twice is not None:
        return run_twice(range(first, first + given.twice))
    if given.digests is not None:
        return print_digests(range(first, first + given.digests))
    return many(first, given.seconds, given.jobs, shortens=not given.as_found)


def one(seed: int, transcript: bool, shortens: bool) -> int:
    """Run one seed; return the exit status. shortens: shorten it if it fails."""
    lines: list[str] = []
    try:
        outcome = run(scenario(seed), lines)
    except Exception as error:
        print("\n".join(lines if transcript else lines[-TRANSCRIPT_LINES:]))
        print(f"seed {seed} fails: {type(error).__name__}: {error}", flush=True)
        if shortens and not transcript:
            shorten(seed)
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
