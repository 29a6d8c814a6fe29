"""Shovels of a simulated broker: the real runner, whose connections to the broker are simulated ones."""

import asyncio
import random
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

from amqpbroker.broker.shovels.definition import ShovelDefinition
from amqpbroker.broker.shovels.shovels import ShovelRunner, ShovelStatus
from amqpbroker.broker.users.users import User
from amqpbroker.shovel.runner import Runner
from amqpbroker.shovel.transfer import Transfer
from tests.simulation.network import Connection, SimulatedTransport
from tests.simulation.scheduler import MS, Scheduler

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: Port of the broker. Nothing listens at any other.
PORT = 5672
#: Time until a connection over the network is made or refused.
CONNECT_NS = (100_000, 20 * MS)


class LinkConnection(Connection):
    """A connection of a link to the broker of the same process. is_inside: it does not use the network."""

    def __init__(
        self,
        scheduler: Scheduler,
        chance: random.Random,
        near: SimulatedTransport,
        far: SimulatedTransport,
        link: asyncio.BaseProtocol,
        served: asyncio.BaseProtocol,
        is_inside: bool,
    ) -> None:
        super().__init__(scheduler, chance, near, far, served)
        self.is_inside = is_inside
        self.near = near
        self.link: Any = link
        near.open(link, self.to_client, self.to_server)

    @property
    def has_ended(self) -> bool:
        """Return whether the link knows that the connection has ended."""
        return self.near.is_lost and self.link._transport is None

    def lose(self) -> None:
        """Make the link and its shovel wait for nothing more, because their process ends."""
        if self.link.receiver is not None:
            self.link.receiver.work.transfer._unconfirmed.clear()
        self.link.connection_lost(None)

    def cut(self) -> None:
        """Break the connection. Data being sent is lost, and both ends are notified."""
        super().cut()
        self.near.reset()


#: Returns a new connection from a link to the protocol that serves it. The last argument: see `is_inside`.
Wire = Callable[[asyncio.BaseProtocol, asyncio.BaseProtocol, bool], LinkConnection]


class Inside:
    """Stand-in for the socket of a connection within the process. served: the protocol at the broker's end."""

    def __init__(self, served: asyncio.BaseProtocol) -> None:
        self.served = served


@final
class SimulatedShovels(ShovelRunner):
    """The shovels of one process. The runner is created for the first one, as in a server.

    wire: connects links; set before the first shovel.
    """

    wire: Wire
    #: Random times of its connections.
    chance: random.Random

    def __init__(self, process: "BrokerProcess") -> None:
        self._links: list[LinkConnection] = []
        self._process = process
        self._runner: Runner | None = None
        process.loop.connects = self._connect

    def begin(self) -> Runner:
        """Return the runner."""
        if self._runner is None:
            self._runner = Runner(self._process.broker, self._process.clock, self._open_inside)
        return self._runner

    def start(self, vhost: str, name: str, definition: ShovelDefinition) -> None:
        self.begin().start(vhost, name, definition)

    def stop(self, vhost: str, name: str) -> None:
        if self._runner is not None:
            self._runner.stop(vhost, name)

    def status(self, vhost: str, name: str) -> ShovelStatus | None:
        return None if self._runner is None else self._runner.status(vhost, name)

    @property
    def parts(self) -> tuple[object, ...]:
        """The objects that it consists of."""
        return () if self._runner is None else (self._runner,)

    @property
    def links(self) -> list[LinkConnection]:
        """The connections that have not ended at both ends."""
        self._links = [each for each in self._links if not (each.has_ended and each.is_over)]
        return self._links

    def transfers(self) -> list[Transfer]:
        """Return the transfers of the shovels that are connected."""
        receivers = [each.link.receiver for each in self.links]
        return list(dict.fromkeys(receiver.work.transfer for receiver in receivers if receiver is not None))

    @property
    def has_lost_links(self) -> bool:
        """Return whether the broker still serves a link that has ended, as it has not noticed that."""
        return any(not each.is_over and (each.near.is_lost or not each.is_open) for each in self.links)

    @property
    def activities(self) -> dict[str, int]:
        """Numbers of what ends when no shovel is defined."""
        tasks = () if self._runner is None else (*self._runner._running, *self._runner._ending)
        return {"shovels": len(tasks), "links": len(self.links)}

    async def close(self, timeout_s: float) -> None:
        """Stop all in order."""
        self._process.broker.shovels.run(None)
        if self._runner is not None:
            await self._runner.close(timeout_s)

    def kill(self) -> None:
        """End current tasks silently now, and not when the memory of the ended process is freed."""
        if self._runner is None:
            return
        running = [task for _, task in self._runner._running.values()]
        tasks = dict.fromkeys((*running, *self._runner._ending))
        previous = asyncio._get_running_loop()
        asyncio._set_running_loop(self._process.loop)
        # First: a shovel waits for confirms of its links, and for their ends, unless they are lost.
        for each in self.links:
            each.lose()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # for tasks of a shovel that have not begun
            for task in tasks:
                coroutine: Any = task.get_coro()
                if not getattr(coroutine, "cr_running", False):
                    coroutine.close()
        asyncio._set_running_loop(previous)

    # --- connections --------------------------------------------------------------------------------------------------

    async def _open_inside(self, user: User) -> Any:
        return Inside(self._process.service.clients.come_inside(user))

    async def _connect(
        self, factory: Callable[[], asyncio.BaseProtocol], port: int | None, inside: Inside | None
    ) -> tuple[SimulatedTransport, asyncio.BaseProtocol]:
        """Connect a link: within the process, or by the network, like `loop.create_connection`."""
        served = None if inside is None else inside.served
        if served is None:
            await asyncio.sleep(self.chance.randint(*CONNECT_NS) / 1e9)
            if port != PORT or self._process.stopping:
                raise ConnectionRefusedError(111, "Connection refused")
            served = self._process.accept()
        link = factory()
        connection = self.wire(link, served, inside is not None)
        self._links = [*self.links, connection]
        made = self._process.loop.create_future()
        self._process.loop.call_soon(_set, made)  # after the protocol's `connection_made`
        try:
            await made
        except asyncio.CancelledError:
            connection.near.close()
            raise
        return connection.near, link


def _set(made: "asyncio.Future[None]") -> None:
    if not made.done():
        made.set_result(None)
