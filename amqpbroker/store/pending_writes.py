"""Operations on stored messages since the last batch, in groups that take effect as a whole or not at all."""

from array import array
from collections import deque
from collections.abc import Callable
from typing import Final

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.message import NOT_STORED, PENDING, Copy
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.store import Store

#: Memory of a copy before it is written, besides its content, in bytes; a group takes about as much.
_COPY_BYTES: Final = 256
#: Memory of an id before it is written, besides the id itself.
_ID_BYTES: Final = 128
#: Memory to record that a copy was returned within a group.
_RETURNED_BYTES: Final = 8
#: Memory to record that a copy is delayed.
_DELAYED_BYTES: Final = 128


class Group:
    """Operations that take effect together.

    ids: of messages that entered, or of messages that were delivered at once. settled: positions of copies and of ids.
    swept: positions of settled copies that were never in memory as objects. delayed: position -> due time of the last
    delay, with the copy itself as the key while it has no position. joined: the group that has absorbed this one.
    """

    __slots__ = ("delayed", "entered", "ids", "joined", "returned", "settled", "swept")

    def __init__(self) -> None:
        self.joined: Group | None = None
        self.entered: list[Copy] = []
        self.settled: list[int] = []
        self.swept: list[array[int]] = []
        self.returned: list[Copy] = []
        self.delayed: dict[Copy | int, int] = {}
        self.ids: list[MessageIdRecord] = []

    def __len__(self) -> int:
        count = len(self.entered) + len(self.settled) + len(self.returned) + len(self.delayed) + len(self.ids)
        for positions in self.swept:
            count += len(positions)
        return count

    def join(self, other: "Group") -> "Group":
        """Merge this group with an earlier one; return the one that has all operations then."""
        few, many = (self, other) if len(self) < len(other) else (other, self)
        if few is other:
            for copy in self.delayed:
                other.delayed.pop(copy, None)
        many._absorb(few)
        few._become(many)
        return many

    def _absorb(self, other: "Group") -> None:
        self.entered += other.entered
        self.settled += other.settled
        self.swept += other.swept
        self.returned += other.returned
        self.delayed.update(other.delayed)
        self.ids += other.ids

    def _become(self, other: "Group") -> None:
        """Clear the group, whose operations are now in `other`."""
        self.entered, self.settled, self.swept, self.returned = [], [], [], []
        self.delayed, self.ids = {}, []
        self.joined = other

    def fold(self) -> int:
        """Remove duplicates and settled copies from the returned ones; return the number that remains."""
        self.returned = list(dict.fromkeys([copy for copy in self.returned if copy.position]))
        return len(self.returned)


class Gathered:
    """Operations to be written.

    loose: operations that take effect independently, except that consecutive copies of one message take effect
    together. groups: the other operations, in the order in which their groups began. count: number of operations.
    copies: number of copies that entered; some of them may be settled by now.
    """

    __slots__ = ("copies", "count", "groups", "loose")

    def __init__(self, loose: Group, groups: list[Group]) -> None:
        self.loose = loose
        self.groups = groups
        self.copies: int = len(loose.entered)
        self.count: int = len(loose)
        for group in groups:
            self.copies += len(group.entered)
            self.count += len(group)


class WritesInFlight:
    """A gathering that is being written. number: its own. count: number of its operations.

    answers: bytes of answers that wait for it.
    """

    __slots__ = ("answers", "count", "number")

    def __init__(self, number: int, count: int, answers: int) -> None:
        self.number = number
        self.count = count
        self.answers = answers

    def add_answer(self, size: int) -> None:
        """Add the bytes of an answer."""
        self.answers += size

    def join(self, later: "WritesInFlight") -> None:
        """End together with a later gathering, of which nothing needs to be written."""
        self.number = later.number
        self.count += later.count
        self.answers += later.answers


class PendingWrites(Store):
    """Gathers the operations on stored copies, until `take`.

    loose, groups: as in `Gathered`. streamed: streams have messages to write, too. appended: number of the gathering
    with the latest operation that must be safe before it is confirmed. Gatherings are numbered from 1.
    """

    def __init__(self, returns: int = BOUNDS.returns) -> None:
        """returns: number of copies returned outside a group before duplicates are removed."""
        self.keeps = True
        self.loose = Group()
        self.groups: list[Group] = []
        self.streamed: bool = False
        #: True if there are operations to write that are not being written.
        self._is_due: bool = False
        self._on_gathered: Callable[[], None] = _nothing
        self._number: int = 1
        #: Bytes of answers that wait for the gathered operations, and for those that are being written.
        self._answers: int = 0
        self._answers_under_way: int = 0
        #: Gatherings that are being written, in order.
        self._taken: deque[WritesInFlight] = deque()
        self._open: Group = self.loose
        self._pending: int = PENDING
        self._depth: int = 0
        self._returns: int = returns
        self._folds_at: int = returns
        #: The next group. One that remains empty is used again.
        self._next: Group = Group()

    def drive(self, on_gathered: Callable[[], None]) -> None:
        self._on_gathered = on_gathered

    def count_streamed(self, size: int) -> None:
        """Count a message of a stream, which takes `size` bytes of memory until it is written."""
        self.streamed = True
        self.waiting_bytes += size
        self.appended = self._number
        if not self._is_due:
            self._gather()

    def _gather(self) -> None:
        """Report that there is something to write again."""
        self._is_due = True
        self._on_gathered()

    def take(self) -> Gathered:
        """Return the gathered operations, and start an empty gathering."""
        gathered = Gathered(self.loose, self.groups)
        self.loose = self._open = Group()
        self.groups = []
        self._taken.append(WritesInFlight(self._number, gathered.count, self._answers))
        self._answers_under_way += self._answers
        self.waiting_bytes = self._answers_under_way
        self._answers = 0
        self._folds_at = self._returns
        self._is_due = False
        self._number += 1
        return gathered

    def _end_taken(self) -> None:
        """Note that the first gathering that was being written is safe."""
        taken = self._taken.popleft()
        self.synced = max(self.synced, taken.number)
        self.waiting_bytes -= taken.answers
        self._answers_under_way -= taken.answers

    def count_answer(self, size: int) -> None:
        if self._is_due:
            self._answers += size
            self.waiting_bytes += size
        elif self.appended > self.synced and self._taken:
            self._taken[-1].add_answer(size)
            self._answers_under_way += size
            self.waiting_bytes += size

    def enqueue(self, copy: Copy) -> None:
        # Until the copy is written, its position identifies the group with which it is to be written.
        copy.position = self._pending
        self._open.entered.append(copy)
        self.waiting_bytes += copy.message.size + _COPY_BYTES
        self.appended = self._number
        if not self._is_due:
            self._gather()

    def settle(self, copy: Copy) -> None:
        if copy.position > 0:
            self._open.settled.append(copy.position)
            self.appended = self._number
            if not self._is_due:
                self._gather()
        elif copy.position < PENDING and self._depth:
            self._replace(copy.position)
        copy.position = NOT_STORED

    def settle_positions(self, positions: "array[int]") -> None:
        self._open.swept.append(positions)
        self.appended = self._number
        if not self._is_due:
            self._gather()

    def add_id(self, taken: MessageIdRecord) -> None:
        taken.stored_at(self._pending)
        self._open.ids.append(taken)
        self.waiting_bytes += _ID_BYTES + len(taken.key)
        self.appended = self._number
        if not self._is_due:
            self._gather()

    def remove_id(self, taken: MessageIdRecord) -> None:
        if taken.position > 0:
            self._open.settled.append(taken.position)
            self.appended = self._number
            if not self._is_due:
                self._gather()
        elif taken.position < PENDING and self._depth:
            self._replace(taken.position)
        taken.stored_at(NOT_STORED)

    def _replace(self, position: int) -> None:
        """Merge the open group with the group of a copy that is settled before it was written.

        The copy's group replaces another copy, so it must not become safe without the group that replaces this one.
        position: of the copy, lower than PENDING.
        """
        group = self.groups[PENDING - 1 - position]
        while group.joined is not None:
            group = group.joined
        if group is not self._open:
            self._open = self._open.join(group)

    def returned(self, copy: Copy) -> None:
        self._open.returned.append(copy)
        if self._depth:
            self.waiting_bytes += _RETURNED_BYTES
        elif len(self.loose.returned) >= self._folds_at:
            # While the disk is stuck, a copy may be returned any number of times; only the last return is needed.
            self._folds_at = max(self._returns, 2 * self.loose.fold())
        if not self._is_due:
            self._gather()

    def delayed(self, copy: Copy, due_ms: int) -> None:
        group = self._open
        # A copy that was paged out meanwhile is another object with the same position.
        key: Copy | int = copy.position if copy.position > 0 else copy
        if self._depth:
            # The loose operations are written after the groups, and an earlier delay must not replace this one.
            self.loose.delayed.pop(key, None)
        if key not in group.delayed:
            self.waiting_bytes += _DELAYED_BYTES
        group.delayed[key] = due_ms
        if not self._is_due:
            self._gather()

    def begin(self) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        self._open = self._next
        self._pending = PENDING - 1 - len(self.groups)
        self.groups.append(self._open)
        self.waiting_bytes += _COPY_BYTES

    def end(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            group = self._open
            if not (group.entered or group.returned or group.swept or group.delayed or group.ids):
                # Nothing depends on this group: its settled copies, if any, need no group.
                self.loose.settled.extend(group.settled)
                group.settled.clear()
                self.groups.pop()
                self.waiting_bytes -= _COPY_BYTES
            else:
                self._next = Group()
            self._open = self.loose
            self._pending = PENDING


def _nothing() -> None:
    pass
