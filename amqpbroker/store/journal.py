"""The journal: batches appended to segments, positions to read back from, space given back. docs/store-format.md."""

import threading
from array import array
from dataclasses import dataclass, field
from pathlib import Path

from amqpbroker.store import record
from amqpbroker.store.files import Files

#: A segment that has reached this is closed.
SEGMENT_BYTES = 64 * 1024 * 1024

#: A position is a segment's number and an offset in it.
OFFSET_BITS = 32
OFFSET_MASK = (1 << OFFSET_BITS) - 1


class StoreError(Exception):
    """The store cannot go on, or must not start; the text is for the operator."""


@dataclass(slots=True)
class Segment:
    """One file. size: octets in it once everything handed over is written. live: entries in it that are not settled.

    settled: where the entries stand that are. descriptor: -1 until the first batch is written.
    """

    number: int
    path: Path
    size: int = record.SEGMENT_HEAD.size
    live: int = 0
    settled: "array[int]" = field(default_factory=lambda: array("I"))
    descriptor: int = -1


@dataclass(frozen=True, slots=True)
class Batch:
    """What one write and one sync make safe."""

    number: int
    segment: Segment
    data: bytes


def segment_name(number: int) -> str:
    return f"{number:016x}.seg"


class Journal:
    """The segments of one data directory.

    Everything is called on the loop's thread but `write`, which is called on one other, a batch at a time.
    """

    def __init__(self, directory: Path, files: Files, segment_bytes: int = SEGMENT_BYTES, synced: bool = True) -> None:
        """synced: a batch is on the disk when `write` returns; else it is with the operating system."""
        self.directory = directory
        self.files = files
        self.segments: dict[int, Segment] = {}
        self.batches: int = 0
        self._segment_bytes = segment_bytes
        self._synced = synced
        self._lock = threading.Lock()

    # --- append -----------------------------------------------------------------------------------------------------

    def next_position(self) -> int:
        """The position of the first octet behind the next batch's header; a full segment is followed by a new one."""
        segment = self._current()
        return segment.number << OFFSET_BITS | (segment.size + record.BATCH_HEAD.size)

    def end_position(self) -> int:
        """Behind everything that was made a batch."""
        segment = self.segments[max(self.segments)]
        return segment.number << OFFSET_BITS | segment.size

    def batch(self, groups: list[bytes]) -> Batch:
        """The groups as the next batch, for `write`."""
        segment = self._current()
        self.batches += 1
        body = b"".join(groups)
        data = record.batch(self.batches, body) + body
        segment.size += len(data)
        return Batch(self.batches, segment, data)

    def _current(self) -> Segment:
        last = max(self.segments, default=0)
        if not last or self.segments[last].size >= self._segment_bytes:
            last += 1
            self.segments[last] = Segment(last, self.directory / segment_name(last))
        return self.segments[last]

    def write(self, batch: Batch) -> None:
        """Append, and sync unless that is not wanted. Raises OSError, after which nothing may be written any more."""
        segment = batch.segment
        with self._lock:
            if segment.descriptor < 0:
                segment.descriptor = self.files.create(segment.path)
                self.files.write(
                    segment.descriptor, record.SEGMENT_HEAD.pack(record.SEGMENT_MAGIC, segment.number) + batch.data
                )
                self.files.sync_directory(self.directory)
            else:
                self.files.write(segment.descriptor, batch.data)
        if self._synced:
            self.files.sync(segment.descriptor)

    # --- read -------------------------------------------------------------------------------------------------------

    def read(self, position: int, size: int) -> bytes:
        """Up to `size` octets from there on, of what is written. Raises OSError."""
        segment = self.segments[position >> OFFSET_BITS]
        return self.files.read(segment.descriptor, position & OFFSET_MASK, size)

    # --- space ------------------------------------------------------------------------------------------------------

    def added(self, position: int) -> None:
        """An entry was given this position."""
        self.segments[position >> OFFSET_BITS].live += 1

    def settled(self, position: int) -> None:
        """The entry at this position lives no more."""
        segment = self.segments[position >> OFFSET_BITS]
        segment.live -= 1
        segment.settled.append(position & OFFSET_MASK)

    def free(self) -> None:
        """Remove the oldest segments as long as nothing in them lives. Only what is written and closed."""
        while len(self.segments) > 1:
            oldest = self.segments[min(self.segments)]
            if oldest.live or oldest.descriptor < 0:
                return
            with self._lock:
                self.files.close(oldest.descriptor)
                self.files.remove(oldest.path)
            del self.segments[oldest.number]

    def close(self) -> None:
        for segment in self.segments.values():
            if segment.descriptor >= 0:
                self.files.close(segment.descriptor)
        self.segments.clear()
