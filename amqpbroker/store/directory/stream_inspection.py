"""Inspection of the streams in a data directory, for `amqpbroker store`. It changes nothing and reads behind damage."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from amqpbroker.store.checksum import crc32
from amqpbroker.store.directory.inspection import Finding, are_frames, is_address
from amqpbroker.store.files import Files
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
)
from amqpbroker.store.streams.segment import INDEX_SUFFIX, SUFFIX, parsed_name

#: Bytes that are searched at once for the chunk behind damage.
_WINDOW_BYTES: Final = 1 << 20
#: Size of a message's head in bytes.
_HEAD_BYTES: Final = 10


class StreamMessage(NamedTuple):
    """A message of a stream. stream: id of its queue. size: of the body in bytes."""

    stream: int
    offset: int
    written_ms: int
    address: bytes
    frames: bytes
    size: int


class StreamFigures:
    """Contents of one stream. first: offset of its first message. count, size: messages, and bytes of their bodies."""

    def __init__(self, first: int) -> None:
        self.first: int = first
        self.last: int = first - 1
        self.count: int = 0
        self.size: int = 0

    def add(self, message: StreamMessage) -> None:
        self.last = message.offset
        self.count += 1
        self.size += message.size


class _Chunk(NamedTuple):
    """A whole chunk. head: None if there is none; then `problem` is the reason."""

    head: ChunkHead | None
    payload: bytes
    problem: str


class StreamsReader:
    """Reads the segments of all streams in order.

    `owned`: a running broker uses the directory, so that segments may be removed or written during the inspection.
    findings: problems in the part read so far. streams: figures by id. segments, chunks, size_bytes: totals.
    """

    def __init__(self, directory: Path, files: Files, owned: bool = False) -> None:
        self.directory = directory
        self.findings: list[Finding] = []
        self.streams: dict[int, StreamFigures] = {}
        self.segments: int = 0
        self.chunks: int = 0
        self.size_bytes: int = 0
        self._files = files
        self._owned = owned

    def read(self) -> Iterator[StreamMessage]:
        """Yield every readable message. Raises OSError."""
        for stream, segments in self._find_segments().items():
            self.streams[stream] = figures = StreamFigures(segments[0])
            following: int | None = None
            for first in segments:
                if following is not None and following != first:
                    lost = (
                        f"messages {following} to {first - 1} are" if following < first else f"message {first} is not"
                    )
                    where = "missing before it" if following < first else f"behind message {following - 1}"
                    self._report(self._path(stream, first), 0, f"{lost} {where}")
                segment = _SegmentReader(self, stream, first, is_last=first == segments[-1])
                for message in segment.read():
                    figures.add(message)
                    yield message
                following = segment.following

    def count_segment(self, size: int) -> None:
        """Count a segment of `size` bytes."""
        self.segments += 1
        self.size_bytes += size

    def count_chunk(self) -> None:
        """Count a whole chunk."""
        self.chunks += 1

    def _find_segments(self) -> dict[int, list[int]]:
        """Return the offsets at which the segments of each stream begin, and report all other files."""
        found: dict[int, list[int]] = {}
        indexes: list[str] = []
        for name in self._files.names(self.directory):
            parsed = parsed_name(name)
            if parsed is not None:
                found.setdefault(parsed[0], []).append(parsed[1])
            elif name.endswith(INDEX_SUFFIX):
                indexes.append(name)
            elif name.endswith(SUFFIX):
                self._report(self.directory / name, 0, "not the name of a segment")
        for name in indexes:
            parsed = parsed_name(name.removesuffix(INDEX_SUFFIX) + SUFFIX)
            if not self._owned and (parsed is None or parsed[1] not in found.get(parsed[0], ())):
                self._report(self.directory / name, 0, "an index without its segment: it has no effect", damage=False)
        return {stream: sorted(segments) for stream, segments in sorted(found.items())}

    def _path(self, stream: int, first: int) -> Path:
        return self.directory / f"{stream:08x}-{first:020d}{SUFFIX}"

    def _report(self, path: Path, offset: int, text: str, damage: bool = True) -> None:
        self.findings.append(Finding(path, offset, text, damage))


class _SegmentReader:
    """Reads one segment. following: offset of the message behind it; None if damage hides it."""

    def __init__(self, reader: StreamsReader, stream: int, first: int, is_last: bool) -> None:
        self.following: int | None = None
        self._reader = reader
        self._files = reader._files
        self._stream = stream
        self._first = first
        self._is_last = is_last
        self._path = reader._path(stream, first)
        self._mark: bytes = b""
        self._descriptor: int = -1

    def read(self) -> Iterator[StreamMessage]:
        try:
            self._descriptor = self._files.open(self._path)
        except FileNotFoundError:
            # Retention has removed it meanwhile.
            if not self._reader._owned:
                raise
            return
        try:
            yield from self._read(self._files.size(self._descriptor))
        finally:
            self._files.close(self._descriptor)

    def _read(self, size: int) -> Iterator[StreamMessage]:
        reader = self._reader
        reader.count_segment(size)
        head = self._bytes(0, SEGMENT_BYTES + MARK_BYTES)
        mark = read_mark(head, self._first)
        if mark is None and self._is_last and (size <= SEGMENT_BYTES or self._is_empty(size)):
            self._report_torn(0, size, "a segment's head is cut off or was never synced")
            return
        if mark is None:
            self._report(0, "not the head of a stream's segment, or one of another version")
            # The first chunk begins with the same mark.
            mark = head[SEGMENT_BYTES:]
        self._mark = mark
        yield from self._read_chunks(size)

    def _read_chunks(self, size: int) -> Iterator[StreamMessage]:
        reader = self._reader
        index = self._index()
        self.following = self._first
        at, number, written_ms = SEGMENT_BYTES, 0, 0
        while at < size:
            chunk = self._chunk(at, size)
            if chunk.head is None:
                behind = self._find_chunk(at + 1, size)
                if self._is_last and not self._has_later_write(behind, at, size):
                    self._report_torn(at, size - at, chunk.problem)
                    break
                self._report(at, f"{chunk.problem}: {behind - at} bytes cannot be read")
                self.following = None
                at = behind
                continue
            head = chunk.head
            if self.following is not None and head.first != self.following:
                self._report(at, f"message {head.first} follows message {self.following - 1}")
            if head.written_ms < written_ms:
                self._report(at, "a chunk has an earlier time than the chunk before it")
            entry = index.pop(at, None)
            if entry is not None and entry[:2] != (head.first, head.written_ms):
                index[at] = entry
            reader.count_chunk()
            yield from self._messages(at, head, chunk.payload)
            self.following, written_ms = head.first + head.messages, head.written_ms
            at, number = at + CHUNK_BYTES + head.size, number + 1
        # Chunks of a running broker may have been written behind the part that was read.
        wrong = len(index) if not reader._owned else 0
        if wrong:
            self._report_index(f"{wrong} entries for which there is no chunk: they have no effect")

    def _messages(self, at: int, head: ChunkHead, payload: bytes) -> Iterator[StreamMessage]:
        """Yield the messages of a chunk, and report what is no message."""
        start, end = 0, len(payload)
        for offset in range(head.first, head.first + head.messages):
            follows, size = (int.from_bytes(payload[start + i : start + i + 4], "big") for i in (0, 4))
            length = int.from_bytes(payload[start + 8 : start + _HEAD_BYTES], "big")
            stop = start + _HEAD_BYTES + follows
            if stop > end or length > follows:
                self._report(at, f"message {offset} is cut off")
                return
            address = payload[start + _HEAD_BYTES : start + _HEAD_BYTES + length]
            frames = payload[start + _HEAD_BYTES + length : stop]
            if not is_address(address) or not are_frames(frames, size):
                self._report(at, f"message {offset} is not an address, a content header and a body")
            else:
                yield StreamMessage(self._stream, offset, head.written_ms, address, frames, size)
            start = stop
        if start != end:
            self._report(at, f"{end - start} bytes behind the last message of a chunk")

    # --- chunks -------------------------------------------------------------------------------------------------------

    def _bytes(self, position: int, size: int) -> bytes:
        return self._files.read(self._descriptor, position, size)

    def _chunk(self, at: int, size: int) -> _Chunk:
        head = read_chunk_head(self._bytes(at, CHUNK_BYTES), 0, self._mark)
        if head is None:
            return _Chunk(None, b"", "no whole head of a chunk")
        if at + CHUNK_BYTES + head.size > size:
            return _Chunk(None, b"", "a chunk is cut off")
        payload = self._bytes(at + CHUNK_BYTES, head.size)
        if crc32(payload) != head.checksum:
            return _Chunk(None, b"", "a chunk's checksum is wrong")
        return _Chunk(head, payload, "")

    def _find_chunk(self, at: int, size: int) -> int:
        """Return the position of the next whole chunk, from `at` on; `size` if there is none."""
        while at < size and len(self._mark) == MARK_BYTES:
            data = self._bytes(at, _WINDOW_BYTES)
            place = -1
            while (place := data.find(self._mark, place + 1)) >= 0:
                if self._chunk(at + place, size).head is not None:
                    return at + place
            if len(data) < _WINDOW_BYTES:
                break
            at += len(data) - MARK_BYTES + 1
        return size

    def _has_later_write(self, at: int, damaged: int, size: int) -> bool:
        """Return whether a chunk from `at` on was written after the bytes at `damaged` had been synced."""
        while at < size:
            head = self._chunk(at, size).head
            if head is not None and head.start > damaged:
                return True
            at = self._find_chunk(at + 1, size)
        return False

    def _is_empty(self, size: int) -> bool:
        """Return whether the file has only zeros."""
        for at in range(0, size, _WINDOW_BYTES):
            data = self._bytes(at, _WINDOW_BYTES)
            if data.count(0) != len(data):
                return False
        return True

    # --- index --------------------------------------------------------------------------------------------------------

    def _index(self) -> dict[int, IndexEntry]:
        """Return the entries of the index by position, and report what is no entry."""
        try:
            descriptor = self._files.open(self._path.with_suffix(INDEX_SUFFIX))
        except FileNotFoundError:
            return {}
        try:
            data = self._files.read(descriptor, 0, self._files.size(descriptor))
        finally:
            self._files.close(descriptor)
        entries = [read_index_entry(data, number) for number in range(-(-len(data) // INDEX_BYTES))]
        wrong = entries.count(None)
        if wrong:
            self._report_index(f"{wrong} entries are damaged or cut off: they have no effect")
        return {entry.position: entry for entry in entries if entry is not None}

    def _report_index(self, text: str) -> None:
        self._reader._report(self._path.with_suffix(INDEX_SUFFIX), 0, text, damage=False)

    def _report(self, offset: int, text: str) -> None:
        self._reader._report(self._path, offset, text)

    def _report_torn(self, offset: int, size: int, text: str) -> None:
        what = "being written" if self._reader._owned else "nothing in it was confirmed, and the next start cuts it off"
        self._reader._report(self._path, offset, f"a torn end of {size} bytes ({text}): {what}", damage=False)
