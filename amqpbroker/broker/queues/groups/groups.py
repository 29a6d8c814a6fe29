"""Message groups of a queue: an index of its messages by key, which determines their order."""

import heapq
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.dead_letters.letter_numbers import LetterNumbers
from amqpbroker.broker.queues.groups.dead_letter_index import DeadLetterIndex
from amqpbroker.broker.queues.groups.group import CLOSED, GROUP, OPEN, PARKED, Group
from amqpbroker.broker.queues.groups.key import group_key
from amqpbroker.broker.queues.groups.options import Grouping
from amqpbroker.broker.queues.groups.stopped_group_records import StoppedGroupRecords
from amqpbroker.broker.queues.lines.number_set import NumberSet
from amqpbroker.broker.queues.lines.ready_line import SLACK
from amqpbroker.message.message import Message
from amqpbroker.store.message_id_record import MessageIdRecord

#: Number of bits of a sequence number in an item.
_SEQUENCE_BITS: Final = 56
#: Number of bytes of a sequence number in a note.
_SEQUENCE_BYTES: Final = 8


class Groups:
    """The groups of one queue, and the order in which they deliver.

    A message of the queue is waiting, taken or delayed. It is taken from its removal from the line until it has left
    the queue, is in the line again, or is delayed; that includes every message that is delivered and not acknowledged.

    offered: number of groups that can deliver. parked: sequence numbers of the waiting messages of parked groups.
    closed_waiting: number of waiting messages of closed groups.
    letters: dead letters of the closed groups.
    stopped_count: number of groups by state. following: closed groups with waiting messages that nothing precedes.
    """

    def __init__(self, options: Grouping, notes: StoppedGroupRecords, numbers: LetterNumbers) -> None:
        """notes: of stopped groups. numbers: of the dead letters of closed groups."""
        self.notes: StoppedGroupRecords = notes
        self.letters: DeadLetterIndex = DeadLetterIndex(notes, numbers)
        self.options: Grouping = options
        self.offered: int = 0
        self.parked: NumberSet = NumberSet()
        self.closed_waiting: int = 0
        self.following: dict[Group, None] = {}
        #: Closed groups whose dead letters are coming back. Their waiting messages do not follow.
        self._returning: dict[Group, None] = {}
        self.stopped_count: list[int] = [0, 0, 0]
        self._keyed: dict[bytes, Group] = {}
        self._stopped: dict[Group, None] = {}
        #: Groups of waiting messages without a key, of taken messages, and of delayed ones.
        self._lone: dict[int, Group] = {}
        self._taken: dict[int, Group] = {}
        self._late: dict[int, Group] = {}
        #: Why messages have failed that wait in their closed groups; not known after a restart.
        self._reasons: dict[int, str] = {}
        #: Groups that can deliver and their items: those that came in ascending order, and a heap of the others.
        self._order: deque[tuple[int, Group]] = deque()
        self._early: list[tuple[int, Group]] = []
        #: Removed groups that are not freed yet.
        self._cleared: list[deque[Any] | list[Any] | dict[Any, Any]] = []
        self._cleared_notes: deque[MessageIdRecord] = deque()
        #: Groups that a consumer may get more of: they have waiting messages.
        self._fed: dict[Consumer, dict[Group, None]] = {}

    def __len__(self) -> int:
        """Return the number of groups with a key."""
        return len(self._keyed)

    def all(self) -> Iterable[Group]:
        """Return the groups with a key, in the order in which they came to be."""
        return self._keyed.values()

    def apply(self, options: Grouping) -> None:
        """Use new options, also for the messages that are in the queue."""
        self.options = options
        for group in [*self._keyed.values(), *self._lone.values()]:
            self._place(group)

    def key(self, message: Message) -> bytes | None:
        return group_key(message, self.options.header)

    def get(self, key: bytes) -> Group | None:
        return self._keyed.get(key)

    def state_name(self, group: Group) -> str:
        """Return the state of a group for display."""
        if group.state != OPEN:
            return "parked" if group.state == PARKED else "closed"
        if group.is_blocked:
            return "waiting"
        return "busy" if group.out else "free"

    # --- waiting messages ---------------------------------------------------------------------------------------------

    def add(self, key: bytes | None, sequence: int) -> None:
        """Add a waiting message, which was not in the queue before."""
        self._add(self._group(key), sequence)

    def recover(self, keys: list[bytes | None], sequences: Iterable[int], delayed: set[int]) -> None:
        """Add stored messages in ascending order, before any others. delayed: those of them that are not waiting."""
        keyed = self._keyed
        for key, sequence in zip(keys, sequences, strict=True):
            if sequence in delayed:
                self.delay(key, sequence)
                continue
            group = None if key is None else keyed.get(key)
            if group is None or not group.first:
                self.add(key, sequence)
            else:
                # The place of the group depends on its first message only.
                group.add(sequence)

    def add_again(self, message: Message, sequence: int) -> None:
        """Add a waiting message, which was taken or delayed, or was not in the queue before."""
        group = self._taken.pop(sequence, None)
        if group is not None:
            group.end_taken()
            self._release(group)
        else:
            group = self._late.pop(sequence, None)
            if group is not None:
                group.end_delay(sequence)
            else:
                group = self._group(self.key(message))
        self._add(group, sequence)

    def _add(self, group: Group, sequence: int) -> None:
        group.add(sequence)
        if group.key is None:
            self._lone[sequence] = group
        if group.state == PARKED:
            self.parked.add(sequence)
        elif group.state == CLOSED:
            self.closed_waiting += 1
        self._place(group)

    def remove(self, key: bytes | None, sequence: int) -> None:
        """Take a waiting message, at any position."""
        self._withdraw(self._lone[sequence] if key is None else self._keyed[key], sequence)

    def withdraw_first(self, group: Group) -> None:
        """Take the first waiting message of a group."""
        self._withdraw(group, group.first)

    def _withdraw(self, group: Group, sequence: int) -> None:
        group.withdraw(sequence)
        self._taken[sequence] = group
        if group.key is None:
            del self._lone[sequence]
        if group.state == PARKED:
            self.parked.discard(sequence)
        elif group.state == CLOSED:
            self.closed_waiting -= 1
        self._place(group)

    def clear(self) -> None:
        """Remove all waiting and delayed messages, which have left the queue.

        Most groups are over then, perhaps a million: `end_cleared` returns them, for the caller to free them.
        """
        self._end_parked()
        remaining = {**dict.fromkeys(self._taken.values()), **self._stopped}
        self._cleared += self._keyed, self._lone, self._late, self._order, self._early
        self._keyed = {key: group for key, group in self._keyed.items() if group in remaining} if remaining else {}
        self._lone = {}
        self._late = {}
        self._order = deque()
        self._early = []
        for group in remaining:
            group.clear()
            group.set_queued(0)
            if group.state == PARKED:
                # The message that failed is gone.
                self.open(group)
            else:
                self._place(group)
                self._remove_if_over(group)
        self.offered = 0
        self.parked.clear()
        self._reasons.clear()
        self.closed_waiting = 0

    def _end_parked(self) -> None:
        """End the parked groups, none of whose messages are left. `end_cleared_notes` returns their notes."""
        parked = [group for group in self._stopped if group.state == PARKED and not group.out]
        for group in parked:
            if group.note is not None:
                self._cleared_notes.append(group.note)
            group.set_state(OPEN, None)
            del self._stopped[group]
        self.stopped_count[PARKED] -= len(parked)

    def end_cleared_notes(self) -> deque[MessageIdRecord]:
        """Return the notes of groups that `clear` has ended, for the caller to remove them."""
        notes, self._cleared_notes = self._cleared_notes, deque()
        return notes

    def end_cleared(self) -> list[deque[Any] | list[Any] | dict[Any, Any]]:
        """Return what `clear` has removed, and what only has to be freed."""
        cleared, self._cleared = self._cleared, []
        return cleared

    # --- other messages -----------------------------------------------------------------------------------------------

    def left(self, sequence: int) -> bool:
        """Record that a message has left the queue, unless that was recorded before. Return whether it was not."""
        if self._reasons:
            self._reasons.pop(sequence, None)
        group = self._taken.pop(sequence, None)
        if group is not None:
            group.end_taken()
            self._release(group)
        else:
            group = self._late.pop(sequence, None)
            if group is None:
                return False
            group.end_delay(sequence)
        self._place(group)
        self._remove_if_over(group)
        return True

    def delay(self, key: bytes | None, sequence: int) -> None:
        """Record that a message is delayed, which was taken, or was not in the queue before."""
        group = self._taken.pop(sequence, None)
        if group is None:
            group = self._group(key)
        else:
            group.end_taken()
            self._release(group)
        group.delay(sequence)
        self._late[sequence] = group
        self._place(group)

    def taken(self, sequence: int) -> Group:
        """Return the group of a taken message."""
        return self._taken[sequence]

    # --- states -------------------------------------------------------------------------------------------------------

    def stop(self, group: Group, state: int, note: MessageIdRecord | None) -> None:
        """Stop a group. note: the record of that."""
        self.stopped_count[group.state] -= 1
        self.stopped_count[state] += 1
        group.set_state(state, note)
        self._stopped[group] = None
        if state == PARKED:
            self.parked.update(group.waiting())
        else:
            self.closed_waiting += group.waiting_count
        self._place(group)

    def is_following(self, group: Group) -> bool:
        """Return whether the messages of a group that fail or wait go to the dead letter queue."""
        return group.state == CLOSED and group not in self._returning

    def begin_return(self, group: Group) -> None:
        """Keep the waiting messages of a closed group, whose dead letters are coming back."""
        self._returning[group] = None
        self._place(group)

    def end_return(self, group: Group) -> None:
        """Record that no more dead letters of a group are coming back."""
        self._returning.pop(group, None)
        self._place(group)

    def open(self, group: Group) -> None:
        """Return a stopped group to normal work: it can deliver again."""
        if group.note is not None:
            self.notes.remove(group.note)
        if group.state == CLOSED and group.key is not None:
            self.letters.opened(group.key)
            self.closed_waiting -= group.waiting_count
        self.stopped_count[group.state] -= 1
        self.parked.difference_update(group.waiting())
        if self._reasons:
            for sequence in group.waiting():
                self._reasons.pop(sequence, None)
        group.set_state(OPEN, None)
        self._stopped.pop(group, None)
        self.following.pop(group, None)
        self._place(group)
        self._remove_if_over(group)

    def open_all(self, groups: list[Group]) -> None:
        """Return several stopped groups to normal work."""
        for group in groups:
            self.open(group)

    def of_key(self, key: bytes) -> Group:
        """Return the group with a key, which may be a new one: the caller adds a message to it, or stops it."""
        return self._group(key)

    def record(self, key: bytes, state: int, failed: int, since_ms: int, holder_id: int) -> Group:
        """Stop a group, and store that. failed: sequence number of the message; see `StoppedGroupRecords.add`."""
        group = self._group(key)
        self.stop(group, state, self.notes.add(failed.to_bytes(_SEQUENCE_BYTES) + key, state, since_ms, holder_id))
        self._remove_if_over(group)
        return group

    def recover_state(self, note: MessageIdRecord) -> None:
        """Stop the group of a recovered note. A parked group without messages is over."""
        group = self._group(note.key[1 + _SEQUENCE_BYTES :])
        self.stop(group, note.key[0], note)
        self._remove_if_over(group)

    def failed(self, group: Group) -> int:
        """Return the sequence number of the message that has stopped a group, 0 if the group is not stopped."""
        note = group.note
        return 0 if note is None else int.from_bytes(note.key[1 : 1 + _SEQUENCE_BYTES])

    def lost_failed(self) -> list[Group]:
        """Return the parked groups whose failed messages have left the queue, with all messages before these."""
        return [
            group
            for group in self._stopped
            if group.state == PARKED and not group.out and group.earliest > self.failed(group)
        ]

    def stopped(self) -> list[Group]:
        """Return the stopped groups."""
        return list(self._stopped)

    def hold_back(self, group: Group) -> None:
        """Remove a closed group from `following`, until one of its messages comes or goes."""
        self.following.pop(group, None)

    def failed_for(self, sequence: int, reason: str) -> None:
        """Record why a message has failed that returns to its closed group, until it leaves or the group opens."""
        self._reasons[sequence] = reason

    def reason(self, sequence: int) -> str:
        """Return why a waiting message of a closed group has failed; the reason GROUP if it only follows."""
        return self._reasons.get(sequence, GROUP)

    # --- order --------------------------------------------------------------------------------------------------------

    def next(self) -> Group | None:
        """Return the group whose first message is to be delivered next, None if no group can deliver."""
        order, early = self._order, self._early
        while order and order[0][1].item != order[0][0]:
            self._unqueue(*order.popleft())
        while early and early[0][1].item != early[0][0]:
            self._unqueue(*heapq.heappop(early))
        if not early:
            return order[0][1] if order else None
        return early[0][1] if not order or early[0][0] < order[0][0] else order[0][1]

    def _unqueue(self, item: int, group: Group) -> None:
        if group.queued == item:
            group.set_queued(0)

    def _place(self, group: Group) -> None:
        """Bring the group to its place in the order after a change."""
        item = 0
        state, first = group.state, group.first
        if first and state == OPEN:
            if self.options.fair:
                item = group.out << _SEQUENCE_BITS | first
            elif not group.out and not group.is_blocked:
                item = first
        before = group.item
        if item != before:
            group.set_item(item)
            self.offered += (item != 0) - (before != 0)
            if item and item != group.queued:
                self._queue(item, group)
        if state == CLOSED:
            if first and not group.out and not group.is_blocked and group not in self._returning:
                self.following[group] = None
            else:
                self.following.pop(group, None)
        if group.holder is not None:
            self._place_fed(group, group.holder)

    def _queue(self, item: int, group: Group) -> None:
        group.set_queued(item)
        order, early = self._order, self._early
        # Items of delivered messages may be behind those of messages that return together, in ascending order.
        while order and order[-1][1].item != order[-1][0]:
            self._unqueue(*order.pop())
        if not order or item > order[-1][0]:
            order.append((item, group))
        else:
            heapq.heappush(early, (item, group))
        if len(order) + len(early) > 2 * self.offered + SLACK:
            self._rebuild()

    def _rebuild(self) -> None:
        """Drop void items."""
        live = {group: item for item, group in (*self._order, *self._early) if group.item == item}
        for item, group in (*self._order, *self._early):
            if group not in live:
                self._unqueue(item, group)
        self._order = deque(sorted([(item, group) for group, item in live.items()]))
        self._early = []

    # --- consumers of groups ------------------------------------------------------------------------------------------

    def hold(self, sequence: int, consumer: Consumer) -> None:
        """Record the consumer that a taken message is delivered to; it may get more messages of the group."""
        group = self._taken.get(sequence)
        if group is not None and group.holder is not consumer:
            group.set_holder(consumer)
            self._place_fed(group, consumer)

    def fed_by(self, consumer: Consumer) -> Group | None:
        """Return a group that the consumer may get more of, None if there is none."""
        groups = self._fed.get(consumer)
        return None if groups is None else next(iter(groups))

    def _place_fed(self, group: Group, holder: Consumer) -> None:
        more = group.first and 0 < group.out < self.options.prefetch and group.state == OPEN and not group.is_blocked
        groups = self._fed.get(holder)
        if more and not self.options.fair:
            if groups is None:
                self._fed[holder] = {group: None}
            else:
                groups[group] = None
        elif groups is not None and group in groups:
            del groups[group]
            if not groups:
                del self._fed[holder]

    def _release(self, group: Group) -> None:
        """Release the group from its consumer, if that has none of its messages any more."""
        holder = group.holder
        if not group.out and holder is not None:
            self._place_fed(group, holder)
            group.set_holder(None)

    # --- groups -------------------------------------------------------------------------------------------------------

    def _group(self, key: bytes | None) -> Group:
        if key is None:
            return Group(None)
        group = self._keyed.get(key)
        if group is None:
            group = self._keyed[key] = Group(key)
        return group

    def _remove_if_over(self, group: Group) -> None:
        if group.is_over and group.key is not None and self._keyed.get(group.key) is group:
            if group.state == PARKED:
                self.open(group)
            else:
                del self._keyed[group.key]
