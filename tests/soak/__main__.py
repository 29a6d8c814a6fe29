"""Soak of a broker: `make soak`.

usage: python -m tests.soak [--divisor N] [--mixed] [PHASE ...]

Each phase drives one feature past twice each of its bounds, most of them with transient messages, with persistent ones,
and with both. After it, a new client must complete every operation within a second, memory must return to within 10 %,
and every counter and container must be at rest.
"""

import argparse
import sys
import tempfile
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
from tests.soak.tls import PHASES as TLS

PHASES: list[Phase] = [*MESSAGES, *FEATURES, *CHURN, *STORE, *LIMITS, *LISTS, *HTTP, *ANSWERS, *TLS]


def mixed(phases: list[Phase]) -> list[Phase]:
    """Leave out phases with messages of one kind: the phase with both kinds has the same bounds."""
    return [phase for phase in phases if phase.mode in (None, MIXED)]


def _is_named(phase: Phase, parts: list[str]) -> bool:
    return not parts or any(part in phase.name for part in parts)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Soak a broker.")
    parser.add_argument("--divisor", type=int, default=1, help="divisor of bounds and counts")
    parser.add_argument("--mixed", action="store_true", help="only with both kinds of messages, where they matter")
    parser.add_argument("phases", nargs="*", help="parts of the names of phases; by default all phases")
    given = parser.parse_args()
    phases = [phase for phase in (mixed(PHASES) if given.mixed else PHASES) if _is_named(phase, given.phases)]
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        for phase, took_s, memory, wrong in run(phases, Path(directory), given.divisor):
            print(f"{phase.name:32} {took_s:6.1f} s {memory / 1e6:6.1f} MB  {'WRONG' if wrong else 'ok'}", flush=True)
            for line in wrong:
                print(f"    {line}", flush=True)
            failed += bool(wrong)
            passed += not wrong
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
