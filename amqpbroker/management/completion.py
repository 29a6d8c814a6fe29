"""Waiting for the effects of a request: until they are persisted, and until clients have been sent their frames."""

import asyncio
from typing import final

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.storage import Storage
from amqpbroker.broker.vhost import Vhost


@final
class _Waiter:
    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def synced(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def all_synced(broker: Broker) -> None:
    """Return once everything that was given to the store so far is safe."""
    for storage in list(broker.storages):
        await _synced(storage, storage.store.appended)


async def all_recorded(vhost: Vhost, broker: Broker) -> None:
    """Return once all messages that have left their queues are recorded as gone, and that is safe."""
    await recorded(vhost)
    await all_synced(broker)


async def recorded(vhost: Vhost) -> None:
    """Return once all messages that have left their queues, or are settled in slices, are recorded."""
    waiter = _Waiter()
    vhost.deferred_free.when_recorded(waiter.synced)
    await waiter.done


async def all_defined(broker: Broker) -> list[Storage]:
    """Return once all changes of definitions so far survive the end of the broker.

    Return the storages that were closed before: their last changes may be lost.
    """
    waited = [(storage, storage.store.defined) for storage in broker.storages]
    for storage, number in waited:
        await _synced(storage, number)
    return [storage for storage, number in waited if storage.store.synced < number]


async def _synced(storage: Storage, number: int) -> None:
    """Wait for a storage. A request about a vhost that has moved meanwhile is refused by its caller."""
    while storage.store.synced < number and not storage.is_closed:
        waiter = _Waiter()
        storage.await_sync(waiter)
        await waiter.done


async def all_written(broker: Broker) -> None:
    """Wait until all pending frames, with events and traces, have been written to the clients' sockets.

    The first frame schedules a write at the end of the event loop iteration, which runs before this coroutine resumes.
    """
    broker.publish_pending()
    await asyncio.sleep(0)
