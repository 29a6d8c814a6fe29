"""Copying of a journal: the records of what lives are written again, with the ids that they have in the target."""

from bisect import bisect_left
from struct import Struct
from typing import Final

from amqpbroker.store import record
from amqpbroker.store.copying.interfaces import Part
from amqpbroker.store.copying.merging import Division, Merging
from amqpbroker.store.copying.reading import LivingGroup, living_groups
from amqpbroker.store.copying.writing import Kept
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import StoreError
from amqpbroker.store.recovered import Recovered

#: Bytes of groups that wait for being written, of all journals.
_WAITING_BYTES: Final = 32 << 20

_ID: Final = Struct(">I")

#: Records of a group for each part of the target.
_Divided = dict[Merging, list[Kept]]


def copy_journal(part: Part, division: Division) -> int:
    """Copy the messages and id records of a part; return the number of copies. Raises StoreError, OSError.

    The journal is read twice: first as a recovery does, and then what lives in it. In memory are the positions of what
    lives, and few messages.
    """
    journal = Journal(part.journal, part.files, name=part.name)
    try:
        found = journal.recover(repair=False)
        division.know(found)
        # They are read again from their records.
        found.copies.clear()
        found.ids.clear()
        return _copied(journal, found, division)
    except record.DamagedError as error:
        raise StoreError(f"{part.name}: {error}") from error
    finally:
        journal.close()


def _copied(journal: Journal, found: Recovered, division: Division) -> int:
    messages = waiting_bytes = 0
    waiting: dict[Merging, None] = {}
    for group in living_groups(journal):
        divided = _Group(group, found, division)
        messages += divided.copies
        for to, records in divided.records.items():
            if not found.closed_in_order or found.doubted:
                to.journal.doubt()
            waiting_bytes += to.journal.add(records)
            waiting[to] = None
        if waiting_bytes >= _WAITING_BYTES:
            _flush(waiting)
            waiting_bytes = 0
    _flush(waiting)
    return messages


def _flush(waiting: dict[Merging, None]) -> None:
    for to in waiting:
        to.journal.flush()
    waiting.clear()


class _Group:
    """The records of a group for each part of the target. copies: number of messages in them, one for each queue."""

    def __init__(self, group: LivingGroup, found: Recovered, division: Division) -> None:
        """Raises DamagedError, StoreError."""
        self.records: _Divided = {}
        self.copies: int = 0
        self._start = group.start
        self._data = group.data
        self._found = found
        self._division = division
        entries, index = group.entries, 0
        while index < len(entries):
            first = entries[index]
            if record.is_id(self._data, first):
                self._add_id(first)
                index += 1
                continue
            start = first - record.back(self._data, first)
            of_next = bisect_left(entries, record.entries_end(self._data, start), index)
            self._add_copies(start, entries[index:of_next])
            index = of_next

    def _add_id(self, entry: int) -> None:
        data = record.id_record(self._data, entry)
        holder_id, sequence, expires_ms, _, _ = record.ENTRY.unpack_from(data, record.ID_BYTES)
        taken = self._division.taken(holder_id, sequence, data[record.ID_BYTES + record.ENTRY_BYTES :])
        if taken is not None:
            again = record.took(taken.holder_id, taken.sequence, expires_ms, taken.key)
            self.records.setdefault(taken.to, []).append(Kept(again))

    def _add_copies(self, start: int, entries: list[int]) -> None:
        """Add the publish record at data[start:] with these of its entries."""
        divided: dict[Merging, list[tuple[int, int]]] = {}
        for entry in entries:
            holder = self._division.holder(_ID.unpack_from(self._data, entry)[0])
            if holder is not None:
                divided.setdefault(holder[0], []).append((entry, holder[1]))
        for to, kept in divided.items():
            self.records.setdefault(to, []).append(self._excerpt(start, kept))
            self.copies += len(kept)

    def _excerpt(self, start: int, kept: list[tuple[int, int]]) -> Kept:
        """Return the publish record at data[start:] with these of its entries, and what is known of them.

        kept: each entry, and the id of its queue or exchange in the target.
        """
        excerpt, _ = record.excerpt(self._data, start, [entry for entry, _ in kept])
        data = bytearray(excerpt)
        counts, dues_ms = [], []
        for index, (entry, new_id) in enumerate(kept):
            at = record.PUBLISH_BYTES + index * record.ENTRY_BYTES
            _ID.pack_into(data, at, new_id)
            count = self._found.returned.get(self._start + entry)
            due_ms = self._found.delayed.get(self._start + entry)
            if count is not None:
                counts.append((at, count))
            if due_ms is not None:
                dues_ms.append((at, due_ms))
        return Kept(bytes(data), counts, dues_ms)
