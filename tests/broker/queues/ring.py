"""A kind of queue for tests: a ring, which retains the last messages.

This file and its row at the end are everything that a new kind needs: no other module of the project knows of it.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from amqpbroker.broker.infos import QueueInfo
from amqpbroker.broker.policies.policy_keys import PolicyKey, is_integer
from amqpbroker.broker.queues.arguments.arguments import QUEUE_TYPE, Argument, Setting, positive, smaller
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.consumers import Consumers
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.host import Host
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.outstanding import Outstanding
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.message.message import Message
from amqpbroker.store.recovered import Copies
from amqpbroker.store.store import UNSTORED, Store
from amqpbroker.wire.values import Table

#: Length of a ring that is declared without x-ring-length.
DEFAULT_LENGTH = 3


class RingQueue(Queue):
    """Retains the last `settings.max_length` messages. A returned message is first, if the ring has space for it."""

    def __init__(
        self,
        kind: Kind,
        host: Host,
        name: str,
        settings: QueueSettings,
        durable: bool,
        auto_delete: bool,
        owner: object | None,
        arguments: Table,
    ) -> None:
        super().__init__(kind, name, settings, durable, auto_delete, owner, arguments)
        self._host = host
        self._store: Store = host.store if durable else UNSTORED
        self._ready: deque[Entry] = deque()
        self._consumers = Consumers(name, host.name)
        self._outstanding = Outstanding()
        self._recovered: Copies | None = None
        self._entered = self._delivered = self._delivered_no_ack = self._acked = 0

    # --- observation --------------------------------------------------------------------------------------------------

    @property
    def ready_count(self) -> int:
        return len(self._ready)

    @property
    def unacked_count(self) -> int:
        return self._outstanding.count

    @property
    def consumer_list(self) -> Sequence[Consumer]:
        return self._consumers.all

    def ready_entries(self) -> Iterable[Entry]:
        return self._ready

    def counters(self) -> tuple[int, ...]:
        got = (0, 0, 0, 0)
        counts = self._entered, self._delivered, self._delivered_no_ack, *got, self._acked, 0, 0
        return *counts, len(self._ready), self.unacked_count

    def info(self) -> QueueInfo:
        ready, unacked = len(self._ready), self.unacked_count
        return QueueInfo(
            consumers=len(self._consumers.all),
            messages=ready + unacked,
            messages_ready=ready,
            messages_unacknowledged=unacked,
            messages_ram=ready + unacked,
        )

    # --- messages -----------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> bool:
        self._entered += 1
        entry = Entry(message, self, self._entered, 0)
        if message.persistent and self._store.keeps:
            self._store.enqueue(entry)
        self._ready.append(entry)
        self._deliver()
        self._trim()
        return True

    def _trim(self) -> None:
        while len(self._ready) > self.settings.max_length:
            self._drop(self._ready.popleft())

    def _drop(self, entry: Entry) -> None:
        if entry.position:
            self._store.settle(entry)

    def _deliver(self) -> None:
        while self._ready:
            consumer = self._consumers.next()
            if consumer is None:
                return
            entry = self._ready.popleft()
            if consumer.no_ack:
                self._delivered_no_ack += 1
                self._drop(entry)
                consumer.hand(entry.message, entry.acquired_count, 0)
                continue
            self._delivered += 1
            self._take(entry)
            self._outstanding.add(entry, consumer, self._host.clock.turn_ms)
            consumer.deliver(entry)

    def _take(self, entry: Entry) -> None:
        if entry.position:
            self._store.returned(entry)

    def get(self, no_ack: bool) -> Entry | None:
        if not self._ready:
            return None
        entry = self._ready.popleft()
        if no_ack:
            self._drop(entry)
        else:
            self._take(entry)
            self._outstanding.add_got(entry, self._host.clock.turn_ms)
        return entry

    def _release(self, entries: list[Entry]) -> None:
        for consumer in self._outstanding.settle_all(entries):
            self._consumers.settled(consumer)

    def ack(self, entry: Entry) -> None:
        self._acked += 1
        self.reject([entry])

    def reject(self, entries: list[Entry]) -> None:
        self._release(entries)
        for entry in entries:
            self._drop(entry)
        self._deliver()

    def requeue(self, entries: list[Entry], failed: bool = True) -> None:
        self._release(entries)
        for entry in reversed(entries):
            entry.acquired_count += 1
            if self.closed:
                self._drop(entry)
            else:
                self._ready.appendleft(entry)
        self._deliver()
        self._trim()

    def purge(self) -> int:
        count = len(self._ready)
        while self._ready:
            self._drop(self._ready.pop())
        return count

    def move(self, destination: Queue, count: int, size: int) -> int:
        return 0

    # --- consumers ----------------------------------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer, held: Sequence[Entry] = ()) -> None:
        self._outstanding.move(held, consumer, counted=False)
        self._consumers.add(consumer)

    def remove_consumer(self, consumer: Consumer, gives_back: bool = False) -> None:
        if consumer.registered:
            self._consumers.remove(consumer)
            if self.auto_delete and not self._consumers.all:
                self._host.remove_queue(self)

    def offer(self, consumer: Consumer) -> None:
        self._consumers.wake(consumer)
        self._deliver()

    # --- restore, settings and deletion -------------------------------------------------------------------------------

    def recover(self, copies: Copies) -> None:
        self._recovered = copies

    def recovered(self) -> None:
        copies, self._recovered = self._recovered, None
        if copies is None:
            return
        reading = self._store.load(copies.positions)
        for position, sequence in zip(copies.positions, copies.sequences, strict=True):
            entry = Entry(reading.message(position), self, sequence, 0)
            entry.position = position
            entry.redelivered = self._store.delivery_count(position) >= 0
            self._ready.append(entry)
        self._entered = copies.sequences[-1]

    def inherit(self, entries: list[Entry], delayed: Sequence[tuple[int, Entry]] = ()) -> None:
        self._ready.extend(entries)
        self._entered = max([entry.sequence for entry in entries], default=0)

    def apply_settings(self, settings: QueueSettings) -> None:
        super().apply_settings(settings)
        self._trim()

    def close(self) -> list[Consumer]:
        self.purge()
        self.discard()
        consumers = list(self._consumers.all)
        for consumer in consumers:
            self._consumers.remove(consumer)
        return consumers

    def discard(self) -> None:
        self.closed = True
        self._ready.clear()
        self.incoming.clear()


def _complete(values: dict[str, Any]) -> None:
    values.setdefault("max_length", DEFAULT_LENGTH)


RING_LENGTH = Argument(
    "x-ring-length", positive, Setting("max_length", int, smaller), PolicyKey(is_integer(1), "ring length", min)
)

RING = Kind("ring", RingQueue, arguments=(QUEUE_TYPE, RING_LENGTH), complete=_complete, apply_to="ring_queues")
