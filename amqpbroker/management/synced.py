"""Waiting until what was done is safe, as a publisher waits for its confirm."""

import asyncio
from typing import final

from amqpbroker.broker.broker import Broker


@final
class _Waiter:
    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def synced(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def all_synced(broker: Broker) -> None:
    """Return once everything that was given to the store so far is safe."""
    store = broker.store
    number = store.appended
    while store.synced < number:
        waiter = _Waiter()
        broker.awaiting_sync[waiter] = None
        await waiter.done
