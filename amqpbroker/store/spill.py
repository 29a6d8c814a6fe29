"""The spill seam: disk space for copies that are not stored, used when memory is low. See docs/store-format.md.

Spilled data does not outlive the process, so nothing is synced, and files of an earlier process are removed.
"""

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.store import record
from amqpbroker.store.files import Files

log = logging.getLogger(__name__)


class Spilled(NamedTuple):
    """The location of spilled copies: file number, offset and size in bytes."""

    number: int
    offset: int
    size: int


class Spill(ABC):
    """Holds pages of messages on disk while memory is low.

    short: memory is low, and queues with pages should write them. wanted: the same, but False while writing fails.
    """

    short: bool = False
    wanted: bool = False

    @abstractmethod
    def need(self, short: bool) -> None:
        """Set whether memory is low. If it is called again while memory is low, failed writes are retried."""

    @abstractmethod
    def write(self, data: bytes) -> Spilled | None:
        """Write a page of copies; return None if that fails, and the copies have to stay in memory."""

    @abstractmethod
    def read(self, spilled: Spilled) -> bytes:
        """Return the bytes of a page. Raises OSError, DamagedError."""

    @abstractmethod
    def free(self, spilled: Spilled) -> None:
        """Release a page."""

    @abstractmethod
    def close(self) -> None:
        """End, and discard all pages."""


class NoSpill(Spill):
    """A spill that stores nothing, even if memory is low."""

    def need(self, short: bool) -> None:
        pass

    def write(self, data: bytes) -> Spilled | None:
        return None

    def read(self, spilled: Spilled) -> bytes:
        raise LookupError(f"nothing is spilled at {spilled}: spilling is disabled")

    def free(self, spilled: Spilled) -> None:
        pass

    def close(self) -> None:
        pass


#: The spill of a broker without a data directory.
NO_SPILL: Final = NoSpill()


@dataclass(slots=True)
class _Segment:
    """A spill file. size: bytes in the file. live: number of its pages that are not released."""

    number: int
    path: Path
    descriptor: int
    size: int = 0
    live: int = 0

    def append(self, size: int) -> Spilled:
        """Record a page of `size` bytes at the end of the file; return its location."""
        spilled = Spilled(self.number, self.size, size)
        self.size += size
        self.live += 1
        return spilled

    def free(self) -> bool:
        """Release one page; return whether it was the last."""
        self.live -= 1
        return not self.live


class SpillFiles(Spill):
    """The spill files of one data directory."""

    def __init__(self, directory: Path, files: Files, segment_bytes: int = BOUNDS.spill_bytes) -> None:
        """segment_bytes: size from which another file is begun. Raises OSError."""
        self.directory = directory
        self._files = files
        self._segment_bytes = segment_bytes
        self._segments: dict[int, _Segment] = {}
        self._last: int = 0
        self._failing: bool = False
        for name in files.names(directory):
            files.remove(directory / name)

    def need(self, short: bool) -> None:
        self.short = self.wanted = short

    def write(self, data: bytes) -> Spilled | None:
        try:
            segment = self._current()
            self._files.write(segment.descriptor, data)
        except OSError as error:
            self._fail(error)
            return None
        if self._failing:
            self._failing = False
            log.info("messages are written to %s again to free memory", self.directory)
        return segment.append(len(data))

    def read(self, spilled: Spilled) -> bytes:
        segment = self._segments[spilled.number]
        data = self._files.read(segment.descriptor, spilled.offset, spilled.size)
        if len(data) != spilled.size:
            raise record.DamagedError(spilled.offset, f"{segment.path} is cut off")
        return data

    def free(self, spilled: Spilled) -> None:
        segment = self._segments[spilled.number]
        if segment.free():
            self._remove(segment)

    def close(self) -> None:
        for segment in list(self._segments.values()):
            self._remove(segment)

    def _current(self) -> _Segment:
        segment = self._segments.get(self._last)
        if segment is None or segment.size >= self._segment_bytes:
            if not self._last:
                # Created late, so that a broker can start on a full disk.
                self._files.make_directory(self.directory)
            self._last += 1
            path = self.directory / f"{self._last:016x}.spill"
            segment = self._segments[self._last] = _Segment(self._last, path, self._files.create(path))
        return segment

    def _remove(self, segment: _Segment) -> None:
        del self._segments[segment.number]
        try:
            self._files.close(segment.descriptor)
            self._files.remove(segment.path)
        except OSError as error:
            log.warning("%s cannot be removed: %s", segment.path, error.strerror)

    def _fail(self, error: OSError) -> None:
        """Stop writing until memory is low the next time. A partly written page is left in its file."""
        self.wanted = False
        segment = self._segments.get(self._last)
        if segment is not None and segment.live:
            self._last += 1
        elif segment is not None:
            self._remove(segment)
        if not self._failing:
            self._failing = True
            log.error(
                "memory is low, but messages cannot be written to %s to free some: %s; they stay in memory",
                self.directory,
                error.strerror,
            )
