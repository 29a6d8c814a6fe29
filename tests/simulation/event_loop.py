"""The event loop of a simulated broker: asyncio's interface, driven by the scheduler instead of a selector."""

import asyncio
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from tests.simulation.processor import Processor
from tests.simulation.scheduler import MS, Scheduler

#: Time that an iteration takes at least and at most; one of SLOW takes SLOW_NS, as of a process that is not scheduled.
ITERATION_NS = (5_000, 200_000)
SLOW = 200
SLOW_NS = 30 * MS


class Readable(Protocol):
    """A socket of the loop."""

    def read(self) -> None: ...


class SimulatedLoop(asyncio.AbstractEventLoop):
    """One loop in the life of one process; nothing of it runs any more after `kill`.

    errors: what callbacks raised. iterations: how many there were. An iteration fires timers, makes the calls
    that are due, and reads each socket that has data once, as libuv does.
    """

    def __init__(self, scheduler: Scheduler, processor: Processor, chance: random.Random) -> None:
        self.errors: list[dict[str, Any]] = []
        self.iterations = 0
        self._scheduler = scheduler
        self._processor = processor
        self._chance = chance
        self._ready: deque[asyncio.Handle] = deque()
        self._timed: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._readable: dict[Readable, None] = {}
        self._sequence = 0
        self._awake = False
        self._killed = False

    def kill(self) -> None:
        """The process is gone."""
        self._killed = True
        self._ready.clear()
        self._timed.clear()
        self._readable.clear()

    # --- what a broker calls ----------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._scheduler.now / 1e9

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self._killed:
            self._ready.append(handle)
            self._wake()
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        due = self._scheduler.now + round(delay * 1e9)
        handle = asyncio.TimerHandle(due / 1e9, callback, args, self, context)
        if not self._killed:
            self._sequence += 1
            heapq.heappush(self._timed, (due, self._sequence, handle))
            self._scheduler.after(due - self._scheduler.now, self._wake)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coroutine: Any, **_: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coroutine, loop=self)

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Asyncio calls this; a cancelled handle is skipped when it is due."""

    # --- what the network calls -------------------------------------------------------------------------------------

    def set_readable(self, socket: Readable) -> None:
        """Read the socket once in the next iteration."""
        if not self._killed:
            self._readable[socket] = None
            self._wake()

    def unset_readable(self, socket: Readable) -> None:
        self._readable.pop(socket, None)

    # ----------------------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        if not self._awake and not self._killed:
            self._awake = True
            delay = SLOW_NS if self._chance.randrange(SLOW) == 0 else self._chance.randint(*ITERATION_NS)
            self._scheduler.after(delay * self._processor.slowness, self._iterate)

    def _iterate(self) -> None:
        if self._processor.rest:
            self._scheduler.after(self._processor.rest, self._iterate)
            return
        self._awake = False
        if self._killed:
            return
        self.iterations += 1
        previous = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while self._timed and self._timed[0][0] <= self._scheduler.now:
                self._ready.append(heapq.heappop(self._timed)[2])
            for _ in range(len(self._ready)):
                if not self._ready:  # the process ended
                    break
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
            sockets, self._readable = self._readable, {}
            for socket in sockets:
                if not self._killed:
                    socket.read()
        finally:
            asyncio._set_running_loop(previous)
        if self._ready or self._readable:
            self._wake()
