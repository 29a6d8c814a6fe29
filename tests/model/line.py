"""A queue of the model: its copies, as plain lists, and the order in which they leave."""

from dataclasses import dataclass, field
from typing import Any

from tests.model.consumers import Consumer, Consumers
from tests.model.copies import Copy
from tests.model.deliveries import Delivery
from tests.model.ids import Ids, ids_of
from tests.model.spec import Spec


@dataclass
class Line:
    """A queue. number: distinguishes queues with the same name. returned: ready copies of a quorum queue that were
    returned. delayed: returned copies that are not ready yet. held: sequence -> delivery that is not settled.
    """

    spec: Spec
    number: int
    ready: list[Copy] = field(default_factory=list)
    returned: list[Copy] = field(default_factory=list)
    delayed: list[Copy] = field(default_factory=list)
    held: dict[int, Delivery] = field(default_factory=dict)
    sequence: int = 0
    turn: int = 0
    consumers: Consumers = field(init=False)
    ids: Ids = field(init=False)

    def __post_init__(self) -> None:
        self.consumers = Consumers(self.spec.single_active, takeover=self.spec.quorum)
        self.ids = ids_of(self.spec)

    def __len__(self) -> int:
        return len(self.ready) + len(self.returned)

    def first(self) -> Copy | None:
        """Return the copy that is delivered next."""
        return self.head() if len(self) else None

    def fed_delivery(self) -> tuple[Consumer, Copy] | None:
        """Remove and return a further copy of what a consumer has already, with the consumer."""
        return None

    def next_delivery(self) -> tuple[Consumer, Copy] | None:
        """Remove and return the next copy that a consumer can take, with the consumer."""
        consumer = self.consumers.taker() if len(self) else None
        return None if consumer is None else (consumer, self.pop())

    def head(self) -> Copy:
        spec = self.spec
        if self.returned:
            return self.returned[0]
        if not spec.quorum:
            return min(self.ready, key=lambda copy: (-spec.level(copy.priority), copy.sequence))
        high, normal = ([copy for copy in self.ready if copy.is_high() is which] for which in (True, False))
        if not high or (normal and self.turn == 2 and normal[0].sequence < high[0].sequence):
            return normal[0]
        return high[0]

    def pop(self) -> Copy:
        copy = self.head()
        if self.returned:
            return self.returned.pop(0)
        self.advance_turn()
        self.ready.remove(copy)
        return copy

    def pop_dropped(self) -> Copy:
        """Remove and return the copy that leaves if the queue is too long."""
        return self.pop()

    def in_order(self) -> list[Copy]:
        """Return the ready copies by level, and in each by arrival."""
        if self.spec.quorum:
            return [*self.returned, *sorted(self.ready, key=lambda copy: not copy.is_high())]
        return sorted(self.ready, key=lambda copy: (-self.spec.level(copy.priority), copy.sequence))

    def take(self, copy: Copy) -> None:
        """Remove a ready copy from any position, for good."""
        if copy is self.first():
            self.pop()
        else:
            self.remove(copy)
        self.ids.left(copy.sequence)

    def advance_turn(self) -> None:
        """Count a message that leaves a quorum queue, which decides when a normal one precedes those of priority."""
        if self.spec.quorum:
            self.turn = (self.turn + 1) % 3

    def remove(self, copy: Copy) -> None:
        """Remove a ready copy from any position."""
        (self.ready if copy in self.ready else self.returned).remove(copy)

    def rejoin(self, copies: list[Copy]) -> None:
        """Make returned copies ready: first in a quorum queue, at their old places in others."""
        if self.spec.quorum:
            self.returned += copies
        else:
            self.ready = sorted([*self.ready, *copies], key=lambda copy: copy.sequence)

    def renumber(self, copy: Copy) -> Copy:
        """Give a copy the highest sequence."""
        self.sequence += 1
        self.ids.left(copy.sequence)
        copy = copy._replace(sequence=self.sequence, is_normal=True, due_ms=0)
        self.ids.entered(copy)
        return copy

    def ranked(self, copies: list[Copy]) -> list[Copy]:
        """Return copies that leave together in the order in which they leave."""
        return copies if self.spec.quorum else sorted(copies, key=lambda copy: -self.spec.level(copy.priority))

    def requeued(self, copies: list[Copy]) -> list[Copy]:
        """Return copies that are returned together in the order in which they are handled."""
        return copies

    def failed(self, copies: list[Copy], reason: str, now_ms: int) -> list[Copy]:
        """Handle copies that failed for good. Return those that leave, in order."""
        return self.ranked(copies)

    def pop_following(self) -> list[Copy]:
        """Remove and return the copies that follow another one to the dead letter queue."""
        return []

    def acked(self, copy: Copy, now_ms: int) -> None:
        """Handle a copy that is acknowledged."""
        self.ids.left(copy.sequence)

    def is_outdated(self, copy: Copy, now_ms: int) -> bool:
        """Return whether a copy is dead-lettered instead of being delivered, because of a later version."""
        return False

    def prune(self) -> None:
        """Forget what was about messages that are gone."""

    def pop_due(self, now_ms: int) -> list[Copy]:
        """Remove and return the delayed copies that are due."""
        due = [copy for copy in self.delayed if copy.due_ms <= now_ms]
        self.delayed = [copy for copy in self.delayed if copy.due_ms > now_ms]
        return sorted(due, key=lambda copy: (copy.due_ms, copy.sequence))

    def is_too_long(self) -> bool:
        return 0 <= self.spec.max_length < len(self) + len(self.delayed)

    def may_expire(self) -> list[Copy]:
        """Return the copies that may expire at any position."""
        return self.waiting()

    def waiting(self) -> list[Copy]:
        return [*self.ready, *self.returned]

    def waiting_or_held(self) -> list[Copy]:
        return [*self.waiting(), *self.delayed, *(delivery.copy for delivery in self.held.values())]

    def clear(self) -> None:
        for copy in (*self.waiting(), *self.delayed):
            self.ids.left(copy.sequence)
        self.ready.clear()
        self.returned.clear()
        self.delayed.clear()
        self.turn = 0

    # --- crashes ------------------------------------------------------------------------------------------------------

    def stored(self) -> list[Copy]:
        """Return the copies after a crash: in their old order, including held ones."""
        held = [delivery.copy._replace(redelivered=True) for delivery in self.held.values()]
        copies = [copy for copy in (*self.ready, *self.returned, *self.delayed, *held) if self.is_stored(copy)]
        return sorted(copies, key=lambda copy: copy.sequence)

    def is_stored(self, copy: Copy) -> bool:
        return copy.persistent or self.spec.quorum

    def stored_groups(self) -> tuple[Any, ...]:
        """Return what a crash leaves of groups."""
        return ()

    def restart(self, copies: list[Copy], now_ms: int, groups: tuple[Any, ...]) -> None:
        """Recover what is stored. Overdue delayed copies of a quorum queue are released again, and are first.

        With groups, copies return to their places, where the overdue ones are at once.
        """
        self.sequence = copies[-1].sequence if copies else 0
        returns_first = self.spec.quorum and self.spec.groups is None
        waits = [copy.due_ms > (0 if returns_first else now_ms) for copy in copies]
        copies = [copy._replace(is_normal=False, moved=False) for copy in copies]
        self.ready = [copy for copy, wait in zip(copies, waits, strict=True) if not wait]
        self.delayed = [copy for copy, wait in zip(copies, waits, strict=True) if wait]
