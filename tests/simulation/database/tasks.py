"""Threads of simulated brokers, which run in steps: each one waits for an answer, an event or the time."""

from asyncio import _get_running_loop, _set_running_loop
from collections.abc import Callable
from functools import partial

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.database.skipping import Skipping


class Process:
    """The threads of one process. rests_until: time at which a stopped process goes on. is_dead: it was killed."""

    def __init__(self, scheduler: Skipping) -> None:
        self.scheduler = scheduler
        self.rests_until = 0
        self.is_dead = False
        self._tasks: list[Task] = []

    def start(self, body: Callable[[], None]) -> "Task":
        """Start a thread."""
        task = Task(self, body)
        self._tasks = [other for other in self._tasks if not other.dead]
        self._tasks.append(task)
        task.begin()
        return task

    def kill(self) -> None:
        """End all threads in their present state. Must not be called from one of them."""
        self.is_dead = True
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.parent = getcurrent()
            task.throw(GreenletExit)


class Task(greenlet):
    """One thread."""

    def __init__(self, process: Process, body: Callable[[], None]) -> None:
        super().__init__(body)
        self.process = process
        #: Grows with each wait, so that a wake-up for an earlier one has no effect.
        self._wait = 0

    def begin(self) -> None:
        self.process.scheduler.after(0, partial(self._go_on, self._wait))

    def wait(self, delay: int | None = None) -> None:
        """Run others until `wake`, or for `delay` nanoseconds. Called by the thread itself."""
        if self.process.is_dead:
            raise GreenletExit  # the thread has caught the first one
        if delay is not None:
            if self.process.scheduler.skip(delay):
                return
            self.process.scheduler.after(delay, partial(self._go_on, self._wait))
        assert self.parent is not None
        loop = _get_running_loop()
        if loop is None:
            self.parent.switch()
            return
        # A callback of an event loop waits for the database, and other loops run meanwhile.
        _set_running_loop(None)
        self.parent.switch()
        _set_running_loop(loop)

    def wake(self) -> None:
        """End the present wait, at once unless the process is stopped. Called by the scheduler."""
        self._go_on(self._wait)

    def wake_later(self) -> None:
        """End the present wait. Called by other threads."""
        self.process.scheduler.after(0, partial(self._go_on, self._wait))

    def _go_on(self, wait: int) -> None:
        if wait != self._wait or self.dead or self.process.is_dead:
            return
        rest = self.process.rests_until - self.process.scheduler.now
        if rest > 0:
            self.process.scheduler.after(rest, partial(self._go_on, wait))
            return
        self._wait += 1
        self.parent = getcurrent()
        self.switch()


def current() -> Task:
    """Return the calling thread of a simulated process."""
    return getcurrent()  # type: ignore[return-value] # the product runs on tasks only
