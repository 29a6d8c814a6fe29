"""The ready line of a queue in which messages replace others."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.last_value.values import LastValues
from amqpbroker.broker.queues.lines.pages import Pager
from amqpbroker.broker.queues.lines.ready_line import Placed, ReadyLine

if TYPE_CHECKING:
    from amqpbroker.store.recovered import Copies


class LastValueLine(ReadyLine):
    """A line of any kind, whose messages with keys are recorded in `values`.

    A message that becomes ready again drops out if a newer one of its key is in the queue; otherwise it replaces the
    ready one.
    """

    def __init__(self, line: ReadyLine, values: LastValues, replaced: Callable[[list[Entry]], None]) -> None:
        """replaced(entries): called with entries that drop out of the queue, after they were removed."""
        super().__init__()
        self.returns_in_place = line.returns_in_place
        self._line: ReadyLine = line
        self._values: LastValues = values
        self._replaced = replaced

    def _count(self) -> None:
        self.count = self._line.count
        self.size = self._line.size

    def _add(self, entry: Entry) -> None:
        key = self._values.key(entry.message)
        if key is not None:
            self._values.add_ready(key, entry.sequence, self._line.level_of(entry))

    def push(self, entry: Entry) -> None:
        self._line.push(entry)
        self._count()
        self._add(entry)

    def requeue(self, entries: list[Entry]) -> None:
        kept, dropped = self._admit(entries)
        if kept:
            self._line.requeue(kept)
            for entry in kept:
                self._add(entry)
        self._count()
        if dropped:
            self._replaced(dropped)

    def requeue_last(self, entry: Entry) -> None:
        kept, dropped = self._admit([entry])
        if kept:
            self._line.requeue_last(entry)
            self._add(entry)
        self._count()
        if dropped:
            self._replaced(dropped)

    def _admit(self, entries: list[Entry]) -> tuple[list[Entry], list[Entry]]:
        """Return the entries that become ready, and those that drop out because of these or of others."""
        values = self._values
        newest: dict[bytes, int] = {}
        keys = [values.key(entry.message) for entry in entries]
        for key, entry in zip(keys, entries, strict=True):
            if key is not None:
                values.remove_late(key, entry.sequence)
                newest[key] = max(newest.get(key, 0), entry.sequence)
        kept: list[Entry] = []
        dropped: list[Entry] = []
        for key, entry in zip(keys, entries, strict=True):
            if key is None:
                kept.append(entry)
            elif entry.sequence < newest[key] or entry.sequence < values.newest(key):
                dropped.append(entry)
            else:
                kept.append(entry)
                older = self._remove_ready(key)
                if older is not None:
                    dropped.append(older)
        return kept, dropped

    def _remove_ready(self, key: bytes) -> Entry | None:
        """Remove and return the ready entry with that key; None if there is none, or if it cannot be read now."""
        place = self._values.ready(key)
        return None if place is None else self.remove(place[0], place[1])

    def ranked(self, entries: list[Entry]) -> list[Entry]:
        return self._line.ranked(entries)

    def load_head(self) -> bool:
        return self._line.load_head()

    def head(self) -> Entry:
        return self._line.head()

    def pop(self) -> Entry:
        return self._removed(self._line.pop())

    def due_ms(self) -> int:
        return self._line.due_ms()

    def pop_due(self) -> Entry:
        return self._removed(self._line.pop_due())

    def _removed(self, entry: Entry) -> Entry:
        self._count()
        self._values.remove_ready(entry)
        return entry

    # --- any position -------------------------------------------------------------------------------------------------

    def divide(self, pager: Pager) -> None:
        self._line.divide(pager)

    def level_of(self, entry: Entry) -> int:
        return self._line.level_of(entry)

    def contains(self, sequence: int, level: int) -> bool:
        return self._line.contains(sequence, level)

    def remove(self, sequence: int, level: int) -> Entry | None:
        entry = self._line.remove(sequence, level)
        return None if entry is None else self._removed(entry)

    def replace(self, entry: Entry, level: int) -> Entry | None:
        old = self._line.replace(entry, level)
        if old is not None:
            self._count()
            # Both entries have the same key.
            key = self._values.key(entry.message)
            if key is not None:
                self._values.add_ready(key, entry.sequence, level)
        return old

    def lookup(self, sequence: int) -> tuple[int, Entry] | None:
        return self._line.lookup(sequence)

    def following(self, place: int, count: int) -> list[Placed]:
        return self._line.following(place, count)

    def deadlines(self) -> list[int]:
        return self._line.deadlines()

    # --- memory -------------------------------------------------------------------------------------------------------

    def peek(self) -> Entry | None:
        return self._line.peek()

    @property
    def paged_out(self) -> int:
        return self._line.paged_out

    def by_priority(self) -> dict[int, int] | None:
        return self._line.by_priority()

    def clear(self) -> list[deque[Entry]]:
        lines = self._line.clear()
        self._count()
        self._values.clear_ready()
        return lines

    def start_after(self, newest: int) -> None:
        self._line.start_after(newest)

    def recover(self, copies: "Copies") -> None:
        # The queue reads their keys.
        self._line.recover(copies)
        self._count()

    def page_out(self, pager: Pager, keep: bool) -> bool:
        return self._line.page_out(pager, keep)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._line)
