"""All shovels of a broker, each a task of the event loop."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import final

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.shovels.definition import ShovelDefinition
from amqpbroker.broker.shovels.shovels import ShovelRunner, ShovelStatus
from amqpbroker.clock import Clock
from amqpbroker.errors import AmqpError
from amqpbroker.shovel.dialing import Dialer, OpenInside
from amqpbroker.shovel.shovel import Shovel

log = logging.getLogger(__name__)

_Key = tuple[str, str]


@final
class Runner(ShovelRunner):
    """Runs each shovel as a task. clock: for delays of shovels. open_inside: connects to the broker itself."""

    def __init__(self, broker: Broker, clock: Clock, open_inside: OpenInside) -> None:
        self._broker = broker
        self._clock = clock
        self._dialer = Dialer(broker.users, open_inside)
        self._running: dict[_Key, tuple[Shovel, asyncio.Task[None]]] = {}
        #: Cancelled tasks that are not done yet, and the shovels they belong to.
        self._ending: dict[asyncio.Task[None], _Key] = {}

    def start(self, vhost: str, name: str, definition: ShovelDefinition) -> None:
        self._cancel((vhost, name))
        shovel = Shovel(
            vhost,
            name,
            definition,
            self._dialer,
            self._clock,
            self._broker.clock.wall_ms,
            self._broker.cluster_name,
            partial(self._finished, vhost, name),
            self._broker.config.bounds.shovel_bytes,
        )
        before = [task for task, key in self._ending.items() if key == (vhost, name)]
        self._running[vhost, name] = shovel, asyncio.get_running_loop().create_task(_after(before, shovel.run))

    def stop(self, vhost: str, name: str) -> None:
        self._cancel((vhost, name))

    def status(self, vhost: str, name: str) -> ShovelStatus | None:
        running = self._running.get((vhost, name))
        return None if running is None else running[0].status

    async def close(self, timeout_s: float) -> None:
        """Stop all shovels in order. Shovels that take longer than `timeout_s` are cancelled."""
        for key in list(self._running):
            self._cancel(key)
        if self._ending:
            await asyncio.wait(self._ending, timeout=timeout_s)
            late = [task for task in self._ending if not task.done()]
            while late:  # each operation at the end of a shovel is cancelled separately
                for task in late:
                    task.cancel()
                await asyncio.sleep(0)
                late = [task for task in late if not task.done()]

    def _cancel(self, key: _Key) -> None:
        running = self._running.pop(key, None)
        if running is not None and not running[1].done():
            task = running[1]
            self._ending[task] = key
            task.add_done_callback(self._ending.pop)
            task.cancel()

    def _finished(self, vhost: str, name: str) -> None:
        try:
            self._broker.shovels.finish(vhost, name)
        except (AmqpError, LookupError) as error:
            log.error("the shovel '%s' in vhost '%s' cannot be deleted: %s", name, vhost, error)  # noqa: TRY400


async def _after(before: "list[asyncio.Task[None]]", run: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run after the end of earlier tasks: two shovels of the same name would mix the order of messages."""
    if before:
        await asyncio.wait(before)
    await run()
