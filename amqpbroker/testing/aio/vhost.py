"""A vhost of a broker for tests, with awaitable methods."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from amqpbroker.testing.hints import Hinted, checked_arguments

if TYPE_CHECKING:
    from amqpbroker.testing.aio.broker import AsyncBroker
    from amqpbroker.testing.aio.faults import AsyncFaults
    from amqpbroker.testing.aio.stream import AsyncStream
    from amqpbroker.testing.batch_state import BatchState
    from amqpbroker.testing.inspector import GroupState, LockedMessage, QueueState
    from amqpbroker.testing.job_state import JobState
    from amqpbroker.testing.message import Message
    from amqpbroker.testing.recorder import Refusal
    from amqpbroker.testing.redriving import Redriven


class AsyncVhost(Hinted):
    """A virtual host of an `AsyncBroker`, as the fixture `async_amqp_vhost` provides it. `str()` returns its name.

    Its methods are those of `AsyncBroker` for this vhost only.
    """

    def __init__(self, broker: "AsyncBroker", name: str) -> None:
        #: The `AsyncBroker` that has the vhost.
        self.broker = broker
        #: The vhost's name.
        self.name = name

    @property
    def url(self) -> str:
        """The URL of the vhost with the first user: `amqp://guest:guest@127.0.0.1:PORT/VHOST`."""
        return self.broker.url_of(self.name)

    @checked_arguments
    async def wait_until(
        self,
        *,
        queue: str,
        ready: int | None = None,
        unacked: int | None = None,
        consumers: int | None = None,
        timeout: float = 5,
    ) -> "QueueState":
        """Wait until a queue exists and has the given numbers. Return its state. See `Broker.wait_until`."""
        __tracebackhide__ = True
        return await self.broker.wait_until(
            queue=queue, ready=ready, unacked=unacked, consumers=consumers, vhost=self.name, timeout=timeout
        )

    @checked_arguments
    async def published(
        self,
        *,
        exchange: str | None = None,
        routing_key: str | None = None,
        body: bytes | None = None,
        count: int | None = None,
        timeout: float = 5,
    ) -> "list[Message]":
        """Return the messages that clients published, oldest first; wait for `count`. See `Broker.published`."""
        __tracebackhide__ = True
        return await self.broker.published(
            exchange=exchange, routing_key=routing_key, body=body, vhost=self.name, count=count, timeout=timeout
        )

    @checked_arguments
    async def messages(self, queue: str) -> "list[Message]":
        """Return the messages that are ready in a queue, in the order of their delivery. See `Broker.messages`."""
        __tracebackhide__ = True
        return await self.broker.messages(queue, vhost=self.name)

    @checked_arguments
    async def delayed(self, queue: str) -> "list[Message]":
        """Return the delayed messages of a queue, by their due times. See `Broker.delayed`."""
        __tracebackhide__ = True
        return await self.broker.delayed(queue, vhost=self.name)

    @checked_arguments
    async def groups(self, queue: str) -> "list[GroupState]":
        """Return the message groups of a queue, with their states. See `Broker.groups`."""
        __tracebackhide__ = True
        return await self.broker.groups(queue, vhost=self.name)

    @checked_arguments
    async def locked(self, queue: str) -> "list[LockedMessage]":
        """Return the messages of a queue that are delivered and not settled. See `Broker.locked`."""
        __tracebackhide__ = True
        return await self.broker.locked(queue, vhost=self.name)

    @checked_arguments
    async def redrive(
        self,
        queue: str,
        *,
        destination: str | None = None,
        reason: str | None = None,
        headers: Mapping[str, Any] | None = None,
        limit: int | None = None,
        timeout: float = 5,
    ) -> "Redriven":
        """Move the messages of a dead letter queue back to the queues in which they died. See `Broker.redrive`."""
        __tracebackhide__ = True
        return await self.broker.redrive(
            queue,
            destination=destination,
            reason=reason,
            headers=headers,
            limit=limit,
            vhost=self.name,
            timeout=timeout,
        )

    @checked_arguments
    async def batch(self, batch_id: str) -> "BatchState":
        """Return the state of a batch of messages. See `Broker.batch`."""
        __tracebackhide__ = True
        return await self.broker.batch(batch_id, vhost=self.name)

    @checked_arguments
    async def job(self, job_id: str, *, user: str | None = None) -> "JobState":
        """Return the state of a job. See `Broker.job`."""
        __tracebackhide__ = True
        return await self.broker.job(job_id, vhost=self.name, user=user)

    @checked_arguments
    def stream(self, name: str) -> "AsyncStream":
        """Return a stream, whose methods are awaited. Not awaited itself. See `Broker.stream`."""
        return self.broker.stream(name, vhost=self.name)

    async def queues(self) -> "list[QueueState]":
        """Return the state of all queues, by name."""
        return await self.broker.queues(vhost=self.name)

    async def unroutable(self) -> "list[Message]":
        """Return the published messages that were routed to no queue, oldest first."""
        return await self.broker.unroutable(vhost=self.name)

    async def channel_errors(self) -> "list[Refusal]":
        """Return the errors that closed clients' channels and connections, oldest first."""
        return await self.broker.channel_errors(vhost=self.name)

    @property
    def faults(self) -> "AsyncFaults":
        """Faults for connections to this vhost only, see `AsyncFaults`."""
        return self.broker.faults.only(vhost=self.name)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<vhost {self.name}>"
