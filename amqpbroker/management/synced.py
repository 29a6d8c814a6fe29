"""Waiting for the effects of a request: until they are safe, and until clients have been sent their frames."""

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


async def all_written(broker: Broker) -> None:
    """Return once the frames that clients are due so far have been written to their sockets, with events and traces.

    The end of the event loop iteration writes them, and was scheduled by the first of them: before this coroutine is.
    """
    broker.publish_pending()
    await asyncio.sleep(0)
