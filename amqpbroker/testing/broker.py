"""The broker that tests start: on a thread of its own, with a loop of its own, on a free port of this machine."""

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from urllib.parse import quote

from amqpbroker.config import Config
from amqpbroker.server.app import Listening, loop_factory
from amqpbroker.server.data import Data
from amqpbroker.server.listeners import shown
from amqpbroker.server.protocols import AMQP, HTTP
from amqpbroker.testing.clock import BrokerClock
from amqpbroker.testing.faults.api import Faults
from amqpbroker.testing.faults.injector import Injector
from amqpbroker.testing.forks import close_in_forks
from amqpbroker.testing.inspector import QueueState
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.instances import add_routes
from amqpbroker.testing.message import Message
from amqpbroker.testing.recorder import Refusal
from amqpbroker.testing.retained import KeptDefinitions
from amqpbroker.testing.settings import check_names, config_of
from amqpbroker.testing.waiting import overdue, result_of

T = TypeVar("T")

#: How long starting, stopping and what is asked of it may take before something must be wrong.
PATIENCE_S = 60


class Broker:
    """A broker within this process, for as long as the context lasts, or from `start` to `stop`; and again, if wanted.

    port: 0 takes a free one. management: whether the HTTP API is served, at `http_url`. vhosts: further ones, beside /.
    users: further ones, with their passwords; they are administrators and may do everything in every vhost.
    definitions: a file of RabbitMQ's definitions. settings: RabbitMQ's configuration keys, with underscores for dots or
    as **{"channel_max": 10}; such as compat="4.1".

    Nothing is kept on disk. Its methods may be called from any thread but its own. Raises ConfigError (a ValueError)
    for settings that are wrong.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        management: bool = False,
        vhosts: Iterable[str] = (),
        users: Mapping[str, str] | None = None,
        definitions: Any = None,
        **settings: Any,
    ) -> None:
        self._vhosts = vhosts if isinstance(vhosts, str) else tuple(vhosts)
        check_names(self._vhosts, users or {})
        self._config = config_of(host, port, management, definitions, settings)
        self._users = dict(users or {})
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: Instance | None = None
        self._listening: list[Listening] = []
        self._injector = Injector()
        self._coming: Future[None] | None = None
        # Guards `_loop`: what is asked of the loop while it is there is answered, or cancelled with its other tasks.
        self._asking = threading.Lock()
        self._pid = 0
        self.clock = BrokerClock(self._run, lambda: self._instance.time_travel)
        self.faults = Faults(self._injector, self._call_and_quiesce)

    # --- start and stop ---------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Returns once clients can connect. Raises ListenError, UnusableDefinitionsError."""
        if self._thread is not None:
            raise RuntimeError("this broker is running already")
        self._pid = os.getpid()
        ready: Future[None] = Future()
        thread = self._thread = threading.Thread(target=self._serve, args=(ready,), name="amqpbroker", daemon=True)
        thread.start()
        try:
            result_of(ready, PATIENCE_S, "start()", thread, self._current)
        except BaseException:
            thread.join(PATIENCE_S)
            self._thread = None
            raise
        atexit.register(self.stop)
        return self

    def stop(self) -> None:
        """Close what clients there are, and end the thread; without one, there is nothing to do."""
        atexit.unregister(self.stop)
        thread, self._thread = self._thread, None
        if thread is None or self._pid != os.getpid():
            return
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                loop.call_soon_threadsafe(self._end)
        instance = self._running
        thread.join(PATIENCE_S)
        self._listening = []
        close_in_forks(self, ())
        if thread.is_alive():
            raise overdue(PATIENCE_S, "stop()", thread, instance)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Clients of this loop are to hear of it, and to answer.
        await asyncio.to_thread(self.stop)

    def restart(self, down: float = 0) -> None:
        """As a server is: clients are disconnected, and durable queues, their persistent messages, users and the like
        are there again on the same ports, after `down` seconds. Time goes on. Returns once clients can connect.

        Raises ValueError for what is no number of seconds, 60 at most; ListenError if somebody else took the port
        meanwhile: the broker has ended then.
        """
        instance = self._instance
        back: Future[None] = Future()

        async def stop() -> None:
            if instance.server.is_replaced:
                raise RuntimeError("the broker is being restarted already")
            if instance.server.ends:
                raise RuntimeError(_STOPPED)
            instance.restart(down)
            self._coming = back

        self._run(stop(), what="restart()")
        result_of(back, PATIENCE_S + down, "restart()", self._thread, self._current)

    def _serve(self, ready: "Future[None]") -> None:
        """What the thread does."""
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._serve_on(ready))
        except BaseException as error:
            coming = self._coming
            if coming is None:
                raise
            self._thread = None
            coming.set_exception(error)
        finally:
            instance, self._running = self._running, None
            if instance is not None:
                instance.discard()

    async def _serve_on(self, ready: "Future[None]") -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._coming = ready
        try:
            await self._serve_all(loop)
        finally:
            with self._asking:
                self._loop = None
            # What was asked before becomes a task, which the end of the loop cancels.
            await asyncio.sleep(0)

    async def _serve_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve until the end, with a new broker after each restart."""
        kept = Data(KeptDefinitions())
        config: Config | None = self._config
        instance = None
        while config is not None:
            instance = Instance(config, loop, kept, {}, True, self._injector, before=instance)
            add_routes(instance)
            self._running = instance
            await instance.server.serve(partial(self._on_ready, instance))
            config = await instance.server.successor()
        if self._coming is not None:
            raise RuntimeError(_STOPPED)

    def _end(self) -> None:
        if self._running is not None:
            self._running.server.stop()

    def _on_ready(self, instance: Instance, listening: list[Listening]) -> None:
        if not self._listening:
            for vhost in self._vhosts:
                instance.broker.add_vhost(vhost)
            for name, password in self._users.items():
                instance.broker.users.add_user(name, password, ("administrator",))
            # Default users are not created if the definitions have users.
            default = [user.name for user in self._config.default_users if instance.broker.users.has(user.name)]
            for name in (*self._users, *default):
                for vhost in instance.broker.vhosts:
                    instance.broker.users.set_permissions(name, vhost, ".*", ".*", ".*")
        self._listening = listening
        close_in_forks(self, [port for _, _, port in listening])
        coming, self._coming = self._coming, None
        if coming is not None:
            coming.set_result(None)

    @property
    def running(self) -> bool:
        return self._thread is not None and self._pid == os.getpid()

    # --- where it is ------------------------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        return self._address(AMQP)[0]

    @property
    def port(self) -> int:
        return self._address(AMQP)[1]

    @property
    def url(self) -> str:
        """Of the default vhost, as the first user: amqp://guest:guest@127.0.0.1:PORT/"""
        return self.url_of()

    def url_of(self, vhost: str | None = None, user: str | None = None, password: str | None = None) -> str:
        """Of a vhost, as a user: the default one and the first one, unless others are named."""
        vhost = self._config.default_vhost if vhost is None else vhost
        first = self._config.default_users[0]
        name = first.name if user is None else user
        word = password if password is not None else self._users.get(name, first.password or "")
        path = "" if vhost == "/" else quote(vhost, safe="")
        return f"amqp://{quote(name, safe='')}:{quote(word, safe='')}@{shown(self.host, self.port)}/{path}"

    @property
    def http_url(self) -> str:
        """Of the management API: http://127.0.0.1:PORT. Raises RuntimeError unless it was asked for."""
        if self._config.management.port is None:
            raise RuntimeError("there is no management API; ask for it: Broker(management=True)")
        return f"http://{shown(*self._address(HTTP))}{self._config.management.path_prefix}"

    def _address(self, protocol: str) -> tuple[str, int]:
        for name, host, port in self._listening:
            if name == protocol:
                return host, port
        raise RuntimeError(_NOT_RUNNING)

    # --- vhosts -----------------------------------------------------------------------------------------------------

    def add_vhost(self, name: str) -> str:
        """Create an empty vhost in which every user has all permissions. Returns the URL of the vhost.

        Raises ValueError for a name that is not text.
        """
        check_names((name,), {})

        def add(instance: Instance) -> None:
            instance.broker.add_vhost(name)
            for user in instance.broker.users.list_users():
                instance.broker.users.set_permissions(user.name, name, ".*", ".*", ".*")

        self._call(add, "add_vhost()")
        return self.url_of(name)

    def delete_vhost(self, name: str, missing_ok: bool = False) -> None:
        """With all that is in it; its connections are closed. Raises LookupError, unless missing_ok."""

        def delete(instance: Instance) -> None:
            if name in instance.broker.vhosts or not missing_ok:
                instance.broker.delete_vhost(name)
            instance.recorder.vhost_deleted(name)

        self._call(delete, "delete_vhost()")

    # --- what is there ----------------------------------------------------------------------------------------------

    def wait_until(
        self,
        *,
        queue: str,
        ready: int | None = None,
        unacked: int | None = None,
        consumers: int | None = None,
        vhost: str | None = None,
        timeout: float = 5,
    ) -> QueueState:
        """Wait until a queue is there and has so many messages that are ready or unacknowledged, and so many consumers.

        vhost: None for any; so it is with the others below. timeout: in seconds of the machine's time. Raises
        AssertionError, which shows what is there instead; ValueError if several vhosts have such a queue; RuntimeError
        on a thread whose event loop would stand still meanwhile, and the clients on it.
        """
        __tracebackhide__ = True
        _refuse_to_block("wait_until")
        return self._query(
            "wait_until()",
            lambda instance: instance.inspector.wait_until(queue, ready, unacked, consumers, vhost, timeout),
            timeout,
        )

    def published(
        self,
        *,
        exchange: str | None = None,
        routing_key: str | None = None,
        vhost: str | None = None,
        count: int | None = None,
        timeout: float = 5,
    ) -> list[Message]:
        """What clients published, oldest first, in transactions too; exchange "" is the default one. The last 10,000
        are remembered.

        count: wait until there are so many. Raises AssertionError if there are fewer in the end, or more; RuntimeError
        as `wait_until`.
        """
        __tracebackhide__ = True
        if count is None:
            return self._query(
                "published()", lambda instance: _now(instance.inspector.published(exchange, routing_key, vhost))
            )
        _refuse_to_block("published")
        return self._query(
            "published()",
            lambda instance: instance.inspector.wait_for_published(count, exchange, routing_key, vhost, timeout),
            timeout,
        )

    def messages(self, queue: str, *, vhost: str | None = None) -> list[Message]:
        """What is ready in a queue, in the order in which it would leave; it stays, as if nobody had looked.

        Raises AssertionError if there is no such queue, ValueError if several vhosts have one.
        """
        __tracebackhide__ = True
        return self._query("messages()", lambda instance: _now(instance.inspector.messages(queue, vhost)))

    def queues(self, *, vhost: str | None = None) -> list[QueueState]:
        """All of them, with their numbers."""
        return self._query("queues()", lambda instance: _now(instance.inspector.queues(vhost)))

    @property
    def unroutable(self) -> list[Message]:
        """What clients published and no queue got, oldest first; the last 1,000 are remembered."""
        return self.unroutable_in(None)

    def unroutable_in(self, vhost: str | None) -> list[Message]:
        return self._query("unroutable", lambda instance: _now(instance.inspector.unroutable(vhost)))

    @property
    def channel_errors(self) -> list[Refusal]:
        """What closed clients' channels and connections, oldest first; the last 1,000 are remembered."""
        return self.channel_errors_in(None)

    def channel_errors_in(self, vhost: str | None) -> list[Refusal]:
        return self._query("channel_errors", lambda instance: _now(instance.inspector.refusals(vhost)))

    # --- the way to the loop's thread -------------------------------------------------------------------------------

    @property
    def _instance(self) -> Instance:
        if self._running is None or self._thread is None:
            raise RuntimeError(_NOT_RUNNING)
        return self._running

    def _current(self) -> Instance | None:
        """Return the running broker: each restart makes a new one. None before the first start and after the end."""
        return self._running

    def _run(self, coroutine: Coroutine[Any, Any, Any], timeout_s: float | None = None, what: str = "") -> Any:
        """Run a coroutine on the loop's thread and return its result. what: name of the waiting call, for errors."""
        __tracebackhide__ = True
        refusal = self._why_not()
        if refusal is None:
            with self._asking:
                if self._loop is not None:
                    running = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
                else:
                    refusal = _NOT_RUNNING
        if refusal is not None:
            coroutine.close()
            raise RuntimeError(refusal)
        try:
            patience_s = PATIENCE_S if timeout_s is None else timeout_s
            return result_of(running, patience_s, what, self._thread, self._current)
        except CancelledError:
            raise RuntimeError(_STOPPED) from None
        except AssertionError as error:
            # pytest is to show the line of the test, and not where the broker's thread was.
            raise error.with_traceback(None) from None
        finally:
            running.cancel()

    def _why_not(self) -> str | None:
        """Return why nothing can be asked of the loop from here; None if it can."""
        if self._loop is None:
            return _NOT_RUNNING
        if self._pid != os.getpid():
            return f"the broker runs in the process that started it, {self._pid}; here one can only connect to its url"
        if self._thread is threading.current_thread():
            return "this is the broker's own thread: it would wait for itself"
        return None

    def _query(self, what: str, query: Callable[[Instance], Awaitable[T]], timeout_s: float = 0) -> T:
        """Return the result of a query, once all that clients have sent so far is handled."""
        __tracebackhide__ = True
        instance = self._instance

        async def quiesced() -> T:
            await instance.time_travel.quiesce()
            return await query(instance)

        return cast(T, self._run(quiesced(), PATIENCE_S + timeout_s, what))

    def _call(self, function: Any, what: str = "a call") -> Any:
        """`function(instance)`, on the loop's thread."""
        instance = self._instance

        async def call() -> Any:
            return function(instance)

        return self._run(call(), what=what)

    def _call_and_quiesce(self, function: Any) -> Any:
        """Call `function()` on the loop's thread, and wait until its consequences are written to the sockets."""
        instance = self._instance

        async def call() -> Any:
            done = function()
            await instance.time_travel.quiesce()
            return done

        return self._run(call(), what="an order of faults")


async def _now(value: T) -> T:
    return value


def _refuse_to_block(name: str) -> None:
    """Clients on this thread's event loop could do nothing while it waits. Raises RuntimeError."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        f"{name} would keep this thread's event loop from running: await asyncio.to_thread(b.{name}, ...) instead"
    )


_STOPPED = "the broker was stopped meanwhile"
_NOT_RUNNING = "the broker is not running: use it as `with Broker() as b:`, or start() it"
