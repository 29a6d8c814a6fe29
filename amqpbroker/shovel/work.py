"""The two links of a running shovel: passes their messages to the transfer, and performs its operations."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import final

from amqpbroker.broker.shovels.definition import ShovelDefinition
from amqpbroker.broker.shovels.shovels import State
from amqpbroker.client.link import Link, LinkReceiver
from amqpbroker.client.login import LinkError
from amqpbroker.client.protocol import Delivery
from amqpbroker.clock import Clock, Timer
from amqpbroker.shovel.changes import Changes
from amqpbroker.shovel.transfer import Ends, Status, Transfer
from amqpbroker.wire.values import MalformedError

#: Time for which a shovel that is stopped waits for outstanding confirms.
DRAIN_S = 1.0

#: Delay before refused messages are published again.
RETRY_MS = 1000


@final
class Work:
    """A transfer over two links, as long as both exist. done: completes with the reason when one fails, or with None.

    Reference counting frees it after both links are closed: the links refer to it until then, and the transfer's
    `_Ends` refer to neither.
    """

    def __init__(
        self,
        definition: ShovelDefinition,
        source: Link,
        destination: Link,
        changes: Changes,
        remaining: int | None,
        clock: Clock,
        on_status: Callable[[State], None],
        window: int,
    ) -> None:
        """clock: times the delays. on_status: called when the transfer's status changes. window: see `Transfer`."""
        self.confirmed = asyncio.Event()
        self._ends = _Ends(definition, source, destination, changes, clock, on_status)
        self.done = self._ends.done
        self.transfer = Transfer(self._ends, definition.ack_mode, remaining, window)
        source.listen(_AtSource(self))
        destination.listen(_AtDestination(self))

    def failed(self, error: Exception) -> None:
        self.transfer.end()
        if not self.done.done():
            # Only the text is retained: a raised error refers to its stack frames, and so would create a reference
            # cycle.
            self.done.set_result(str(error))

    async def drain(self) -> None:
        """End the transfer. Unless a link has failed, wait up to `DRAIN_S` for outstanding publisher confirms."""
        failed = self.done.done() and not self.done.cancelled() and self.done.result() is not None
        self.transfer.end()
        self._ends.finished()
        if not failed and not self.transfer.all_confirmed:
            self.confirmed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self.confirmed.wait()


@final
class _Ends(Ends):
    """Operations of the transfer on its two links."""

    def __init__(
        self,
        definition: ShovelDefinition,
        source: Link,
        destination: Link,
        changes: Changes,
        clock: Clock,
        on_status: Callable[[State], None],
    ) -> None:
        self.done: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._clock = clock
        self._on_status = on_status
        self._source = source
        self._destination = destination
        self._changes = changes
        target = definition.destination
        self._exchange = b"" if target.queue is not None else _encoded(target.exchange)
        self._routing_key = _encoded(target.exchange_key if target.queue is None else target.queue)
        self._retrying: Timer | None = None

    def publish(self, delivery: Delivery) -> None:
        exchange = delivery.exchange if self._exchange is None else self._exchange
        routing_key = delivery.routing_key if self._routing_key is None else self._routing_key
        properties = self._changes.made(delivery.properties)
        self._destination.client.publish(1, exchange, routing_key, properties, delivery.body)

    def ack(self, tag: int, multiple: bool) -> None:
        self._source.client.ack(1, tag, multiple)

    def read(self, reading: bool) -> None:
        self._source.read(reading)

    def retry_later(self, retry: Callable[[], None]) -> None:
        self._retrying = self._clock.after(RETRY_MS, retry)

    def changed(self, status: Status) -> None:
        if not self.done.done():
            self._on_status(status)

    def finished(self) -> None:
        if self._retrying is not None:
            self._retrying.cancel()
        if not self.done.done():
            self.done.set_result(None)


class _Receiver(LinkReceiver):
    """Receives messages and confirms of one link."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def failed(self, error: LinkError) -> None:
        self.work.failed(error)
        self.work.confirmed.set()


@final
class _AtSource(_Receiver):
    def delivered(self, delivery: Delivery) -> None:
        if not self.work.done.done():  # otherwise the message returns to the queue when the connection ends
            try:
                self.work.transfer.delivered(delivery)
            except MalformedError as error:
                self.work.failed(MalformedError(f"a message cannot be read: {error}"))


@final
class _AtDestination(_Receiver):
    def confirmed(self, tag: int, multiple: bool, taken: bool) -> None:
        self.work.transfer.confirmed(tag, multiple, taken)
        if self.work.transfer.all_confirmed:
            self.work.confirmed.set()

    def blocked(self, blocked: bool) -> None:
        self.work.transfer.blocked(blocked)

    def full(self, full: bool) -> None:
        self.work.transfer.full(full)


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")
