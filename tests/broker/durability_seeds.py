"""Runs of a broker and its model from seeds, and shorter scripts of those that fail.

`python -m tests.broker.durability_seeds --seconds 600` tries new runs for that time.
"""

import argparse
import itertools
import logging
import random
import time
from collections.abc import Callable
from typing import Any

from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from tests.broker.durability import Node, Run
from tests.broker.durability_steps import Step, steps


def execute(seed: int, script: list[Step]) -> Run:
    run = Run(seed)
    for step in script:
        run.do(step)
    run.end()
    return run


def script(seed: int, count: int) -> list[Step]:
    return steps(random.Random(f"steps {seed}"), count)


def failure(seed: int, trial: list[Step]) -> str:
    """Return the error of a run, or nothing."""
    try:
        execute(seed, trial)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def shortened(seed: int, failing: list[Step], seconds: float = 30.0) -> list[Step]:
    """Return a shorter script that fails in about the same way."""
    way = failure(seed, failing)[:25]
    until = time.monotonic() + seconds
    size = len(failing) // 2
    while size and time.monotonic() < until:
        start = 0
        while start < len(failing) and time.monotonic() < until:
            trial = failing[:start] + failing[start + size :]
            if failure(seed, trial).startswith(way):
                failing = trial
            else:
                start += size
        size = size // 2 if size > 1 else 0
    return failing


def report(seed: int, failing: list[Step]) -> str:
    short = shortened(seed, failing)
    lines = [failure(seed, short), "", f"execute({seed}, ["]
    return "\n".join([*lines, *(f"    {step}," for step in short), "])"])


def small_pages(set_attribute: Callable[[Any, str, int], None]) -> None:
    """Make queues page out after a few messages, and read pages back in parts."""
    set_attribute(Node, "config", Config(bounds=Bounds(page_count=3, read_count=2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30), help="the first seed")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--small-pages", action="store_true", help="make queues page out after a few messages")
    options = parser.parse_args()
    logging.disable()
    if options.small_pages:
        small_pages(setattr)
    until = time.monotonic() + options.seconds
    runs = crashes = messages = wrong = 0
    for seed in itertools.count(options.seed):
        if time.monotonic() > until or wrong >= 5:
            break
        trial = script(seed, options.steps)
        try:
            run = execute(seed, trial)
        except Exception:
            wrong += 1
            print(f"seed {seed}:", report(seed, trial), flush=True)
            continue
        runs, crashes, messages = runs + 1, crashes + run.crashes, messages + run.messages
    print(f"seeds from {options.seed}: {runs} runs, {crashes} crashes, {messages} messages, {wrong} wrong", flush=True)
    raise SystemExit(wrong > 0)


if __name__ == "__main__":
    main()
