"""A broker from start to end, assembled like a server, except for sockets, threads and the machine."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.lines.page_out import PageOut
from amqpbroker.clock import SystemClock
from amqpbroker.compat import COMPATS
from amqpbroker.config import Config
from amqpbroker.server.app import STOP_MS
from amqpbroker.server.data import on_disk
from amqpbroker.server.service import Service
from amqpbroker.server.transport import ClientTransport
from amqpbroker.store.log import Log, StoreError
from amqpbroker.store.persistence import Persistence
from tests.simulation.committer import SimulatedCommitter
from tests.simulation.disk import Disk
from tests.simulation.event_loop import SimulatedLoop
from tests.simulation.http_server import LISTENERS, HttpServer
from tests.simulation.machine_time import MachineTime
from tests.simulation.parts import channels
from tests.simulation.processor import Processor
from tests.simulation.scheduler import Scheduler
from tests.simulation.shovels import SimulatedShovels, Wire
from tests.simulation.threads import Threads

DIRECTORY = Path("/simulated")
MOST_CLIENTS = 1000
#: uvicorn checks in these intervals whether it has to stop.
HTTP_CHECK_S = 0.1


class Supervisor(Protocol):
    """Is notified by a process, through calls of the scheduler."""

    def started(self, process: "BrokerProcess") -> None:
        """The process accepts clients."""

    def ended(self, process: "BrokerProcess", error: Exception | None) -> None:
        """The process has ended by itself: after a stop, or because it could not start or continue."""

    def made_step(self) -> None:
        """One of the threads is about to make a step on the disk, or has made it."""

    def synced_definitions(self, since: int) -> None:
        """The definitions of that time (`Scheduler.now`) are safe, even if the power goes."""

    def erred(self, process: "BrokerProcess", error: BaseException | None) -> None:
        """The event loop has caught an exception."""


class BrokerProcess:
    """One process, which starts at once. Its main thread recovers, serves, and closes the store at the end.

    service: set after the start. began_ms: the wall clock at the start. began_behind: it was further ahead
    before. stopping: it accepts no more clients.
    """

    service: Service

    def __init__(
        self,
        config: Config,
        disk: Disk,
        scheduler: Scheduler,
        time: MachineTime,
        processor: Processor,
        chance: random.Random,
        supervisor: Supervisor,
    ) -> None:
        self.stopping = False
        self._ending: Coroutine[Any, Any, None] | None = None
        self.clock = SystemClock(time.monotonic_ns, time.wall_ns)
        #: Steps of the wall clock in milliseconds, as the broker notices them.
        self._steps_ms: list[int] = []
        self.clock._followers[self._steps_ms.append] = None  # `follow` would also start the search for steps
        self.disk = disk
        self.began_ms = self.clock.wall_ms()
        self.began_behind = time.is_behind
        #: Called when only the store is left to be closed, and when it is closed.
        self.before_close: Callable[[], None] = _nothing
        self.after_stop: Callable[[], None] = _nothing
        self._config = config
        self._chance = chance
        self._scheduler = scheduler
        self._supervisor = supervisor
        self._http: dict[str, HttpServer] = {}
        self._short_until = 0
        self._threads = Threads(scheduler, processor, chance, supervisor.made_step)
        self.loop = SimulatedLoop(scheduler, processor, chance, self._on_error)
        self.shovels = SimulatedShovels(self)
        self._threads.start(self._run)

    @property
    def broker(self) -> Broker:
        return self.service.broker

    @property
    def store(self) -> Persistence:
        store = self.broker.storage.store
        assert isinstance(store, Persistence)
        return store

    def leads_ms(self) -> list[int]:
        """Return each lead of the wall clock that the broker has known, in milliseconds."""
        return list(accumulate(self._steps_ms, initial=0))

    def accept(self) -> ClientTransport:
        """Return the transport for the next client."""
        return self.service.clients.come()

    def accept_http(self, listener: str) -> asyncio.BaseProtocol:
        """Return the protocol for the next client of an HTTP listener."""
        if listener not in self._http:
            self._http[listener] = HttpServer(self.broker, self.loop, listener)
        return self._http[listener].accept()

    def run_shovels(self, wire: Wire, chance: random.Random) -> None:
        """Run the shovels from now on. wire: connects them to the broker."""
        self.shovels.wire, self.shovels.chance = wire, chance
        if self.broker.shovels.values(None):
            self.loop.call_soon(self._run_shovels)  # their tasks begin in the loop
        else:
            self._run_shovels()

    def _run_shovels(self) -> None:
        if not self.stopping:
            self.broker.shovels.run(self.shovels)

    def shorten_memory(self, duration: int) -> None:
        """Make the queues move messages out of memory for at least that time."""
        self._short_until = max(self._short_until, self._scheduler.now + duration)
        # In the loop like the memory monitor, and not while the broker reads or writes.
        self.loop.call_soon(self._shortage.set, True)

    def end_shortage(self, at_once: bool) -> None:
        """End the shortage of memory, if its time is over or `at_once` is set."""
        if at_once or self._scheduler.now >= self._short_until:
            self.loop.call_soon(self._shortage.set, False)

    def http_servers(self) -> list[HttpServer]:
        """Return the HTTP servers that have received requests."""
        return list(self._http.values())

    def kill(self) -> None:
        """End the process, in any state."""
        self.loop.kill()  # first: asyncio continues after an exception that ends a thread within a task
        self._threads.kill()
        if self._ending is not None:
            self._ending.close()
        for server in self._http.values():
            server.kill()
        self.shovels.kill()
        if hasattr(self, "service"):
            self._release()

    def stop(self) -> None:
        """Stop in order, like a server: HTTP ends, clients are notified and get their time, the store is closed."""
        if not self.stopping:
            self.stopping = True
            self.service.clients.close()
            self._ending = self._end()
            self._task = self.loop.create_task(self._ending)

    # --- its main thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._definitions = self.disk.open_definitions(self._config.bounds)
            storage, _ = on_disk(self._config, DIRECTORY, self.disk, self._definitions)
            self.service = Service(
                self._config,
                self.clock,
                self.clock,
                self.loop,
                storage,
                self._committer,
                MOST_CLIENTS,
                self._on_failure,
            )
            self._shortage = PageOut(self.clock, storage.spill, self.broker.queues, _nothing)
        except (OSError, StoreError) as error:
            self._report(self._supervisor.ended, error)
            return
        self.broker.rates.start()
        self._report(self._supervisor.started)
        self.disk.serve()
        self.loop.serve()

    def _release(self) -> None:
        """Break the reference cycles with entries, which the garbage collector does not see in the compiled broker."""
        for channel in channels(self):
            channel.unacked.entries.clear()
            if channel.transaction is not None:
                channel.transaction._publishes.clear()
                channel.transaction._settled.clear()
        self.broker.discard()
        self.store.take()
        self.store._unsafe.clear()

    async def _end(self) -> None:
        error: Exception | None = None
        await self.shovels.close(STOP_MS / 1000)
        for listener in LISTENERS:
            if listener in self._http:
                await self._http[listener].stop(self._chance.random() * HTTP_CHECK_S)
        try:
            await self.service.end(STOP_MS)
        except StoreError as caught:
            error = caught
        self._definitions.close()
        self._report(self._supervisor.ended, self.service.failure or error)

    # ----------------------------------------------------------------------------------------------------------------

    def _committer(self, log: Log, before: Callable[[], None]) -> SimulatedCommitter:
        sync = partial(self._sync_definitions, before)
        return SimulatedCommitter(log, sync, self.loop, self._threads, lambda: self.before_close())

    def _sync_definitions(self, sync: Callable[[], None]) -> None:
        began = self._scheduler.now
        sync()
        self._supervisor.synced_definitions(began)

    def _on_failure(self) -> None:
        self.stop()

    def _on_error(self, error: BaseException | None) -> None:
        self._report(self._supervisor.erred, error)

    def _report(self, call: Callable[..., None], *arguments: object) -> None:
        self._scheduler.after(0, partial(call, self, *arguments))


def _nothing() -> None:
    pass


def configured(bounds: dict[str, int], settings: dict[str, Any]) -> Config:
    """Return the settings with lowered bounds. compat: a release series; transient queues are permitted in each."""
    compat = COMPATS[settings.get("compat", "4.0")].configured({"transient_nonexcl_queues": True})
    config = Config(**{**settings, "compat": compat})
    return replace(config, bounds=config.bounds._replace(**bounds))
