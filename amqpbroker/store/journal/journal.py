"""The journal: a log with one file for each segment. See docs/store-format.md."""

import errno
import itertools
import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.store import record
from amqpbroker.store.files import Files
from amqpbroker.store.live_entries import LiveEntriesBySegment
from amqpbroker.store.log import Batch, Log, Span, StoreError, UnwrittenError
from amqpbroker.store.record import OFFSET_BITS, OFFSET_MASK
from amqpbroker.store.recovered import Recovered

log = logging.getLogger(__name__)

_SUFFIX = ".seg"

#: Temporary errors of opening a file, and of writing to a disk. Any other error is final.
_TOO_MANY_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FOR_NOW = _TOO_MANY_FILES | _FULL | {errno.EFBIG, errno.EIO}


class Segment:
    """A segment file. size: bytes in it once everything passed to `write` is written.

    mark: bytes with which its batches begin. descriptor: -1 before the first batch.
    """

    __slots__ = ("descriptor", "mark", "number", "path", "size")

    def __init__(self, number: int, path: Path, descriptor: int = -1, size: int = record.SEGMENT_HEAD.size) -> None:
        self.number = number
        self.path = path
        self.size = size
        self.descriptor = descriptor
        self.mark: bytes = secrets.token_bytes(record.MARK_BYTES)

    def know(self, mark: bytes) -> None:
        """Set the mark of an existing file."""
        self.mark = mark

    def resize(self, size: int) -> None:
        """Set the size of the file in bytes."""
        self.size = size

    def open(self, descriptor: int) -> None:
        """Set the descriptor of the open file."""
        self.descriptor = descriptor

    def close(self, files: Files) -> None:
        """Close its file, if it is open. Raises OSError."""
        if self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            files.close(descriptor)


def segment_name(number: int) -> str:
    return f"{number:016x}{_SUFFIX}"


class Journal(Log):
    """The segments of one data directory."""

    def __init__(
        self,
        directory: Path,
        files: Files,
        segment_bytes: int = BOUNDS.segment_bytes,
        synced: bool = True,
        name: str = "",
    ) -> None:
        """name: for the operator, by default the directory's.

        synced: a batch is on the disk when `write` returns; otherwise it has only been passed to the operating system.
        """
        self.directory = directory
        self.name = name or str(directory)
        self.oldest = 0
        self.newest = 0
        self.durable = 0
        self.files = files
        self.segments: dict[int, Segment] = {}
        self.living = LiveEntriesBySegment()
        self.batches: int = 0
        self.segment_bytes = segment_bytes
        self.concurrency = files.concurrency
        self._synced = synced
        #: The first batch that has to be written again.
        self._unwritten: Batch | None = None
        #: Batches under way, in order, and those of them that are durable.
        self._under_way: deque[Batch] = deque()
        self._ended: set[int] = set()
        #: Held while a batch is appended, and while its end is noted: several may end at the same time.
        self._changing = threading.Lock()
        self._freed: deque[Segment] = deque()
        #: The first of them, if it could not be removed.
        self._refused: Segment | None = None

    def _adopt(self, segment: Segment) -> None:
        """Add a segment, which is newer than all others."""
        self.segments[segment.number] = segment
        self.newest = segment.number
        self.oldest = self.oldest or segment.number

    def recover(self, repair: bool = True) -> Recovered:
        """Read all segments. A torn end is cut off, with a warning; without `repair` there is only the warning."""
        found = Recovered()
        files = self.files
        numbers = _segment_numbers(self.directory, files)
        last = Span(0, 0)
        data = b""
        for number in numbers:
            path = self.directory / segment_name(number)
            descriptor = files.open(path, write=repair)
            data = files.read(descriptor, 0, files.size(descriptor))
            segment = Segment(number, path, descriptor, len(data))
            self._adopt(segment)
            last = _read_segment(found, segment, data, last=number == numbers[-1])
            end = last.stop
            if end == len(data) and end:
                continue
            log.warning("%s: torn at offset %d, %d bytes cut off", path, end, len(data) - end)
            segment.resize(max(end, record.SEGMENT_HEAD.size))
            if repair:
                files.truncate(descriptor, end)
                if end == 0:
                    files.write(descriptor, record.segment_head(number, segment.mark))
                files.sync(descriptor)
        if repair and numbers:
            newest = self.segments[numbers[-1]]
            self._write_again(newest, last.start, data[last.start : last.stop])
            # The last batch may not be on the disk yet, and the data that it replaces is about to be removed.
            files.sync(newest.descriptor)
            files.sync_directory(self.directory)
        self._use(found)
        return found

    def continue_from(self, found: Recovered, marks: Mapping[int, bytes]) -> None:
        """Continue after what a reader of the same segments has found, instead of `recover`.

        found: not finished. marks: of all segments, by number. Raises OSError.
        """
        for number in sorted(marks):
            path = self.directory / segment_name(number)
            descriptor = self.files.open(path, write=True)
            segment = Segment(number, path, descriptor, self.files.size(descriptor))
            segment.know(marks[number])
            self._adopt(segment)
        self._use(found)

    def _use(self, found: Recovered) -> None:
        """Continue after these contents."""
        found.finish()
        self.batches = found.batches
        self.living = found.living
        if self.segments:
            self.durable = self.batches_in(self.newest).stop

    def _write_again(self, segment: Segment, offset: int, data: bytes) -> None:
        """Write the last batch over itself, or the header of a segment without a batch.

        If an earlier process failed to sync it, the system may consider it written, and would not write it with the
        next sync. A file system that never writes in place may refuse this on a full disk; then the start continues.
        """
        try:
            self.files.overwrite(segment.path, offset, data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            log.warning("%s: the last batch cannot be written again: %s", segment.path, error.strerror)

    # --- append -----------------------------------------------------------------------------------------------------

    def next_position(self) -> int:
        """Return the position after the next batch's header. A full segment is followed by a new one."""
        segment = self._current()
        return segment.number << OFFSET_BITS | (segment.size + record.BATCH_HEAD.size)

    def batch(self, groups: list[bytes]) -> Batch:
        # The batch goes to the position of `next_position`, which has started a new segment if the last one was full.
        segment = self.segments[self.newest]
        self.batches += 1
        size = sum(map(len, groups))
        parts = [record.batch(segment.mark, self.batches, size), *groups]
        start = segment.number << OFFSET_BITS | segment.size
        stop = start + record.BATCH_HEAD.size + size
        segment.resize(stop & OFFSET_MASK)
        return Batch(self.batches, start, stop, parts)

    @property
    def is_next_alone(self) -> bool:
        segment = self.segments.get(self.newest)
        if segment is None or segment.size >= self.segment_bytes or segment.descriptor < 0:
            return True
        return self.files.is_next_alone(segment.descriptor)

    def _current(self) -> Segment:
        segment = self.segments.get(self.newest)
        if segment is None or segment.size >= self.segment_bytes:
            number = self.newest + 1
            segment = Segment(number, self.directory / segment_name(number))
            self._adopt(segment)
        return segment

    def begin(self, batch: Batch) -> Callable[[], None]:
        """Append a batch; return what syncs it, unless `synced` is off."""
        with self._changing:
            segment = self.segments[batch.position >> OFFSET_BITS]
            if self._unwritten is not None and self._is_cut_off(batch):
                raise UnwrittenError(errno.EIO, "An earlier batch was refused", str(segment.path))
            is_new = segment.descriptor < 0
            if is_new:
                self._create(segment, batch)
            try:
                self.files.write(segment.descriptor, *batch.parts)
            except OSError as error:
                self._cut_off(batch, is_new, error)
            if self._unwritten is not None:
                self._read_back(batch)
                self._unwritten = None
            if is_new:
                try:
                    self.files.sync_directory(self.directory)
                except OSError as error:
                    self._cut_off(batch, is_new, error, _TOO_MANY_FILES)
            self._under_way.append(batch)
            sync = self.files.begin_sync(segment.descriptor) if self._synced else _nothing
        return partial(self._finish, batch, sync)

    def _finish(self, batch: Batch, sync: Callable[[], None]) -> None:
        """Make a batch durable."""
        try:
            sync()
        except UnwrittenError as error:
            with self._changing:
                # The header of a new segment is durable, so that only the batch has to be cut off.
                self._cut_off(batch, False, error)
        with self._changing:
            if self._unwritten is not None and self._is_cut_off(batch):
                return
            self._ended.add(batch.number)
            while self._under_way and (first := self._under_way[0]).number in self._ended:
                self._ended.remove(first.number)
                self._under_way.popleft()
                self.durable = first.stop

    def _is_cut_off(self, batch: Batch) -> bool:
        """Return whether a batch was cut off together with an earlier one."""
        return self._unwritten is not None and self._unwritten.number < batch.number

    def _create(self, segment: Segment, batch: Batch) -> None:
        """Create the file of a segment for its first batch."""
        try:
            segment.open(self.files.create(segment.path))
            self.files.write(segment.descriptor, record.segment_head(segment.number, segment.mark))
        except OSError as error:
            self._cut_off(batch, True, error)
        if self._synced:
            # The header is synced before anything is written after it, so that an incomplete header means damage.
            try:
                self.files.sync(segment.descriptor)
            except UnwrittenError as error:
                self._cut_off(batch, True, error)

    def _cut_off(self, batch: Batch, is_new: bool, error: OSError, for_now: frozenset[int] = _FOR_NOW) -> NoReturn:
        """Remove a partly written batch, with those after it that are under way, and its segment if that is new.

        Raises UnwrittenError if the error is one of the temporary ones in `for_now`, otherwise the OSError.
        """
        if error.errno not in for_now:
            raise error
        segment = self.segments[batch.position >> OFFSET_BITS]
        while self._under_way and self._under_way[-1].number >= batch.number:
            self._ended.discard(self._under_way.pop().number)
        if self._is_cut_off(batch):
            raise error
        if not is_new:
            self.files.truncate(segment.descriptor, batch.position & OFFSET_MASK)
            self._check_size(segment, batch.position & OFFSET_MASK)
        elif segment.descriptor >= 0:
            segment.close(self.files)
            self.files.remove(segment.path)
        self._unwritten = batch
        raise UnwrittenError(error.errno, error.strerror, str(segment.path)) from error

    def _read_back(self, batch: Batch) -> None:
        """Read back a batch that the disk has accepted after refusing it. Raises OSError if the bytes differ."""
        segment = self.segments[batch.position >> OFFSET_BITS]
        offset = batch.position & OFFSET_MASK
        data = b"".join(batch.parts)
        self._check_size(segment, offset + len(data))
        if self.files.read(segment.descriptor, offset, len(data)) != data:
            raise OSError(errno.EIO, "The written batch cannot be read back", str(segment.path))

    def _check_size(self, segment: Segment, size: int) -> None:
        found = self.files.size(segment.descriptor)
        if found != size:
            raise OSError(errno.EIO, f"The file has {found} bytes instead of {size}", str(segment.path))

    def end(self, doubted: int) -> None:
        if self.living.size_bytes:
            self._write_mark(doubted, ended=True)

    def go_on(self, doubted: int) -> None:
        """Note in the log that it goes on after `end`, with the same `doubted`: others may have read that it has ended.

        Raises OSError.
        """
        self._write_mark(doubted, ended=False)

    def remove_end(self) -> None:
        """Remove the note of `end`, which is the last batch. It needs no space on the disk. Raises OSError."""
        segment = self.segments[self.newest]
        segment.resize(segment.size - record.BATCH_HEAD.size - record.MARK_GROUP_BYTES)
        self.files.truncate(segment.descriptor, segment.size)
        self.files.sync(segment.descriptor)
        self.batches -= 1
        self.durable = self.batches_in(self.newest).stop

    def _write_mark(self, doubted: int, ended: bool) -> None:
        self.next_position()
        self.write(self.batch([record.mark_group(doubted, ended)]))

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
    def size(self) -> int:
        return sum([segment.size for segment in self.segments.values()])

    def batches_in(self, segment: int) -> Span:
        base = segment << OFFSET_BITS
        return Span(base | record.SEGMENT_HEAD.size, base | self.segments[segment].size)

    def forget_up_to(self, position: int) -> None:
        """Mark the segments before `position` for removal by `remove_freed`."""
        while (number := self.oldest) < position >> OFFSET_BITS and self.segments[number].descriptor >= 0:
            self._freed.append(self.segments.pop(number))
            self.oldest = number + 1 if self.segments else 0

    def remove_freed(self) -> None:
        """Remove the segments marked by `forget_up_to`; the system takes some 20 ms to remove 64 MiB.

        The oldest is removed first, since a later one may have the records that settle its copies. If a segment cannot
        be removed, it stays together with all later ones, until the next call or the next start.
        """
        while self._freed:
            segment = self._freed[0]
            try:
                segment.close(self.files)
                with suppress(FileNotFoundError):  # another process has removed it
                    self.files.remove(segment.path)
            except OSError as error:
                if segment is not self._refused:
                    self._refused = segment
                    log.warning("%s is empty, and cannot be removed: %s", segment.path, error.strerror)
                return
            self._freed.popleft()

    def close(self) -> None:
        for segment in (*self.segments.values(), *self._freed):
            segment.close(self.files)
        self.segments.clear()
        self._freed.clear()
        self.oldest = self.newest = 0


def _nothing() -> None:
    pass


def _segment_numbers(directory: Path, files: Files) -> list[int]:
    """Return the numbers of the segments there, oldest first. Raises StoreError if one is missing between two."""
    numbers = sorted(int(name.removesuffix(_SUFFIX), 16) for name in files.names(directory) if name.endswith(_SUFFIX))
    for before, after in itertools.pairwise(numbers):
        if after != before + 1:
            raise StoreError(f"{directory / segment_name(before + 1)} is missing: messages in it are lost")
    return numbers


def _read_segment(found: Recovered, segment: Segment, data: bytes, last: bool) -> Span:
    """Read every whole batch into `found`. Raises StoreError for damage.

    Return the start of the last batch, 0 if there is none, and its end, where an incomplete batch may start.
    """
    head = record.SEGMENT_HEAD.size
    mark = record.read_mark(data, segment.number)
    # After a crash, a new file may have its length but none of its contents. A header alone was perhaps never synced.
    if last and mark is None and (len(data) <= head or data.count(0) == len(data)):
        return Span(0, 0)
    if mark is None:
        raise StoreError(f"{segment.path}: at offset 0: not a journal segment, or one of another version")
    segment.know(mark)
    found.start_segment(segment.number, len(data))
    start_of_last = 0
    offset = head
    while offset < len(data):
        batch = record.read_batch(data, offset, mark)
        problem = "no whole batch header"
        if batch is not None:
            number, size = batch
            if found.batches and number != found.batches + 1:
                raise StoreError(f"{segment.path}: at offset {offset}: batch {number} follows batch {found.batches}")
            start = offset + record.BATCH_HEAD.size
            end = start + size
            wrong = "a batch is cut off" if end > len(data) else record.damage(data, start, end)
            if wrong is None:
                try:
                    record.visit(data, start, end, found)
                except record.DamagedError as error:
                    raise StoreError(f"{segment.path}: {error}") from None
                found.read_batch(number)
                start_of_last, offset = offset, end
                continue
            problem = wrong
        if not last or record.find_batch(data, offset + 1, mark, found.batches + 1) >= 0:
            raise StoreError(
                f"{segment.path}: damaged at offset {offset} ({problem}), with synced batches after it;"
                " `amqpbroker store check` shows more"
            )
        break
    return Span(start_of_last, offset)
