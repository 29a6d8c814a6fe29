"""The consumers of a queue: a single one, or several of which one is active."""

from dataclasses import dataclass, field


@dataclass(eq=False)
class Consumer:
    """A consumer. outstanding: sequences of its unacknowledged copies.

    owed: number of deliveries that the queue has taken back because their locks ran out, and that the client still has
    to settle. is_paused: it gets nothing; the same, and while the queue returns messages of its locks to others.
    """

    tag: str
    prefetch: int
    priority: int = 0
    outstanding: set[int] = field(default_factory=set)
    owed: int = 0
    is_paused: bool = False

    def can_take(self) -> bool:
        return not self.is_paused and (self.prefetch == 0 or len(self.outstanding) < self.prefetch)


@dataclass
class Consumers:
    """The consumers of one queue in the order of their start.

    single_active: x-single-active-consumer. takeover: a consumer of higher priority replaces the active one as soon as
    that has no unacknowledged messages, as in quorum queues. active: the single active one.
    """

    single_active: bool
    takeover: bool
    all: list[Consumer] = field(default_factory=list)
    active: Consumer | None = None

    def add(self, consumer: Consumer) -> None:
        self.all.append(consumer)
        self.elect()

    def remove(self, consumer: Consumer) -> None:
        self.all.remove(consumer)
        if consumer is self.active:
            self.active = None
        self.elect()

    def find(self, tag: str) -> Consumer | None:
        return next((consumer for consumer in self.all if consumer.tag == tag), None)

    def settled(self, sequences: set[int]) -> None:
        """Remove copies from the consumers that hold them."""
        for consumer in self.all:
            consumer.outstanding -= sequences
        self.elect()

    def taker(self) -> Consumer | None:
        """Return the consumer that takes the next message, None if none can take any."""
        if not self.single_active:
            return next((consumer for consumer in self.all if consumer.can_take()), None)
        active = self.active
        return active if active is not None and self._successor() is active and active.can_take() else None

    def elect(self) -> None:
        """Make the successor active, if the present one holds nothing. That gets nothing more until then."""
        successor = self._successor()
        if successor is not self.active and (self.active is None or not self.active.outstanding):
            self.active = successor

    def _successor(self) -> Consumer | None:
        ready = [consumer for consumer in self.all if not consumer.is_paused]
        best = max(ready, key=lambda consumer: consumer.priority, default=None)
        active = self.active
        if active is None or (active.is_paused and not active.outstanding):
            return best
        if self.takeover and best is not None and best.priority > active.priority:
            return best
        return active
