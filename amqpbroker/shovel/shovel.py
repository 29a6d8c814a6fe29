"""One shovel: connects both ends, moves messages from one to the other, and reconnects when a connection ends."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import final

from amqpbroker.broker.shovels.definition import ShovelDefinition
from amqpbroker.broker.shovels.shovels import ShovelStatus, State
from amqpbroker.client.login import LinkError
from amqpbroker.clock import Clock
from amqpbroker.shovel import topology
from amqpbroker.shovel.changes import Changes, way
from amqpbroker.shovel.dialing import Dialer
from amqpbroker.shovel.work import Work
from amqpbroker.wire.values import MalformedError

log = logging.getLogger(__name__)


@final
class Shovel:
    """Runs until its task is cancelled, or it has moved the defined number of messages; then `on_finished` is called.

    clock: for delays. broker_now_ms: the broker's time. cluster: name of the broker. window: see `Transfer`.
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
        window: int,
    ) -> None:
        self.vhost = vhost
        self.name = name
        self.definition = definition
        self._clock = clock
        self._now_ms = broker_now_ms
        self._cluster = cluster
        self._dialer = dialer
        self._on_finished = on_finished
        self._window = window
        self._status = ShovelStatus(vhost, name, "starting", broker_now_ms())

    @property
    def status(self) -> ShovelStatus:
        return self._status

    def _report(self, state: State, reason: str = "", ends: dict[str, str] | None = None) -> None:
        self._status = ShovelStatus(self.vhost, self.name, state, self._now_ms(), reason, ends or {})

    def _report_running(self, state: State) -> None:
        """Report the state of a running shovel."""
        self._status = self._status._replace(state=state)

    def __str__(self) -> str:
        return f"shovel '{self.name}' in vhost '{self.vhost}'"

    async def run(self) -> None:
        """Run the shovel. Raises only CancelledError."""
        delay_s = self.definition.reconnect_delay_s
        while True:
            self._report("starting")
            try:
                await self._once()
            except (LinkError, MalformedError) as error:
                reason = str(error)
            except Exception:
                log.exception("%s: internal error", self)
                reason = "internal error, see the broker's log"
            else:
                log.info("%s has transferred all messages that it was defined for, and is deleted", self)
                # Seen only if its definition cannot be deleted.
                self._report("terminated", "all messages that it was defined for are transferred")
                self._on_finished()
                return
            self._report("terminated", reason)
            if delay_s is None:
                log.warning("%s is terminated: %s", self, reason)
                return
            log.warning("%s is terminated, and will be tried again in %g s: %s", self, delay_s, reason)
            await self._pause(delay_s)

    async def _pause(self, delay_s: float) -> None:
        over = asyncio.Event()
        timer = self._clock.after(int(delay_s * 1000), over.set)
        try:
            await over.wait()
        finally:
            timer.cancel()

    async def _once(self) -> None:
        """Transfer until all messages are transferred. Raises LinkError, MalformedError."""
        source, destination = self.definition.source, self.definition.destination
        connection = f"Shovel {self.name}"
        # The ends are closed in reverse order, each regardless of errors in the others. The destination is closed
        # before the source, because its last confirms are acknowledged at the source.
        async with contextlib.AsyncExitStack() as ends:
            from_link, from_uri = await self._dialer.dial(source.uris, connection)
            ends.push_async_callback(from_link.close)
            to_link, to_uri = await self._dialer.dial(destination.uris, connection)
            ends.push_async_callback(to_link.close)
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
            entry = way(self._cluster, self.vhost, self.name, source, destination, from_uri.shown, to_uri.shown)
            changes = Changes(
                destination.properties,
                entry if destination.add_forward_headers else None,
                self._now_ms if destination.add_timestamp_header else None,
            )
            work = Work(
                self.definition,
                from_link,
                to_link,
                changes,
                remaining,
                self._clock,
                self._report_running,
                self._window,
            )
            ends.push_async_callback(work.drain)
            arguments = topology.table(source.consumer_arguments)
            await from_link.client.call("basic.consume", queue=queue, no_ack=no_ack, arguments=arguments)
            self._report(work.transfer.status, ends=self._described(from_uri.shown, to_uri.shown))
            log.info("%s is running", self)
            failure = await work.done
            if failure is not None:
                raise LinkError(failure)

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
