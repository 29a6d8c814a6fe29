"""Returned messages of a quorum queue, which are delivered before all others."""

from collections import deque
from collections.abc import Iterator

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.ready_line import SLACK, deadline_item


class ReturnedLine:
    """Entries in the order of their return, which is not the order of their sequences.

    Entries can be taken from any position: such an entry remains in the deque, unless it is the first, until the deque
    is rebuilt. An index by sequence exists from the first search on.

    count: number of entries.
    """

    __slots__ = ("_entries", "_index", "_taken", "count")

    def __init__(self) -> None:
        self.count: int = 0
        self._entries: deque[Entry] = deque()
        self._index: dict[int, Entry] | None = None
        self._taken: set[int] = set()

    def add(self, entries: list[Entry]) -> None:
        self._entries.extend(entries)
        self.count += len(entries)
        if self._index is not None:
            for entry in entries:
                self._index[entry.sequence] = entry

    def first(self) -> Entry:
        """Return the first entry. Only if `count` is not 0."""
        return self._entries[0]

    def pop(self) -> Entry:
        """Remove and return the first entry. Only if `count` is not 0."""
        entry = self._entries.popleft()
        self.count -= 1
        if self._index is not None:
            del self._index[entry.sequence]
            if self._taken:
                self._skip_taken()
        return entry

    def contains(self, sequence: int) -> bool:
        if not self.count:
            return False
        if self._index is None:
            self._index = {entry.sequence: entry for entry in self._entries}
        return sequence in self._index

    def find(self, sequence: int) -> Entry:
        """Return the entry with that sequence, which `contains` found."""
        assert self._index is not None
        return self._index[sequence]

    def behind(self, sequence: int, count: int) -> list[Entry]:
        """Return up to `count` entries behind the one with that sequence; the first ones if that one is gone."""
        entries = iter(self._entries)
        for entry in entries:
            if entry.sequence == sequence:
                break
        else:
            entries = iter(self._entries)
        found: list[Entry] = []
        for entry in entries:
            if len(found) == count:
                break
            if entry.sequence not in self._taken:
                found.append(entry)
        return found

    def remove(self, sequence: int) -> Entry:
        """Remove and return the entry with that sequence, which `contains` found."""
        index = self._index
        assert index is not None
        entry = index.pop(sequence)
        self._taken.add(sequence)
        self.count -= 1
        self._skip_taken()
        if len(self._taken) > self.count + SLACK:
            self._entries = deque(self)
            self._taken.clear()
        return entry

    def replace(self, entry: Entry) -> Entry:
        """Put an entry in the place of the one with the same sequence, which `contains` found, and return that one."""
        assert self._index is not None
        old = self._index[entry.sequence]
        self._index[entry.sequence] = entry
        self._entries[self._entries.index(old)] = entry
        return old

    def deadlines(self) -> list[int]:
        return [deadline_item(entry.deadline_ms, entry.sequence, 0) for entry in self if entry.deadline_ms]

    def clear(self) -> deque[Entry]:
        """Remove and return all entries."""
        entries = deque(self)
        self._entries = deque()
        self._index = None
        self._taken.clear()
        self.count = 0
        return entries

    def __iter__(self) -> Iterator[Entry]:
        taken = self._taken
        for entry in self._entries:
            if entry.sequence not in taken:
                yield entry

    def _skip_taken(self) -> None:
        entries, taken = self._entries, self._taken
        while entries and entries[0].sequence in taken:
            taken.remove(entries.popleft().sequence)
