"""Copies that are stored nowhere, written to files to make room in memory; docs/store-format.md.

Nothing of it outlives the process, so nothing is synced, and what is left over from an earlier one is removed.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.pages import Spilled
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.message import Message
from amqpbroker.store.journal import record
from amqpbroker.store.journal.files import Files
from amqpbroker.store.stored import DECODED, content_of, decode

log = logging.getLogger(__name__)

#: What a spilled record has in place of a queue's id.
_REDELIVERED = 1


@dataclass(slots=True)
class _Segment:
    """size: octets in the file. live: pages in it that were not given up."""

    number: int
    path: Path
    descriptor: int
    size: int = 0
    live: int = 0

    def add(self, size: int) -> Spilled:
        """Count a page that was written at the end; return where it is."""
        spilled = Spilled(self.number, self.size, size)
        self.size += size
        self.live += 1
        return spilled

    def give_up(self) -> bool:
        """Count a page that is not needed any more; return whether there is another."""
        self.live -= 1
        return self.live > 0


class Spill:
    """The spill files of one data directory.

    short: memory is short; whoever has entries in pages is to write them. wanted: that, and writing works.
    """

    def __init__(self, directory: Path, files: Files, segment_bytes: int = BOUNDS.spill_bytes) -> None:
        """segment_bytes: size from which another file is begun. Raises OSError."""
        self.directory = directory
        self.short: bool = False
        self.wanted: bool = False
        self._files = files
        self._segment_bytes = segment_bytes
        self._segments: dict[int, _Segment] = {}
        self._last: int = 0
        self._failing: bool = False
        for name in files.names(directory):
            files.remove(directory / name)

    def need(self, short: bool) -> None:
        """Memory is short, or not any more. Called again while it is short, what has failed is tried again."""
        self.short = self.wanted = short

    def write(self, entries: list[Entry]) -> Spilled | None:
        """Write a page's entries; None if that fails, and they have to stay in memory."""
        data = b"".join([_encoded(entry) for entry in entries])
        try:
            segment = self._current()
            self._files.write(segment.descriptor, data)
        except OSError as error:
            self._fail(error)
            return None
        if self._failing:
            self._failing = False
            log.info("messages are written to %s again to make room in memory", self.directory)
        return segment.add(len(data))

    def read(self, spilled: Spilled, queue: Queue) -> list[Entry]:
        """The entries, for that queue. Raises OSError, DamagedError."""
        segment = self._segments[spilled.number]
        data = self._files.read(segment.descriptor, spilled.offset, spilled.size)
        if len(data) != spilled.size:
            raise record.DamagedError(spilled.offset, f"{segment.path} is cut off")
        entries = []
        offset = 0
        while offset < len(data):
            entry, offset = _decoded(data, offset, queue)
            entries.append(entry)
        return entries

    def free(self, spilled: Spilled) -> None:
        """The page is no more."""
        segment = self._segments[spilled.number]
        if not segment.give_up():
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


def _encoded(entry: Entry) -> bytes:
    return record.publish(
        content_of(entry.message),
        [
            (
                _REDELIVERED * entry.redelivered,
                entry.sequence,
                entry.deadline_ms,
                min(entry.delivery_count, record.MAX_COUNT),
            )
        ],
    )


def _decoded(data: bytes, offset: int, queue: Queue) -> tuple[Entry, int]:
    """The entry whose record starts there, and where the next one does."""
    content = record.content(data, offset)
    flags, sequence, deadline_ms, count, _ = record.ENTRY.unpack_from(data, offset + record.PUBLISH_HEAD.size)
    message = Message(
        content.address, None, None, content.size, content.frames, int.from_bytes(content.frames[1:3], "big")
    )
    message.restore(
        not content.flags & record.TRANSIENT,
        content.priority,
        content.extra_keys,
        content.cc_keys,
        content.flags & record.DEATHS != 0,
    )
    if content.frames[record.PROPERTY_FLAGS_AT] & DECODED:
        decode(message)
    entry = Entry(message, queue, sequence, deadline_ms)
    entry.restore(flags & _REDELIVERED, count)
    return entry, record.publish_end(data, offset)
