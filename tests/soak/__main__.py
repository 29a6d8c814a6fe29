"""Soak of a broker: `make soak`.

usage: python -m tests.soak [--divisor N] [--mixed] [--at-once N] [--sample SEED] [PHASE ...]

Each phase drives one feature past twice each of its bounds, most of them with transient messages, with persistent ones,
and with both. After it, a new client must complete every operation within a second, memory must return to within 10 %,
and every counter and container must be at rest.

A phase waits for timeouts and samples about half of its time. --at-once shares the phases among several brokers, each
driven by a process of its own. --sample runs a tenth of the phases; CI chooses other ones for each change.
"""

import argparse
import multiprocessing
import random
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.soak.answers import PHASES as ANSWERS
from tests.soak.churn import PHASES as CHURN
from tests.soak.features import PHASES as FEATURES
from tests.soak.http import PHASES as HTTP
from tests.soak.limits import PHASES as LIMITS
from tests.soak.lists import PHASES as LISTS
from tests.soak.messages import PHASES as MESSAGES
from tests.soak.soak import MIXED, Phase, run
from tests.soak.store import PHASES as STORE
from tests.soak.streams import PHASES as STREAMS
from tests.soak.tls import PHASES as TLS

PHASES: list[Phase] = [*MESSAGES, *FEATURES, *CHURN, *STORE, *STREAMS, *LIMITS, *LISTS, *HTTP, *ANSWERS, *TLS]

#: As much memory as most phases need at most.
PEAK = next(phase for phase in PHASES if phase.name == "backlog, mixed")


def mixed(phases: list[Phase]) -> list[Phase]:
    """Leave out phases with messages of one kind: the phase with both kinds has the same bounds."""
    return [phase for phase in phases if phase.mode in (None, MIXED)]


def sample(phases: list[Phase], seed: int) -> list[Phase]:
    """Return a tenth of the phases, in their order; the same seed gives the same ones."""
    chosen = set(random.Random(seed).sample(range(len(phases)), -(-len(phases) // 10)))
    return [phase for number, phase in enumerate(phases) if number in chosen]


def _is_named(phase: Phase, parts: list[str]) -> bool:
    return not parts or any(part in phase.name for part in parts)


def shares(phases: list[Phase], number: int) -> list[list[Phase]]:
    """Split the phases into several lists; neighbours, which are often alike, are in different ones."""
    return [share for first in range(number) if (share := phases[first::number])]


def drive(names: list[str], divisor: int) -> tuple[int, list[str]]:
    """Run phases and print their results; return the number of passed ones, and what was printed of the failed ones.

    names: of the phases, because a phase itself cannot be sent to another process.
    """
    phases = [phase for phase in PHASES if phase.name in names]
    passed, failed = 0, list[str]()
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        for phase, took_s, memory, wrong in run(phases, Path(directory), divisor, PEAK):
            lines = [f"{phase.name:32} {took_s:6.1f} s {memory / 1e6:6.1f} MB  {'WRONG' if wrong else 'ok'}"]
            lines += [f"    {line}" for line in wrong]
            # One write, because other processes print as well.
            text = "\n".join(lines) + "\n"
            print(text, end="", flush=True)
            if wrong:
                failed.append(text)
            else:
                passed += 1
    return passed, failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Soak a broker.")
    parser.add_argument("--divisor", type=int, default=1, help="divisor of bounds and counts")
    parser.add_argument("--mixed", action="store_true", help="only with both kinds of messages, where they matter")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="number of brokers that share the phases")
    parser.add_argument("--sample", type=int, metavar="SEED", help="only a tenth of the phases, chosen by this seed")
    parser.add_argument("phases", nargs="*", help="parts of the names of phases; by default all phases")
    given = parser.parse_args()
    phases = [phase for phase in (mixed(PHASES) if given.mixed else PHASES) if _is_named(phase, given.phases)]
    if given.sample is not None:
        phases = sample(phases, given.sample)
    names = [[phase.name for phase in share] for share in shares(phases, given.at_once)]
    with ProcessPoolExecutor(given.at_once, multiprocessing.get_context("fork")) as pool:
        counts = list(pool.map(drive, names, [given.divisor] * len(names)))
    failed = [text for _, texts in counts for text in texts]
    # They would be hard to find among the others.
    print("".join(failed), end="")
    print(f"{sum(passed for passed, _ in counts)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
