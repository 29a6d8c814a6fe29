"""One redrive: a task that moves messages of a dead letter queue back, in slices."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.queues.lines.ready_line import Placed
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.redrive.mover import GONE, MOVED, SKIPPED, STAYS, Mover, NotPermittedError, StaysError
from amqpbroker.broker.redrive.options import RedriveOptions
from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.clock import Timer

if TYPE_CHECKING:
    from amqpbroker.broker.queues.host import Host

# States of a task, with the names of Amazon SQS. A cancellation takes effect at once, so no task is CANCELLING.
RUNNING: Final = "RUNNING"
COMPLETED: Final = "COMPLETED"
CANCELLED: Final = "CANCELLED"
FAILED: Final = "FAILED"

#: Delay before a task goes on while the store has much to write.
BUSY_MS: Final = 5
#: Delay before a message that temporarily cannot be read is tried again.
UNREADABLE_MS: Final = 1000
#: The time by which a task may be behind its rate and make up for it.
BEHIND_MS: Final = 1000
#: Number of messages that are read at a time. A task with a rate reads each when it is due.
_STEP: Final = 16


@final
class Pace:
    """The due times of a task's messages, at a maximum number per second; 0 for no limit."""

    def __init__(self, max_per_second: int, now_ms: int) -> None:
        self._interval_ms = 1000 / max_per_second if max_per_second else 0.0
        self._due_ms: float = now_ms

    def wait_ms(self, now_ms: int) -> int:
        """Return the time until the next message is due, 0 if it is due now."""
        return max(0, math.ceil(self._due_ms - now_ms)) if self._interval_ms else 0

    def count(self, now_ms: int) -> None:
        """Count a message that was moved."""
        self._due_ms = max(self._due_ms, now_ms - BEHIND_MS) + self._interval_ms


@final
class Redrive:
    """A task that visits the messages of a queue, from head to tail, and moves them.

    It visits messages that the queue had at the start, also such that return to it meanwhile, and makes no more visits
    than these were. So it ends even if messages return again and again.

    handle: identifies the task. source: name of the dead letter queue. state: one of the constants above. moved,
    failed, skipped: numbers of messages that were moved, that could not be moved, and that the filter did not accept.
    problem: why the last message that failed stayed, empty if none did. reason: why the task FAILED, otherwise empty.
    started_ms, ended_ms: times of the wall clock, 0 for an end that has not come.
    """

    def __init__(
        self,
        handle: str,
        vhost: "Host",
        source: Queue,
        options: RedriveOptions,
        permissions: Callable[[], Permissions | None],
        on_end: "Callable[[Redrive], None]",
    ) -> None:
        """permissions(): returns those of the user in this vhost, None if it has none now."""
        self.handle = handle
        self.source: str = source.name
        self.options = options
        self.state: str = RUNNING
        self.moved = 0
        self.failed = 0
        self.skipped = 0
        self.problem = ""
        self.reason = ""
        self.started_ms = vhost.clock.wall_ms()
        self.ended_ms = 0
        #: Number of messages to move, -1 for all: named messages end the task when all of them are moved.
        self._limit = _limit(options)
        #: None when the task has ended: it then refers neither to the vhost nor to the queue.
        self._mover: Mover | None = Mover(vhost, source, options, permissions)
        self._on_end: Callable[[Redrive], None] | None = on_end
        self._clock = vhost.clock
        self._letters = vhost.dead_letters
        self._totals = vhost.totals
        self._slice_count: int = vhost.config.bounds.slice_count
        self._slice_bytes: int = vhost.config.bounds.slice_bytes
        self._pace = Pace(options.max_per_second, self._clock.now_ms())
        #: Place of the last visited message that stayed. Messages behind it have not been visited.
        self._place = 0
        self._newest: int = source.newest
        self._unvisited: int = source.ready_count
        #: Number of visits that the task may still make.
        self._visits: int = source.ready_count + source.unacked_count + source.delayed_count
        self._timer: Timer | None = self._clock.after(0, self._go_on)

    @property
    def left(self) -> int:
        """The number of messages that the task has not visited, at most the number that it may still move."""
        count = self._unvisited
        return count if self._limit < 0 else min(count, self._limit - self.moved)

    def cancel(self) -> None:
        """Stop the task, if it is running. Messages that it has moved stay where they are."""
        self._end(CANCELLED)

    def fail(self, reason: str) -> None:
        """End the task because it cannot go on."""
        self._end(FAILED, reason)

    def discard(self) -> None:
        """Stop without an end, because the broker has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._mover = None
        self._on_end = None

    def _end(self, state: str, reason: str = "") -> None:
        if self.state != RUNNING:
            return
        self.state = state
        self.reason = reason
        self.ended_ms = self._clock.wall_ms()
        if state == COMPLETED:
            # Others, which left the queue meanwhile, are not there any more.
            self._unvisited = 0
        on_end = self._on_end
        self.discard()
        if on_end is not None:
            on_end(self)

    def _go_on(self) -> None:
        self._timer = None
        mover = self._mover
        if mover is None:
            return
        try:
            mover.check()
        except NotPermittedError as error:
            self.fail(str(error))
            return
        delay_ms = BUSY_MS
        if not mover.is_busy:
            with self._letters:
                delay_ms = self._slice(mover)
        if self._mover is None:
            return
        if delay_ms < 0:
            self._end(COMPLETED)
        else:
            self._timer = self._clock.after(delay_ms, self._go_on)

    def _slice(self, mover: Mover) -> int:
        """Visit the next messages. Return the time until those after them, -1 if there are no more."""
        now_ms = self._clock.now_ms()
        step = 1 if self.options.max_per_second else _STEP
        most, size = self._slice_count, mover.size + self._slice_bytes
        found: list[Placed] = []
        index = 0
        while self._visits and self.moved != self._limit:
            if not most or mover.size >= size:
                return 0
            wait_ms = self._pace.wait_ms(now_ms)
            if wait_ms:
                return wait_ms
            try:
                if index == len(found):
                    found = mover.following(self._place, step)
                    index = 0
                if not found:
                    return -1
                place, entry = found[index]
                if self._stays(mover, entry, now_ms):
                    self._place = place
            except UnreadableError:
                return UNREADABLE_MS
            index += 1
            most -= 1
        return -1

    def _stays(self, mover: Mover, entry: Entry, now_ms: int) -> bool:
        """Visit a message; return whether it is still in the queue. Raises UnreadableError."""
        if entry.sequence > self._newest:
            return True
        try:
            outcome = mover.visit(entry)
        except StaysError as stays:
            outcome = STAYS
            self.failed += 1
            self._totals.count_redriven(False)
            self.problem = str(stays)
        if outcome == GONE:
            return False
        self._visits -= 1
        self._unvisited = max(0, self._unvisited - 1)
        if outcome == MOVED:
            self.moved += 1
            self._totals.count_redriven(True)
            self._pace.count(now_ms)
            return False
        if outcome == SKIPPED:
            self.skipped += 1
        return True


def _limit(options: RedriveOptions) -> int:
    """Return the number of messages that a task moves at most, -1 for no limit."""
    named = options.filter.messages
    if named is None:
        return options.limit
    return len(named) if options.limit < 0 else min(options.limit, len(named))
