"""A vhost that a simulated broker serves: its queue, its stream, and a client that publishes to them."""

import asyncio
import random
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from amqpbroker.broker.exchanges.held import HeldCopy
from amqpbroker.broker.storage import Storage
from amqpbroker.clock import Clock
from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import Message
from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.definitions.definitions import QueueDefinition
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.record import OFFSET_BITS, OFFSET_MASK
from amqpbroker.store.recovered import Copies, Recovered
from amqpbroker.wire.frames import lone_content
from tests.simulation.database.ledger import Attempt

if TYPE_CHECKING:
    from tests.simulation.database.broker import Broker

#: Time between two bursts, numbers of messages of a burst, and the time between two of them: most are written while
#: others are.
BURST_S: Final = (0.01, 1.2)
BURSTS: Final = (1, 1, 2, 3, 6)
NEXT_S: Final = (0.0, 0.004)
SIZES: Final = (20, 20, 200, 700)
#: Number of live messages from which the oldest are settled.
MOST: Final = 8
#: Ids of the queue and of the stream. Ids of further queues follow.
_QUEUE: Final = 1
_STREAM: Final = 2
#: Sizes of segments of the stream, and of all that it retains.
_STREAM_SEGMENT_BYTES: Final = 600
_STREAM_BYTES: Final = 1_800


class Watching(Protocol):
    """Checks of a world, which a vhost calls."""

    def recovered(self, vhost: "Vhost") -> None:
        """Check what a leader has found. Raises StoreError for one that was replaced meanwhile."""

    def attempted(self, vhost: "Vhost", attempt: Attempt) -> None:
        """Record the begin of a batch's write."""

    def acknowledged(self, vhost: "Vhost", sequence: int) -> None:
        """Check an acknowledged batch."""

    def next_sequence(self) -> int:
        """Return the number of the next message."""


class Queue:
    """The holder of the messages. live: message -> its position."""

    def __init__(self) -> None:
        self.id = _QUEUE
        self.live: dict[int, int] = {}

    def recover(self, copies: Copies) -> None:
        self.live = dict(zip(copies.sequences, copies.positions, strict=True))

    def recovered(self) -> None:
        pass

    def discard(self) -> None:
        self.live = {}


class Vhost:
    """A vhost of a broker, as the product's `Storage` expects one.

    log, epoch: of the leadership. broker, life: by which it is served. has_clients: as other brokers see it.
    last_place: segment of the journal and offset of the last message that was acknowledged.
    """

    def __init__(self, name: str, storage: Storage, broker: "Broker", chance: random.Random) -> None:
        self.name = name
        self.storage = storage
        self.broker = broker
        self.life = broker.lives
        self.log, self.epoch = leadership_of(storage)
        self.has_clients = chance.random() < 0.5
        self.last_place = (0, 0)
        self.batches = self.jobs = None
        self.exchanges: dict[str, object] = {}
        self.queue = Queue()
        self.queues = {"q": self.queue}
        self.others: set[str] = set()
        self._chance = chance
        self._settled = 0

    @property
    def live(self) -> list[int]:
        return list(self.queue.live)

    @property
    def streamed(self) -> int:
        return self._stream.next

    @property
    def last_id(self) -> int:
        return self.storage.definitions.last_id

    @property
    def is_open(self) -> bool:
        return not self.storage.is_closed

    def discard(self) -> None:
        self.queue.discard()

    def open(self, found: Recovered, clock: Clock, bounds: Bounds) -> int:
        """Restore what is stored; return the number of messages. Raises StoreError."""
        definitions = self.storage.definitions
        self.others = {queue.name for queue in definitions.all(QueueDefinition)}
        definitions.last_id = max(definitions.last_id, _STREAM)
        self._stream = self.storage.store.open_stream(_STREAM, _STREAM_SEGMENT_BYTES, clock, bounds)
        self._stream.limit(_STREAM_BYTES, -1)
        self.storage.add(self)  # type: ignore[arg-type] # a stand-in
        return self.storage.recover(found)

    # --- the client ---------------------------------------------------------------------------------------------------

    async def publish(self, checks: Watching) -> None:
        """Publish bursts of messages, until the vhost is closed."""
        storage, chance = self.storage, self._chance
        store = storage.store
        assert isinstance(store, Persistence)
        while True:
            await asyncio.sleep(chance.uniform(*BURST_S))
            under_way = []
            for _ in range(chance.choice(BURSTS)):
                if storage.is_closed or store.writer.has_failed:
                    return
                sequence = checks.next_sequence()
                copy, attempt = self._gather(sequence)
                checks.attempted(self, attempt)
                under_way.append((sequence, copy, store.appended))
                await asyncio.sleep(chance.uniform(*NEXT_S))
            for sequence, copy, number in under_way:
                if not await written(storage, number):
                    return
                self.queue.live[sequence] = copy.position
                self.last_place = copy.position >> OFFSET_BITS, copy.position & OFFSET_MASK
                checks.acknowledged(self, sequence)

    def _gather(self, sequence: int) -> tuple[HeldCopy, Attempt]:
        """Make the store's next batch."""
        store, chance, live = self.storage.store, self._chance, self.queue.live
        size = chance.choice(SIZES)
        message = Message(b"\0\1q", None, None, size, _content(size), 1)
        copy = HeldCopy(message, _QUEUE, sequence, 0)
        queue = f"q{sequence}" if sequence % 8 == 0 else ""
        if queue:
            definitions = self.storage.definitions
            definitions.put(QueueDefinition(self.name, queue, definitions.new_id(), False, b""))
        streamed = sequence % 4 == 1
        if streamed:
            self._stream.append(message)
            self._stream.remove_oldest()
        store.enqueue(copy)
        settled = list(live)[:-MOST] if len(live) > MOST + chance.randrange(MOST) else []
        if settled:
            store.settle_positions(array("q", [live.pop(number) for number in settled]))
        return copy, Attempt(sequence, tuple(settled), queue, streamed, self.last_id if queue else 0)


async def written(storage: Storage, number: int) -> bool:
    """Wait until a gathering of the storage is safe; return False if it was closed before."""
    store = storage.store
    while store.synced < number:
        if storage.is_closed or (isinstance(store, Persistence) and store.writer.has_failed):
            return False
        waiter = _Waiter()
        storage.await_sync(waiter)  # type: ignore[arg-type] # a stand-in for a session
        await waiter.future
    return True


class _Waiter:
    """Waits for a storage. future: done at the next progress, or the end."""

    def __init__(self) -> None:
        self.future = asyncio.get_running_loop().create_future()

    def synced(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


def leadership_of(storage: Storage) -> tuple[str, int]:
    """Return the log of a storage, and the epoch in which it is written."""
    definitions = storage.definitions
    assert isinstance(definitions, DatabaseDefinitions)
    fence = definitions._fence
    return fence._log, fence._epoch


@lru_cache
def _content(size: int) -> bytes:
    return lone_content(1, b"\0\0", [bytes(size)], size)
