"""Versions of the messages of a queue with message groups: an older message is not delivered after a newer one."""

from collections import deque
from typing import Final

from amqpbroker.broker.queues.groups.key import group_key
from amqpbroker.broker.queues.groups.stopped_group_records import StoppedGroupRecords
from amqpbroker.clock import Clock
from amqpbroker.message.message import Message
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.wire.raw_headers import header
from amqpbroker.wire.values import INTEGER_KINDS

#: The first byte of a note with a version. The states of groups have lower ones.
VERSION: Final = 3
_VERSION_BYTES: Final = 8
_TIMESTAMP: Final = "T"


class GroupVersions:
    """The highest acknowledged version of each key, for a time.

    Of more than `most` keys, those whose version was acknowledged first are removed.
    """

    def __init__(
        self, clock: Clock, notes: StoppedGroupRecords, most: int, header: bytes, name: bytes, ttl_ms: int
    ) -> None:
        """header: name of the header with the key, empty for the routing key. name: of the header with the version."""
        self._clock = clock
        clock.watch()
        self._notes: StoppedGroupRecords = notes
        self._most: int = most
        self._header: bytes = header
        self._name: bytes = name
        self._ttl_ms: int = ttl_ms
        #: Key -> version and its record, in the order of their expiry.
        self._acked: dict[bytes, tuple[int, MessageIdRecord]] = {}

    def __len__(self) -> int:
        """Return the number of keys with a version."""
        return len(self._acked)

    def apply(self, ttl_ms: int) -> None:
        """Use another time for versions that are acknowledged from now on."""
        self._ttl_ms = ttl_ms

    def is_superseded(self, message: Message) -> bool:
        """Return whether a message with a higher version was acknowledged."""
        version = self._version(message)
        key = None if version is None else group_key(message, self._header)
        known = None if key is None else self._acked.get(key)
        if version is None or known is None:
            return False
        return version < known[0] and not known[1].is_over(self._clock.now_ms())

    def acked(self, message: Message, holder_id: int) -> None:
        """Record that a message is acknowledged. holder_id: id of the queue."""
        version = self._version(message)
        key = None if version is None else group_key(message, self._header)
        if version is None or key is None:
            return
        now_ms, ahead_ms = self._clock.now_ms(), self._clock.ahead_ms
        known = self._acked.pop(key, None)
        if known is not None:
            self._notes.remove(known[1])
            if not known[1].is_over(now_ms):
                version = max(version, known[0])
        encoded = version.to_bytes(_VERSION_BYTES, "big", signed=True)
        expires_ms = now_ms + ahead_ms + self._ttl_ms
        note = self._notes.add(encoded + key, VERSION, expires_ms, holder_id)
        note.set_time(expires_ms, ahead_ms)
        self._acked[key] = version, note
        self._remove_oldest(now_ms)

    def recover(self, notes: list[MessageIdRecord]) -> None:
        """Recover the versions of these notes."""
        start = 1 + _VERSION_BYTES
        for note in sorted(notes, key=_expiry):
            note.set_time(note.expires_ms, self._clock.ahead_ms)
            self._acked[note.key[start:]] = int.from_bytes(note.key[1:start], "big", signed=True), note
        self._remove_oldest(self._clock.now_ms())

    def inherit(self, other: "GroupVersions", holder_id: int) -> None:
        """Take over the versions of a queue that is replaced by the one with that id."""
        for key, (version, note) in other._acked.items():
            again = self._notes.add(note.key[1:], VERSION, note.expires_ms, holder_id)
            again.set_time(note.expires_ms, note.ahead_ms)
            self._acked[key] = version, again

    def end(self) -> deque[MessageIdRecord]:
        """Discard all versions, because the queue is deleted. Return their notes, which the caller removes."""
        notes = deque([note for _, note in self._acked.values()])
        self._acked.clear()
        return notes

    def _remove_oldest(self, now_ms: int) -> None:
        while self._acked:
            key = next(iter(self._acked))
            note = self._acked[key][1]
            if len(self._acked) <= self._most and not note.is_over(now_ms):
                return
            self._notes.remove(note)
            del self._acked[key]

    def _version(self, message: Message) -> int | None:
        field = header(message.properties, self._name)
        if field is None or not (field.kind in INTEGER_KINDS or field.kind == _TIMESTAMP):
            return None
        version: int = field.value
        return version if -(1 << 63) <= version < 1 << 63 else None


def _expiry(note: MessageIdRecord) -> int:
    return note.expires_ms
