"""A segment of a stream: a file of chunks, and an index of some of them in a second file.

The index only saves reading: it is never synced, and every entry is checked when it is used. Without it, or behind a
damaged entry, chunks are found by reading their heads one after the other.
"""

import contextlib
import errno
import logging
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from amqpbroker.store.checksum import crc32
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError
from amqpbroker.store.record import DamagedError
from amqpbroker.store.streams.chunk import Block
from amqpbroker.store.streams.format import (
    CHUNK_BYTES,
    INDEX_BYTES,
    MARK_BYTES,
    SEGMENT_BYTES,
    ChunkHead,
    IndexEntry,
    read_chunk_head,
    read_index_entry,
    read_mark,
    segment_head,
)

log = logging.getLogger(__name__)

SUFFIX = ".stream"
INDEX_SUFFIX = ".index"

_NAME = re.compile(r"([0-9a-f]{8})-([0-9]{20})\.stream")

#: Bytes that are read at once: those of a usual chunk.
READ_BYTES = 64 * 1024


def parsed_name(name: str) -> tuple[int, int] | None:
    """Return the id of the stream and the offset of the first message of a segment's file; None for other files."""
    found = _NAME.fullmatch(name)
    return None if found is None else (int(found[1], 16), int(found[2]))


class Placed(NamedTuple):
    """Head of a chunk, and its position in its segment."""

    position: int
    head: ChunkHead

    @property
    def following(self) -> int:
        """Position of the chunk behind it."""
        return self.position + CHUNK_BYTES + self.head.size


class _Window:
    """Bytes of an open file, of which several chunks are read at once.

    Chunks may be small, and with a database each read is a query.
    """

    def __init__(self, files: Files, descriptor: int) -> None:
        self._files = files
        self._descriptor = descriptor
        self._start = 0
        self._data = b""

    def read(self, position: int, size: int) -> bytes:
        """Return the bytes at a position, or fewer at the end of the file. Raises OSError."""
        at = position - self._start
        if not 0 <= at <= len(self._data) - size:
            at, self._start = 0, position
            self._data = self._files.read(self._descriptor, position, max(size, READ_BYTES))
        return self._data[at : at + size]


class StreamSegment:
    """One segment.

    first: offset of its first message. exists: it has a file, or is going to have one. size: bytes in it, including
    chunks that are going to be written. chunks: number of chunks. indexed: position of the last chunk with an index
    entry, 0 if there is none. Both are known for the newest segment only. mark: bytes with which its chunks begin;
    empty until they are read from the file.
    """

    def __init__(self, directory: Path, stream: int, first: int, files: Files, exists: bool = True) -> None:
        """stream: id of the stream, 1 or more."""
        self.first: int = first
        self.exists: bool = exists
        self.size: int = SEGMENT_BYTES
        self.chunks: int = 0
        self.indexed: int = 0
        self.mark: bytes = b""
        self._directory = directory
        self._stream: int = stream
        self._files = files

    # A path takes much memory, and a stream may have many segments.
    @property
    def path(self) -> Path:
        return self._directory / f"{self._stream:08x}-{self.first:020d}{SUFFIX}"

    @property
    def index_path(self) -> Path:
        return self.path.with_suffix(INDEX_SUFFIX)

    def begin(self) -> None:
        """Choose the mark of a new segment."""
        self.mark = secrets.token_bytes(MARK_BYTES)

    def grow(self, size: int) -> int:
        """Add a chunk of that size, with its head, which is going to be written; return its position."""
        self.exists = True
        position = self.size
        self.size += size
        self.chunks += 1
        return position

    def index_at(self, position: int) -> None:
        """Record that the chunk at a position gets an index entry."""
        self.indexed = position

    # --- reading ------------------------------------------------------------------------------------------------------

    def block(self, position: int) -> Block:
        """Read the chunk at a position. Raises OSError, DamagedError."""
        with self._opened() as descriptor:
            data = self._files.read(descriptor, position, READ_BYTES)
            head = self._head(data, position)
            size = CHUNK_BYTES + head.size
            if size > len(data):
                data += self._files.read(descriptor, position + len(data), size - len(data))
        payload = data[CHUNK_BYTES:size]
        if len(payload) < head.size or crc32(payload) != head.checksum:
            raise DamagedError(position, f"a damaged chunk in {self.path}")
        return Block(payload, head.first, head.messages, position + size)

    def head(self, position: int) -> Placed:
        """Read the head of the chunk at a position. Raises OSError, DamagedError."""
        with self._opened() as descriptor:
            return self._placed(descriptor, position)

    def find_offset(self, offset: int) -> Placed:
        """Return the chunk with the message with that offset, which the segment has. Raises OSError, DamagedError."""
        with self._opened() as descriptor:
            found = self._placed(descriptor, self._start(descriptor, 0, offset))
            while found.head.first + found.head.messages <= offset:
                found = self._placed(descriptor, found.following)
            return found

    def find_time(self, written_ms: int) -> Placed:
        """Return the first chunk written at that time or later, which the segment has. Raises OSError, DamagedError.

        written_ms: milliseconds since the epoch.
        """
        with self._opened() as descriptor:
            found = self._placed(descriptor, self._start(descriptor, 1, written_ms - 1))
            while found.head.written_ms < written_ms:
                found = self._placed(descriptor, found.following)
            return found

    def last(self, end: int) -> Placed:
        """Return the last chunk before `end`, where a chunk ends. Raises OSError, DamagedError."""
        with self._opened() as descriptor:
            found = self._placed(descriptor, self._start(descriptor, 2, end - 1))
            while found.following < end:
                found = self._placed(descriptor, found.following)
            return found

    def _start(self, descriptor: int, field: int, most: int) -> int:
        """Return the position of the chunk of `_indexed`, or of the first chunk."""
        entry = self._indexed(descriptor, field, most)
        return SEGMENT_BYTES if entry is None else entry.position

    def _indexed(self, descriptor: int, field: int, most: int) -> IndexEntry | None:
        """Return the last index entry with at most that value in a field; None if there is none that is right."""
        index = self._read_index()
        low, high = 0, len(index) // INDEX_BYTES
        found: IndexEntry | None = None
        while low < high:
            middle = (low + high) // 2
            entry = read_index_entry(index, middle)
            if entry is not None and entry[field] <= most:
                found, low = entry, middle + 1
            else:
                high = middle
        return found if found is not None and self._is_right(descriptor, found) else None

    def _is_right(self, descriptor: int, entry: IndexEntry) -> bool:
        try:
            head = self._placed(descriptor, entry.position).head
        except DamagedError:
            return False
        return (head.first, head.written_ms) == (entry.first, entry.written_ms)

    def _read_index(self) -> bytes:
        """Return the bytes of the index, none if it cannot be read."""
        try:
            descriptor = self._files.open(self.index_path)
        except OSError:
            return b""
        try:
            return self._files.read(descriptor, 0, self._files.size(descriptor))
        except OSError:
            return b""
        finally:
            self._files.close(descriptor)

    def _placed(self, descriptor: int, position: int) -> Placed:
        return Placed(position, self._head(self._files.read(descriptor, position, CHUNK_BYTES), position))

    def _head(self, data: bytes, position: int) -> ChunkHead:
        head = read_chunk_head(data, 0, self.mark)
        if head is None:
            raise DamagedError(position, f"no whole chunk in {self.path}")
        return head

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the file for reading, and read the mark if it is not known. Raises OSError, DamagedError."""
        # A file is open only while it is read: a stream may have any number of segments.
        descriptor = self._files.open(self.path)
        try:
            if not self.mark:
                mark = read_mark(self._files.read(descriptor, 0, SEGMENT_BYTES), self.first)
                if mark is None:
                    raise DamagedError(0, f"{self.path} is not a segment of a stream, or one of another version")
                self.mark = mark
            yield descriptor
        finally:
            self._files.close(descriptor)

    # --- recovery -----------------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Set the size of a segment that is followed by another one. Raises OSError."""
        descriptor = self._files.open(self.path)
        try:
            self.size = self._files.size(descriptor)
        finally:
            self._files.close(descriptor)

    def recover(self, repair: bool = True) -> Placed | None:
        """Read the end of the newest segment, and cut off an incomplete chunk there, with a warning.

        Return the last chunk; None if there is none. Without `repair` nothing is changed. Raises StoreError for damage,
        OSError.
        """
        files = self._files
        descriptor = files.open(self.path, write=repair)
        try:
            size = files.size(descriptor)
            mark = read_mark(files.read(descriptor, 0, SEGMENT_BYTES), self.first)
            if mark is None:
                data = files.read(descriptor, 0, size)
                # After a crash, a new file may have its length but none of its contents.
                if size > SEGMENT_BYTES and data.count(0) != size:
                    raise StoreError(f"{self.path}: not a segment of a stream, or one of another version")
                self.begin()
                self.size = SEGMENT_BYTES
                if repair:
                    files.truncate(descriptor, 0)
                    files.write(descriptor, segment_head(self.first, self.mark))
                    files.sync(descriptor)
                return None
            self.mark = mark
            last = self._last_whole(descriptor, size)
            self.size = SEGMENT_BYTES if last is None else last.following
            if self.size < size:
                log.warning("%s: torn at offset %d, %d bytes cut off", self.path, self.size, size - self.size)
                if repair:
                    files.truncate(descriptor, self.size)
            if repair:
                self._cut_index()
                self._write_again(descriptor, last)
            return last
        finally:
            files.close(descriptor)

    def _last_whole(self, descriptor: int, size: int) -> Placed | None:
        """Return the last chunk that is whole, and count the chunks. Raises StoreError for damage, OSError."""
        entry = self._indexed(descriptor, 2, size)
        if entry is not None:
            last = self._last_from(descriptor, entry.position, entry.number, size)
            if last is not None:
                return last
            # The chunk of the entry is not whole: the last whole one is somewhere before it.
        return self._last_from(descriptor, SEGMENT_BYTES, 0, size)

    def _last_from(self, descriptor: int, at: int, number: int, size: int) -> Placed | None:
        """Return the last whole chunk from the position `at` on, where chunk `number` begins."""
        self.chunks = number
        self.indexed = at if number else 0
        last: Placed | None = None
        window = _Window(self._files, descriptor)
        while at < size:
            head = self._whole(window, at)
            if head is None:
                if self._has_later_chunk(self._files.read(descriptor, at + 1, size - at - 1), at):
                    raise StoreError(
                        f"{self.path}: damaged at offset {at}, with synced chunks after it;"
                        " `amqpbroker store check` shows more"
                    )
                break
            last = Placed(at, head)
            self.chunks += 1
            at = last.following
        return last

    def _whole(self, window: _Window, position: int) -> ChunkHead | None:
        """Return the head of the chunk at a position, None if the chunk is not whole."""
        head = read_chunk_head(window.read(position, CHUNK_BYTES), 0, self.mark)
        if head is None:
            return None
        payload = window.read(position + CHUNK_BYTES, head.size)
        return head if len(payload) == head.size and crc32(payload) == head.checksum else None

    def _has_later_chunk(self, data: bytes, position: int) -> bool:
        """Return whether `data` has a whole chunk that was written after the bytes at `position` had been synced.

        A power failure may leave any part of one write: its last chunk, but not the first.
        """
        at = 0
        while (at := data.find(self.mark, at)) >= 0:
            head = read_chunk_head(data, at, self.mark)
            end = at + CHUNK_BYTES
            if (
                head is not None
                and head.start > position
                and end + head.size <= len(data)
                and crc32(data[end : end + head.size]) == head.checksum
            ):
                return True
            at += 1
        return False

    def _cut_index(self) -> None:
        """Remove the index entries of chunks that are cut off, and what follows a damaged entry. Raises OSError."""
        index = self._read_index()
        count = 0
        while (entry := read_index_entry(index, count)) is not None and entry.position < self.size:
            count += 1
        if count * INDEX_BYTES < len(index):
            descriptor = self._files.open(self.index_path, write=True)
            try:
                self._files.truncate(descriptor, count * INDEX_BYTES)
            finally:
                self._files.close(descriptor)

    def _write_again(self, descriptor: int, last: Placed | None) -> None:
        """Write the last write's chunks, or the head of a segment without a chunk, over themselves, and sync the file.

        If an earlier process failed to sync them, the system may consider them written, and would not write them with
        the next sync.
        """
        at, end = (0, SEGMENT_BYTES) if last is None else (last.head.start, last.following)
        data = self._files.read(descriptor, at, end - at)
        try:
            self._files.overwrite(self.path, at, data)
        except OSError as error:
            # A file system that never writes in place may refuse this on a full disk; then the start continues.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            log.warning("%s: the last chunks cannot be written again: %s", self.path, error.strerror)
        self._files.sync(descriptor)

    def remove(self) -> None:
        """Remove both files. Raises OSError."""
        for path in (self.index_path, self.path):
            with contextlib.suppress(FileNotFoundError):
                self._files.remove(path)
