"""Waiting for the effects of a request: until they are persisted, and until clients have been sent their frames."""

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
    await _synced(broker, broker.store.appended)


async def all_defined(broker: Broker) -> None:
    """Return once all changes of definitions so far survive the end of the broker."""
    await _synced(broker, broker.store.defined)


async def _synced(broker: Broker, number: int) -> None:
    store = broker.store
    while store.synced < number:
        waiter = _Waiter()
        broker.awaiting_sync[waiter] = None
        await waiter.done


async def all_written(broker: Broker) -> None:
    """Wait until all pending frames, with events and traces, have been written to the clients' sockets.

    The first frame schedules a write at the end of the event loop iteration, which runs before this coroutine resumes.
    """
    broker.publish_pending()
    await asyncio.sleep(0)
