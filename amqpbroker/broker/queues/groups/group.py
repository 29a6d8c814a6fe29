"""The messages of one key in a queue with message groups."""

from array import array
from bisect import bisect_left, insort
from typing import Final

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.store.message_id_record import MessageIdRecord

#: Reasons why no message of a group is delivered until an operator decides. OPEN: there is none.
OPEN: Final = 0
PARKED: Final = 1
CLOSED: Final = 2

#: The reason for which a message is dead-lettered because an earlier one of its group was; RabbitMQ has no such reason.
GROUP: Final = "group"

#: Number of removed sequence numbers at the start of a group that are kept, until they are half of all.
_REMOVED: Final = 32


class Group:
    """Messages with one key: sequence numbers, in ascending order.

    key: None for a message without a key, which is a group of its own. first: the first waiting message, 0 if none
    waits. out: number of messages that were taken and not settled or returned. late: delayed messages. state: OPEN,
    PARKED or CLOSED. note: the record of the state in the store. holder: the consumer that has the taken messages, if
    it may get more of them. item: place in the order of the groups that can deliver, 0 for none. queued: the item that
    is in the order.
    """

    __slots__ = ("_rest", "_start", "first", "holder", "item", "key", "late", "note", "out", "queued", "state")

    def __init__(self, key: bytes | None) -> None:
        self.key: bytes | None = key
        self.first: int = 0
        self.out: int = 0
        self.late: list[int] | None = None
        self.state: int = OPEN
        self.note: MessageIdRecord | None = None
        self.holder: Consumer | None = None
        self.item: int = 0
        self.queued: int = 0
        #: Waiting messages behind the first one, from `_start` on.
        self._rest: array[int] | None = None
        self._start: int = 0

    @property
    def waiting_count(self) -> int:
        if not self.first:
            return 0
        return 1 if self._rest is None else 1 + len(self._rest) - self._start

    @property
    def is_blocked(self) -> bool:
        """True if a delayed message precedes the waiting ones."""
        late = self.late
        return late is not None and (not self.first or late[0] < self.first)

    @property
    def earliest(self) -> int:
        """The first message that is waiting or delayed, 0 if there is none."""
        late = self.late
        return late[0] if late is not None and self.is_blocked else self.first

    @property
    def is_over(self) -> bool:
        """True if nothing is left of the group."""
        return not (self.first or self.out or self.late or self.state == CLOSED)

    def waiting(self) -> list[int]:
        if not self.first:
            return []
        return [self.first] if self._rest is None else [self.first, *self._rest[self._start :]]

    def add(self, sequence: int) -> None:
        """Add a waiting message, at its place."""
        rest = self._rest
        if not self.first:
            self.first = sequence
        elif sequence < self.first:
            before, self.first = self.first, sequence
            if rest is None:
                self._rest = array("Q", (before,))
            else:
                if not self._start:
                    # Messages may come back one by one, the last one first.
                    self._start = 1 + len(rest) // 4
                    rest[:0] = array("Q", bytes(8 * self._start))
                self._start -= 1
                rest[self._start] = before
        elif rest is None:
            self._rest = array("Q", (sequence,))
        elif self._start == len(rest) or sequence > rest[-1]:
            rest.append(sequence)
        else:
            rest.insert(bisect_left(rest, sequence, self._start), sequence)

    def remove(self, sequence: int) -> None:
        """Remove a waiting message."""
        rest = self._rest
        if sequence != self.first:
            assert rest is not None
            del rest[bisect_left(rest, sequence, self._start)]
        elif rest is None or self._start == len(rest):
            self.first = 0
        else:
            self.first = rest[self._start]
            self._start += 1
        if rest is not None and self._start == len(rest):
            self._rest = None
            self._start = 0
        elif rest is not None and self._start > _REMOVED and 2 * self._start > len(rest):
            del rest[: self._start]
            self._start = 0

    def clear(self) -> None:
        """Remove all waiting and delayed messages."""
        self.first = self._start = 0
        self._rest = self.late = None

    def delay(self, sequence: int) -> None:
        """Add a delayed message."""
        if self.late is None:
            self.late = []
        insort(self.late, sequence)

    def end_delay(self, sequence: int) -> None:
        """Remove a delayed message."""
        assert self.late is not None
        self.late.remove(sequence)
        if not self.late:
            self.late = None

    # --- messages out of the line -------------------------------------------------------------------------------------

    def withdraw(self, sequence: int) -> None:
        """Take a waiting message."""
        self.remove(sequence)
        self.out += 1

    def end_taken(self) -> None:
        """Record that a taken message was settled, or is in the line again, or is delayed."""
        self.out -= 1

    def set_holder(self, consumer: Consumer | None) -> None:
        self.holder = consumer

    # --- state and order ----------------------------------------------------------------------------------------------

    def set_state(self, state: int, note: MessageIdRecord | None) -> None:
        self.state = state
        self.note = note

    def set_item(self, item: int) -> None:
        self.item = item

    def set_queued(self, item: int) -> None:
        self.queued = item
