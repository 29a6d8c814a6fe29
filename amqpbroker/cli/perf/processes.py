"""The processes of a run: the leader and the workers."""

import signal
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from operator import is_
from typing import Any

from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.progress import Progress, Snapshot
from amqpbroker.cli.signals import Interrupt, ending
from amqpbroker.server.machine import file_limit

#: Seconds from one report of a process to the next.
INTERVAL_S = 0.25


#: Time limit in seconds for the end of processes after the order to stop.
END_WITHIN_S = 2.0
#: Seconds by which the last reports of a run may be late.
_LISTEN_S = 0.1


@dataclass
class Report:
    """Report of a process. counts: since the start. latencies: since the report before."""

    counts: dict[str, int]
    latencies: dict[str, Latencies] = field(default_factory=dict)
    #: Time of the report, by the monotonic clock.
    at: float = field(default_factory=time.monotonic)
    #: The broker's reason for blocking publishers; empty if it does not.
    blocked: str = ""
    blocked_s: float = 0.0
    #: In the last report: the used CPU time, and the end of the work by the monotonic clock.
    cpu_s: float = 0.0
    ended: float | None = None
    #: In the last report: whether the broker has read all published messages.
    is_read: bool = True


@dataclass(frozen=True)
class Ready:
    """Message of a process that is set up and waits for the start."""

    product: str


@dataclass(frozen=True)
class Failed:
    """Message of a process that ended with an error. text: that of the error."""

    text: str


@contextmanager
def hidden_from_children() -> Iterator[None]:
    """Block the signals of a terminal, or of `timeout`, in processes that are started meanwhile.

    The leading process stops them; if it is gone itself, they notice.
    """
    mask: Any = getattr(signal, "pthread_sigmask", None)
    if mask is None:  # Windows, where the processes ignore Ctrl-C themselves
        yield
        return
    block, restore = (getattr(signal, name) for name in ("SIG_BLOCK", "SIG_SETMASK"))
    before = mask(block, ending())  # inherited by child processes
    try:
        resource_tracker.ensure_running()  # also a child, whose start unblocks some of the signals
        mask(block, ending())
        yield
    finally:
        mask(restore, before)


class Control:
    """Pipe to the process that leads the run. The end of that process counts as an order to stop."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def fileno(self) -> int:
        return self._pipe.fileno()

    def report(self, message: Ready | Report | Failed) -> None:
        try:
            self._pipe.send(message)
        except OSError:  # the process has ended
            return

    def wait_for_start(self) -> bool:
        try:
            return bool(self._pipe.recv() == "start")
        except (EOFError, OSError):
            return False

    def is_stopped(self) -> bool:
        """Return whether the process was told to stop, without waiting."""
        try:
            return self._pipe.poll() and bool(self._pipe.recv() == "stop")
        except (EOFError, OSError):
            return True


class Job(ABC):
    """Work of one process. It is sent to the process, so it is plain data until `set_up`."""

    @abstractmethod
    def set_up(self) -> str:
        """Prepare for the start. Return the broker's name and version. Raises PerfError."""

    @abstractmethod
    def run(self, control: Control) -> Report:
        """Work until all is done or the run is stopped, and send reports. Return the last report."""

    @abstractmethod
    def abandon(self) -> None:
        """Close all connections after an error, in this process or another."""


def work(job: Job, pipe: Connection) -> None:
    """Run a process of the run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it cannot be blocked; the leader sends the order to stop
    control = Control(pipe)
    file_limit(raised=True)
    try:
        control.report(Ready(job.set_up()))
        if control.wait_for_start():
            cpu_s = time.process_time()
            report = job.run(control)
            report.cpu_s = time.process_time() - cpu_s
            if report.ended is None:
                report.ended = time.monotonic()
            control.report(report)
        else:
            job.abandon()
    except PerfError as error:
        control.report(Failed(str(error)))
        job.abandon()
    except MemoryError:
        control.report(Failed("this machine has not the memory for such messages: give a smaller --size"))
        job.abandon()
    finally:
        pipe.close()


class Worker:
    """One process, and its last report."""

    def __init__(self, job: Job) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(job, theirs), daemon=True)
        with hidden_from_children():
            self.process.start()
        theirs.close()
        self.product = ""
        self.last = Report({})
        self.is_ready = False
        self.is_over = False


class Processes:
    """Starts a process for each job, and ends them at the end of `with`. All methods raise PerfError if one fails."""

    def __init__(self, jobs: Sequence[Job], interrupt: Interrupt) -> None:
        self._interrupt = interrupt
        self._jobs = jobs
        self.workers: list[Worker] = []
        self.latencies: dict[str, Latencies] = {}
        #: Latencies since the last call that returned them.
        self.recent: dict[str, Latencies] = {}
        self.started = 0.0

    def __enter__(self) -> "Processes":
        try:
            self.workers = [Worker(job) for job in self._jobs]
            while not all(worker.is_ready for worker in self.workers) and not self._interrupt.came:
                self.receive(0.1)
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
            self._send(worker, "start")

    def stop(self, workers: Sequence[Worker] | None = None) -> None:
        for worker in self.workers if workers is None else workers:
            if not worker.is_over:
                self._send(worker, "stop")

    def receive(self, timeout_s: float) -> None:
        """Receive the reports of the processes. Wait for one of them no longer than the given time."""
        by_pipe = {worker.pipe: worker for worker in self.workers if not worker.is_over}
        for pipe in connection.wait(list(by_pipe), timeout_s):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                raise PerfError(f"process {worker.process.pid} of this run ended unexpectedly") from None
            self._received(worker, message)

    def counts(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for worker in self.workers:
            total.update(worker.last.counts)
        return total

    @property
    def blocked(self) -> str:
        """The broker's reason for blocking a publisher; empty if it does not."""
        return next((worker.last.blocked for worker in self.workers if worker.last.blocked), "")

    @property
    def product(self) -> str:
        """Return the product name that the broker gives, empty if it gives none."""
        return next((worker.product for worker in self.workers if worker.product), "")

    def duration(self, workers: Sequence[Worker]) -> float:
        """Return the seconds from the start until the last of these ended or reported, 0 before the start."""
        if not self.started:
            return 0.0
        ends = [worker.last.at if worker.last.ended is None else worker.last.ended for worker in workers]
        return max((end - self.started for end in ends), default=0.0)

    def end(self) -> None:
        """End all processes. Working ones may close their connections first."""
        for worker in self.workers:
            worker.pipe.close()  # has the effect of an order to stop
        deadline = time.monotonic() + END_WITHIN_S
        for worker in self.workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _received(self, worker: Worker, message: Ready | Report | Failed) -> None:
        if isinstance(message, Failed):
            worker.is_over = True
            raise PerfError(message.text)
        if isinstance(message, Ready):
            worker.is_ready, worker.product = True, message.product
            return
        worker.last = message
        worker.is_over = message.ended is not None
        for name, some in message.latencies.items():
            self.latencies.setdefault(name, Latencies()).merge(some)
            self.recent.setdefault(name, Latencies()).merge(some)

    def _send(self, worker: Worker, word: str) -> None:
        try:
            worker.pipe.send(word)
        except OSError:
            return  # receive() raises the reason


#: Chooses the processes that are to stop before their own time is over.
Superfluous = Callable[[float], Sequence[Worker]]


def nobody(now: float) -> Sequence[Worker]:
    """Stop no process early."""
    return ()


def supervise(
    processes: Processes,
    interrupt: Interrupt,
    progress: Progress,
    shown: Sequence[str],
    superfluous: Superfluous,
    totals: Sequence[str] = (),
    interval_s: float = 1.0,
) -> None:
    """Start the processes and listen until all of it has ended.

    shown: the counts whose rates are shown. totals: those that are shown themselves. interval_s: how often.
    """
    processes.start()
    before = [worker.last for worker in processes.workers]
    shown_at = processes.started
    was_blocked = was_interrupted = False
    while not processes.is_over:
        processes.receive(_LISTEN_S)
        now = time.monotonic()
        if interrupt.came and not was_interrupted:
            was_interrupted = True
            processes.stop()
        processes.stop(superfluous(now))
        if bool(processes.blocked) != was_blocked:
            was_blocked = not was_blocked
            progress.note(
                f"the broker blocks publishers: {processes.blocked}"
                if was_blocked
                else "the broker takes publishes again"
            )
        if now - shown_at >= interval_s:
            shown_at = now
            after = [worker.last for worker in processes.workers]
            if all(map(is_, before, after)):  # they only wait for the answer to connection.close
                continue
            rates = {name: sum(map(_rate, before, after, repeat(name))) for name in shown}
            counts = processes.counts()
            there = {name: counts[name] for name in totals}
            progress.show(Snapshot(now - processes.started, there, rates, processes.recent, processes.blocked))
            processes.recent = {}
            before = after


def _rate(before: Report, after: Report, name: str) -> float:
    """Return the growth of a count per second between two reports of a process, 0 if both are the same report."""
    if after is before:
        return 0.0
    return (after.counts.get(name, 0) - before.counts.get(name, 0)) / (after.at - before.at)
