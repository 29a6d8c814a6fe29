"""The spill seam: where copies that are stored nowhere go to make room in memory; docs/store-format.md.

Nothing of it outlives the process, so nothing is synced, and what is left over from an earlier one is removed.
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
    """Where copies are that were written to make room: the number of a file, the octets in it."""

    number: int
    offset: int
    size: int


class Spill(ABC):
    """Takes pages out of memory while that is short, and gives them back.

    short: memory is short; whoever has entries in pages is to write them. wanted: that, and writing works.
    """

    short: bool = False
    wanted: bool = False

    @abstractmethod
    def need(self, short: bool) -> None:
        """Memory is short, or not any more. Called again while it is short, what has failed is tried again."""

    @abstractmethod
    def write(self, data: bytes) -> Spilled | None:
        """Write a page's copies; None if that fails, and they have to stay in memory."""

    @abstractmethod
    def read(self, spilled: Spilled) -> bytes:
        """Return what was written there. Raises OSError, DamagedError."""

    @abstractmethod
    def free(self, spilled: Spilled) -> None:
        """The page is no more."""

    @abstractmethod
    def close(self) -> None:
        """End, whatever is still written."""


class NoSpill(Spill):
    """Takes nothing, however short memory is: all stays there."""

    def need(self, short: bool) -> None:
        pass

    def write(self, data: bytes) -> Spilled | None:
        return None

    def read(self, spilled: Spilled) -> bytes:
        raise LookupError(f"nothing is spilled at {spilled}: this spill takes nothing")

    def free(self, spilled: Spilled) -> None:
        pass

    def close(self) -> None:
        pass


#: The spill of a broker that has no directory.
NO_SPILL: Final = NoSpill()


@dataclass(slots=True)
class _Segment:
    """size: octets in the file. live: pages in it that were not given up."""

    number: int
    path: Path
    descriptor: int
    size: int = 0
    live: int = 0

    def append(self, size: int) -> Spilled:
        """A page of so many octets is written behind the others; returns where."""
        spilled = Spilled(self.number, self.size, size)
        self.size += size
        self.live += 1
        return spilled

    def free(self) -> bool:
        """One page is no more; returns whether it was the last."""
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
            log.info("messages are written to %s again to make room in memory", self.directory)
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
                # Not before it is needed: a broker starts on a full disk as well.
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
        """Nothing more is written until memory is next found short; half a page that was written is left behind."""
        self.wanted = False
        segment = self._segments.get(self._last)
        if segment is not None and segment.live:
            self._last += 1
        elif segment is not None:
            self._remove(segment)
        if not self._failing:
            self._failing = True
            log.error(
                "memory is short, but messages cannot be written to %s to make room: %s; they stay in memory",
                self.directory,
                error.strerror,
            )
