"""The members of complete batches that have succeeded, and when they are removed from memory and the store."""

from collections.abc import Callable
from typing import final

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.clock import Clock, Timer


@final
class SucceededMembers:
    """Complete batches that may still have members that have succeeded, on which no further event depends.

    A limited number of members is removed in one event loop iteration, from one batch after the other.
    """

    def __init__(self, clock: Clock, most: int, remove: Callable[[Batch, int], None]) -> None:
        """most: number of members that are removed in one iteration.

        remove(batch, count): removes those of the first `count` members that have succeeded, and moves the others
        behind the rest.
        """
        self._clock: Clock = clock
        self._most: int = most
        self._remove: Callable[[Batch, int], None] = remove
        #: The number of members of each batch that are not visited yet.
        self._waiting: dict[Batch, int] = {}
        self._timer: Timer | None = None

    def add(self, batch: Batch) -> None:
        """Remove the succeeded members of a batch in later iterations."""
        if batch.members:
            self._waiting[batch] = len(batch.members)
            self._arm()

    def discard(self, batch: Batch) -> None:
        """Remove no more members of a batch."""
        self._waiting.pop(batch, None)

    def close(self) -> None:
        """Remove no more members. This object is not used after that."""
        self._waiting.clear()
        self._remove = _ignore
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is None and self._waiting:
            self._timer = self._clock.after(0, self._go_on)

    def _go_on(self) -> None:
        self._timer = None
        most = self._most
        while most > 0 and self._waiting:
            batch, left = next(iter(self._waiting.items()))
            count = min(left, most)
            self._remove(batch, count)
            most -= count
            if left > count:
                self._waiting[batch] = left - count
            else:
                del self._waiting[batch]
        self._arm()


def _ignore(batch: Batch, count: int) -> None:
    pass
