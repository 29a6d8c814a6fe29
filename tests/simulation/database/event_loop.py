"""The event loop of a simulated broker: asyncio's interface on a simulated thread."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from greenlet import GreenletExit

from amqpbroker.clock import Clock
from tests.simulation.database.tasks import Process, Task, current
from tests.simulation.database.threading_module import ThreadPoolExecutor
from tests.simulation.scheduler import MS, SECOND


class Call:
    """A handle of a call, like those of asyncio."""

    __slots__ = ("arguments", "callback")

    def __init__(self, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.callback: Callable[..., object] | None = callback
        self.arguments = arguments

    def cancel(self) -> None:
        self.callback = None

    def cancelled(self) -> bool:
        return self.callback is None


class Loop(asyncio.AbstractEventLoop):
    """The loop of one process. A callback may wait for the database, as those of the product do."""

    def __init__(self, process: Process, on_error: Callable[[BaseException], None]) -> None:
        """on_error: called with each exception of a callback that nothing else handles."""
        self._process = process
        self._scheduler = process.scheduler
        self._on_error = on_error
        self._ready: deque[Call] = deque()
        self._timed: list[tuple[int, int, Call]] = []
        self._sequence = 0
        #: The thread of the loop, while it has nothing to do.
        self._waiting: Task | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run the calling thread's loop until this coroutine has ended. Raises its exception."""
        ended = self.create_task(main)
        thread, ready, timed, scheduler = current(), self._ready, self._timed, self._scheduler
        while not ended.done():
            while timed and timed[0][0] <= scheduler.now:
                ready.append(heapq.heappop(timed)[2])
            if not ready:
                self._waiting = thread
                thread.wait(timed[0][0] - scheduler.now if timed else None)
                self._waiting = None
            for _ in range(len(ready)):
                call = ready.popleft()
                if call.callback is not None:
                    self._call(call.callback, call.arguments)
        ended.result()

    def _call(self, callback: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        asyncio._set_running_loop(self)
        try:
            callback(*arguments)
        except Exception as error:
            self._on_error(error)
        finally:
            asyncio._set_running_loop(None)
        if self._process.is_dead:
            # A task has caught it.
            raise GreenletExit

    def discard(self) -> None:
        """End all coroutines, after the process was killed."""
        tasks, self._tasks = self._tasks, []
        self._ready.clear()
        self._timed.clear()
        for task in tasks:
            with suppress(BaseException):
                task.get_coro().close()
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    # --- asyncio's interface ------------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._scheduler.now / SECOND

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        call = Call(callback, args)
        self._ready.append(call)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.wake_later()
        return call

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        call = Call(callback, args)
        self._sequence += 1
        heapq.heappush(self._timed, (self._scheduler.now + int(delay * SECOND), self._sequence, call))
        return call

    def call_at(self, when: float, callback: Callable[..., object], *args: Any, context: Any = None) -> Any:
        return self.call_later(max(when - self.time(), 0.0), callback, *args)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coroutine: Any, **_: Any) -> asyncio.Task[Any]:
        if len(self._tasks) > 50:
            self._tasks = [task for task in self._tasks if not task.done()]
        task = asyncio.Task(coroutine, loop=self)
        self._tasks.append(task)
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: ThreadPoolExecutor | None, task: Callable[[], Any]
    ) -> asyncio.Future[Any]:
        if self._process.is_dead:
            raise GreenletExit
        future = self.create_future()

        def run() -> None:
            try:
                result = task()
            except GreenletExit:
                raise
            except BaseException as error:
                self.call_soon(future.set_exception, error)
            else:
                self.call_soon(future.set_result, result)

        if executor is None:
            self._process.start(run)
        else:
            executor.submit(run)
        return future

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return False

    def get_task_factory(self) -> None:
        return None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._process.is_dead and (error := context.get("exception")) is not None:
            self._on_error(error)


class LoopClock(Clock):
    """The clock of a process, whose timers its loop fires."""

    def __init__(self, loop: Loop, process: Process) -> None:
        super().__init__()
        self._loop = loop
        self._scheduler = process.scheduler
        self.on_earlier = self._wake

    def now_ms(self) -> int:
        self.turn_ms = self._scheduler.now // MS
        return self.turn_ms

    def _wake(self, due_ms: int) -> None:
        self._loop.call_later(max(due_ms - self.now_ms(), 0) / 1000, self._fire)

    def _fire(self) -> None:
        due_ms = self.fire_due()
        if due_ms is not None:
            self._wake(due_ms)
