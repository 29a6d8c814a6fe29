"""The broker's shovels, of which nothing is even imported before there is one; and the broker as its own client."""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, final

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.shovels.shovels import ShovelRunner, ShovelStatus
from amqpbroker.broker.users.users import User
from amqpbroker.clock import Clock

if TYPE_CHECKING:
    from amqpbroker.broker.shovels.definition import ShovelDefinition
    from amqpbroker.shovel.runner import Runner


@final
class LazyShovels(ShovelRunner):
    """serve(user): a protocol that serves one connection of that user, who needs not log in."""

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        serve: Callable[[User], asyncio.BaseProtocol],
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._loop = loop
        self._serve = serve
        self._runner: Runner | None = None

    def start(self, vhost: str, name: str, definition: "ShovelDefinition") -> None:
        if self._runner is None:
            from amqpbroker.shovel.runner import Runner

            self._runner = Runner(self._broker, self._clock, self._open_inside)
        self._runner.start(vhost, name, definition)

    def stop(self, vhost: str, name: str) -> None:
        if self._runner is not None:
            self._runner.stop(vhost, name)

    def status(self, vhost: str, name: str) -> ShovelStatus | None:
        return None if self._runner is None else self._runner.status(vhost, name)

    async def close(self, timeout_s: float) -> None:
        """Stop all."""
        self._broker.shovels.run(None)
        if self._runner is not None:
            await self._runner.close(timeout_s)

    async def _open_inside(self, user: User) -> socket.socket:
        from amqpbroker.shovel.dialing import to_the_end

        ours, theirs = socket.socketpair()
        try:
            for end in (ours, theirs):
                end.setblocking(False)
            await to_the_end(self._loop.connect_accepted_socket(lambda: self._serve(user), theirs))
        except asyncio.CancelledError:
            ours.close()  # the accepted connection at the other end notices
            raise
        except BaseException:
            ours.close()
            theirs.close()
            raise
        return ours
