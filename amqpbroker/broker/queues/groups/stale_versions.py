"""Removal of messages with an old version from a queue with message groups, in slices."""

from collections.abc import Callable
from typing import Final, final

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.versions import GroupVersions
from amqpbroker.broker.queues.ledger import Ledger
from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import MESSAGE_BYTES

#: The reason for which a message is dead-lettered whose version is older than the last acknowledged one of its key.
SUPERSEDED: Final = "superseded"
#: Number of further messages that leave at each publish once `Bounds.superseded` have left, so that publishers cannot
#: outrun the removal.
MORE: Final = 2


@final
class StaleVersions:
    """Dead-letters superseded messages, which are found when they are about to be delivered.

    is_behind: no more may leave in this iteration. The queue delivers nothing until the next one, because the next
    message may be superseded as well.
    """

    def __init__(
        self, clock: Clock, versions: GroupVersions, ledger: Ledger, bounds: Bounds, resume: Callable[[], None]
    ) -> None:
        """resume(): deliver messages again, in an iteration after messages had to wait."""
        self.is_behind: bool = False
        self._clock: Clock = clock
        self._versions: GroupVersions = versions
        self._ledger: Ledger = ledger
        self._resume: Callable[[], None] = resume
        self._most: int = bounds.superseded
        self._left: int = self._most
        self._leaving_bytes: int = bounds.leaving_bytes
        self._left_bytes: int = self._leaving_bytes
        #: Consumers wait for the next iteration.
        self._waited: bool = False
        #: Set from the first message that leaves in an iteration until the next one.
        self._timer: Timer | None = None

    def remove(self, entry: Entry) -> bool:
        """Dead-letter an entry that is not in the line any more, if it is superseded. Return whether it is.

        Only if `is_behind` is not set.
        """
        if not self._versions.is_superseded(entry.message):
            return False
        self._left -= 1
        self._left_bytes -= entry.message.size + MESSAGE_BYTES
        if self._left <= 0 or self._left_bytes <= 0:
            # Before the dead letter is sent: if it returns to this queue, no more messages must leave.
            self.is_behind = self._waited = True
        if self._timer is None:
            self._timer = self._clock.after(0, self._go_on)
        self._ledger.dead_letter([entry], SUPERSEDED)
        return True

    def allow_more(self) -> None:
        """Allow MORE messages to leave in this iteration, because a message was published."""
        self._left = max(self._left, 0) + MORE
        self._left_bytes = max(self._left_bytes, 1)
        self.is_behind = False

    def stop(self) -> None:
        """Remove no more messages, because the queue has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self) -> None:
        """Begin an iteration."""
        self._timer = None
        self._left = self._most
        self._left_bytes = self._leaving_bytes
        self.is_behind = False
        if self._waited:
            self._waited = False
            self._resume()
