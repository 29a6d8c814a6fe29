"""Many seeds in several processes, until the time is over or one fails."""

import multiprocessing
import pprint
import queue
import time
from typing import Any

from tests.simulation.scenario import Outcome, run, scenario
from tests.simulation.shrink import failure_of, shrunk

#: Interval of the lines that say how far it is.
PROGRESS_S = 10.0


def many(first: int, seconds: float, jobs: int, shortens: bool = True) -> int:
    """Run seeds from `first` on, in several processes; return the exit status. shortens: make a failing one shorter."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[int, Outcome | str]] = context.Queue()
    end = time.monotonic() + seconds
    workers = [
        context.Process(target=work, args=(first + job, jobs, end - time.monotonic(), results), daemon=True)
        for job in range(jobs)
    ]
    for worker in workers:
        worker.start()
    seeds = operations = crashes = simulated_ms = 0
    failed: tuple[int, str] | None = None
    said = time.monotonic()
    while failed is None and (any(worker.is_alive() for worker in workers) or not results.empty()):
        try:
            seed, outcome = results.get(timeout=0.5)
        except queue.Empty:
            continue
        if isinstance(outcome, str):
            failed = seed, outcome
            break
        seeds += 1
        operations += outcome.operations
        crashes += outcome.crashes
        simulated_ms += outcome.simulated_ms
        if time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            print(progress(seeds, operations, crashes, simulated_ms), flush=True)
    for worker in workers:
        if failed is not None:
            worker.terminate()
        worker.join()
    print(f"seeds from {first}: {progress(seeds, operations, crashes, simulated_ms)}", flush=True)
    if failed is None:
        return 0
    print(f"seed {failed[0]} fails: {failed[1]}", flush=True)
    if not shortens:
        return 1
    print("It is made shorter ...", flush=True)
    short = shrunk(scenario(failed[0]))
    print(f"{failure_of(short)}:")
    pprint.pprint(short, width=120)
    return 1


def progress(seeds: int, operations: int, crashes: int, simulated_ms: int) -> str:
    return f"{seeds} seeds, {operations} operations, {crashes} crashes, {simulated_ms / 3_600_000:.1f} simulated hours"


def work(seed: int, step: int, seconds: float, results: Any) -> None:
    """Run every `step`th seed until the time is over or one fails."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            results.put((seed, run(scenario(seed))))
        except Exception as error:
            results.put((seed, f"{type(error).__name__}: {error}"))
            return
        seed += step
