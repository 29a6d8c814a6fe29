"""Threads of a simulated process: each step on the disk pauses a thread, and anything may happen before it goes on."""

import random
from collections.abc import Callable

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.processor import Processor
from tests.simulation.scheduler import MS, Scheduler

#: Time that one step on the disk takes; one of SLOW takes as long as a disk that is busy.
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
        """Start a thread, which begins a little later."""
        self._threads = [thread for thread in self._threads if not thread.dead]
        thread = Thread(self, body)
        self._threads.append(thread)
        thread.go_on_later()
        return thread

    def kill(self) -> None:
        """End all threads where they are; none of them does anything any more. Not called in one of them."""
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
        """Run others, for as long as a step on the disk takes. Called by the thread itself.

        latency: nanoseconds that it takes longer.
        """
        if self._killed:
            raise GreenletExit  # it has caught the first one
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
        """Run the thread once its step on the disk is done."""
        chance = self._threads.chance
        delay = SLOW_NS if chance.randrange(SLOW) == 0 else chance.randint(*STEP_NS)
        self._threads.scheduler.after(delay * self._threads.processor.slowness + latency, self._go_on)

    def kill(self) -> None:
        """End it where it is."""
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
    """Pause the thread that calls this, if it is one of a simulated process, for `latency` nanoseconds at least."""
    thread = getcurrent()
    if isinstance(thread, Thread):
        thread.pause(latency)
