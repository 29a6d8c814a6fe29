"""The dead letters of the closed groups of a queue: their numbers, how many are out, and in which queues."""

from typing import Final, final

from amqpbroker.broker.queues.dead_letters.letter_numbers import LetterNumbers
from amqpbroker.broker.queues.groups.stopped_group_records import StoppedGroupRecords
from amqpbroker.store.message_id_record import MessageIdRecord

#: The first bytes of notes about the letters of a group, a queue that has letters, and the numbers of letters.
LETTERS: Final = 4
LETTER_QUEUE: Final = 5
LETTER_NUMBER: Final = 6

#: Number of numbers that one note reserves, so that no number is used twice after a crash.
_RESERVED: Final = 10_000
_NUMBER_BYTES: Final = 8


@final
class _Letters:
    """The letters of one closed group. first: the first number. count: number of letters that are out."""

    def __init__(self, first: int, count: int, note: MessageIdRecord | None) -> None:
        self.first: int = first
        self.count: int = count
        self.note: MessageIdRecord | None = note

    def update(self, count: int, note: MessageIdRecord) -> None:
        self.count = count
        self.note = note


@final
class DeadLetterIndex:
    """Letters are out from their departure until their redrive. All of this survives a restart, by notes.

    Numbers are ascending in the order in which the messages failed.
    """

    def __init__(self, notes: StoppedGroupRecords, numbers: LetterNumbers) -> None:
        self._notes: StoppedGroupRecords = notes
        self._numbers: LetterNumbers = numbers
        self._of_key: dict[bytes, _Letters] = {}
        self._queues: dict[str, MessageIdRecord] = {}
        #: The number before the next one, 0 until that is asked for.
        self._newest: int = 0
        self._reserved: MessageIdRecord | None = None

    # --- numbers ------------------------------------------------------------------------------------------------------

    @property
    def next_number(self) -> int:
        """The number of the next letter of a group."""
        if not self._newest:
            self._newest = self._numbers.before_first()
        return self._newest + 1

    def use_number(self, key: bytes, holder_id: int) -> None:
        """Use the next number for a letter of a group. holder_id: id of the queue."""
        reserved = self._reserved
        self._newest = self.next_number
        if reserved is None or self._newest > reserved.expires_ms:
            self._reserve(holder_id)
        if key not in self._of_key:
            self._of_key[key] = _Letters(self._newest, 0, None)
            # Stored before the letter leaves: those with lower numbers are no letters of this closed group.
            self._update(key, 0, holder_id)

    def _reserve(self, holder_id: int) -> None:
        before, newest = self._reserved, self._newest + _RESERVED
        self._numbers.reserved(newest)
        self._reserved = self._notes.add(b"", LETTER_NUMBER, newest, holder_id)
        if before is not None:
            self._notes.remove(before)

    def first(self, key: bytes) -> int:
        """Return the first number of the letters of a closed group, 0 if it has none.

        Letters with lower numbers are copies of messages that came back from another queue.
        """
        letters = self._of_key.get(key)
        return 0 if letters is None else letters.first

    # --- letters ------------------------------------------------------------------------------------------------------

    def count(self, key: bytes) -> int:
        """Return the number of letters of a closed group that are out, also of those that clients have settled."""
        letters = self._of_key.get(key)
        return 0 if letters is None else letters.count

    def sent(self, key: bytes, holder_id: int) -> None:
        """Count a letter that leaves, after `use_number`."""
        self._update(key, 1, holder_id)

    def back(self, key: bytes, count: int, holder_id: int) -> None:
        """Count letters that are back in the queue."""
        if count:
            self._update(key, -count, holder_id)

    def _update(self, key: bytes, more: int, holder_id: int) -> None:
        letters = self._of_key.get(key)
        if letters is None:
            return
        before, count = letters.note, max(0, letters.count + more)
        letters.update(count, self._notes.add(letters.first.to_bytes(_NUMBER_BYTES) + key, LETTERS, count, holder_id))
        if before is not None:
            self._notes.remove(before)

    def opened(self, key: bytes) -> None:
        """Forget the letters of a group that is open again."""
        letters = self._of_key.pop(key, None)
        if letters is not None and letters.note is not None:
            self._notes.remove(letters.note)
        if not self._of_key:
            for note in self._queues.values():
                self._notes.remove(note)
            self._queues.clear()

    # --- queues -------------------------------------------------------------------------------------------------------

    def go_to(self, names: list[str], holder_id: int) -> None:
        """Record the queues that the next letter goes to."""
        for name in names:
            if name not in self._queues:
                key = name.encode("utf-8", "surrogateescape")
                self._queues[name] = self._notes.add(key, LETTER_QUEUE, 0, holder_id)

    def queues(self) -> list[str]:
        """Return the names of the queues that letters of closed groups went to."""
        return list(self._queues)

    # --- start and end ------------------------------------------------------------------------------------------------

    def recover(self, notes: list[MessageIdRecord]) -> list[MessageIdRecord]:
        """Recover from the stored notes. Return those of others."""
        others = []
        for note in notes:
            kind, rest = note.key[0], note.key[1:]
            if kind == LETTERS:
                first = int.from_bytes(rest[:_NUMBER_BYTES])
                self._of_key[rest[_NUMBER_BYTES:]] = _Letters(first, note.expires_ms, note)
            elif kind == LETTER_QUEUE:
                self._queues[rest.decode("utf-8", "surrogateescape")] = note
            elif kind == LETTER_NUMBER:
                self._newest = note.expires_ms
                self._numbers.reserved(self._newest)
                self._reserved = note
            else:
                others.append(note)
        return others

    def inherit(self, other: "DeadLetterIndex", holder_id: int) -> None:
        """Take over everything from the queue that this one replaces."""
        if other._newest:
            self._newest = other._newest
            self._reserve(holder_id)
        for key, letters in other._of_key.items():
            self._of_key[key] = _Letters(letters.first, letters.count, None)
            self._update(key, 0, holder_id)
        self.go_to(other.queues(), holder_id)

    def close(self) -> None:
        """Remove what is left of the notes, because the queue is deleted."""
        if self._reserved is not None:
            self._notes.remove(self._reserved)
            self._reserved = None
