"""All streams of a store: gathered messages become one write for each of them."""

import logging
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from amqpbroker.clock import Clock
from amqpbroker.config.bounds import Bounds
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError
from amqpbroker.store.streams.block_cache import BlockCache
from amqpbroker.store.streams.memory_files import MemoryFiles
from amqpbroker.store.streams.segment import StreamSegment, parsed_name
from amqpbroker.store.streams.stream_log import StreamLog

log = logging.getLogger(__name__)


class Streams:
    """The logs of all streams, by the ids of their queues.

    Messages that are added in one event loop iteration are written together, by `write`, before the batch of the
    journal: a queue forgets a message only after a stream has its dead letter.
    """

    def __init__(self, directory: Path, files: Files, cache_bytes: int, synced: bool = True) -> None:
        """directory: of the files of all streams. cache_bytes: memory of the chunks that were read or written last.

        synced: written messages are on the disk. Raises OSError.
        """
        self.cache = BlockCache(cache_bytes)
        self._directory = directory
        self._files = files
        self._synced: bool = synced
        #: Id of a stream -> offsets of the first messages of its segments, for streams that are not open yet.
        self._found: dict[int, list[int]] = {}
        for name in files.names(directory):
            parsed = parsed_name(name)
            if parsed is not None:
                self._found.setdefault(parsed[0], []).append(parsed[1])
        if self._found:
            # An earlier process may have ended before it synced the name of a segment that is going to be continued.
            files.sync_directory(directory)
        #: Logs of such streams, with their messages.
        self._recovered: dict[int, StreamLog] = {}
        self._logs: dict[int, StreamLog] = {}
        self._on_gathered: Callable[[int], None] = _ignore
        self._on_freed: Callable[[], None] = _nothing
        #: Logs with messages that are gathered, and logs that are being written.
        self._gathered: dict[StreamLog, None] = {}
        self._under_way: list[StreamLog] = []
        self._freed: deque[StreamSegment] = deque()
        #: The first of them, if it could not be removed.
        self._refused: StreamSegment | None = None

    def drive(self, on_gathered: Callable[[int], None], on_freed: Callable[[], None]) -> None:
        """Set what is called when a message is added, with the memory that it takes, and when segments are removed.

        After `on_freed`, `remove_freed` must be called.
        """
        self._on_gathered = on_gathered
        self._on_freed = on_freed

    def recover(self, clock: Clock, bounds: Bounds) -> None:
        """Find the stored messages of all streams, on any thread, so that `open` reads nothing. Raises OSError.

        clock, bounds: those of `open`, which also raises the errors of damaged streams.
        """
        for number, segments in self._found.items():
            stream = self._log(number, 0, clock, bounds)
            with suppress(StoreError):
                stream.recover(segments)
                self._recovered[number] = stream

    def open(self, number: int, segment_bytes: int, clock: Clock, bounds: Bounds) -> StreamLog:
        """Return the log of the queue with that id, with its stored messages. Raises StoreError.

        segment_bytes: size of a segment. clock: for the times of messages. bounds: of chunks and of the index.
        """
        found = self._found.pop(number, [])
        stream = self._recovered.pop(number, None)
        if stream is not None:
            stream.resize(segment_bytes)
        else:
            stream = self._log(number, segment_bytes, clock, bounds)
            try:
                stream.recover(found)
            except OSError as error:
                raise StoreError(f"{error.filename or self._directory}: {error.strerror}") from error
        self._logs[number] = stream
        return stream

    def _log(self, number: int, segment_bytes: int, clock: Clock, bounds: Bounds) -> StreamLog:
        """Return an empty log."""
        return StreamLog(
            number,
            self._directory,
            self._files,
            clock,
            bounds,
            self.cache,
            segment_bytes,
            self._gather,
            self._free,
        )

    def remove(self, stream: StreamLog) -> None:
        """Delete a stream with its messages."""
        self._logs.pop(stream.id, None)
        self._gathered.pop(stream, None)
        stream.delete()

    def remove_others(self, retained: Collection[int]) -> None:
        """Delete the streams that were not opened, whose queues were deleted before the broker ended.

        retained: ids of queues that exist, although they could not be restored.
        """
        for number, segments in self._found.items():
            if number not in retained:
                self._freed += [
                    StreamSegment(self._directory, number, first, self._files) for first in sorted(segments)
                ]
        self._found.clear()
        self._recovered.clear()
        if self._freed:
            self._on_freed()

    # --- write --------------------------------------------------------------------------------------------------------

    def _gather(self, stream: StreamLog, size: int) -> None:
        self._gathered[stream] = None
        self._on_gathered(size)

    def gather(self) -> bool:
        """Prepare all added messages for `write`; return whether there are any. Earlier ones must be written."""
        gathered, self._gathered = list(self._gathered), {}
        for stream in gathered:
            stream.gather()
        self._under_way = gathered
        return bool(gathered)

    def write(self) -> None:
        """Write the messages of the last `gather`, on any thread.

        Raises UnwrittenError, after which it must be called again, and OSError, after which nothing may be written any
        more.
        """
        for stream in self._under_way:
            stream.write(self._synced)

    def written(self) -> None:
        """Make the messages of the last `gather` readable."""
        under_way, self._under_way = self._under_way, []
        for stream in under_way:
            stream.written()

    # --- removal ------------------------------------------------------------------------------------------------------

    def _free(self, segment: StreamSegment) -> None:
        self._freed.append(segment)
        self._on_freed()

    def remove_freed(self) -> None:
        """Remove the files of segments that are not needed any more, on any thread, oldest first.

        Removing a large file takes long. If a file cannot be removed, the next call or the next start tries again.
        """
        while self._freed:
            segment = self._freed[0]
            try:
                segment.remove()
            except OSError as error:
                if segment is not self._refused:
                    self._refused = segment
                    log.warning("%s is not needed any more, and cannot be removed: %s", segment.path, error.strerror)
                return
            self._freed.popleft()

    def close(self) -> None:
        """Stop all streams."""
        for stream in self._logs.values():
            stream.close()
        self._logs.clear()
        self._gathered.clear()
        self._under_way = []


def streams_in_memory(cache_bytes: int) -> Streams:
    """Return streams that are lost with the process. cache_bytes: as in `Streams`."""
    return Streams(Path("streams"), MemoryFiles(), cache_bytes, synced=False)


def _ignore(size: int) -> None:
    pass


def _nothing() -> None:
    pass
