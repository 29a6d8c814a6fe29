"""The processes of a run, as the one that leads it sees them."""

import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess

from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.interrupt import Interrupt, kept_from_children
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.report import Failed, Ready, Report
from amqpbroker.cli.perf.worker import Job, work

#: How long processes may take to end once they are told to.
END_WITHIN_S = 2.0


class Worker:
    """One process, and what it told last."""

    def __init__(self, job: Job) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(job, theirs), daemon=True)
        with kept_from_children():
            self.process.start()
        theirs.close()
        self.product = ""
        self.last = Report({})
        self.is_ready = False
        self.is_over = False


class Crew:
    """Starts a process for each job; use it in a `with`, which ends them. Everything raises PerfError if one fails."""

    def __init__(self, jobs: Sequence[Job], interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._jobs = jobs
        self.workers: list[Worker] = []
        self.latencies: dict[str, Latencies] = {}
        #: Those since somebody last took them away.
        self.recent: dict[str, Latencies] = {}
        self.started = 0.0

    def __enter__(self) -> "Crew":
        try:
            self.workers = [Worker(job) for job in self._jobs]
            while not all(worker.is_ready for worker in self.workers) and not self._interrupt.came:
                self.hear(0.1)
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()

    @property
    def is_over(self) -> bool:
        return all(worker.is_over for worker in self.workers)

    def start(self) -> None:
        self.started = time.monotonic()
        for worker in self.workers:
            worker.last.at = self.started
            self._say(worker, "start")

    def stop(self, workers: Sequence[Worker] | None = None) -> None:
        for worker in self.workers if workers is None else workers:
            if not worker.is_over:
                self._say(worker, "stop")

    def hear(self, timeout_s: float) -> None:
        """Take in what they tell, waiting no longer than that for it."""
        by_pipe = {worker.pipe: worker for worker in self.workers if not worker.is_over}
        for pipe in connection.wait(list(by_pipe), timeout_s):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                told = worker.pipe.recv()
            except (EOFError, OSError):
                raise PerfError(f"process {worker.process.pid} of this run ended unexpectedly") from None
            self._take(worker, told)

    def counts(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for worker in self.workers:
            total.update(worker.last.counts)
        return total

    @property
    def blocked(self) -> str:
        """Why the broker blocks a publisher; empty: it does not."""
        return next((worker.last.blocked for worker in self.workers if worker.last.blocked), "")

    @property
    def product(self) -> str:
        """What the broker says it is."""
        return next((worker.product for worker in self.workers if worker.product), "")

    def took(self, workers: Sequence[Worker]) -> float:
        """Seconds from the start until the last of these ended its work, or last told of it; 0: it was not started."""
        if not self.started:
            return 0.0
        ends = [worker.last.at if worker.last.ended is None else worker.last.ended for worker in workers]
        return max((end - self.started for end in ends), default=0.0)

    def end(self) -> None:
        """End all processes, by their ids. Those that are at work may close their connections first."""
        for worker in self.workers:
            worker.pipe.close()  # as good as saying stop
        deadline = time.monotonic() + END_WITHIN_S
        for worker in self.workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _take(self, worker: Worker, told: Ready | Report | Failed) -> None:
        if isinstance(told, Failed):
            worker.is_over = True
            raise PerfError(told.text)
        if isinstance(told, Ready):
            worker.is_ready, worker.product = True, told.product
            return
        worker.last = told
        worker.is_over = told.ended is not None
        for name, some in told.latencies.items():
            self.latencies.setdefault(name, Latencies()).merge(some)
            self.recent.setdefault(name, Latencies()).merge(some)

    def _say(self, worker: Worker, word: str) -> None:
        try:
            worker.pipe.send(word)
        except OSError:
            return  # hear() tells why
