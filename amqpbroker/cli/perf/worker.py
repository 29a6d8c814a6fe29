"""A process of a run: it sets up, waits for the start, works, tells, and closes."""

import signal
import time
from abc import ABC, abstractmethod
from multiprocessing.connection import Connection

from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.report import Failed, Ready, Report


class Control:
    """The way to the process that leads the run. If that is gone, it is as if it said stop."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def fileno(self) -> int:
        return self._pipe.fileno()

    def tell(self, what: Ready | Report | Failed) -> None:
        try:
            self._pipe.send(what)
        except OSError:  # it looks for itself whether it is to stop
            return

    def wait_for_start(self) -> bool:
        try:
            return bool(self._pipe.recv() == "start")
        except (EOFError, OSError):
            return False

    def is_stopped(self) -> bool:
        """Whether to stop was said; does not wait."""
        try:
            return self._pipe.poll() and bool(self._pipe.recv() == "stop")
        except (EOFError, OSError):
            return True


class Job(ABC):
    """What a process is started for. It is sent there, so it is plain data until `set_up`."""

    @abstractmethod
    def set_up(self) -> str:
        """Do all that is to be done before the start. Returns what the broker says it is. Raises PerfError."""

    @abstractmethod
    def run(self, control: Control) -> Report:
        """Do the work until it is done or told to stop, telling of it on the way. Returns the last report."""

    @abstractmethod
    def abandon(self) -> None:
        """Close what is open: something went wrong, here or elsewhere."""


def work(job: Job, pipe: Connection) -> None:
    """The process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it cannot be kept from it; who leads says when to stop
    control = Control(pipe)
    _allow_sockets()
    try:
        control.tell(Ready(job.set_up()))
        if control.wait_for_start():
            cpu_s = time.process_time()
            report = job.run(control)
            report.cpu_s = time.process_time() - cpu_s
            if report.ended is None:
                report.ended = time.monotonic()
            control.tell(report)
        else:
            job.abandon()
    except PerfError as error:
        control.tell(Failed(str(error)))
        job.abandon()
    except MemoryError:
        control.tell(Failed("this machine has not the memory for such messages: give a smaller --size"))
        job.abandon()
    finally:
        pipe.close()


def _allow_sockets() -> None:
    """As many open files as the system lets this process have."""
    try:
        import resource
    except ImportError:  # another system, other limits
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
