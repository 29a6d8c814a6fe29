"""The log of one stream: messages with contiguous offsets, in segments of which the oldest are removed."""

from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Final

from amqpbroker.clock import Clock
from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import Message
from amqpbroker.store.checksum import crc32
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError
from amqpbroker.store.record import DamagedError
from amqpbroker.store.streams.block_cache import BlockCache, BlockKey
from amqpbroker.store.streams.chunk import Block, ChunkWriter
from amqpbroker.store.streams.format import (
    CHUNK_BYTES,
    SEGMENT_BYTES,
    ChunkHead,
    IndexEntry,
    chunk_head,
    index_entry,
)
from amqpbroker.store.streams.segment import Placed, StreamSegment
from amqpbroker.store.streams.writing import SegmentWriting

#: Size from which a segment takes no further chunk, unless the queue has x-stream-max-segment-size-bytes.
SEGMENT_SIZE: Final = 500_000_000


class _Chunk:
    """A complete chunk that is not written yet. head: its `start` is not known before the chunk is placed."""

    def __init__(self, head: ChunkHead, payload: bytes) -> None:
        self.head = head
        self.payload = payload


class StreamLog:
    """The messages of one stream.

    id: of its queue. first: offset of the oldest message. next: offset of the next message that is added. safe:
    messages with lower offsets are stored and can be read; it is always the end of a chunk. last_chunk: offset of the
    first message of the last chunk that can be read; of the next message if there is none. size: bytes in all
    segments. followed: readers wait for new messages, so that these are worth caching. writing: chunks that are being
    written. All methods are called on the event loop's thread, except for `write`.
    """

    def __init__(
        self,
        number: int,
        directory: Path,
        files: Files,
        clock: Clock,
        bounds: Bounds,
        cache: BlockCache,
        segment_bytes: int,
        on_gathered: Callable[["StreamLog", int], None],
        on_removed: Callable[[StreamSegment], None],
    ) -> None:
        """number: id of the queue. directory: of the files of all streams. segment_bytes: size of a segment.

        on_gathered(log, size): called when a message was added that takes so much memory until it is written.
        on_removed(segment): called with a segment whose files are not needed any more.
        """
        self.id: int = number
        self.directory: Path = directory
        self.first: int = 0
        self.next: int = 0
        self.safe: int = 0
        self.last_chunk: int = 0
        self.followed: bool = False
        self.writing: list[SegmentWriting] = []
        self._files = files
        self._clock = clock
        self._cache = cache
        self._segment_bytes: int = segment_bytes
        self._chunk_bytes: int = bounds.chunk_bytes
        self._index_bytes: int = bounds.index_bytes
        self._most_chunks: int = bounds.segment_chunks
        self._on_gathered = on_gathered
        self._on_removed = on_removed
        self._on_safe: Callable[[], None] = _nothing
        self._segments: list[StreamSegment] = []
        self._writer = ChunkWriter()
        #: Complete chunks, and chunks that are being written with the keys of their blocks.
        self._chunks: list[_Chunk] = []
        self._under_way: list[tuple[BlockKey, _Chunk]] = []
        self._written_ms: int = 0
        self._max_bytes: int = -1
        self._max_age_ms: int = -1
        self._closed: bool = False

    @property
    def count(self) -> int:
        """Number of messages, with those that are not stored yet."""
        return self.next - self.first

    @property
    def size(self) -> int:
        return sum([segment.size for segment in self._segments])

    @property
    def segment_count(self) -> int:
        """Number of segments, with the first one before it is written."""
        return len(self._segments) or 1

    def watch(self, on_safe: Callable[[], None]) -> None:
        """Call `on_safe` whenever more messages can be read."""
        self._on_safe = on_safe

    def resize(self, segment_bytes: int) -> None:
        """Set the size from which a segment takes no further chunk."""
        self._segment_bytes = segment_bytes

    def follow(self, followed: bool) -> None:
        """Set whether readers wait for new messages."""
        self.followed = followed

    # --- recovery -----------------------------------------------------------------------------------------------------

    def recover(self, segments: list[int]) -> None:
        """Find the stored messages. segments: offsets of their first messages. Raises StoreError, OSError."""
        self._segments = [self._segment(first, exists=True) for first in sorted(segments)]
        if not self._segments:
            return
        for segment in self._segments[:-1]:
            segment.measure()
        newest = self._segments[-1]
        self.first, self.next = self._segments[0].first, newest.first
        try:
            last = newest.recover()
            if last is None and len(self._segments) > 1:
                before = self._segments[-2]
                last = before.last(before.size)
            self.last_chunk = newest.first
            if last is not None:
                self.last_chunk = last.head.first
                self.next = last.head.first + last.head.messages
                self._written_ms = last.head.written_ms
        except DamagedError as error:
            raise StoreError(f"{error}; `amqpbroker store check` shows more") from error
        if last is not None and self.next < newest.first:
            raise StoreError(f"{newest.path}: messages {self.next} to {newest.first - 1} are missing before it")
        self.safe = self.next

    def inherit(self, before: "StreamLog") -> None:
        """Take over the messages of an earlier log of this stream, with their offsets and times.

        before: is in memory, and was closed. This log is empty.
        """
        self._files = before._files
        self._segments = before._segments
        self.first = before.first
        # Messages that were not stored when the broker ended are lost.
        self.next = self.safe = before.safe
        self.last_chunk = before.last_chunk
        self._written_ms = before._written_ms

    def _segment(self, first: int, exists: bool) -> StreamSegment:
        return StreamSegment(self.directory, self.id, first, self._files, exists)

    # --- append -------------------------------------------------------------------------------------------------------

    def append(self, message: Message) -> int:
        """Add a message; return its offset."""
        offset = self.next
        writer = self._writer
        if writer.count and writer.size_bytes + message.size > self._chunk_bytes:
            # A chunk is read as a whole: small messages must not be in one with a large message.
            self._complete()
        size = writer.add(message, offset)
        self.next = offset + 1
        if writer.size_bytes >= self._chunk_bytes:
            self._complete()
        self._on_gathered(self, size)
        return offset

    def _complete(self) -> None:
        """Complete the chunk of the messages that were added."""
        writer = self._writer
        count = writer.count
        payload = writer.take()
        # Readers search by time, so times never decrease, although the clock may be set.
        self._written_ms = max(self._written_ms, self._clock.wall_ms())
        head = ChunkHead(self.next - count, self._written_ms, count, len(payload), crc32(payload), 0)
        self._chunks.append(_Chunk(head, payload))

    def gather(self) -> None:
        """Prepare all added messages for writing, in `writing`. Earlier ones must be written."""
        if self._writer.count:
            self._complete()
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
            self._place(chunk)

    def _place(self, chunk: _Chunk) -> None:
        """Prepare a chunk for writing behind the last one."""
        segment = self._segments[-1] if self._segments else None
        if segment is None or (
            segment.chunks and (segment.size >= self._segment_bytes or segment.chunks >= self._most_chunks)
        ):
            segment = self._segment(chunk.head.first, exists=False)
            segment.begin()
            self._segments.append(segment)
        number = segment.chunks
        is_new = not segment.exists
        position = segment.grow(CHUNK_BYTES + len(chunk.payload))
        if not self.writing or self.writing[-1].segment is not segment:
            self.writing.append(SegmentWriting(segment, position, is_new))
        writing = self.writing[-1]
        writing.add(chunk_head(segment.mark, chunk.head._replace(start=writing.start)), chunk.payload)
        if position - segment.indexed >= self._index_bytes:
            segment.index_at(position)
            writing.index.append(index_entry(IndexEntry(chunk.head.first, chunk.head.written_ms, position, number)))
        self._under_way.append((BlockKey(self.id, segment.first, position), chunk))

    def write(self, synced: bool) -> None:
        """Write the chunks in `writing`, on any thread. Raises UnwrittenError, after which it may be called again,
        and OSError."""
        while self.writing:
            self.writing[0].write(self._files, synced)
            del self.writing[0]

    def written(self) -> None:
        """Make the written messages readable, and remove the oldest segments if there are too many."""
        under_way, self._under_way = self._under_way, []
        if self._closed:
            self._remove_all()
        if not under_way or self._closed:
            return
        begun = False
        for key, chunk in under_way:
            begun = begun or key.position == SEGMENT_BYTES
            if self.followed:
                head = chunk.head
                following = key.position + CHUNK_BYTES + head.size
                self._cache.add(key, Block(chunk.payload, head.first, head.messages, following))
        last = under_way[-1][1].head
        self.safe = last.first + last.messages
        self.last_chunk = last.first
        if begun:
            self.remove_oldest()
        self._on_safe()

    # --- read ---------------------------------------------------------------------------------------------------------

    def block(self, key: BlockKey) -> Block:
        """Return the chunk at a place that `place` or `following` returned. Raises OSError, DamagedError."""
        block = self._cache.get(key)
        if block is None:
            block = self._segment_of(key).block(key.position)
            self._cache.add(key, block)
        return block

    def place(self, offset: int) -> BlockKey:
        """Return the place of the chunk that has a message, which must be readable. Raises OSError, DamagedError."""
        segment = self._segments[self._index_of(offset)]
        return BlockKey(self.id, segment.first, segment.find_offset(offset).position)

    def following(self, key: BlockKey, block: Block) -> BlockKey:
        """Return the place of the chunk behind a chunk, which must be readable."""
        if block.first + block.count < self._end_of(key.segment):
            return BlockKey(self.id, key.segment, block.following)
        return BlockKey(self.id, block.first + block.count, SEGMENT_BYTES)

    def has(self, key: BlockKey) -> bool:
        """Return whether the chunk at a place is still there."""
        return bool(self._segments) and key.segment >= self._segments[0].first

    def offset_at(self, written_ms: int) -> int:
        """Return the offset of the first message that was written at a time or later, or of the next one.

        written_ms: milliseconds since the epoch. Raises OSError, DamagedError.
        """
        # Several segments may begin at the same time, so the first one that ends late enough is searched from the end.
        low, high = 0, self._readable()
        while low < high:
            middle = (low + high) // 2
            if self._last_ms(middle) < written_ms:
                low = middle + 1
            else:
                high = middle
        if low == self._readable():
            return self.safe
        return self._segments[low].find_time(written_ms).head.first

    def first_ms(self) -> int:
        """Return when the oldest message, which must be readable, was stored, in milliseconds since the epoch.

        Raises OSError, DamagedError.
        """
        return self._segments[0].head(SEGMENT_BYTES).head.written_ms

    def _segment_of(self, key: BlockKey) -> StreamSegment:
        found = self._segments[self._index_of(key.segment)]
        if found.first != key.segment:
            raise DamagedError(key.position, f"segment {key.segment} of {self.directory} is missing")
        return found

    def _index_of(self, offset: int) -> int:
        """Return the index of the segment that has a message, or is going to have it."""
        return max(bisect_right(self._segments, offset, key=_first) - 1, 0)

    def _end_of(self, first: int) -> int:
        """Return the offset behind the last message of the segment that begins with `first`."""
        index = self._index_of(first) + 1
        return self._segments[index].first if index < len(self._segments) else self.next

    def _readable(self) -> int:
        """Return the number of segments with messages that can be read."""
        return bisect_right(self._segments, self.safe - 1, key=_first)

    def _last(self, index: int) -> Placed:
        """Return the last readable chunk of a segment."""
        segment = self._segments[index]
        end = segment.size
        for key, _ in self._under_way:
            if key.segment == segment.first:
                end = key.position
                break
        return segment.last(end)

    def _last_ms(self, index: int) -> int:
        return self._last(index).head.written_ms

    # --- retention ----------------------------------------------------------------------------------------------------

    def limit(self, max_bytes: int, max_age_ms: int) -> None:
        """Set how much is retained, -1 for no limit, and remove what is too much now.

        max_bytes: of all segments. max_age_ms: of the newest message of a segment.
        """
        self._max_bytes, self._max_age_ms = max_bytes, max_age_ms
        self.remove_oldest()

    def remove_oldest(self) -> None:
        """Remove the oldest segments that are too much (osiris_log:evaluate_retention/2). The newest one stays."""
        index = self._first_by_age(self._first_by_size())
        if not index:
            return
        removed, self._segments = self._segments[:index], self._segments[index:]
        self.first = self._segments[0].first
        for segment in removed:
            self._on_removed(segment)

    def _first_by_size(self) -> int:
        """Return the index of the first segment that stays."""
        last = len(self._segments) - 1
        if self._max_bytes < 0 or last < 1:
            return 0
        size = 0
        for index in range(last, -1, -1):
            size += self._segments[index].size
            if size > self._max_bytes:
                return min(index + 1, self._newest_written())
        return 0

    def _first_by_age(self, first: int) -> int:
        """Return the index of the first segment that stays, from `first` on."""
        if self._max_age_ms < 0:
            return first
        oldest_ms = self._clock.wall_ms() - self._max_age_ms
        newest = self._newest_written()
        try:
            while first < newest and self._ended_ms(first) < oldest_ms:
                first += 1
        except (OSError, DamagedError):
            # It is tried again when the next segment begins.
            return first
        return first

    def _ended_ms(self, index: int) -> int:
        """Return the time of a segment's last chunk; if that is damaged, the time of the first chunk behind it.

        Raises OSError, DamagedError.
        """
        try:
            return self._last_ms(index)
        except DamagedError:
            # Otherwise no segment would be removed any more.
            return self._segments[index + 1].head(SEGMENT_BYTES).head.written_ms

    def _newest_written(self) -> int:
        """Return the index of the newest segment with messages that can be read: it and later ones stay."""
        return max(self._readable() - 1, 0)

    # --- end ----------------------------------------------------------------------------------------------------------

    def delete(self) -> None:
        """Remove all messages and files, once nothing is being written."""
        self.close()
        if not self._under_way:
            self._remove_all()

    def _remove_all(self) -> None:
        segments, self._segments = self._segments, []
        for segment in segments:
            self._on_removed(segment)

    def close(self) -> None:
        """Stop: nothing more is added or read."""
        self._closed = True
        self._on_safe = _nothing
        self._writer.take()
        self._chunks.clear()
        self._cache.remove_stream(self.id)


def _first(segment: StreamSegment) -> int:
    return segment.first


def _nothing() -> None:
    pass
