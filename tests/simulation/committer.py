"""The journal's thread as a task of the scheduler: each step on the disk is a call, at a time that the seed decides."""

import random
from collections.abc import Callable
from functools import partial

from greenlet import getcurrent, greenlet

from amqpbroker.store.committer import Committer, OnDone
from amqpbroker.store.log import Batch, Log
from tests.simulation.disk import Disk
from tests.simulation.event_loop import SimulatedLoop
from tests.simulation.processor import Processor
from tests.simulation.scheduler import MS, Scheduler

#: Time that one step on the disk takes; one of SLOW takes as long as a disk that is busy.
STEP_NS = (10_000, 3 * MS)
SLOW = 100
SLOW_NS = 400 * MS


class SimulatedCommitter(Committer):
    """Runs `commit` in a greenlet that pauses before and after each step on the disk."""

    def __init__(
        self,
        log: Log,
        before: Callable[[], None],
        disk: Disk,
        loop: SimulatedLoop,
        scheduler: Scheduler,
        processor: Processor,
        chance: random.Random,
    ) -> None:
        super().__init__(log, before)
        self._disk = disk
        self._loop = loop
        self._scheduler = scheduler
        self._processor = processor
        self._chance = chance
        self._task: greenlet | None = None
        self._failure: OSError | None = None
        self._killed = False
        disk.pause = self._pause

    def kill(self) -> None:
        """The process is gone: what is under way is never finished."""
        self._killed = True
        if self._task is not None:
            self._task.throw()
            self._task = None

    def start(self, batch: Batch | None, on_done: OnDone) -> None:
        self._task = greenlet(partial(self._run, batch, on_done))
        self._go_on()

    def close(self) -> OSError | None:
        while self._task is not None:
            self._task.switch()
        return self._failure

    def remove_freed(self) -> None:
        self._scheduler.after(self._chance.randint(*STEP_NS), self._remove_freed)

    # ----------------------------------------------------------------------------------------------------------------

    def _run(self, batch: Batch | None, on_done: OnDone) -> None:
        self._failure = None
        try:
            self.commit(batch)
        except OSError as error:
            self._failure = error
        self._task = None
        self._loop.call_soon_threadsafe(partial(on_done, self._failure))

    def _remove_freed(self) -> None:
        if not self._killed:
            super().remove_freed()

    def _pause(self) -> None:
        """Switch to others, if it is the task that goes on the disk; the loop's own steps are made at once."""
        task = getcurrent()
        if task is self._task and task.parent is not None:
            self._go_on()
            task.parent.switch()

    def _go_on(self) -> None:
        delay = SLOW_NS if self._chance.randrange(SLOW) == 0 else self._chance.randint(*STEP_NS)
        self._scheduler.after(delay * self._processor.slowness, partial(self._resume, self._task))

    def _resume(self, task: greenlet) -> None:
        if self._processor.rest:
            self._scheduler.after(self._processor.rest, partial(self._resume, task))
        elif task is self._task and not self._killed:
            task.parent = getcurrent()
            task.switch()
