"""Low memory: queues move waiting messages out of memory, a few pages at a time."""

from collections.abc import Callable, Iterator

from amqpbroker.broker.queues.queue import Queue
from amqpbroker.clock import Clock, Timer
from amqpbroker.store.spill import Spill

#: Pages moved in one step, and the time for other work until the next step.
STEP_PAGES = 2
REST_MS = 5
#: Time from the end of one round through all queues to the start of the next.
ROUND_MS = 1000


class PageOut:
    """Iterates over the queues while memory is low.

    queues(): returns the present queues. give_back(): called after a round that has moved something, to return free
    memory to the operating system.
    """

    def __init__(
        self,
        clock: Clock,
        spill: Spill,
        queues: Callable[[], list[Queue]],
        give_back: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._spill = spill
        self._queues = queues
        self._give_back = give_back
        self._timer: Timer | None = None
        self._round: Iterator[Queue] = iter(())
        self._queue: Queue | None = None
        self._moved: bool = False

    def set(self, short: bool) -> None:
        """Set whether memory is low; repeated calls have no effect.

        If the spill is disabled, nothing happens.
        """
        if short == self._spill.short:
            return
        self._spill.need(short)
        if self._spill.short:
            self._start()
        else:
            self._end()

    def _start(self) -> None:
        """Begin a round; writes that failed in the last one are tried again."""
        self._spill.need(True)
        self._round = iter(self._queues())
        self._queue = next(self._round, None)
        self._moved = False
        self._step()

    def _end(self) -> None:
        """End the round, and forget the queues that it did not reach, so that those deleted later are freed."""
        if self._timer is not None:
            self._timer.cancel()
        self._round, self._queue = iter(()), None

    def _step(self) -> None:
        for _ in range(STEP_PAGES):
            while self._queue is not None and not self._queue.page_out():
                self._queue = next(self._round, None)
            if self._queue is None:
                if self._moved:
                    self._give_back()
                self._timer = self._clock.after(ROUND_MS, self._start)
                return
            self._moved = True
        self._timer = self._clock.after(REST_MS, self._step)
