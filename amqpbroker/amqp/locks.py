"""Locks of a channel: deliveries whose acknowledgement has to arrive in time, exact to the millisecond."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final, final

from amqpbroker.amqp.consumer_timeout import LockTerms
from amqpbroker.amqp.unacked import Unacked
from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import BOUNDS

#: Number of settled locks that may be kept, besides as many as there are unsettled deliveries.
_SPARE: Final = 64


@final
class Lock:
    """The lock of one delivery. due_ms: the time when it runs out, of `Clock.now_ms`."""

    __slots__ = ("due_ms", "terms")

    def __init__(self, due_ms: int, terms: LockTerms) -> None:
        self.due_ms: int = due_ms
        self.terms: LockTerms = terms


@final
class Locks:
    """The locks of one channel, with one timer for the first that runs out.

    An acknowledgement does not touch them: the lock of a settled delivery is dropped when it would run out, or when
    there are more than twice as many locks as unsettled deliveries. by_tag: locks by delivery tag, also those of
    settled deliveries that are not dropped yet. goes_on: the locks that run out now are more of those that
    have run out before, which were too many for one event loop iteration.
    """

    def __init__(self, clock: Clock, unacked: Unacked, most: int = BOUNDS.departures) -> None:
        """most: number of locks that have run out and are handled in one event loop iteration."""
        self.goes_on: bool = False
        self._is_cut: bool = False
        self._most: int = most
        self.by_tag: dict[int, Lock] = {}
        self._clock = clock
        self._unacked = unacked
        #: The due time and the tag of each lock. A renewed lock is here again, and its earlier item is ignored.
        self._heap: list[tuple[int, int]] = []
        self._timer: Timer | None = None
        self._on_due: Callable[[list[tuple[int, LockTerms]]], None] | None = None

    def start(self, on_due: Callable[[list[tuple[int, LockTerms]]], None]) -> None:
        """Start the locks. on_due: is called with the tags and terms of unsettled deliveries whose locks ran out."""
        self._on_due = on_due

    def stop(self) -> None:
        """Drop all locks."""
        self._on_due = None
        self.by_tag.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def find(self, tag: int) -> Lock | None:
        """Return the lock of an unsettled delivery; None if it has none."""
        return self.by_tag.get(tag) if tag in self._unacked.entries else None

    def __len__(self) -> int:
        """Return the number of locks in memory, with those of settled deliveries."""
        return len(self._heap)

    def add(self, tag: int, since_ms: int, terms: LockTerms) -> None:
        """Lock a delivery made at `since_ms`."""
        self.set(tag, since_ms + terms.timeout_ms, terms)

    def set(self, tag: int, due_ms: int, terms: LockTerms) -> None:
        """Lock a delivery until `due_ms`, or change its lock."""
        if self._on_due is None:
            return
        self.by_tag[tag] = Lock(due_ms, terms)
        heap = self._heap
        heappush(heap, (due_ms, tag))
        if self._timer is None or due_ms < self._timer.due_ms:
            self._schedule(due_ms)
        if len(heap) > 2 * len(self._unacked.entries) + _SPARE:
            self._compact()

    def expire(self, tags: list[int]) -> int:
        """Expire locks of unsettled deliveries now, even if the client was heard; return their number."""
        due = []
        for tag in tags:
            lock = self.find(tag)
            if lock is not None:
                del self.by_tag[tag]
                due.append((tag, LockTerms(lock.terms.timeout_ms, lock.terms.action, False)))
        if due and self._on_due is not None:
            self._on_due(due)
        return len(due)

    def _compact(self) -> None:
        entries = self._unacked.entries
        self.by_tag = {tag: lock for tag, lock in self.by_tag.items() if tag in entries}
        self._heap = [(lock.due_ms, tag) for tag, lock in self.by_tag.items()]
        heapify(self._heap)

    # --- time ---------------------------------------------------------------------------------------------------------

    def _schedule(self, due_ms: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.at(due_ms, self._fire)

    def _fire(self) -> None:
        self._timer = None
        due = self._remove_due(self._clock.now_ms())
        if due and self._on_due is not None:
            self._on_due(due)
        self._schedule_next()

    def _schedule_next(self) -> None:
        """Wait for the first lock. A timer may wait for a later one, which was set since the last one fired."""
        if self._heap and (self._timer is None or self._heap[0][0] < self._timer.due_ms):
            self._schedule(self._heap[0][0])

    def _remove_due(self, now_ms: int) -> list[tuple[int, LockTerms]]:
        """Remove the locks that have run out, and the settled ones before the next lock; return the former."""
        heap, by_tag, entries = self._heap, self.by_tag, self._unacked.entries
        found: list[tuple[int, LockTerms]] = []
        self.goes_on, self._is_cut = self._is_cut, False
        while heap:
            due_ms, tag = heap[0]
            lock = by_tag.get(tag)
            is_current = lock is not None and lock.due_ms == due_ms
            if lock is not None and is_current and tag in entries:
                if due_ms > now_ms:
                    break
                if len(found) == self._most:
                    self._is_cut = True
                    break
                found.append((tag, lock.terms))
            heappop(heap)
            if is_current:
                del by_tag[tag]
        if not by_tag:
            # A dict that was emptied keeps its memory.
            self.by_tag = {}
        return found
