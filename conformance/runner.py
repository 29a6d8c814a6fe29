"""Runs cases, several at a time, and reports the result of each."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from conformance import kinds, transcript
from conformance.client import Timing
from conformance.errors import CaseStoppedError, MalformedFrameError, SetupError, UnsuitableCaseError
from conformance.janitor import Janitor
from conformance.lab import Lab
from conformance.registry import MANAGEMENT, Case
from conformance.target import Target
from conformance.transcript import Transcript

#: Number of runs of a case whose result depends on time: a busy machine may delay it.
TIMED_TRIES = 3


@dataclass(frozen=True, slots=True)
class Result:
    """`outcome` is "ok", "differs", "on purpose", "not run", "not recorded" or "broken"; `detail` says more."""

    case: Case
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one case.

    trace: all traffic. stopped: the reason if it could not complete. timed: it waited for time.
    """

    transcript: Transcript
    trace: list[str]
    stopped: str
    timed: bool


class Runner:
    """Runs cases against one target; each worker thread has a janitor connection. Raises SetupError without one.

    is_meant: returns whether the target may differ in a case, in the way that is recorded. kind: type of all queues, ""
    for that of the cases.
    """

    def __init__(
        self,
        target: Target,
        timing: Timing,
        workers: int,
        is_meant: Callable[[str], bool] = lambda _: False,
        kind: str = "",
    ) -> None:
        self.target = target
        self.timing = timing
        self.is_meant = is_meant
        self.kind = kind
        self.workers = workers
        self.version, self.cluster_name = target.identity()
        self._local = threading.local()
        self._janitors: list[Janitor] = []

    def _janitor(self) -> Janitor:
        found: Janitor | None = getattr(self._local, "janitor", None)
        if found is None:
            found = self._local.janitor = Janitor(self.target, self.timing)
            self._janitors.append(found)
        return found

    def lacks(self, case: Case) -> str:
        """Return the reason why the target cannot run the case; empty if it can."""
        if MANAGEMENT in case.requires and self.target.management_url is None:
            return "needs management API"
        return ""

    def run(self, case: Case) -> Run:
        """Run one case. A case that stops early still has a transcript.

        Raises SetupError, UnsuitableCaseError, and the errors of a faulty script.
        """
        stopped = ""
        lab = Lab(case.id, self.target, self.timing, self._janitor(), self.kind)
        try:
            try:
                case.script(lab)
            except CaseStoppedError as reason:
                stopped = str(reason)
            except MalformedFrameError as malformed:
                lab.observe("(malformed frame)", str(malformed))
            received, left = lab.finish()
            return Run(
                transcript.build(received, lab.observed, left, self.cluster_name), lab.trace_lines, stopped, lab.slept
            )
        finally:
            lab.clean()

    def replay(self, case: Case) -> Result:
        """Run one case and compare it with its recording; repeat it if it differs and depends on time."""
        if lacking := self.lacks(case):
            return Result(case, "not run", lacking)
        for _ in range(TIMED_TRIES):
            try:
                got = self.run(case)
            except SetupError as error:
                return Result(case, "broken", str(error))
            except Exception:
                return Result(case, "broken", traceback.format_exc())
            result = self.judge(case, got.transcript)
            if result.outcome != "differs" or not got.timed:
                break
        return result

    def judge(self, case: Case, got: Transcript) -> Result:
        """Compare the result of a run with the recording, or with the recording of an intentional difference."""
        recorded = kinds.load(self.kind, case.id)
        if recorded is None:
            return Result(case, "not recorded")
        difference = transcript.difference(recorded[1], got)
        if self.is_meant(case.id):
            return self._as_meant(case, got, difference)
        return Result(case, "differs" if difference else "ok", difference)

    def _as_meant(self, case: Case, got: Transcript, difference: str) -> Result:
        """Check an intentional difference: the target must differ in exactly the recorded way."""
        if not difference:
            return Result(case, "differs", "it is as recorded, but docs/compatibility.md lists it as a difference")
        meant = kinds.load(self.kind, case.id, meant=True)
        if meant is None:
            return Result(case, "differs", f"the intended difference is not recorded:\n{difference}")
        other = transcript.difference(meant[1], got)
        return (
            Result(case, "differs", f"not the intended difference:\n{other}") if other else Result(case, "on purpose")
        )

    def record(self, case: Case, times: int, meant: bool = False) -> Result:
        """Run one case `times` times and store the transcript if they agree; `detail`: the changes, or the doubt."""
        if lacking := self.lacks(case):
            return Result(case, "not run", lacking)
        try:
            run = self.run(case)
            first = run.transcript
            if run.stopped and not meant:
                return Result(case, "broken", f"it cannot end: {run.stopped}\n{transcript.dump(first)}")
            for _ in range(times - 1):
                again = self.run(case)
                if doubt := transcript.difference(first, again.transcript):
                    return Result(case, "broken", f"not the same twice:\n{doubt}")
        except UnsuitableCaseError as error:
            return Result(case, "not run", str(error))
        except Exception:
            return Result(case, "broken", traceback.format_exc())
        recorded = kinds.load(self.kind, case.id, meant)
        changed = transcript.difference(recorded[1], first) if recorded else ""
        if recorded is None or changed:
            kinds.store(self.kind, case.id, self.version, first, meant)
        return Result(case, "ok" if recorded and not changed else "differs", changed or "" if recorded else "new")

    def replay_all(self, cases: Sequence[Case]) -> Iterator[Result]:
        """Return the results in the order of `cases`."""
        with ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(self.replay, cases)
        self._close()

    def record_all(self, cases: Sequence[Case], times: int, meant: bool = False) -> Iterator[Result]:
        """Return the results in the order of `cases`."""
        with ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(lambda case: self.record(case, times, meant), cases)
        self._close()

    def _close(self) -> None:
        for janitor in self._janitors:
            janitor.close()
        self._janitors.clear()
