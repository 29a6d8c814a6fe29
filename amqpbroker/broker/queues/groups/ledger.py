"""The ledger of a queue with message groups."""

from array import array
from collections import deque
from collections.abc import Sequence
from typing import Final

from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.dead_letters.deadletter import DeadLetters, count_letters
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.group import Group
from amqpbroker.broker.queues.groups.letters import former_number, letter_headers
from amqpbroker.broker.queues.groups.line import GroupLine
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.ledger import REJECTED, Ledger
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.tracking.copy_tracker import CopyTracker
from amqpbroker.message.message import Message
from amqpbroker.store.store import Store

#: The sequence numbers of such a queue start here, so that there are lower ones for messages that come back.
_FIRST: Final = 1 << 40


class GroupLedger(Ledger):
    """A ledger that records in the line which messages have left the queue, and which are delayed."""

    def __init__(
        self,
        settings: QueueSettings,
        kind: Kind,
        store: Store,
        dead_letters: DeadLetters,
        letter_counts: dict[tuple[str, str, str], int],
        deferred_free: DeferredFree,
        tracker: CopyTracker,
        line: GroupLine,
    ) -> None:
        super().__init__(settings, kind, store, dead_letters, letter_counts, deferred_free, tracker)
        self.sees_all = True
        self._line: GroupLine = line
        self.entered = self.before = _FIRST
        self._lowest: int = _FIRST
        #: The queues that the last letter that was asked for goes to.
        self._takers: list[str] = []
        #: Keys of the letters that leave, by the sequence numbers of their messages.
        self._leaving: dict[int, bytes] = {}

    def failed(self, entry: Entry, reason: str) -> None:
        """Record that a message has failed for good, and returns to its stopped group."""
        if reason == REJECTED:
            entry.count_return(failed=True)
        if entry.position:
            self.returned(entry)

    def is_letter_taken(self, group: Group, entry: Entry, reason: str) -> bool:
        """Return whether another queue takes the dead letter of an entry of a group, if that is the next one."""
        self._takers = []
        if self._settings.dead_letters and group.key is not None:
            number = self._number(group.key, entry)
            self._takers = self._dead_letters.promised.takers(
                entry, reason, letter_headers(number, self._line.groups.options.header, entry.message.routing_key)
            )
        return len(self._takers) > 0 and entry.queue.name not in self._takers

    def _number(self, key: bytes, entry: Entry) -> int:
        """Return the number of the dead letter of an entry, which may be that of a letter that was not sent yet."""
        letters = self._line.groups.letters
        number, first = former_number(entry.message, entry.queue.name), letters.first(key)
        # A letter that came back during its redrive, or by itself, is the same letter again.
        return number if first and number >= first else letters.next_number

    def send_letter(self, group: Group, entry: Entry, reason: str) -> None:
        """Dead-letter a message of a closed group, after `is_letter_taken`."""
        key, letters, holder_id = group.key, self._line.groups.letters, entry.queue.id
        assert key is not None
        store = self.store
        store.begin()
        try:
            letters.go_to(self._takers, holder_id)
            if self._number(key, entry) == letters.next_number:
                letters.use_number(key, holder_id)
        finally:
            store.end()
        self._dead_letters.promised.promise(entry)
        self._leaving[entry.sequence] = key
        self.dead_letter([entry], reason)

    def not_sent(self, entry: Entry, reason: str) -> bytes:
        """Undo `send_letter`, before the message has left. Return the key of its group."""
        key = self._leaving.pop(entry.sequence)
        self.left -= 1
        count_letters(
            self._letter_counts,
            self._kind.name,
            self._settings.dead_letter_strategy,
            sent=True,
            reason=reason,
            count=-1,
        )
        return key

    @property
    def dead_letters(self) -> DeadLetters:
        """The dead letters of the vhost."""
        return self._dead_letters

    def start(self, entries: int, newest: int) -> None:
        super().start(entries, max(newest, self.newest))

    def recovered_from(self, oldest: int) -> None:
        """Set the lowest sequence number of the recovered messages."""
        self._lowest = min(self._lowest, oldest)

    def enter_first(self, queue: Queue, message: Message, deadline_ms: int) -> Entry:
        """Create an entry for a message that comes before all others of the queue, and store it if necessary."""
        self._lowest -= 1
        entry = Entry(message, queue, self._lowest, deadline_ms)
        entry.redelivered = True
        self.succeed(entry)
        if entry.position:
            self.store.returned(entry)
        return entry

    def renew(self, entry: Entry, deadline_ms: int) -> Entry:
        """Replace an entry by one with another expiry time; to the store, this is one change."""
        is_stored, store = entry.position != 0, self.store
        again = Entry(entry.message, entry.queue, entry.sequence, deadline_ms)
        again.restore(entry.acquired_count, entry.delivery_count)
        store.begin()
        try:
            # Not for the line, where the new entry has the same place in the same group.
            super().leave(entry)
            if is_stored:
                self.stored += 1
                store.enqueue(again)
                if again.acquired_count:
                    store.returned(again)
            elif self.in_memory and (again.message.persistent or self._stores_all):
                self.unsaved += 1
        finally:
            store.end()
        return again

    def leave(self, entry: Entry) -> None:
        super().leave(entry)
        self._line.left(entry.sequence)
        if self._leaving:
            key = self._leaving.pop(entry.sequence, None)
            if key is not None:
                # To the store, this is one operation with the departure.
                self._line.groups.letters.sent(key, entry.queue.id)

    def leave_stored(self, positions: "array[int]", sequences: Sequence[int]) -> None:
        super().leave_stored(positions, sequences)
        self._line.left_all(sequences)

    def purged(self, lines: list[deque[Entry]], count: int) -> None:
        super().purged(lines, count)
        groups, deferred_free = self._line.groups, self._deferred_free
        deferred_free.record(groups.end_cleared_notes(), groups.notes.remove_all, deferred_free.few)
        for cleared in groups.end_cleared():
            deferred_free.add(cleared)

    def dead_letter(self, entries: list[Entry], reason: str) -> None:
        # The next messages of their groups do not wait until the letters are sent.
        for entry in entries:
            self._line.left(entry.sequence)
        super().dead_letter(entries, reason)

    def delayed(self, entry: Entry, due_ms: int) -> None:
        super().delayed(entry, due_ms)
        self._line.delay(entry)
