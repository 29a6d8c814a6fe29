"""The thread and event loop of a broker within the process of its tests, and calls to it from other threads."""

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from functools import partial
from typing import Any, TypeVar

from amqpbroker.config import Config
from amqpbroker.server.app import Listening, loop_factory
from amqpbroker.server.data import Data
from amqpbroker.testing.faults.injector import Injector
from amqpbroker.testing.forks import close_in_forks
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.instances import add_routes
from amqpbroker.testing.retained import KeptDefinitions
from amqpbroker.testing.waiting import outcome_of, overdue

T = TypeVar("T")

#: Default time limit in seconds, see `Host.patience_s`.
PATIENCE_S = 60.0

STOPPED = "the broker was stopped during this call; keep it running until the call has returned"
NOT_RUNNING = "the broker is not running: use it as `with Broker() as b:`, or call start() first"


class Host:
    """Runs a broker on a thread of its own, from `start` to `stop`, with a new instance after each restart.

    prepare: called on the broker's thread with the first instance of each run, before clients can connect.
    """

    def __init__(self, config: Config, prepare: Callable[[Instance], None]) -> None:
        self._config = config
        self._prepare = prepare
        self.injector = Injector()
        #: Addresses on which clients can connect, empty unless it runs.
        self.listening: list[Listening] = []
        #: The running instance: each restart makes a new one. None before the first start and after the end.
        self.current: Instance | None = None
        self.thread: threading.Thread | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self._coming: Future[None] | None = None
        # Guards `loop`: a call that finds the loop is answered, or cancelled with the loop's other tasks.
        self._asking = threading.Lock()
        self._pid = 0
        #: Time limit in seconds for the start, the stop and each call.
        self.patience_s = PATIENCE_S

    # --- start and stop -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Return once clients can connect. Raises ListenError, UnusableDefinitionsError, RuntimeError."""
        if self.thread is not None:
            raise RuntimeError("this broker is running already: stop() it first, or make another Broker()")
        self._pid = os.getpid()
        ready: Future[None] = Future()
        thread = self.thread = threading.Thread(target=self._serve, args=(ready,), name="amqpbroker", daemon=True)
        thread.start()
        try:
            wait([ready], self.patience_s)
            self.outcome(ready, self.patience_s, "start()", thread)
        except BaseException:
            thread.join(self.patience_s)
            self.thread = None
            raise
        atexit.register(self.stop)

    def stop(self) -> None:
        """Close the clients' connections and end the thread. Does nothing unless it runs. Raises TimeoutError."""
        atexit.unregister(self.stop)
        thread, self.thread = self.thread, None
        if thread is None or self._pid != os.getpid():
            return
        loop = self.loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                loop.call_soon_threadsafe(self._end)
        instance = self.current
        thread.join(self.patience_s)
        self.listening = []
        close_in_forks(self, ())
        if thread.is_alive():
            raise overdue(self.patience_s, "stop()", thread, instance)

    @property
    def running(self) -> bool:
        """Return whether it runs, and in this process: a fork of the process has no broker."""
        return self.thread is not None and self._pid == os.getpid()

    async def restart(self, down: float, back: "Future[None]") -> None:
        """Begin a restart; `back` gets its result once clients can connect again. Runs on the broker's loop.

        Raises ValueError for an invalid `down`, RuntimeError if the broker is about to stop or to restart.
        """
        instance = self.instance
        if instance.server.is_replaced:
            raise RuntimeError("the broker is being restarted already: call restart() again after that")
        if instance.server.ends:
            raise RuntimeError(STOPPED)
        instance.restart(down)
        self._coming = back

    def _serve(self, ready: "Future[None]") -> None:
        """Run the thread: serve until the end, and pass an early failure to the thread that waits for the start."""
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._serve_on(ready))
        except BaseException as error:
            coming = self._coming
            if coming is None:
                raise
            self.thread = None
            coming.set_exception(error)
        finally:
            instance, self.current = self.current, None
            if instance is not None:
                instance.discard()

    async def _serve_on(self, ready: "Future[None]") -> None:
        loop = self.loop = asyncio.get_running_loop()
        self._coming = ready
        try:
            await self._serve_all(loop)
        finally:
            with self._asking:
                self.loop = None
            # Earlier calls become tasks, which the end of the loop cancels.
            await asyncio.sleep(0)

    async def _serve_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve until the end, with a new broker after each restart."""
        kept = Data(KeptDefinitions())
        config: Config | None = self._config
        instance = None
        while config is not None:
            instance = Instance(config, loop, kept, {}, True, self.injector, before=instance)
            add_routes(instance)
            self.current = instance
            await instance.server.serve(partial(self._on_ready, instance))
            config = await instance.server.successor()
        if self._coming is not None:
            raise RuntimeError(STOPPED)

    def _end(self) -> None:
        if self.current is not None:
            self.current.server.stop()

    def _on_ready(self, instance: Instance, listening: list[Listening]) -> None:
        if not self.listening:
            self._prepare(instance)
        self.listening = listening
        close_in_forks(self, [port for _, _, port in listening])
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.set_result(None)

    # --- calls --------------------------------------------------------------------------------------------------------

    @property
    def instance(self) -> Instance:
        """The running instance. Raises RuntimeError if there is none."""
        if self.current is None or self.thread is None:
            raise RuntimeError(NOT_RUNNING)
        return self.current

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Run a coroutine on the broker's loop. Raises RuntimeError if that is impossible from here."""
        refusal = self._refusal()
        if refusal is None:
            with self._asking:
                if self.loop is not None:
                    return asyncio.run_coroutine_threadsafe(coroutine, self.loop)
            refusal = NOT_RUNNING
        coroutine.close()
        raise RuntimeError(refusal)

    def outcome(self, future: "Future[T]", timeout_s: float, what: str, thread: threading.Thread | None = None) -> T:
        """Return the result of a future that was waited for. what: name of the call, for errors.

        Raises the future's exception; TimeoutError if it is not done; RuntimeError if the broker was stopped.
        """
        __tracebackhide__ = True
        try:
            return outcome_of(future, timeout_s, what, thread or self.thread, self.current)
        except CancelledError:
            raise RuntimeError(STOPPED) from None
        except AssertionError as error:
            # pytest is to show the line of the test, and not where the broker's thread was.
            raise error.with_traceback(None) from None

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float | None = None, what: str = "") -> T:
        """Run a coroutine on the broker's loop and return its result. Blocks the calling thread, see `outcome`."""
        __tracebackhide__ = True
        patience_s = self.patience_s if timeout_s is None else timeout_s
        running = self.submit(coroutine)
        try:
            wait([running], patience_s)
            return self.outcome(running, patience_s, what)
        finally:
            running.cancel()

    async def query(self, query: Callable[[Instance], Awaitable[T]]) -> T:
        """Return the result of a query once all data is handled that clients have sent so far. On the broker's loop."""
        instance = self.instance
        await instance.time_travel.quiesce()
        return await query(instance)

    async def call(self, function: Callable[[Instance], T]) -> T:
        """Call a function with the running instance. On the broker's loop."""
        return function(self.instance)

    async def call_and_quiesce(self, function: Callable[[], T]) -> T:
        """Call a function, and wait until its consequences are written to the sockets. On the broker's loop."""
        done = function()
        await self.instance.time_travel.quiesce()
        return done

    def _refusal(self) -> str | None:
        """Return the reason why the calling thread cannot make calls, None if it can."""
        if self.loop is None:
            return NOT_RUNNING
        if self._pid != os.getpid():
            return (
                f"the broker runs in the process that started it, {self._pid}: this process, a fork of it, "
                "can only connect to its url"
            )
        if self.thread is threading.current_thread():
            return "this is the broker's own thread, which would wait for itself: make the call on another thread"
        return None
