"""Storage of vhosts: where they keep their messages and durable objects, and who waits until those are safe."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, final

from amqpbroker.broker.batches.records import BatchRecords
from amqpbroker.broker.jobs.records import JobRecords
from amqpbroker.broker.queues.deduplicating_queue import DeduplicatingQueue
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.session import Synced
from amqpbroker.store.definitions.definitions import Definitions
from amqpbroker.store.message_id_record import IdKeeper
from amqpbroker.store.record import BATCHES_ID, JOBS_ID
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.store import Holder, Store

if TYPE_CHECKING:
    from amqpbroker.broker.batches.batches import Batches
    from amqpbroker.broker.jobs.jobs import Jobs
    from amqpbroker.broker.vhost import Vhost


@final
class Storage:
    """The store of some vhosts, mostly of all vhosts of a broker, and the definitions of their durable objects.

    definitions: queues, exchanges, bindings and stream offsets. vhosts: by name. batch_records, job_records: of all
    batches and jobs. lost_ids: ids of durable queues and exchanges that could not be restored, and of the batches and
    jobs without extensions; their messages and records are retained. awaiting_sync: those who wait for the store.
    is_closed: nobody is told any longer of what becomes safe.
    """

    def __init__(self, store: Store, definitions: Definitions, extensions: bool) -> None:
        self.store: Store = store
        self.definitions: Definitions = definitions
        self.vhosts: dict[str, Vhost] = {}
        self.lost_ids: frozenset[int] = frozenset()
        self.is_closed: bool = False
        self.awaiting_sync: dict[Synced, None] = {}
        self._batches: dict[str, Batches] = {}
        self.batch_records = BatchRecords(self._batches)
        self._jobs: dict[str, Jobs] = {}
        self.job_records = JobRecords(self._jobs)
        self._extensions = extensions
        store.watch(self._on_synced)

    # --- vhosts -------------------------------------------------------------------------------------------------------

    def add(self, vhost: "Vhost") -> None:
        """Keep the objects of a vhost."""
        self.vhosts[vhost.name] = vhost
        if vhost.batches is not None:
            self._batches[vhost.name] = vhost.batches
        if vhost.jobs is not None:
            self._jobs[vhost.name] = vhost.jobs

    def remove(self, name: str) -> None:
        """Keep the objects of a vhost no longer, if it is there."""
        self.vhosts.pop(name, None)
        self._batches.pop(name, None)
        self._jobs.pop(name, None)

    # --- recovery -----------------------------------------------------------------------------------------------------

    def lose(self, ids: Iterable[int]) -> None:
        """Retain the messages and records of queues and exchanges that could not be restored."""
        self.lost_ids |= {*ids}
        if not self._extensions:
            self.lost_ids |= {BATCHES_ID, JOBS_ID}

    def recover(self, found: Recovered) -> int:
        """Return stored messages and ids to the restored vhosts; return the number of messages. Raises StoreError."""
        return self.store.restore(found, self.holders(), self.lost_ids, self.id_keepers())

    def holders(self) -> dict[int, Holder]:
        """Return the owners of stored messages by id: durable queues, and durable exchanges that hold messages back."""
        found: dict[int, Holder] = {}
        for vhost in self.vhosts.values():
            held = [exchange.type.held for exchange in vhost.exchanges.values()]
            for holder in (*vhost.queues.values(), *held):
                if holder is not None and holder.id:
                    found[holder.id] = holder
        return found

    def id_keepers(self) -> dict[int, IdKeeper]:
        """Return the owners of id records by id: durable queues and exchanges that drop duplicates, queues with groups,
        the batches and the jobs.
        """
        found: dict[int, IdKeeper] = {}
        if self._extensions:
            found[BATCHES_ID] = self.batch_records
            found[JOBS_ID] = self.job_records
        for vhost in self.vhosts.values():
            for queue in vhost.queues.values():
                if queue.id and isinstance(queue, DeduplicatingQueue | GroupQueue):
                    found[queue.id] = queue
            for exchange in vhost.exchanges.values():
                if exchange.duplicate_filter is not None and exchange.duplicate_filter.id:
                    found[exchange.duplicate_filter.id] = exchange.duplicate_filter
        return found

    # --- safety -------------------------------------------------------------------------------------------------------

    def await_sync(self, waiter: Synced) -> None:
        """Call `synced` of the waiter once, when the store has made progress."""
        self.awaiting_sync[waiter] = None

    def _on_synced(self) -> None:
        waiting, self.awaiting_sync = self.awaiting_sync, {}
        for waiter in waiting:
            waiter.synced()

    def close(self) -> None:
        """Discard the vhosts, which this broker serves no longer, from memory, and have nobody wait for the store."""
        self.is_closed = True
        waiting = list(self.awaiting_sync)
        self.discard()
        for waiter in waiting:
            waiter.synced()

    def discard(self) -> None:
        """Discard all vhosts and messages from memory, without changing the store, after the broker has ended."""
        for vhost in self.vhosts.values():
            vhost.discard()
        self.vhosts.clear()
        self._batches.clear()
        self._jobs.clear()
        self.awaiting_sync.clear()
