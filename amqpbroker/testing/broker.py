"""The broker that tests start: on a thread of its own, with an event loop of its own, on a free loopback port."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from amqpbroker.server.listeners import shown
from amqpbroker.server.protocols import AMQP, HTTP
from amqpbroker.testing import redriving
from amqpbroker.testing.aio.waiting import in_thread, refuse_to_block
from amqpbroker.testing.batch_state import BatchState
from amqpbroker.testing.checks import limited_s
from amqpbroker.testing.clock import BrokerClock
from amqpbroker.testing.faults.api import Faults
from amqpbroker.testing.hints import Hinted, checked_arguments, did_you_mean
from amqpbroker.testing.host import NOT_RUNNING, Host
from amqpbroker.testing.inspector import GroupState, LockedMessage, QueueState
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.job_state import JobState
from amqpbroker.testing.message import Message
from amqpbroker.testing.recorder import Refusal
from amqpbroker.testing.redriving import Redriven, options_of
from amqpbroker.testing.settings import check_names, config_of
from amqpbroker.testing.stream import Stream

T = TypeVar("T")


class Broker(Hinted):
    """A broker within the test's process, which runs inside a `with` block or from `start()` to `stop()`.

    It listens on loopback, has its own thread and event loop, and writes nothing to disk. After `stop()` it can be
    started again, without its earlier queues and messages. `async with` starts and stops it in asyncio and trio;
    `AsyncBroker` has awaitable methods as well.

    Arguments, all by name:

    - `host`: the address to listen on.
    - `port`: the port to listen on; 0 takes a free one.
    - `management`: True serves the HTTP API at `http_url`.
    - `vhosts`: names of virtual hosts to create beside the default one.
    - `users`: names of further users with their passwords. They are administrators with all permissions in all vhosts.
    - `definitions`: path of a file of RabbitMQ's definitions to import.
    - `settings`: RabbitMQ's configuration keys, with underscores for dots, such as `consumer_timeout=60_000` or
      `compat="4.1"`. Values are text, numbers, True, False, None (for `none`), lists or dicts.

    Raises `ConfigError`, a `ValueError`, for an unknown setting or an invalid value.

    All methods and properties may be used on any thread except the broker's own. They raise `RuntimeError` if the
    broker is not running, and `TimeoutError` if its thread does not answer within 60 seconds.
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
        self._vhosts = vhosts if isinstance(vhosts, str) else tuple(vhosts)
        check_names(self._vhosts, users or {})
        self._config = config_of(host, port, management, definitions, settings)
        self._users = dict(users or {})
        self._host = Host(self._config, self._prepare)
        #: The broker's clock, a `BrokerClock`: move its time on, freeze it, read it.
        self.clock = BrokerClock(self._host)
        #: Faults to inject, a `Faults`: lost connections, refused publishes, late confirms.
        self.faults = Faults(self._host.injector, self._call_and_quiesce)

    # --- start and stop -----------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start the broker. Return it once clients can connect.

        Raises `ListenError` if the port is in use, `UnusableDefinitionsError` if the definitions cannot be imported,
        and `RuntimeError` if it is running already.
        """
        self._host.start()
        return self

    def stop(self) -> None:
        """Close the clients' connections and stop the broker. Does nothing if it is not running.

        Raises `TimeoutError` if its thread does not end within 60 seconds.
        """
        self._host.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await in_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Clients on this event loop must be able to answer meanwhile.
        await in_thread(self.stop)

    @checked_arguments
    def restart(self, down: float = 0) -> None:
        """Restart the broker as a server would be. Return once clients can connect again.

        Clients are disconnected. Durable queues with their persistent messages, users, vhosts and policies are
        restored on the same ports; everything else is gone. The broker's time goes on, and faults stay active.

        - `down`: seconds of real time between stop and start, from 0 to 60.

        Raises `ValueError` for an invalid `down`, and `ListenError` if another program has taken the port meanwhile;
        the broker is stopped then.
        """
        back: Future[None] = Future()
        self._host.run(self._host.restart(down, back), what="restart()")
        patience_s = self._host.patience_s + down
        wait([back], patience_s)
        self._host.outcome(back, patience_s, "restart()")

    def _prepare(self, instance: Instance) -> None:
        """Create vhosts and users, and grant all permissions, before clients can connect."""
        for vhost in self._vhosts:
            instance.broker.add_vhost(vhost)
        for name, password in self._users.items():
            instance.broker.users.add_user(name, password, ("administrator",))
        # Default users are not created if the definitions have users.
        default = [user.name for user in self._config.default_users if instance.broker.users.has(user.name)]
        for name in (*self._users, *default):
            for vhost in instance.broker.vhosts:
                instance.broker.users.set_permissions(name, vhost, ".*", ".*", ".*")

    @property
    def running(self) -> bool:
        """True from `start()` to `stop()`. False in a fork of the process, which can only connect to `url`."""
        return self._host.running

    # --- addresses ----------------------------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The address that the broker listens on, such as `127.0.0.1`."""
        return self._address(AMQP)[0]

    @property
    def port(self) -> int:
        """The port for AMQP 0-9-1."""
        return self._address(AMQP)[1]

    @property
    def url(self) -> str:
        """The URL of the default vhost with the first user: `amqp://guest:guest@127.0.0.1:PORT/`."""
        return self.url_of()

    @checked_arguments
    def url_of(self, vhost: str | None = None, user: str | None = None, password: str | None = None) -> str:
        """Return the AMQP URL of a vhost with a user's name and password.

        - `vhost`: name of the vhost; None for the default one.
        - `user`: name of the user; None for the first one.
        - `password`: password of the user; None for the one that `users` or the settings have.
        """
        vhost = self._config.default_vhost if vhost is None else vhost
        first = self._config.default_users[0]
        name = first.name if user is None else user
        word = password if password is not None else self._users.get(name, first.password or "")
        path = "" if vhost == "/" else quote(vhost, safe="")
        return f"amqp://{quote(name, safe='')}:{quote(word, safe='')}@{shown(self.host, self.port)}/{path}"

    @property
    def http_url(self) -> str:
        """The URL of the HTTP API: `http://127.0.0.1:PORT`, without `/api`.

        Raises `RuntimeError` unless the broker was made with `management=True`.
        """
        if self._config.management.port is None:
            raise RuntimeError("this broker has no management API; make it with Broker(management=True)")
        return f"http://{shown(*self._address(HTTP))}{self._config.management.path_prefix}"

    def _address(self, protocol: str) -> tuple[str, int]:
        for name, host, port in self._host.listening:
            if name == protocol:
                return host, port
        raise RuntimeError(NOT_RUNNING)

    # --- vhosts -------------------------------------------------------------------------------------------------------

    @checked_arguments
    def add_vhost(self, name: str) -> str:
        """Create an empty vhost in which every user has all permissions, unless it exists. Return its URL.

        Raises `ValueError` if the name is not text.
        """
        self._call(adding_vhost(name), "add_vhost()")
        return self.url_of(name)

    @checked_arguments
    def delete_vhost(self, name: str, missing_ok: bool = False) -> None:
        """Delete a vhost with all its queues and exchanges, and close its connections.

        - `missing_ok`: True accepts that there is no such vhost.

        Raises `LookupError` if there is no such vhost.
        """
        self._call(deleting_vhost(name, missing_ok), "delete_vhost()")

    # --- queries ------------------------------------------------------------------------------------------------------

    @checked_arguments
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
        """Wait until a queue exists and has the given numbers. Return its state.

        - `queue`: name of the queue.
        - `ready`, `unacked`: number of messages that are ready, and delivered but not acknowledged; None for any.
        - `consumers`: number of consumers; None for any.
        - `vhost`: name of the vhost; None searches all vhosts.
        - `timeout`: seconds of real time, not of the broker's clock.

        Raises `AssertionError` after the timeout, with the actual state and the queues with a similar name;
        `ValueError` for an invalid number, or if several vhosts have such a queue; `RuntimeError` on a thread with a
        running event loop, which would stand still: use `AsyncBroker` there.
        """
        __tracebackhide__ = True
        refuse_to_block("wait_until")
        return self._query(
            "wait_until()",
            lambda instance: instance.inspector.wait_until(queue, ready, unacked, consumers, vhost, timeout),
            timeout,
        )

    @checked_arguments
    def published(
        self,
        *,
        exchange: str | None = None,
        routing_key: str | None = None,
        body: bytes | None = None,
        vhost: str | None = None,
        count: int | None = None,
        timeout: float = 5,
    ) -> list[Message]:
        """Return the messages that clients published, oldest first. The last 10,000 are remembered.

        Messages of a transaction are included at once, even if it is rolled back later.

        - `exchange`: name of the exchange, "" for the default one; None for any.
        - `routing_key`: the exact routing key; None for any.
        - `body`: the exact body; None for any.
        - `vhost`: name of the vhost; None for all.
        - `count`: wait until there are this many; None returns at once.
        - `timeout`: seconds of real time to wait for `count`.

        Raises, with `count` only, `AssertionError` if there are fewer after the timeout, or more, with the messages
        that come near; `ValueError` for an invalid number; `RuntimeError` on a thread with a running event loop, as
        `wait_until` does.
        """
        __tracebackhide__ = True
        if count is not None:
            refuse_to_block("published")
        return self._query(
            "published()",
            lambda instance: instance.inspector.find_published(exchange, routing_key, vhost, body, count, timeout),
            0 if count is None else timeout,
        )

    @checked_arguments
    def messages(self, queue: str, *, vhost: str | None = None) -> list[Message]:
        """Return the messages that are ready in a queue, in the order of their delivery. They stay unchanged.

        - `queue`: name of the queue.
        - `vhost`: name of the vhost; None searches all vhosts.

        Raises `AssertionError` if there is no such queue, and `ValueError` if several vhosts have one.
        """
        __tracebackhide__ = True
        return self._query("messages()", lambda instance: now(instance.inspector.messages(queue, vhost)))

    @checked_arguments
    def delayed(self, queue: str, *, vhost: str | None = None) -> list[Message]:
        """Return the delayed messages of a queue, such as returned ones that are retried later, by their `due` times.

        They stay unchanged. Advance the clock to make them ready.

        - `queue`: name of the queue.
        - `vhost`: name of the vhost; None searches all vhosts.

        Raises `AssertionError` if there is no such queue, and `ValueError` if several vhosts have one.
        """
        __tracebackhide__ = True
        return self._query("delayed()", lambda instance: now(instance.inspector.delayed(queue, vhost)))

    @checked_arguments
    def locked(self, queue: str, *, vhost: str | None = None) -> list[LockedMessage]:
        """Return the messages of a queue that are delivered and not settled, with the time left to settle them.

        - `queue`: name of the queue.
        - `vhost`: name of the vhost; None searches all vhosts.

        Raises `AssertionError` if there is no such queue, and `ValueError` if several vhosts have one.
        """
        __tracebackhide__ = True
        return self._query("locked()", lambda instance: now(instance.inspector.locked(queue, vhost)))

    @checked_arguments
    def redrive(
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
        """Move the messages of a dead letter queue back to the queues in which they died. Return the numbers.

        The messages that are ready are moved in their order, to the ends of those queues, as they were before they
        died. Messages that have nowhere to go stay, and are counted.

        - `queue`: name of the dead letter queue.
        - `destination`: name of the queue that all messages go to; None for the queue in which each died.
        - `reason`: only messages that last died for this reason: "rejected", "expired", "maxlen" or "delivery_limit".
        - `headers`: only messages with these headers.
        - `limit`: number of messages to move; None for all.
        - `vhost`: name of the vhost; None searches all vhosts.
        - `timeout`: seconds of real time.

        Raises `AssertionError` if there is no such queue, or if the redrive does not end in time; `ValueError` for an
        invalid argument, or if several vhosts have such a queue.
        """
        __tracebackhide__ = True
        options = options_of(destination, reason, headers, limit)
        return self._query(
            "redrive()", lambda instance: redriving.redrive(instance, queue, vhost, options, timeout), timeout
        )

    @checked_arguments
    def batch(self, batch_id: str, *, vhost: str | None = None) -> BatchState:
        """Return the state of a batch of messages with the header `x-batch-id`.

        - `batch_id`: the id in the header.
        - `vhost`: name of the vhost; None searches all vhosts.

        Raises `AssertionError` if there is no such batch, and `ValueError` if several vhosts have one.
        """
        __tracebackhide__ = True
        return self._query("batch()", lambda instance: now(instance.inspector.batch(batch_id, vhost)))

    @checked_arguments
    def job(self, job_id: str, *, vhost: str | None = None, user: str | None = None) -> JobState:
        """Return the state of a job: of a message with the header `x-job`.

        - `job_id`: its message id.
        - `vhost`: name of the vhost; None searches all vhosts.
        - `user`: name of the user who published the job; None searches the jobs of all users.

        Raises `AssertionError` if there is no such job, and `ValueError` if several vhosts or users have one.
        """
        __tracebackhide__ = True
        return self._query("job()", lambda instance: now(instance.inspector.job(job_id, vhost, user)))

    @checked_arguments
    def groups(self, queue: str, *, vhost: str | None = None) -> list[GroupState]:
        """Return the message groups of a queue that have messages or are stopped, with their states.

        - `queue`: name of the queue.
        - `vhost`: name of the vhost; None searches all vhosts.

        Raises `AssertionError` if there is no such queue, and `ValueError` if several vhosts have one.
        """
        __tracebackhide__ = True
        return self._query("groups()", lambda instance: now(instance.inspector.groups(queue, vhost)))

    @checked_arguments
    def stream(self, name: str, *, vhost: str | None = None) -> Stream:
        """Return a stream, to replay its messages: `b.stream("events").messages(offset="first")`.

        - `name`: name of the stream. It may be declared later.
        - `vhost`: name of the vhost; None searches all vhosts.

        Raises `ValueError` if a name is not text.
        """
        return Stream(self._query, name, vhost)

    @checked_arguments
    def queues(self, *, vhost: str | None = None) -> list[QueueState]:
        """Return the state of all queues, by vhost and name.

        - `vhost`: name of the vhost; None for all.
        """
        return self._query("queues()", lambda instance: now(instance.inspector.queues(vhost)))

    @property
    def unroutable(self) -> list[Message]:
        """The published messages that were routed to no queue, oldest first. The last 1,000 are remembered."""
        return self.unroutable_in(None)

    @checked_arguments
    def unroutable_in(self, vhost: str | None) -> list[Message]:
        """Return `unroutable` of one vhost; None for all."""
        return self._query("unroutable", lambda instance: now(instance.inspector.unroutable(vhost)))

    @property
    def channel_errors(self) -> list[Refusal]:
        """The errors that closed clients' channels and connections, oldest first. The last 1,000 are remembered."""
        return self.channel_errors_in(None)

    @checked_arguments
    def channel_errors_in(self, vhost: str | None) -> list[Refusal]:
        """Return `channel_errors` of one vhost; None for all."""
        return self._query("channel_errors", lambda instance: now(instance.inspector.refusals(vhost)))

    # --- calls to the broker's thread ---------------------------------------------------------------------------------

    @property
    def _instance(self) -> Instance:
        return self._host.instance

    def _query(self, what: str, query: Callable[[Instance], Awaitable[T]], timeout_s: float = 0) -> T:
        """Return the result of a query once all data is handled that clients have sent so far."""
        __tracebackhide__ = True
        return self._host.run(self._host.query(query), self._host.patience_s + limited_s(timeout_s), what)

    def _call(self, function: Callable[[Instance], T], what: str = "a call") -> T:
        """Call `function(instance)` on the broker's thread."""
        return self._host.run(self._host.call(function), what=what)

    def _call_and_quiesce(self, function: Callable[[], T]) -> T:
        """Call `function()` on the broker's thread, and wait until its consequences are written to the sockets."""
        return self._host.run(self._host.call_and_quiesce(function), what="a change of faults")


def adding_vhost(name: str) -> Callable[[Instance], None]:
    """Return a call that creates a vhost. Raises ValueError for an invalid name."""
    check_names((name,), {})

    def add(instance: Instance) -> None:
        instance.broker.add_vhost(name)
        for user in instance.broker.users.list_users():
            instance.broker.users.set_permissions(user.name, name, ".*", ".*", ".*")

    return add


def deleting_vhost(name: str, missing_ok: bool) -> Callable[[Instance], None]:
    """Return a call that deletes a vhost. It raises LookupError if there is none, unless `missing_ok`."""

    def delete(instance: Instance) -> None:
        vhosts = instance.broker.vhosts
        if name in vhosts:
            instance.broker.delete_vhost(name)
        elif not missing_ok:
            hint = did_you_mean(name, vhosts, quoted=True) or f"; the vhosts are {', '.join(map(repr, vhosts))}"
            raise LookupError(f"vhost {name!r} does not exist{hint}")
        instance.recorder.vhost_deleted(name)

    return delete


async def now(value: T) -> T:
    """Return a value that is known at once, where an awaitable is needed."""
    return value
