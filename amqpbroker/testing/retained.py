"""Definitions and messages that a broker in memory keeps over a restart, as one on disk does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.exchanges.deduplicated import MessageIdFilter
from amqpbroker.broker.exchanges.held import HeldMessages
from amqpbroker.broker.queues.deduplicating_queue import DeduplicatingQueue
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.streams.queue import StreamQueue
from amqpbroker.store.definitions.definitions import (
    KEYS,
    BindingDefinition,
    D,
    Definition,
    MemoryDefinitions,
    VhostDefinition,
)


class KeptDefinitions(MemoryDefinitions):
    """Definitions in memory that outlive the broker, but not the process."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[type[Any], dict[tuple[Any, ...], Any]] = {kind: {} for kind in KEYS}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        before = {kind: dict(kept) for kind, kept in self._kept.items()}
        try:
            yield
        except BaseException:
            self._kept = before
            raise

    def put(self, *definitions: Definition) -> None:
        for definition in definitions:
            self.remove(definition)
            self._kept[type(definition)][_key(definition)] = definition

    def remove(self, *definitions: Definition) -> None:
        for definition in definitions:
            self._kept[type(definition)].pop(_key(definition), None)

    def remove_bindings(self, vhost: str, is_exchange: bool, name: str) -> None:
        for each in self.all(BindingDefinition):
            ends = (each.to_exchange == is_exchange and each.destination == name) or (
                is_exchange and each.source == name
            )
            if each.vhost == vhost and ends:
                self.remove(each)

    def remove_vhost(self, name: str) -> None:
        for kind, kept in self._kept.items():
            if "vhost" in kind._fields:
                place = kind._fields.index("vhost")
                self._kept[kind] = {key: each for key, each in kept.items() if each[place] != name}
        self.remove(VhostDefinition(name))

    def all(self, kind: type[D]) -> list[D]:
        return list(self._kept[kind].values())


def _key(definition: Definition) -> tuple[Any, ...]:
    return definition[: KEYS[type(definition)]]


def carry(before: Broker, after: Broker) -> None:
    """Copy the messages that durable queues and exchanges of `before` would have on disk to those of `after`.

    `before` has ended, and `after` has its definitions.
    """
    after.storage.batch_records.start_after(before.storage.batch_records)
    after.storage.job_records.start_after(before.storage.job_records)
    for name, vhost in before.vhosts.items():
        now = after.vhosts[name]
        for queue in vhost.queues.values():
            heir = now.queues.get(queue.name) if queue.durable else None
            if isinstance(queue, StreamQueue) and isinstance(heir, StreamQueue):
                heir.inherit_log(queue)
            elif heir is not None:
                all_of = queue.kind.stores_all
                heir.inherit(
                    [_copy(entry, heir) for entry in queue.ready_entries() if all_of or entry.message.persistent],
                    [
                        (due_ms, _copy(entry, heir))
                        for due_ms, entry in queue.delayed_entries()
                        if all_of or entry.message.persistent
                    ],
                )
                if isinstance(queue, DeduplicatingQueue) and isinstance(heir, DeduplicatingQueue):
                    heir.inherit_window(queue)
                elif isinstance(queue, GroupQueue) and isinstance(heir, GroupQueue):
                    heir.inherit_groups(queue)
        for exchange in vhost.exchanges.values():
            held = exchange.type.held
            if exchange.durable and isinstance(held, HeldMessages):
                later = now.exchanges[exchange.name].type.held
                assert isinstance(later, HeldMessages)
                for copy in held.recent():
                    if copy.message.persistent:
                        later.hold(copy.message, copy.deadline_ms, copy.timed)
            duplicate_filter = exchange.duplicate_filter
            if exchange.durable and isinstance(duplicate_filter, MessageIdFilter):
                now_gate = now.exchanges[exchange.name].duplicate_filter
                assert isinstance(now_gate, MessageIdFilter)
                now_gate.window.inherit(duplicate_filter.window, now_gate.id)
        # Only now, so that the copies are not counted again.
        if vhost.batches is not None and now.batches is not None:
            now.batches.inherit(vhost.batches)
        if vhost.jobs is not None and now.jobs is not None:
            now.jobs.inherit(vhost.jobs)
        # When all queues have what was before, one may act on it: its dead letters come behind the messages of another.
        for queue in now.queues.values():
            queue.recovered()


def _copy(entry: Entry, queue: Queue) -> Entry:
    copy = Entry(entry.message, queue, entry.sequence, entry.deadline_ms)
    copy.redelivered = entry.redelivered
    copy.delivery_count = entry.delivery_count
    return copy
