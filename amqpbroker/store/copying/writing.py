"""Writing of a journal that begins with what another one has."""

from collections.abc import Sequence
from typing import NamedTuple

from amqpbroker.store import record
from amqpbroker.store.copying.interfaces import Part
from amqpbroker.store.journal.journal import Journal


class Kept(NamedTuple):
    """A record of a group, and what is known of its entries.

    counts: entry -> delivery count. dues_ms: entry -> due time. An entry is its offset in the record.
    """

    data: bytes
    counts: Sequence[tuple[int, int]] = ()
    dues_ms: Sequence[tuple[int, int]] = ()


class JournalWriter:
    """A new journal. size_bytes: of the groups that wait for `flush`."""

    def __init__(self, part: Part) -> None:
        """Raises OSError."""
        part.files.make_directory(part.journal)
        self.size_bytes: int = 0
        self._journal = Journal(part.journal, part.files, name=part.name)
        self._groups: list[bytes] = []
        self._start: int = 0
        self._doubted: bool = False

    def doubt(self) -> None:
        """Count all messages as delivered when a broker starts: the source was not closed in order."""
        self._doubted = True

    def add(self, records: Sequence[Kept]) -> int:
        """Add a group of these records; return its size in bytes."""
        if not self._groups:
            self._start = self._journal.next_position()
        at = self._start + self.size_bytes + record.GROUP_BYTES
        counts: list[tuple[int, int]] = []
        dues_ms: list[tuple[int, int]] = []
        for kept in records:
            counts += [(at + entry, count) for entry, count in kept.counts]
            dues_ms += [(at + entry, due_ms) for entry, due_ms in kept.dues_ms]
            at += len(kept.data)
        payload = [kept.data for kept in records]
        if counts:
            payload.append(record.returned(counts))
        if dues_ms:
            payload.append(record.delayed(dues_ms))
        joined = b"".join(payload)
        self._groups += [record.group(joined), joined]
        self.size_bytes += record.GROUP_BYTES + len(joined)
        return record.GROUP_BYTES + len(joined)

    def flush(self) -> None:
        """Write all groups as a batch. Raises OSError."""
        if self._groups:
            self._journal.write(self._journal.batch(self._groups))
            self._groups, self.size_bytes = [], 0

    def close(self) -> None:
        """Write what is left, and that this is all. Raises OSError."""
        self.flush()
        if not self._doubted:
            self._journal.end(0)
        self._journal.close()
