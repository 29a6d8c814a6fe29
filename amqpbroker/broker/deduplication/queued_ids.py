"""Ids of the messages that are in a queue."""

from collections import deque
from collections.abc import Iterator

from amqpbroker.broker.deduplication.foreseen_ids import AcceptedIds
from amqpbroker.broker.deduplication.message_key import message_key
from amqpbroker.broker.deduplication.options import Deduplication
from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.message.message import Message
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.store import Store


class QueuedIds(AcceptedIds):
    """The ids of the messages in one queue, delivered and not acknowledged ones included.

    purges: number of purges of which ids are perhaps not freed yet.
    """

    def __init__(self, options: Deduplication, store: Store) -> None:
        self.purges: int = 0
        self._header: bytes | None = options.header
        self._stored: bool = options.stored
        self._store: Store = store
        self._ids: dict[bytes, MessageIdRecord] = {}
        self._by_sequence: dict[int, MessageIdRecord] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def stored_count(self) -> int:
        """Return the number of ids in the store."""
        return sum([taken.position != 0 for taken in self._ids.values()])

    def key(self, message: Message) -> bytes | None:
        """Return the id of the message, None if it has none."""
        return message_key(message, self._header)

    def has(self, key: bytes) -> bool:
        return key in self._ids

    def spare(self) -> int | None:
        return None

    def oldest(self) -> Iterator[bytes]:
        return iter(self._ids)

    def entered(self, message: Message, holder_id: int, sequence: int, stored: bool) -> None:
        """Take the id of a message that entered the queue. stored: the message is stored, in the same group."""
        key = message_key(message, self._header)
        if key is None or key in self._ids:
            return
        taken = MessageIdRecord(key, holder_id, sequence, 0, stored and self._stored)
        self._add(taken)
        if taken.stored:
            self._store.add_id(taken)

    def left(self, sequence: int) -> None:
        """Free the id of the message with that sequence, if it has one."""
        taken = self._by_sequence.pop(sequence, None)
        if taken is not None:
            del self._ids[taken.key]
            self._store.remove_id(taken)

    def begin_purge(self) -> None:
        """Note that the ids of purged messages are freed from now on, until `end_purge`."""
        self.purges += 1

    def end_purge(self) -> None:
        self.purges -= 1

    def recover(self, ids: list[MessageIdRecord], present: set[int]) -> list[MessageIdRecord]:
        """Recover the stored ids of messages that are present, by their sequences; return the others."""
        unneeded: list[MessageIdRecord] = []
        for taken in ids:
            if taken.sequence in present and taken.key not in self._ids:
                self._add(taken)
            else:
                unneeded.append(taken)
        return unneeded

    def close(self, deferred_free: DeferredFree) -> None:
        """Free all ids, because the queue is deleted; many of them are removed from the store later."""
        ids, by_sequence = self._ids, self._by_sequence
        self._ids, self._by_sequence = {}, {}
        deferred_free.record(deque(ids.values()), self._store.remove_ids, deferred_free.most)
        deferred_free.add(ids)
        deferred_free.add(by_sequence)

    def discard(self) -> None:
        """Discard all ids from memory, without changing the store, after the broker has ended."""
        self._ids.clear()
        self._by_sequence.clear()

    def _add(self, taken: MessageIdRecord) -> None:
        self._ids[taken.key] = taken
        self._by_sequence[taken.sequence] = taken
