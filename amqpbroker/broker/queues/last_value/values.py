"""The messages of a queue that may replace others, or be replaced, by their keys."""

from typing import Final

from amqpbroker.broker.deduplication.message_key import message_key
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.message.message import Message

#: Size of the record of moved messages at which those that have left are first removed from it.
_MOVED: Final = 64


class LastValues:
    """The sequence numbers of the messages of one queue that have keys.

    Of two messages with one key, the newer has the higher sequence number: a message takes over the number of one that
    it replaces only if that is the newest of its key. At most one of them is ready, except for a moment, and while one
    cannot be read.
    """

    def __init__(self, header: bytes) -> None:
        """header: name of the header with the key."""
        self._header: bytes = header
        #: Key -> place of the ready message: its sequence number and its level.
        self._ready: dict[bytes, int] = {}
        self._cleared: list[dict[bytes, int]] = []
        #: Key -> sequence number of the newest message that was moved from another queue, which may have left.
        self._moved: dict[bytes, int] = {}
        self._most_moved: int = _MOVED
        self._held = _Sequences()
        self._late = _Sequences()

    def __len__(self) -> int:
        """Return the number of messages with keys."""
        return len(self._ready) + len(self._held) + len(self._late)

    def key(self, message: Message) -> bytes | None:
        """Return the key of a message, None if it has none."""
        return message_key(message, self._header)

    def ready(self, key: bytes) -> tuple[int, int] | None:
        """Return the sequence number and the level of the ready message with that key, None if there is none."""
        place = self._ready.get(key)
        return None if place is None else (place >> 8, place & 255)

    def was_moved(self, key: bytes) -> bool:
        """Return whether the newest message with that key was moved here from another queue."""
        newest = self.newest(key)
        return newest != 0 and self._moved.get(key) == newest

    def newest(self, key: bytes) -> int:
        """Return the highest sequence number among the messages with that key, 0 if there is none."""
        return max(self._ready.get(key, 0) >> 8, self._held.newest(key), self._late.newest(key))

    def is_superseded(self, entry: Entry) -> bool:
        """Return whether a newer message with the entry's key is in the queue."""
        key = self.key(entry.message)
        return key is not None and self.newest(key) > entry.sequence

    # --- changes ------------------------------------------------------------------------------------------------------

    def add_ready(self, key: bytes, sequence: int, level: int) -> None:
        """Record a ready message, instead of the earlier one with that key."""
        self._ready[key] = sequence << 8 | level

    def add_moved(self, message: Message) -> None:
        """Record that the newest message with the key of this one was moved here from another queue."""
        key = self.key(message)
        newest = 0 if key is None else self.newest(key)
        if key is None or not newest:
            return
        self._moved[key] = newest
        if len(self._moved) > self._most_moved:
            self._moved = {key: number for key, number in self._moved.items() if self.newest(key) == number}
            self._most_moved = max(_MOVED, 2 * len(self._moved))

    def remove_moved(self, key: bytes) -> None:
        """Record that a published message has taken the sequence number of the newest one with that key."""
        self._moved.pop(key, None)

    def remove_ready(self, entry: Entry) -> None:
        """Record that a message is not ready anymore."""
        key = self.key(entry.message)
        if key is not None and self._ready.get(key, 0) >> 8 == entry.sequence:
            del self._ready[key]

    def clear_ready(self) -> None:
        """Record that no message is ready anymore. `end_cleared` returns their keys."""
        self._cleared.append(self._ready)
        self._ready = {}

    def end_cleared(self) -> list[dict[bytes, int]]:
        """Return the keys of messages that were cleared, perhaps a million, for the caller to free them."""
        cleared, self._cleared = self._cleared, []
        return cleared

    def add_held(self, entry: Entry) -> None:
        """Record a message that is delivered and not acknowledged."""
        self._held.add(self.key(entry.message), entry.sequence)

    def remove_held(self, entry: Entry) -> None:
        """Record that a delivered message is settled or returned."""
        self._held.remove(self.key(entry.message), entry.sequence)

    def add_late(self, key: bytes | None, sequence: int) -> None:
        """Record a delayed message."""
        self._late.add(key, sequence)

    def remove_late(self, key: bytes | None, sequence: int) -> None:
        """Record that a message is not delayed anymore, if it was."""
        self._late.remove(key, sequence)

    def clear_late(self) -> None:
        """Record that no message is delayed anymore."""
        self._late.clear()


class _Sequences:
    """Sequence numbers by key, in ascending order."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, list[int]] = {}

    def __len__(self) -> int:
        return sum([len(sequences) for sequences in self._by_key.values()])

    def newest(self, key: bytes) -> int:
        sequences = self._by_key.get(key)
        return sequences[-1] if sequences is not None else 0

    def add(self, key: bytes | None, sequence: int) -> None:
        if key is None:
            return
        sequences = self._by_key.setdefault(key, [])
        sequences.append(sequence)
        sequences.sort()

    def remove(self, key: bytes | None, sequence: int) -> None:
        sequences = None if key is None else self._by_key.get(key)
        if key is None or sequences is None or sequence not in sequences:
            return
        sequences.remove(sequence)
        if not sequences:
            del self._by_key[key]

    def clear(self) -> None:
        self._by_key.clear()
