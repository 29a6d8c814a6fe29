"""One shovel: connects both ends, has messages go from one to the other, and begins anew when that ends."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import final

from amqpbroker.broker.shovel_definition import ShovelDefinition
from amqpbroker.broker.shovels import ShovelStatus, State
from amqpbroker.clock import Clock, Timer
from amqpbroker.shovel import topology
from amqpbroker.shovel.changes import Changes, way
from amqpbroker.shovel.client import Delivery
from amqpbroker.shovel.dialing import Dialer
from amqpbroker.shovel.failure import LinkError
from amqpbroker.shovel.link import Link, LinkReceiver
from amqpbroker.shovel.transfer import Ends, Transfer
from amqpbroker.wire.values import MalformedError

log = logging.getLogger(__name__)

#: How long what the destination refused is kept before it is published again.
RETRY_MS = 1000


@final
class Shovel:
    """Runs until its task is cancelled, or it has taken what it was to take; then `on_finished` is called.

    clock: of waiting; broker_now_ms: the broker's time. cluster: how the broker is called.
    """

    def __init__(
        self,
        vhost: str,
        name: str,
        definition: ShovelDefinition,
        dialer: Dialer,
        clock: Clock,
        broker_now_ms: Callable[[], int],
        cluster: str,
        on_finished: Callable[[], None],
    ) -> None:
        self.vhost = vhost
        self.name = name
        self.definition = definition
        self.clock = clock
        self.broker_now_ms = broker_now_ms
        self.cluster = cluster
        self._dialer = dialer
        self._on_finished = on_finished
        self._status = ShovelStatus(vhost, name, "starting", broker_now_ms())

    @property
    def status(self) -> ShovelStatus:
        return self._status

    def report(self, state: State, reason: str = "", ends: dict[str, str] | None = None) -> None:
        self._status = ShovelStatus(self.vhost, self.name, state, self.broker_now_ms(), reason, ends or {})

    def report_running(self, state: State) -> None:
        """How it runs, since it does."""
        self._status = replace(self._status, state=state)

    def __str__(self) -> str:
        return f"shovel '{self.name}' in vhost '{self.vhost}'"

    async def run(self) -> None:
        """Raises nothing but CancelledError."""
        delay_s = self.definition.reconnect_delay_s
        while True:
            self.report("starting")
            try:
                await self._once()
            except (LinkError, MalformedError) as error:
                reason = str(error)
            except Exception:
                log.exception("%s: internal error", self)
                reason = "internal error, see the broker's log"
            else:
                log.info("%s has transferred what it was to transfer, and is deleted", self)
                self._on_finished()
                return
            self.report("terminated", reason)
            if delay_s is None:
                log.warning("%s is terminated: %s", self, reason)
                return
            log.warning("%s is terminated, and tried again in %g s: %s", self, delay_s, reason)
            await self._pause(delay_s)

    async def _pause(self, delay_s: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.clock.after(int(delay_s * 1000), partial(over.set_result, None))
        try:
            await over
        finally:
            timer.cancel()

    async def _once(self) -> None:
        """Transfer, until all that was to be transferred is. Raises LinkError, MalformedError."""
        source, destination = self.definition.source, self.definition.destination
        connection = f"Shovel {self.name}"
        links: list[Link] = []
        work: _Work | None = None
        try:
            from_link, from_uri = await self._dialer.dial(source.uris, connection)
            links.append(from_link)
            to_link, to_uri = await self._dialer.dial(destination.uris, connection)
            links.append(to_link)
            await topology.prepare_destination(to_link.client, destination)
            if self.definition.ack_mode == "on-confirm":
                await to_link.client.call("confirm.select")
            queue = await topology.prepare_source(from_link.client, source)
            no_ack = self.definition.ack_mode == "no-ack"
            if not no_ack:
                await from_link.client.call("basic.qos", prefetch_count=source.prefetch)
            remaining = source.delete_after
            if remaining == "queue-length":
                remaining = await topology.message_count(from_link.client, queue)
            if remaining == 0:
                return
            entry = way(self.cluster, self.vhost, self.name, source, destination, from_uri.shown, to_uri.shown)
            changes = Changes(
                destination.properties,
                entry if destination.add_forward_headers else None,
                self.broker_now_ms if destination.add_timestamp_header else None,
            )
            work = _Work(self, from_link, to_link, changes, remaining)
            arguments = topology.table(source.consumer_arguments)
            await from_link.client.call("basic.consume", queue=queue, no_ack=no_ack, arguments=arguments)
            self.report(work.transfer.status, ends=self._described(from_uri.shown, to_uri.shown))
            log.info("%s is running", self)
            await work.done
        finally:
            if work is not None:
                work.end()
            # The destination first: what was published there is to be taken before the source is done with.
            for link in reversed(links):
                await link.close()

    def _described(self, from_uri: str, to_uri: str) -> dict[str, str]:
        source, destination = self.definition.source, self.definition.destination
        ends: dict[str, str | None] = {
            "src_uri": from_uri,
            "src_protocol": "amqp091",
            "dest_protocol": "amqp091",
            "dest_uri": to_uri,
            "src_queue": source.queue,
            "src_exchange": source.exchange if source.queue is None else None,
            "src_exchange_key": source.exchange_key if source.queue is None else None,
            "dest_exchange": destination.exchange,
            "dest_exchange_key": destination.exchange_key,
            "dest_queue": destination.queue,
        }
        return {key: value for key, value in ends.items() if value is not None}


@final
class _Work(Ends):
    """A transfer over two links, as long as both last. done: ends with LinkError or MalformedError if they do not."""

    def __init__(
        self, shovel: Shovel, source: Link, destination: Link, changes: Changes, remaining: int | None
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transfer = Transfer(self, shovel.definition.ack_mode, remaining)
        self._shovel = shovel
        self._source = source
        self._destination = destination
        self._changes = changes
        target = shovel.definition.destination
        self._exchange = b"" if target.queue is not None else _octets(target.exchange)
        self._routing_key = _octets(target.exchange_key if target.queue is None else target.queue)
        self._retrying: Timer | None = None
        source.listen(_AtSource(self))
        destination.listen(_AtDestination(self))

    # --- what the transfer does -------------------------------------------------------------------------------------

    def publish(self, delivery: Delivery) -> None:
        exchange = delivery.exchange if self._exchange is None else self._exchange
        routing_key = delivery.routing_key if self._routing_key is None else self._routing_key
        properties = self._changes.made(delivery.properties)
        self._destination.client.publish(1, exchange, routing_key, properties, delivery.body)

    def ack(self, tag: int, multiple: bool) -> None:
        self._source.client.ack(1, tag, multiple)

    def read(self, reading: bool) -> None:
        self._source.read(reading)

    def retry_later(self) -> None:
        self._retrying = self._shovel.clock.after(RETRY_MS, self.transfer.retry)

    def changed(self) -> None:
        if not self.done.done():
            self._shovel.report_running(self.transfer.status)

    def finished(self) -> None:
        self.end()

    # ----------------------------------------------------------------------------------------------------------------

    def failed(self, error: Exception) -> None:
        self.transfer.end()
        if not self.done.done():
            self.done.set_exception(error)

    def end(self) -> None:
        """Take nothing more; what is confirmed still counts."""
        self.transfer.end()
        if self._retrying is not None:
            self._retrying.cancel()
        if not self.done.done():
            self.done.set_result(None)


class _Receiver(LinkReceiver):
    """At one end."""

    def __init__(self, work: _Work) -> None:
        self.work = work

    def failed(self, error: LinkError) -> None:
        self.work.failed(error)


@final
class _AtSource(_Receiver):
    def delivered(self, delivery: Delivery) -> None:
        if not self.work.done.done():  # else it goes back to the queue when the connection ends
            try:
                self.work.transfer.delivered(delivery)
            except MalformedError as error:
                self.work.failed(MalformedError(f"a message that cannot be read: {error}"))


@final
class _AtDestination(_Receiver):
    def confirmed(self, tag: int, multiple: bool, taken: bool) -> None:
        self.work.transfer.confirmed(tag, multiple, taken)

    def blocked(self, blocked: bool) -> None:
        self.work.transfer.blocked(blocked)

    def full(self, full: bool) -> None:
        self.work.transfer.full(full)


def _octets(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")
