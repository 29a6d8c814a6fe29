"""Reading of a journal's living entries, group by group."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from amqpbroker.store import record
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import Span
from amqpbroker.store.record import OFFSET_BITS, OFFSET_MASK

#: Bytes that are read at once, unless a single group is larger.
_STEP_BYTES: Final = 8 << 20


class LivingGroup(NamedTuple):
    """A group with living entries. start: position of `data`. entries: their offsets in `data`, ascending."""

    start: int
    data: bytes
    entries: list[int]


def living_groups(journal: Journal) -> Iterator[LivingGroup]:
    """Yield the groups of a recovered journal that have living entries, in order. Raises OSError, DamagedError."""
    for number in sorted(journal.segments):
        living = journal.living.of(number)
        at, end = journal.batches_in(number)
        while at < end:
            groups = journal.groups(at)
            start = groups.start & OFFSET_MASK
            if living.between(start, start + groups.stop - groups.start):
                yield from _of_batch(journal, groups)
            at = groups.stop


def _of_batch(journal: Journal, groups: Span) -> Iterator[LivingGroup]:
    living = journal.living.of(groups.start >> OFFSET_BITS)
    at = groups.start
    while at < groups.stop:
        data = _whole_groups(journal, at, groups.stop - at)
        offset = at & OFFSET_MASK
        for first, last in record.payloads(data):
            entries = living.between(offset + first, offset + last)
            if entries:
                yield LivingGroup(at, data, [entry - offset for entry in entries])
        at += len(data)


def _whole_groups(journal: Journal, position: int, size_bytes: int) -> bytes:
    """Return whole groups from a range of that size: some, or one that is larger than a step."""
    data = journal.read(position, min(size_bytes, _STEP_BYTES))
    if len(data) == size_bytes:
        return data
    end = record.groups_end(data)
    if not end:
        return journal.read(position, min(size_bytes, record.first_group(data)))
    return data[:end]
