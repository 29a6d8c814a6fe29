"""Deadlines of the ready messages of a queue whose messages expire at any position."""

import heapq

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.ready_line import SLACK, ReadyLine, deadline_item, place_of, time_of


class Deadlines:
    """A heap with an item (`deadline_item`) for each ready message that may expire, also for those on disk.

    An item remains when its message is delivered or removed. It is dropped when it is the first, or when the heap is
    rebuilt: the heap never has more than twice as many items as there are such messages, plus `SLACK`.
    """

    __slots__ = ("_gone", "_heap", "_ready", "_unreadable")

    def __init__(self, ready: ReadyLine) -> None:
        """ready: the line of the messages. Its messages are not read."""
        self._ready: ReadyLine = ready
        self._heap: list[int] = []
        #: Items of the heap that are void, although there is another entry in their places.
        self._gone: set[int] = set()
        self._unreadable: bool = False
        self.rebuild()

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._heap)

    @property
    def first_ms(self) -> int:
        """The earliest deadline; 0 for none, or if its message temporarily cannot be read.

        It may belong to a message that is not ready anymore.
        """
        return time_of(self._heap[0]) if self._heap and not self._unreadable else 0

    def add(self, entry: Entry) -> None:
        """Add an entry that is, or is about to be, in the line."""
        item = self.item(entry)
        self._gone.discard(item)
        heapq.heappush(self._heap, item)

    def replaced(self, entry: Entry) -> None:
        """Drop the item of an entry whose place and sequence another entry has taken."""
        self._gone.add(self.item(entry))

    def item(self, entry: Entry) -> int:
        return deadline_item(entry.deadline_ms, entry.sequence, self._ready.level_of(entry))

    def pop_before(self, limit: int) -> Entry | None:
        """Remove from the line and return the entry with the smallest item, if that is smaller than `limit`.

        Return None if there is none, or if the entry temporarily cannot be read.
        """
        heap, ready = self._heap, self._ready
        self._unreadable = False
        while heap and heap[0] < limit:
            if heap[0] in self._gone:
                heapq.heappop(heap)
                continue
            sequence, level = place_of(heap[0])
            if ready.may_expire(sequence, level):
                entry = ready.remove(sequence, level)
                if entry is None:
                    self._unreadable = True
                    return None
                heapq.heappop(heap)
                return entry
            heapq.heappop(heap)
        return None

    def reach(self, limit: int) -> bool:
        """Return whether `pop_before` with the same limit may return an entry."""
        return bool(self._heap) and self._heap[0] < limit and not self._unreadable

    def shrink(self, count: int) -> None:
        """Rebuild the heap if it has too many items. count: number of ready messages that may expire."""
        if max(len(self._heap), len(self._gone)) > 2 * count + SLACK:
            self.rebuild()

    def rebuild(self) -> None:
        """Rebuild the heap from the line."""
        self._heap = self._ready.deadlines()
        self._gone.clear()
        heapq.heapify(self._heap)
