"""Many seeds in several processes, until the time is over or one fails."""

import multiprocessing
import queue
import time
from dataclasses import dataclass
from typing import Any

from tests.simulation.printed import script
from tests.simulation.scenario import Outcome, run, scenario
from tests.simulation.shrink import failure_of, shrunk

#: Interval of progress lines.
PROGRESS_S = 10.0
HOUR_MS = 3_600_000


@dataclass
class Totals:
    """Sums over worlds."""

    seeds: int = 0
    operations: int = 0
    crashes: int = 0
    simulated_ms: int = 0

    def add(self, outcome: Outcome) -> None:
        """Add one world."""
        self.seeds += 1
        self.operations += outcome.operations
        self.crashes += outcome.crashes
        self.simulated_ms += outcome.simulated_ms

    def __str__(self) -> str:
        hours = self.simulated_ms / HOUR_MS
        return f"{self.seeds} seeds, {self.operations} operations, {self.crashes} crashes, {hours:.1f} simulated hours"

    def rates(self, seconds: float) -> str:
        """Return the same per second, for `seconds` seconds."""
        hours = self.simulated_ms / HOUR_MS / seconds
        return (
            f"{self.seeds / seconds:.1f} seeds, {self.operations / seconds:.0f} operations, "
            f"{self.crashes / seconds:.1f} crashes, {hours:.2f} simulated hours"
        )


def many(first: int, seconds: float, jobs: int, shortens: bool = True) -> int:
    """Run seeds from `first` on, in several processes; return the exit status. shortens: shorten a failing one."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[int, Outcome | str]] = context.Queue()
    #: The seed that each process is running.
    running = context.RawArray("q", jobs)
    began = said = time.monotonic()
    end = began + seconds
    workers = [
        context.Process(target=work, args=(first, job, jobs, end - time.monotonic(), results, running), daemon=True)
        for job in range(jobs)
    ]
    for worker in workers:
        worker.start()
    totals = Totals()
    failed: tuple[int, str] | None = None
    while failed is None and (any(worker.is_alive() for worker in workers) or not results.empty()):
        try:
            seed, outcome = results.get(timeout=0.5)
        except queue.Empty:
            continue
        if isinstance(outcome, str):
            failed = seed, outcome
            break
        totals.add(outcome)
        if time.monotonic() - said > PROGRESS_S:
            said = time.monotonic()
            print(totals, flush=True)
    for worker in workers:
        if failed is not None:
            worker.terminate()
        worker.join()
    dead = [job for job, worker in enumerate(workers) if worker.exitcode] if failed is None else []
    print(f"seeds from {first}: {totals}")
    print(f"each second, with {jobs} jobs: {totals.rates(time.monotonic() - began)}", flush=True)
    for job in dead:
        print(f"seed {running[job]} fails: its process died with status {workers[job].exitcode}", flush=True)
    if dead:
        return 1
    if failed is None:
        return 0
    print(f"seed {failed[0]} fails: {failed[1]}", flush=True)
    if shortens:
        shorten(failed[0])
    return 1


def shorten(seed: int) -> None:
    """Shorten a failing scenario, and print a script that replays it."""
    print("Shortening ...", flush=True)
    short = shrunk(scenario(seed))
    print(f"{failure_of(short)}:\n\n{script(short)}", flush=True)


def work(first: int, job: int, jobs: int, seconds: float, results: Any, running: Any) -> None:
    """Run every seed of one of the jobs until the time is over or one fails. running: gets each seed that is run."""
    end = time.monotonic() + seconds
    seed = first + job
    while time.monotonic() < end:
        running[job] = seed
        try:
            results.put((seed, run(scenario(seed))))
        except Exception as error:
            results.put((seed, f"{type(error).__name__}: {error}"))
            return
        seed += jobs
