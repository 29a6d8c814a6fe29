"""A broker at work: with its store, its timers, the end of its event loop iterations, and its clients."""

import asyncio
import logging
from collections.abc import Callable

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.server.clients import Clients
from amqpbroker.server.data import Data, MakeCommitter
from amqpbroker.server.tick import Tick
from amqpbroker.server.timers import Timers

log = logging.getLogger(__name__)


class Service:
    """All of a server but its listeners, its signals and the machine, which are the caller's.

    clock: the broker's time. own_clock: time of the store and of the clients' sockets, which differs in a test that
    moves the broker's time. most_clients: number of clients that may be connected at a time. on_failure: called when
    the store can write nothing any more. recovered: number of messages that the store had.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        own_clock: Clock,
        loop: asyncio.AbstractEventLoop,
        storage: Data,
        committer: MakeCommitter,
        most_clients: int,
        on_failure: Callable[[], None],
    ) -> None:
        self.failure: Exception | None = None
        self._on_failure = on_failure
        self._store = storage.store(committer, own_clock, self._fail)
        self.broker = Broker(config, clock, self._store, storage.definitions, storage.spill, storage.share is not None)
        self.timers = Timers(loop, clock)
        self._own_timers = self.timers if own_clock is clock else Timers(loop, own_clock)
        self.tick = Tick(loop.call_soon, self.broker.sync, self._fail)
        self._store.drive(self.tick.request)
        storage.definitions.watch(self._store.definitions_changed)
        self._store.definitions_changed()
        self.recovered = self.broker.storage.recover(storage.found)
        if self.recovered:
            log.info("%d messages recovered", self.recovered)
        self.clients = Clients(self.broker, own_clock, self.tick, loop, most_clients)

    async def end(self, wait_ms: int) -> None:
        """Notify the clients that the broker stops, wait that long for them to go, and close the store.

        The store is not closed if it has failed: what it did not write is lost.
        """
        self.clients.close()
        await self.clients.drain(wait_ms)
        self.timers.close()
        self._own_timers.close()
        if self.failure is None:
            self.broker.finish()
            self._store.close()

    def _fail(self, error: Exception) -> None:
        """Confirm nothing more, as published messages may not be safe, and have the broker end."""
        log.critical("the store failed; the broker stops", exc_info=error)
        self.failure = error
        self.clients.close()
        self._on_failure()
        self.clients.stop_waiting()
