"""Stored notes of a queue about its message groups: which of them are stopped."""

from typing import final

from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.store import Store


@final
class StoppedGroupRecords:
    """The records of one queue's groups, which survive a restart. A record is like that of an id (`MessageIdRecord`).

    A note has the state of its group and a time. Its key is the state, as one byte, then what the state needs, and the
    key of the group.
    """

    def __init__(self, store: Store) -> None:
        self._store: Store = store
        self._newest: int = 0
        self.count: int = 0

    def add(self, key: bytes, state: int, since_ms: int, holder_id: int) -> MessageIdRecord:
        """Store a note. holder_id: id of the queue. since_ms: time of the state, by the wall clock."""
        self._newest += 1
        note = MessageIdRecord(bytes((state,)) + key, holder_id, self._newest, since_ms, bool(holder_id))
        if note.stored and self._store.keeps:
            self._store.add_id(note)
            self.count += 1
        return note

    def remove(self, note: MessageIdRecord) -> None:
        """Remove a note."""
        if note.position:
            self._store.remove_id(note)
            self.count -= 1

    def remove_all(self, notes: list[MessageIdRecord]) -> None:
        """Remove several notes."""
        for note in notes:
            self.remove(note)

    def recover(self, notes: list[MessageIdRecord]) -> None:
        """Count recovered notes."""
        self._newest = max([note.sequence for note in notes], default=0)
        self.count = len(notes)
