"""The broker that tests start, with awaitable methods."""

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from amqpbroker.testing import redriving
from amqpbroker.testing.aio.clock import AsyncBrokerClock
from amqpbroker.testing.aio.faults import AsyncFaults
from amqpbroker.testing.aio.stream import AsyncStream
from amqpbroker.testing.aio.waiting import in_thread, wait_for
from amqpbroker.testing.batch_state import BatchState
from amqpbroker.testing.broker import Broker, adding_vhost, deleting_vhost, now
from amqpbroker.testing.checks import limited_s
from amqpbroker.testing.hints import Hinted, checked_arguments
from amqpbroker.testing.inspector import GroupState, LockedMessage, QueueState
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.job_state import JobState
from amqpbroker.testing.message import Message
from amqpbroker.testing.recorder import Refusal
from amqpbroker.testing.redriving import Redriven, options_of

T = TypeVar("T")


class AsyncBroker(Hinted):
    """A `Broker` whose methods are awaited, for tests with asyncio or trio: `async with AsyncBroker() as broker:`.

    The broker runs on a thread of its own. While a test awaits one of these methods, its event loop and the clients on
    it go on. Cancelling the task, or a timeout around it, ends the call.

    It takes the arguments of `Broker`, and its methods take the arguments, return the values and raise the errors of
    the methods with the same names there. It is bound to no event loop: one object may be used in several tests.
    """

    _parts = ("clock", "faults")

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
        self._use(
            Broker(
                host=host,
                port=port,
                management=management,
                vhosts=vhosts,
                users=users,
                definitions=definitions,
                **settings,
            )
        )

    @classmethod
    def from_broker(cls, broker: Broker) -> Self:
        """Return the awaitable methods of a broker, which runs and stops on its own."""
        made = cls.__new__(cls)
        made._use(broker)
        return made

    def _use(self, broker: Broker) -> None:
        #: The `Broker` behind these methods.
        self.sync = broker
        self._host = broker._host
        #: The broker's clock, an `AsyncBrokerClock`: move its time on, freeze it, read it.
        self.clock = AsyncBrokerClock(self._host, self._run)
        #: Faults to inject, an `AsyncFaults`: lost connections, refused publishes, late confirms.
        self.faults = AsyncFaults(self._host.injector, self._call_and_quiesce)

    # --- start and stop -----------------------------------------------------------------------------------------------

    async def start(self) -> Self:
        """Start the broker. Return it once clients can connect. See `Broker.start`."""
        await in_thread(self.sync.start)
        return self

    async def stop(self) -> None:
        """Close the clients' connections and stop the broker. Does nothing if it is not running."""
        await in_thread(self.sync.stop)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @checked_arguments
    async def restart(self, down: float = 0) -> None:
        """Restart the broker as a server would be. Return once clients can connect again. See `Broker.restart`."""
        back: Future[None] = Future()
        await self._run(self._host.restart(down, back), what="restart()")
        patience_s = self._host.patience_s + down
        await wait_for(back, patience_s)
        self._host.outcome(back, patience_s, "restart()")

    @property
    def running(self) -> bool:
        """True from `start()` to `stop()`."""
        return self.sync.running

    # --- addresses ----------------------------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The address that the broker listens on, such as `127.0.0.1`."""
        return self.sync.host

    @property
    def port(self) -> int:
        """The port for AMQP 0-9-1."""
        return self.sync.port

    @property
    def url(self) -> str:
        """The URL of the default vhost with the first user: `amqp://guest:guest@127.0.0.1:PORT/`."""
        return self.sync.url

    @property
    def http_url(self) -> str:
        """The URL of the HTTP API. See `Broker.http_url`."""
        return self.sync.http_url

    @checked_arguments
    def url_of(self, vhost: str | None = None, user: str | None = None, password: str | None = None) -> str:
        """Return the AMQP URL of a vhost with a user's name and password. Not awaited. See `Broker.url_of`."""
        return self.sync.url_of(vhost, user, password)

    # --- vhosts -------------------------------------------------------------------------------------------------------

    @checked_arguments
    async def add_vhost(self, name: str) -> str:
        """Create an empty vhost in which every user has all permissions. Return its URL. See `Broker.add_vhost`."""
        await self._run(self._host.call(adding_vhost(name)), what="add_vhost()")
        return self.url_of(name)

    @checked_arguments
    async def delete_vhost(self, name: str, missing_ok: bool = False) -> None:
        """Delete a vhost with all its queues and exchanges, and close its connections. See `Broker.delete_vhost`."""
        await self._run(self._host.call(deleting_vhost(name, missing_ok)), what="delete_vhost()")

    # --- queries ------------------------------------------------------------------------------------------------------

    @checked_arguments
    async def wait_until(
        self,
        *,
        queue: str,
        ready: int | None = None,
        unacked: int | None = None,
        consumers: int | None = None,
        vhost: str | None = None,
        timeout: float = 5,
    ) -> QueueState:
        """Wait until a queue exists and has the given numbers. Return its state. See `Broker.wait_until`."""
        __tracebackhide__ = True
        return await self._query(
            "wait_until()",
            lambda instance: instance.inspector.wait_until(queue, ready, unacked, consumers, vhost, timeout),
            timeout,
        )

    @checked_arguments
    async def published(
        self,
        *,
        exchange: str | None = None,
        routing_key: str | None = None,
        body: bytes | None = None,
        vhost: str | None = None,
        count: int | None = None,
        timeout: float = 5,
    ) -> list[Message]:
        """Return the messages that clients published, oldest first; wait for `count`. See `Broker.published`."""
        __tracebackhide__ = True
        return await self._query(
            "published()",
            lambda instance: instance.inspector.find_published(exchange, routing_key, vhost, body, count, timeout),
            0 if count is None else timeout,
        )

    @checked_arguments
    async def messages(self, queue: str, *, vhost: str | None = None) -> list[Message]:
        """Return the messages that are ready in a queue, in the order of their delivery. See `Broker.messages`."""
        __tracebackhide__ = True
        return await self._query("messages()", lambda instance: now(instance.inspector.messages(queue, vhost)))

    @checked_arguments
    async def delayed(self, queue: str, *, vhost: str | None = None) -> list[Message]:
        """Return the delayed messages of a queue, by their `due` times. See `Broker.delayed`."""
        __tracebackhide__ = True
        return await self._query("delayed()", lambda instance: now(instance.inspector.delayed(queue, vhost)))

    @checked_arguments
    async def groups(self, queue: str, *, vhost: str | None = None) -> list[GroupState]:
        """Return the message groups of a queue, with their states. See `Broker.groups`."""
        __tracebackhide__ = True
        return await self._query("groups()", lambda instance: now(instance.inspector.groups(queue, vhost)))

    @checked_arguments
    async def locked(self, queue: str, *, vhost: str | None = None) -> list[LockedMessage]:
        """Return the messages of a queue that are delivered and not settled. See `Broker.locked`."""
        __tracebackhide__ = True
        return await self._query("locked()", lambda instance: now(instance.inspector.locked(queue, vhost)))

    @checked_arguments
    async def redrive(
        self,
        queue: str,
        *,
        destination: str | None = None,
        reason: str | None = None,
        headers: Mapping[str, Any] | None = None,
        limit: int | None = None,
        vhost: str | None = None,
        timeout: float = 5,
    ) -> Redriven:
        """Move the messages of a dead letter queue back to the queues in which they died. See `Broker.redrive`."""
        __tracebackhide__ = True
        options = options_of(destination, reason, headers, limit)
        return await self._query(
            "redrive()", lambda instance: redriving.redrive(instance, queue, vhost, options, timeout), timeout
        )

    @checked_arguments
    async def batch(self, batch_id: str, *, vhost: str | None = None) -> BatchState:
        """Return the state of a batch of messages. See `Broker.batch`."""
        __tracebackhide__ = True
        return await self._query("batch()", lambda instance: now(instance.inspector.batch(batch_id, vhost)))

    @checked_arguments
    async def job(self, job_id: str, *, vhost: str | None = None, user: str | None = None) -> JobState:
        """Return the state of a job. See `Broker.job`."""
        __tracebackhide__ = True
        return await self._query("job()", lambda instance: now(instance.inspector.job(job_id, vhost, user)))

    @checked_arguments
    def stream(self, name: str, *, vhost: str | None = None) -> AsyncStream:
        """Return a stream, whose methods are awaited. Not awaited itself. See `Broker.stream`."""
        return AsyncStream(self._query, name, vhost)

    @checked_arguments
    async def queues(self, *, vhost: str | None = None) -> list[QueueState]:
        """Return the state of all queues, by vhost and name. See `Broker.queues`."""
        return await self._query("queues()", lambda instance: now(instance.inspector.queues(vhost)))

    @checked_arguments
    async def unroutable(self, *, vhost: str | None = None) -> list[Message]:
        """Return the published messages that were routed to no queue, oldest first. The last 1,000 are remembered.

        - `vhost`: name of the vhost; None for all.
        """
        return await self._query("unroutable()", lambda instance: now(instance.inspector.unroutable(vhost)))

    @checked_arguments
    async def channel_errors(self, *, vhost: str | None = None) -> list[Refusal]:
        """Return the errors that closed clients' channels and connections, oldest first, the last 1,000.

        - `vhost`: name of the vhost; None for all.
        """
        return await self._query("channel_errors()", lambda instance: now(instance.inspector.refusals(vhost)))

    # --- calls to the broker's thread ---------------------------------------------------------------------------------

    async def _run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float | None = None, what: str = "") -> T:
        """Run a coroutine on the broker's loop and return its result, see `Host.run`."""
        __tracebackhide__ = True
        patience_s = self._host.patience_s if timeout_s is None else timeout_s
        running = self._host.submit(coroutine)
        try:
            await wait_for(running, patience_s)
            return self._host.outcome(running, patience_s, what)
        finally:
            running.cancel()

    async def _query(self, what: str, query: Callable[[Instance], Awaitable[T]], timeout_s: Any = 0) -> T:
        """Return the result of a query once all data is handled that clients have sent so far."""
        __tracebackhide__ = True
        patience_s = self._host.patience_s + limited_s(timeout_s)
        return await self._run(self._host.query(query), patience_s, what)

    async def _call_and_quiesce(self, function: Callable[[], T]) -> T:
        """Call `function()` on the broker's thread, and wait until its consequences are written to the sockets."""
        return await self._run(self._host.call_and_quiesce(function), what="a change of faults")
