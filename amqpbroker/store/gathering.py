"""What was said of stored messages since the last batch, in groups that take effect as a whole or not at all."""

from array import array
from typing import Final

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.message import PENDING, Copy

#: What a copy takes in memory before it is written, besides its content; a group takes about as much.
_COPY_BYTES: Final = 256
#: Memory to record that a copy was returned within a group.
_RETURNED_BYTES: Final = 8


class Group:
    """Operations that take effect together.

    swept: positions that are settled and were never in memory as objects. joined: the group that has all this now.
    """

    __slots__ = ("entered", "joined", "returned", "settled", "swept")

    def __init__(self) -> None:
        self.joined: Group | None = None
        self.entered: list[Copy] = []
        self.settled: list[int] = []
        self.swept: list[array[int]] = []
        self.returned: list[Copy] = []

    def __len__(self) -> int:
        return len(self.entered) + len(self.settled) + len(self.returned) + sum([len(part) for part in self.swept])

    def join(self, other: "Group") -> "Group":
        """Be one with it; returns which of the two that is."""
        few, many = (self, other) if len(self) < len(other) else (other, self)
        many.entered += few.entered
        many.settled += few.settled
        many.swept += few.swept
        many.returned += few.returned
        few.entered, few.settled, few.swept, few.returned = [], [], [], []
        few.joined = many
        return many


class Gathering:
    """Operations to be written next.

    waiting_bytes: memory that the operations take, in bytes (estimated); 0 if there are none. loose: operations that
    take effect independently, except that copies of one message that entered one after the other take effect together.
    groups: the other operations, in the order in which their groups were begun.
    """

    __slots__ = ("_depth", "_folds_at", "_open", "_pending", "_returns", "_spare", "groups", "loose", "waiting_bytes")

    def __init__(self, returns: int = BOUNDS.returns) -> None:
        """returns: number of copies returned outside a group before duplicates are removed."""
        self.loose = Group()
        self.groups: list[Group] = []
        self.waiting_bytes: int = 0
        self._open: Group = self.loose
        self._pending: int = PENDING
        self._depth: int = 0
        self._returns: int = returns
        self._folds_at: int = returns
        #: A group that turned out to be none, for the next one.
        self._spare: Group | None = None

    def __len__(self) -> int:
        """How many operations."""
        return len(self.loose) + sum([len(group) for group in self.groups])

    @property
    def copies(self) -> int:
        """How many copies entered; some of them may be settled by now."""
        return len(self.loose.entered) + sum([len(group.entered) for group in self.groups])

    def enter(self, copy: Copy) -> None:
        """A copy is to be stored. Its position says with which group, until that is written."""
        copy.position = self._pending
        self._open.entered.append(copy)
        self.waiting_bytes += copy.message.size + _COPY_BYTES

    def settle(self, position: int) -> None:
        """The copy there lives no more."""
        self._open.settled.append(position)

    def settle_all(self, positions: "array[int]") -> None:
        """`settle` for each."""
        self._open.swept.append(positions)

    def replace(self, position: int) -> None:
        """The open group, if there is one, takes the place of a copy that entered with another and is not written.

        So that other one, which says what the copy has taken the place of, must not be safe without this one.
        position: the copy's, lower than PENDING.
        """
        if self._depth:
            group = self.groups[PENDING - 1 - position]
            while group.joined is not None:
                group = group.joined
            if group is not self._open:
                self._open = self._open.join(group)

    def returned(self, copy: Copy) -> None:
        """A stored copy was delivered or came back."""
        self._open.returned.append(copy)
        if self._depth:
            self.waiting_bytes += _RETURNED_BYTES
        elif len(self.loose.returned) >= self._folds_at:
            self._fold()

    def _fold(self) -> None:
        """While the disk is stuck the same copies may come and go any number of times: each is needed once."""
        loose = self.loose
        loose.returned = list(dict.fromkeys([copy for copy in loose.returned if copy.position]))
        self._folds_at = max(self._returns, 2 * len(loose.returned))

    def begin(self) -> None:
        """What follows, up to the matching `end`, is one group."""
        self._depth += 1
        if self._depth > 1:
            return
        spare, self._spare = self._spare, None
        self._open = Group() if spare is None else spare
        self._pending = PENDING - 1 - len(self.groups)
        self.groups.append(self._open)
        self.waiting_bytes += _COPY_BYTES

    def end(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            group = self._open
            if not group.entered and not group.returned and not group.swept:
                # Nothing depends on it: what it has settled, if anything, needs no group.
                self.loose.settled.extend(group.settled)
                group.settled.clear()
                self._spare = self.groups.pop()
                self.waiting_bytes -= _COPY_BYTES
            self._open = self.loose
            self._pending = PENDING
