"""Bytes of a stream's files, except for the messages: heads of segments and chunks, and entries of an index.

See docs/store-format.md.
"""

import struct
from typing import Final, NamedTuple

from amqpbroker.store.checksum import crc32

MAGIC: Final = b"AMQPBS01"
MARK_BYTES: Final = 8

_SEGMENT_CHECKED = struct.Struct(">8sQ8s")
#: Size of a segment's head in bytes: the first chunk follows.
SEGMENT_BYTES: Final = 28

_CHUNK = struct.Struct(">8sQQIIIII")
_CHUNK_CHECKED = struct.Struct(">8sQQIIII")
CHUNK_BYTES: Final = 44

_INDEX = struct.Struct(">QQIII")
_INDEX_CHECKED = struct.Struct(">QQII")
INDEX_BYTES: Final = 28


class ChunkHead(NamedTuple):
    """Head of a chunk.

    first: offset of its first message. written_ms: time when it was completed, in milliseconds since the epoch.
    messages: their number. size: bytes of the payload behind the head. checksum: of the payload. start: position in the
    segment of the first chunk that was written and synced together with it: everything before was synced earlier.
    """

    first: int
    written_ms: int
    messages: int
    size: int
    checksum: int
    start: int


class IndexEntry(NamedTuple):
    """Place of a chunk.

    first: offset of its first message. written_ms: its time. position: of its head in the segment. number: number of
    chunks before it in the segment.
    """

    first: int
    written_ms: int
    position: int
    number: int


def segment_head(first: int, mark: bytes) -> bytes:
    """Return the head of a segment.

    first: offset of its first message. mark: the bytes with which its chunks begin; they are random, so that no message
    contains a chunk.
    """
    head = _SEGMENT_CHECKED.pack(MAGIC, first, mark)
    return head + crc32(head).to_bytes(4, "big")


def read_mark(data: bytes, first: int) -> bytes | None:
    """Return the mark of the segment whose first message has that offset; None if `data` does not begin with it."""
    mark = data[_SEGMENT_CHECKED.size - MARK_BYTES : _SEGMENT_CHECKED.size]
    if len(mark) < MARK_BYTES or data[:SEGMENT_BYTES] != segment_head(first, mark):
        return None
    return mark


def chunk_head(mark: bytes, head: ChunkHead) -> bytes:
    """Return the bytes of a chunk's head, in a segment with that mark."""
    data = _CHUNK_CHECKED.pack(mark, *head)
    return data + crc32(data).to_bytes(4, "big")


def read_chunk_head(data: bytes, at: int, mark: bytes) -> ChunkHead | None:
    """Return the head of the chunk at `at`, None if there is none."""
    if len(data) - at < CHUNK_BYTES:
        return None
    found, *fields, checksum = _CHUNK.unpack_from(data, at)
    if found != mark or checksum != crc32(data[at : at + _CHUNK_CHECKED.size]):
        return None
    return ChunkHead(*fields)


def index_entry(entry: IndexEntry) -> bytes:
    """Return the bytes of an index entry."""
    data = _INDEX_CHECKED.pack(*entry)
    return data + crc32(data).to_bytes(4, "big")


def read_index_entry(data: bytes, number: int) -> IndexEntry | None:
    """Return the index entry with that number, counted from 0; None if it is cut off or damaged."""
    at = number * INDEX_BYTES
    if len(data) - at < INDEX_BYTES:
        return None
    *fields, checksum = _INDEX.unpack_from(data, at)
    if checksum != crc32(data[at : at + _INDEX_CHECKED.size]):
        return None
    return IndexEntry(*fields)
