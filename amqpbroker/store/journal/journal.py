"""The journal: a log in files, one for each segment. docs/store-format.md."""

import errno
import logging
import secrets
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.store.journal import record
from amqpbroker.store.journal.files import Files
from amqpbroker.store.journal.living import LivingBySegment
from amqpbroker.store.journal.position import OFFSET_BITS, OFFSET_MASK
from amqpbroker.store.log import Batch, Log, Span, UnwrittenError

log = logging.getLogger(__name__)

#: What keeps a file from being opened for now, and what a disk from taking data. Whatever else fails is the end.
_TOO_MANY_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_FOR_NOW = _TOO_MANY_FILES | {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@dataclass(slots=True)
class Segment:
    """One file. size: octets in it once everything handed over is written.

    mark: what its batches begin with. descriptor: -1 before the first batch.
    """

    number: int
    path: Path
    size: int = record.SEGMENT_HEAD.size
    descriptor: int = -1
    mark: bytes = field(default_factory=partial(secrets.token_bytes, record.MARK_BYTES))


def segment_name(number: int) -> str:
    return f"{number:016x}.seg"


class Journal(Log):
    """The segments of one data directory."""

    def __init__(
        self, directory: Path, files: Files, segment_bytes: int = BOUNDS.segment_bytes, synced: bool = True
    ) -> None:
        """synced: a batch is on the disk when `write` returns; else it is with the operating system."""
        self.directory = directory
        self.name = str(directory)
        self.durable = 0
        self.files = files
        self.segments: dict[int, Segment] = {}
        self.living = LivingBySegment()
        self.batches: int = 0
        self.segment_bytes = segment_bytes
        self._synced = synced
        self._unwritten: Batch | None = None
        self._freed: deque[Segment] = deque()

    # --- append -----------------------------------------------------------------------------------------------------

    def next_position(self) -> int:
        """Behind the next batch's header; a full segment is followed by a new one."""
        segment = self._current()
        return segment.number << OFFSET_BITS | (segment.size + record.BATCH_HEAD.size)

    def batch(self, groups: list[bytes]) -> Batch:
        segment = self._current()
        self.batches += 1
        size = sum([len(part) for part in groups])
        parts = [record.batch(segment.mark, self.batches, size), *groups]
        made = Batch(self.batches, segment.number << OFFSET_BITS | segment.size, parts)
        segment.size += record.BATCH_HEAD.size + size
        return made

    def _current(self) -> Segment:
        last = max(self.segments, default=0)
        if not last or self.segments[last].size >= self.segment_bytes:
            last += 1
            self.segments[last] = Segment(last, self.directory / segment_name(last))
        return self.segments[last]

    def write(self, batch: Batch) -> None:
        """Append, and sync unless that is not wanted."""
        segment = self._segment(batch)
        is_new = segment.descriptor < 0
        if is_new:
            with self._or_cut_off(batch, is_new):
                segment.descriptor = self.files.create(segment.path)
                self.files.write(segment.descriptor, record.segment_head(segment.number, segment.mark))
            if self._synced:
                # A header is whole before anything stands behind it, so that one that is not is damage.
                self.files.sync(segment.descriptor)
        with self._or_cut_off(batch, is_new):
            self.files.write(segment.descriptor, *batch.parts)
        if self._unwritten is not None:
            self._read_back(batch)
            self._unwritten = None
        if is_new:
            with self._or_cut_off(batch, is_new, _TOO_MANY_FILES):
                self.files.sync_directory(self.directory)
        if self._synced:
            self.files.sync(segment.descriptor)
        self.durable = batch.position + sum([len(part) for part in batch.parts])

    @contextmanager
    def _or_cut_off(self, batch: Batch, is_new: bool, for_now: frozenset[int] = _FOR_NOW) -> Iterator[None]:
        """Within, the batch is written. Raises UnwrittenError if the disk does not take it for now.

        for_now: the numbers of errors that mean so.
        """
        try:
            yield
        except OSError as error:
            if error.errno not in for_now:
                raise
            self._cut_off(batch, is_new)
            self._unwritten = batch
            raise UnwrittenError(error.errno, error.strerror, str(self._segment(batch).path)) from error

    def _segment(self, batch: Batch) -> Segment:
        return self.segments[batch.position >> OFFSET_BITS]

    def _cut_off(self, batch: Batch, is_new: bool) -> None:
        """Have nothing of the batch be there, nor its segment if that is new. Raises OSError."""
        segment = self._segment(batch)
        if not is_new:
            self.files.truncate(segment.descriptor, batch.position & OFFSET_MASK)
            self._check_size(segment, batch.position & OFFSET_MASK)
        elif segment.descriptor >= 0:
            self._close(segment)
            self.files.remove(segment.path)

    def _read_back(self, batch: Batch) -> None:
        """A disk that has refused a batch and then taken it has to show its octets. Raises OSError."""
        segment = self._segment(batch)
        offset = batch.position & OFFSET_MASK
        data = b"".join(batch.parts)
        self._check_size(segment, offset + len(data))
        if self.files.read(segment.descriptor, offset, len(data)) != data:
            raise OSError(errno.EIO, "What was written cannot be read back", str(segment.path))

    def _check_size(self, segment: Segment, size: int) -> None:
        found = self.files.size(segment.descriptor)
        if found != size:
            raise OSError(errno.EIO, f"The file has {found} octets instead of {size}", str(segment.path))

    # --- read -------------------------------------------------------------------------------------------------------

    def read(self, position: int, size: int) -> bytes:
        segment = self.segments[position >> OFFSET_BITS]
        return self.files.read(segment.descriptor, position & OFFSET_MASK, size)

    def expect(self, position: int, size: int) -> None:
        segment = self.segments[position >> OFFSET_BITS]
        self.files.expect(segment.descriptor, position & OFFSET_MASK, size)

    def groups(self, position: int) -> Span:
        segment = self.segments[position >> OFFSET_BITS]
        head = self.read(position, record.BATCH_HEAD.size)
        batch = record.read_batch(head, 0, segment.mark)
        if batch is None:
            raise record.DamagedError(position & OFFSET_MASK, f"no whole batch header in {segment.path}")
        start = position + record.BATCH_HEAD.size
        return Span(start, start + batch[1])

    # --- segments ---------------------------------------------------------------------------------------------------

    @property
    def oldest(self) -> int:
        return min(self.segments) if self.segments else 0

    @property
    def newest(self) -> int:
        return max(self.segments) if self.segments else 0

    @property
    def size(self) -> int:
        return sum([segment.size for segment in self.segments.values()])

    def batches_in(self, segment: int) -> Span:
        base = segment << OFFSET_BITS
        return Span(base | record.SEGMENT_HEAD.size, base | self.segments[segment].size)

    def forget_up_to(self, position: int) -> None:
        """Have `remove_freed` remove the segments before."""
        while (number := self.oldest) < position >> OFFSET_BITS and self.segments[number].descriptor >= 0:
            self._freed.append(self.segments.pop(number))

    def remove_freed(self) -> None:
        """Remove what `forget_up_to` gave up, which takes the system some 20 ms for 64 MiB.

        The oldest goes first, since a later one may say that what is in it lives no more. So one that cannot be removed
        stays, with those after it, for the next time or the next start.
        """
        while self._freed:
            segment = self._freed[0]
            try:
                self._close(segment)
                with suppress(FileNotFoundError):  # somebody else has removed it
                    self.files.remove(segment.path)
            except OSError as error:
                log.warning("%s is empty, and cannot be removed: %s", segment.path, error.strerror)
                return
            self._freed.popleft()

    def close(self) -> None:
        for segment in (*self.segments.values(), *self._freed):
            self._close(segment)
        self.segments.clear()
        self._freed.clear()

    def _close(self, segment: Segment) -> None:
        if segment.descriptor >= 0:
            descriptor, segment.descriptor = segment.descriptor, -1
            self.files.close(descriptor)
