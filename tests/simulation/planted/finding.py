"""Runs the simulator on copies of the broker that have a planted fault, several at a time."""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from tests.simulation.planted.fault import ROOT, Planted, copy_with

#: Line of the simulator about a failing seed.
_FAILURE = re.compile(r"^seed (\d+) fails: (.*)$", re.MULTILINE)


class Found(NamedTuple):
    """Result for one fault. seed: of the first failing world, None if there is none. failure: its first line.

    took_s: seconds from the start of the simulator to the failure, or to the end of the time.
    """

    fault: Planted
    seed: int | None
    failure: str
    took_s: float

    def __str__(self) -> str:
        seed = "NOT FOUND" if self.seed is None else f"seed {self.seed}"
        return f"{self.fault.name:45s} {self.took_s:6.1f} s  {seed:12s} {self.failure}"


class Finding:
    """Searches for faults, until `stop`. most_s: time for each fault. jobs: processes for each. first: first seed."""

    def __init__(self, most_s: float, jobs: int, first: int) -> None:
        self._most_s = most_s
        self._jobs = jobs
        self._first = first
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def find(self, fault: Planted) -> Found:
        """Run seeds until one fails that passes without the fault, or the time is over.

        Raises ValueError if the fault does not apply.
        """
        with tempfile.TemporaryDirectory(prefix="planted-") as name:
            copy_with(fault, Path(name))
            began = time.monotonic()
            first = self._first
            while True:
                left_s = began + self._most_s - time.monotonic()
                if left_s <= 0 or self._stopped:
                    return Found(fault, None, "", time.monotonic() - began)
                seed, failure = self._failing_seed(Path(name), first, left_s)
                took_s = time.monotonic() - began
                if seed is None or not self._fails_without(seed):
                    return Found(fault, seed, failure, took_s)
                # The fault is in the simulator, or in the unchanged broker.
                first = seed + 1

    def find_all(self, faults: Iterable[Planted], at_once: int, report: Callable[[Found], None]) -> list[Found]:
        """Search for several faults at a time; return the results in the order of the faults.

        report: called with each result as it arrives.
        """
        with ThreadPoolExecutor(max_workers=at_once) as pool:
            searches = [pool.submit(self.find, fault) for fault in faults]
            try:
                for search in as_completed(searches):
                    report(search.result())
            except BaseException:
                self.stop()
                pool.shutdown(cancel_futures=True)
                raise
            return [search.result() for search in searches]

    def stop(self) -> None:
        """End all running simulators, and start no other."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()

    def _failing_seed(self, package: Path, first: int, most_s: float) -> tuple[int | None, str]:
        """Return the first failing seed with this package, and its failure; None if none failed in that time."""
        arguments = ["--seconds", f"{most_s:.1f}", "--jobs", str(self._jobs), "--first", str(first), "--as-found"]
        output, status = self._simulate([str(package)], arguments)
        found = _FAILURE.search(output)
        if found is not None:
            return int(found[1]), found[2]
        if status and not self._stopped:
            raise RuntimeError(f"the simulator ended with status {status}, without a failing seed:\n{output}")
        return None, ""

    def _fails_without(self, seed: int) -> bool:
        return self._simulate([], ["--seed", str(seed), "--as-found"])[1] != 0

    def _simulate(self, before: list[str], arguments: list[str]) -> tuple[str, int]:
        """Run the simulator with a package from `before`, if there is one; return its output and its exit status."""
        path = os.pathsep.join([*before, str(ROOT)])
        environment = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
        command = [sys.executable, "-m", "tests.simulation", *arguments]
        with self._lock:
            if self._stopped:
                return "", 0
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            self._running.add(process)
        try:
            output, _ = process.communicate()
        finally:
            with self._lock:
                self._running.discard(process)
        return output, process.returncode
