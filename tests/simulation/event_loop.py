"""The event loop of a simulated broker: asyncio's interface, driven by the scheduler instead of a selector."""

import asyncio
import contextvars
import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from greenlet import getcurrent

from tests.simulation.processor import Processor
from tests.simulation.scheduler import MS, SECOND, Scheduler
from tests.simulation.threads import Thread

#: Minimum and maximum time of an iteration; one of SLOW takes SLOW_NS, like a process that is not scheduled.
ITERATION_NS = (5_000, 200_000)
SLOW = 200
SLOW_NS = 30 * MS
#: Minimum time of an iteration, with the wait before it, that the loop remembers, and how long it does.
LONG_NS = 10 * MS
REMEMBERED_NS = SECOND


#: See `SimulatedLoop.connects`.
Connects = Callable[[Callable[[], asyncio.BaseProtocol], int | None, Any], Awaitable[Any]]


class Readable(Protocol):
    """A socket of the loop."""

    def read(self) -> None: ...


class SimulatedLoop(asyncio.AbstractEventLoop):
    """The loop of one process; nothing of it runs after `kill`.

    on_error: called with each exception of a callback. iterations: number of iterations. An iteration fires timers,
    makes the calls that are due, and reads each socket that has data once, like libuv. `serve` runs iterations in the
    thread that calls it; while the thread waits for the disk, there are none.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        processor: Processor,
        chance: random.Random,
        on_error: Callable[[BaseException | None], None],
    ) -> None:
        #: Connects a protocol of the process to a port, or by a stand-in for a socket.
        self.connects: Connects = _connects_nowhere
        #: Called between two iterations.
        self.after_iteration: Callable[[], None] = lambda: None
        self.iterations = 0
        self._on_error = on_error
        self._scheduler = scheduler
        self._processor = processor
        self._chance = chance
        self._ready: deque[Call] = deque()
        self._timed: list[tuple[int, int, Call]] = []
        self._readable: dict[Readable, None] = {}
        self._sequence = 0
        #: Begin of the last iteration, and whether it left calls to the next one.
        self._began = 0
        self._left_calls = False
        self._is_busy = False
        #: Earliest time at which the broker decided what it does in the last iteration.
        self._origin = 0
        #: Origins and ends of past iterations that took long.
        self._long: deque[tuple[int, int]] = deque()
        self._awake = False
        self._killed = False
        self._thread: Thread | None = None
        #: An iteration was due while the thread was busy.
        self._missed = False

    def serve(self) -> None:
        """Iterate in the calling thread until the process has ended."""
        thread = getcurrent()
        assert isinstance(thread, Thread)
        self._thread = thread
        self._missed = True
        while not self._killed:
            if self._missed or self._ready or self._readable:
                self._missed = False
                self._wake()
            thread.park()
            self._iterate()
            if not self._killed:
                self.after_iteration()

    @property
    def is_between_iterations(self) -> bool:
        """Return whether no iteration is in progress.

        During one, the thread may wait for the disk while the broker's data is incomplete: a page that is being
        written is no part of its queue.
        """
        return self._thread is not None and self._thread.parked

    def decided_since(self, at: int) -> int:
        """Return the earliest time at which the broker has decided what it has written since `at`.

        It writes in the same iteration or in the next one, and an iteration may wait for the disk. at, result: in
        nanoseconds; `at` is at most REMEMBERED_NS ago.
        """
        origins = [origin for origin, end in self._long if end >= at]
        if self._is_busy:
            origins.append(self._origin)
        return min([at, *origins])

    def kill(self) -> None:
        """End with the process."""
        self._killed = True
        # Later calls refer to the loop, which refers to nothing of the process.
        self._on_error = self.after_iteration = _nothing
        self.connects = _connects_nowhere
        self._thread = None
        self._ready.clear()
        self._timed.clear()
        self._readable.clear()
        self.before_iteration = self.after_iteration = lambda: None

    # --- calls of the broker ------------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._scheduler.now / 1e9

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> "Call":
        handle = Call(callback, args, context)
        if not self._killed:
            self._ready.append(handle)
            self._wake()
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> "Call":
        due = self._scheduler.now + round(delay * 1e9)
        handle = Call(callback, args, context, due / 1e9)
        if not self._killed:
            self._sequence += 1
            heapq.heappush(self._timed, (due, self._sequence, handle))
            self._scheduler.after(due - self._scheduler.now, self._wake)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_later(max(when - self.time(), 0), callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coroutine: Any, **_: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coroutine, loop=self)

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: Any = None,
        **_: Any,
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect over the simulated network. sock: a stand-in for a socket; without it, only the port counts."""
        return await self.connects(protocol_factory, port, sock)

    def get_task_factory(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._killed:  # tasks end with their process
            self._on_error(context.get("exception"))

    # --- calls of the network -----------------------------------------------------------------------------------------

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
            self._scheduler.after(delay * self._processor.slowness, self._due)

    def _due(self) -> None:
        if self._killed:
            return
        if self._processor.rest:
            self._scheduler.after(self._processor.rest, self._due)
            return
        self._awake = False
        if self._thread is not None and self._thread.parked:
            self._thread.go_on()
        else:
            self._missed = True

    def _iterate(self) -> None:
        self.iterations += 1
        began = self._scheduler.now
        self._origin = self._began if self._left_calls else began
        self._began = began
        self._is_busy = True
        previous = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while self._timed and self._timed[0][0] <= self._scheduler.now:
                self._ready.append(heapq.heappop(self._timed)[2])
            for _ in range(len(self._ready)):
                if not self._ready:  # the process ended
                    break
                self._call(self._ready.popleft())
            sockets, self._readable = self._readable, {}
            for socket in sockets:
                if not self._killed:
                    socket.read()
        finally:
            asyncio._set_running_loop(previous)
            self._left_calls = bool(self._ready)
            self._is_busy = False
            self._remember(self._scheduler.now)

    def _remember(self, end: int) -> None:
        """Note an iteration that took long."""
        if end - self._origin >= LONG_NS:
            self._long.append((self._origin, end))
            while self._long[0][1] < end - REMEMBERED_NS:
                self._long.popleft()

    def _call(self, handle: "Call") -> None:
        callback = handle.callback
        if callback is None:
            return
        try:
            if handle.context is None:
                callback(*handle.arguments)
            else:
                handle.context.run(callback, *handle.arguments)
        except Exception as error:
            self._on_error(error)


def _nothing(*_: object) -> None:
    pass


async def _connects_nowhere(*_: object) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
    raise ConnectionRefusedError(111, "Connection refused")


class Call:
    """Handle of a call, like those of asyncio."""

    __slots__ = ("_when", "arguments", "callback", "context")

    def __init__(
        self,
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
        context: contextvars.Context | None,
        when: float = 0.0,
    ) -> None:
        self.callback: Callable[..., object] | None = callback
        self.arguments = arguments
        self.context = context
        self._when = when

    def cancel(self) -> None:
        self.callback = None
        self.arguments = ()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self._when
