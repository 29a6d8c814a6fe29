"""Digests of worlds: a seed has the same digest in each run and in each build."""

from itertools import zip_longest

from tests.simulation.scenario import run, scenario


def print_digests(seeds: range) -> int:
    """Print a line for each seed, for a comparison of two builds; return the exit status, 1 if a seed fails."""
    failed = 0
    for seed in seeds:
        try:
            print(seed, run(scenario(seed)).digest, flush=True)
        except Exception as error:
            print(seed, f"fails: {type(error).__name__}: {error}", flush=True)
            failed = 1
    return failed


def run_twice(seeds: range) -> int:
    """Run each seed twice in this process; return the exit status, 1 if one has two digests."""
    for seed in seeds:
        if run(scenario(seed)).digest != run(scenario(seed)).digest:
            print(f"seed {seed} has two digests: {first_difference(seed)}")
            return 1
    print(f"{len(seeds)} seeds, each with the same digest twice")
    return 0


def first_difference(seed: int) -> str:
    """Return the first lines in which two transcripts of a seed differ."""
    lines: list[str] = []
    again: list[str] = []
    run(scenario(seed), lines)
    run(scenario(seed), again)
    for number, (one, other) in enumerate(zip_longest(lines, again, fillvalue="(the end)"), 1):
        if one != other:
            return f"line {number} is {one!r}, and then {other!r}"
    return "the transcripts are alike, so what the broker sent differs within a method"
