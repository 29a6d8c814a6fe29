"""A broker outside of the world, on its own disk, to compare its restored state."""

import random
from collections.abc import Callable

from amqpbroker.config import Config
from tests.simulation.broker_process import BrokerProcess
from tests.simulation.disk import Disk
from tests.simulation.machine_time import MachineTime
from tests.simulation.processor import Processor
from tests.simulation.scheduler import SECOND, Scheduler

#: Time that a start, and a stop, may take.
WITHIN_NS = 600 * SECOND


class Alone:
    """One process with its own time, and without clients.

    now: its start. behind: nanoseconds by which its clock is late.
    """

    def __init__(self, config: Config, disk: Disk, chance: random.Random, now: int = 0, behind: int = 0) -> None:
        self.scheduler = Scheduler()
        self.scheduler.now = now
        self._has_started = self._has_ended = False
        self._error: BaseException | None = None
        time, processor = MachineTime(self.scheduler), Processor(self.scheduler)
        time.step(-behind)
        self.process = BrokerProcess(config, disk, self.scheduler, time, processor, chance, self)
        self._run_until(lambda: self._has_started)

    def stop(self) -> None:
        """Stop the process in order."""
        self.process.stop()
        self._run_until(lambda: self._has_ended)
        self.process.kill()

    def run(self, duration: int) -> None:
        """Run the process for `duration` nanoseconds."""
        self.scheduler.run(self.scheduler.now + duration)

    def _run_until(self, reached: Callable[[], bool]) -> None:
        end = self.scheduler.now + WITHIN_NS
        while not reached():
            if self._error is not None:
                raise self._error
            if self.scheduler.now >= end:
                raise TimeoutError("a broker alone neither starts nor stops")
            self.scheduler.run(max(self.scheduler.next_due, self.scheduler.now + 1))

    # --- what the process reports -------------------------------------------------------------------------------------

    def started(self, process: BrokerProcess) -> None:
        self._has_started = True

    def ended(self, process: BrokerProcess, error: Exception | None) -> None:
        self._has_ended = True
        self._error = error

    def erred(self, process: BrokerProcess, error: BaseException | None) -> None:
        self._error = error

    def made_step(self) -> None:
        pass

    def synced_definitions(self, since: int) -> None:
        pass
