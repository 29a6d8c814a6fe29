"""Threads of a simulated process: each step on the disk pauses a thread, and anything may happen meanwhile."""

import random
from collections.abc import Callable

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.processor import Processor
from tests.simulation.scheduler import MS, Scheduler

#: Time of one step on the disk; one of SLOW takes as long as on a busy disk.
STEP_NS = (10_000, 3 * MS)
SLOW = 100
SLOW_NS = 400 * MS


class Threads:
    """The threads of one process. on_step: called whenever a thread pauses at a step on the disk."""

    def __init__(
        self, scheduler: Scheduler, processor: Processor, chance: random.Random, on_step: Callable[[], None]
    ) -> None:
        self.on_step = on_step
        self.scheduler = scheduler
        self.processor = processor
        self.chance = chance
        self._threads: list[Thread] = []

    def start(self, body: Callable[[], None]) -> "Thread":
        """Start a thread, which begins after a short delay."""
        self._threads = [thread for thread in self._threads if not thread.dead]
        thread = Thread(self, body)
        self._threads.append(thread)
        thread.go_on_later()
        return thread

    def kill(self) -> None:
        """End all threads in their present state. Must not be called from one of them."""
        threads, self._threads = self._threads, []
        for thread in threads:
            thread.kill()


class Thread(greenlet):
    """One thread. parked: it waits for `go_on` instead of the disk."""

    def __init__(self, threads: Threads, body: Callable[[], None]) -> None:
        super().__init__(body)
        self.parked = False
        self._threads = threads
        self._killed = False

    def pause(self, latency: int = 0) -> None:
        """Run others, for the time of a step on the disk. Called by the thread itself.

        latency: additional nanoseconds.
        """
        if self._killed:
            raise GreenletExit  # the thread has caught the first one
        self._threads.on_step()
        self.go_on_later(latency)
        self._leave()

    def park(self) -> None:
        """Wait until `go_on`. Called by the thread itself."""
        self.parked = True
        self._leave()

    def go_on(self) -> None:
        """Run the thread up to its next pause. Called by the scheduler."""
        self.parked = False
        self.parent = getcurrent()
        self.switch()

    def go_on_later(self, latency: int = 0) -> None:
        """Run the thread when its step on the disk is complete."""
        chance = self._threads.chance
        delay = SLOW_NS if chance.randrange(SLOW) == 0 else chance.randint(*STEP_NS)
        processor = self._threads.processor
        delay *= processor.slowness
        if processor.slowness > 1:
            processor.hold_up(delay)
        self._threads.scheduler.after(delay + latency, self._go_on)

    def kill(self) -> None:
        """End the thread in its present state."""
        self._killed = True
        self.parent = getcurrent()
        self.throw()

    def _go_on(self) -> None:
        rest = self._threads.processor.rest
        if self._killed:
            return
        if rest:
            self._threads.scheduler.after(rest, self._go_on)
        else:
            self.go_on()

    def _leave(self) -> None:
        assert self.parent is not None
        self.parent.switch()


def pause(latency: int = 0) -> None:
    """Pause the calling thread, if it belongs to a simulated process, for at least `latency` nanoseconds."""
    thread = getcurrent()
    if isinstance(thread, Thread):
        thread.pause(latency)
