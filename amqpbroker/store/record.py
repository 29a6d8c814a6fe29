"""Encoding of journal records, as specified in docs/store-format.md. This module knows nothing of files."""

import struct
import sys
from abc import ABCMeta, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

from mypy_extensions import mypyc_attr

from amqpbroker.octets import BytesWriter, write_i32_be, write_i64_be
from amqpbroker.store.checksum import crc32

#: A position is a segment number and an offset in the segment, as one integer.
OFFSET_BITS: Final = 32
OFFSET_MASK: Final = 0xFFFFFFFF

SEGMENT_MAGIC = b"AMQPBJ01"
SEGMENT_HEAD: struct.Struct = struct.Struct(">8sQ8sI")
_SEGMENT_CHECKED = struct.Struct(">8sQ8s")

MARK_BYTES: Final = 8
BATCH_HEAD = struct.Struct(">8sQII")
_BATCH_CHECKED = struct.Struct(">8sQI")

GROUP_HEAD = struct.Struct(">II")

PUBLISH_HEAD = struct.Struct(">cBBBBHHII")
ENTRY = struct.Struct(">IQQHH")
LIST_HEAD = struct.Struct(">cI")
RETURN = struct.Struct(">QH")
DELAY = struct.Struct(">QQ")

PUBLISH = b"P"
SETTLE = b"S"
RETURNED = b"R"
DELAYED = b"D"
ID = b"I"

ID_HEAD = struct.Struct(">cH")
#: Size of the head of an id record, which its entry follows, and the index in such an entry. The entries of a publish
#: record have lower ones.
ID_BYTES: Final = 3
ID_INDEX: Final = 0xFFFF

#: Sizes of these structures, and offsets of the fields of a publish record and of an entry, for in-place reads.
GROUP_BYTES: Final = 8
PUBLISH_BYTES: Final = 17
FLAGS_AT: Final = 1
PRIORITY_AT: Final = 2
EXTRA_KEYS_AT: Final = 3
CC_KEYS_AT: Final = 4
COUNT_AT: Final = 5
ADDRESS_AT: Final = 7
FRAMES_AT: Final = 9
SIZE_AT: Final = 13
ENTRY_BYTES: Final = 24
DEADLINE_AT: Final = 12
INDEX_AT: Final = 22

_RETURNED: Final = ord("R")

#: Offset of the high byte of the property flags in a message's frames, and its flag for a priority.
PROPERTY_FLAGS_AT: Final = 19
_HAS_PRIORITY: Final = 0x08

#: Size of a publish record of one entry, without address and frames.
_SMALLEST = PUBLISH_HEAD.size + ENTRY.size

#: Flags of a publish record. DEATHS: the message's headers have the broker's record of its deaths. TRANSIENT: the
#: message is transient, but its queue stores all messages. PIECES: the extra keys are encoded in pieces, because they
#: are too many or too long. DELIVERED: all copies were delivered before the record was written.
DEATHS: Final = 1
TRANSIENT: Final = 2
PIECES: Final = 4
DELIVERED: Final = 8

MAX_COUNT: Final = 0xFFFF
#: A return record whose position is not below it is about the journal: see `mark_group`.
MARKS: Final = 1 << 63
MARK_GROUP_BYTES: Final = 23
#: The greatest id of a queue or exchange, and the ids that hold the records of jobs and of batches (`IdKeeper`).
MAX_ID: Final = 0xFFFFFFFD
JOBS_ID: Final = 0xFFFFFFFE
BATCHES_ID: Final = 0xFFFFFFFF

#: Maximum number of extra keys, or pieces, of a record, and maximum number of bytes of each.
_MOST: Final = 255
_U32 = struct.Struct(">I")


class DamagedError(ValueError):
    """Bytes that are not a whole record. `offset` counts from the start of the read."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"at offset {offset}: {reason}")
        self.offset = offset
        self.reason = reason


class Content(NamedTuple):
    """A message as it is stored."""

    address: bytes
    frames: bytes
    size: int
    priority: int
    extra_keys: tuple[bytes, ...]
    cc_keys: int
    flags: int


@mypyc_attr(allow_interpreted_subclasses=True)
class Visitor(metaclass=ABCMeta):
    """Callbacks for records, in order. Offsets count from the start of the read."""

    @abstractmethod
    def entered(
        self,
        offset: int,
        queue_id: int,
        sequence: int,
        deadline_ms: int,
        delivery_count: int,
        size: int,
        part_bytes: int,
        priority: int,
        delivered: bool,
    ) -> None:
        """Handle an entry: one queue's copy of a message with a body of `size` bytes.

        part_bytes: its part of the record. priority: of the message; -1 if its properties have none. delivered: the
        copy was delivered before the record was written.
        """

    @abstractmethod
    def settled(self, position: int) -> None:
        """Handle the end of the copy at that position."""

    @abstractmethod
    def returned_copy(self, position: int, delivery_count: int) -> None:
        """Handle a delivery or return of the copy at that position."""

    @abstractmethod
    def delayed_copy(self, position: int, due_ms: int) -> None:
        """Handle a delay of the copy at that position; `due_ms` is 0 at its end."""

    def took(self, offset: int, holder_id: int, sequence: int, expires_ms: int, key: bytes) -> None:  # noqa: B027
        """Handle an id that a queue or exchange must not accept again; see `MessageIdRecord`. offset: of its entry."""


def segment_head(number: int, mark: bytes) -> bytes:
    """Return a segment's header. mark: the bytes with which its batches begin; they are random and kept secret."""
    head = _SEGMENT_CHECKED.pack(SEGMENT_MAGIC, number, mark)
    return head + crc32(head).to_bytes(4, "big")


def read_mark(data: bytes, number: int) -> bytes | None:
    """Return the mark of the segment with that number; None if `data` does not begin with its header."""
    mark = data[_SEGMENT_CHECKED.size - MARK_BYTES : _SEGMENT_CHECKED.size]
    if len(mark) < MARK_BYTES or data[: SEGMENT_HEAD.size] != segment_head(number, mark):
        return None
    return mark


def batch(mark: bytes, number: int, size: int) -> bytes:
    """Return the header of a batch with `size` bytes of groups, in a segment with that mark."""
    head = _BATCH_CHECKED.pack(mark, number, size)
    return head + crc32(head).to_bytes(4, "big")


def read_batch(data: bytes, offset: int, mark: bytes) -> tuple[int, int] | None:
    """Return (number, bytes of its groups) of the batch header at `offset`, or None if there is none."""
    if len(data) - offset < BATCH_HEAD.size:
        return None
    found, number, size, checksum = BATCH_HEAD.unpack_from(data, offset)
    if found != mark or checksum != crc32(data[offset : offset + _BATCH_CHECKED.size]):
        return None
    return number, size


def find_batch(data: bytes, offset: int, mark: bytes, after: int) -> int:
    """Return the start of the next batch with a number higher than `after`, from `offset` on; -1 if there is none."""
    while (offset := data.find(mark, offset)) >= 0:
        batch = read_batch(data, offset, mark)
        if batch is not None and batch[0] > after:
            return offset
        offset += 1
    return -1


def group(payload: bytes) -> bytes:
    """Return a group's header for the payload that follows."""
    return GROUP_HEAD.pack(len(payload), crc32(payload))


def publish(content: Content, entries: list[tuple[int, int, int, int]]) -> bytes:
    """Return a publish record. entries: (queue id, sequence, deadline, delivery count) of each copy."""
    count = len(entries)
    flags, keys, cc_keys = content.flags, content.extra_keys, content.cc_keys
    if keys and not _are_plain(keys):
        flags, keys, cc_keys = flags | PIECES, _into_pieces(keys, cc_keys), 0
    parts = [
        PUBLISH_HEAD.pack(
            PUBLISH,
            flags,
            content.priority,
            len(keys),
            cc_keys,
            count,
            len(content.address),
            len(content.frames),
            content.size,
        )
    ]
    parts += [ENTRY.pack(*entry, i) for i, entry in enumerate(entries)]
    parts.append(content.address)
    parts += [b"%c%b" % (len(key), key) for key in keys]
    parts.append(content.frames)
    return b"".join(parts)


def fits(keys: tuple[bytes, ...]) -> bool:
    """Return whether a record can hold these extra keys."""
    return _are_plain(keys) or 4 + sum([4 + len(key) for key in keys]) <= _MOST * _MOST


def _are_plain(keys: tuple[bytes, ...]) -> bool:
    return len(keys) <= _MOST and max(map(len, keys), default=0) <= _MOST


def _into_pieces(keys: tuple[bytes, ...], cc_keys: int) -> tuple[bytes, ...]:
    joined = _U32.pack(cc_keys) + b"".join([_U32.pack(len(key)) + key for key in keys])
    return tuple([joined[start : start + _MOST] for start in range(0, len(joined), _MOST)])


def from_pieces(pieces: list[bytes]) -> tuple[tuple[bytes, ...], int]:
    """Return the extra keys, and the number of those from CC. Raises DamagedError."""
    joined = b"".join(pieces)
    keys = []
    offset = 4
    try:
        cc_keys: int = _U32.unpack_from(joined)[0]
        while offset < len(joined):
            size: int = _U32.unpack_from(joined, offset)[0]
            keys.append(joined[offset + 4 : offset + 4 + size])
            offset += 4 + size
    except struct.error:
        offset = -1
    if offset != len(joined):
        raise DamagedError(0, "a message's extra keys are cut off")
    return tuple(keys), cc_keys


def _swapped(numbers: "array[int]") -> "array[int]":
    """Convert numbers between the machine's byte order and the journal's.

    `struct` would compile and cache a format for each length.
    """
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def settle(positions: list[int]) -> bytes:
    if len(positions) == 1:
        return b"S\0\0\0\1" + positions[0].to_bytes(8, "big")
    return LIST_HEAD.pack(SETTLE, len(positions)) + _swapped(array("Q", positions)).tobytes()


def returned(entries: list[tuple[int, int]]) -> bytes:
    """Return a record of returned copies. entries: (position, delivery count) of each."""
    if len(entries) == 1:
        position, count = entries[0]
        return b"R\0\0\0\1" + position.to_bytes(8, "big") + min(count, MAX_COUNT).to_bytes(2, "big")
    to = BytesWriter()
    to.append(_RETURNED)
    write_i32_be(to, len(entries))
    for position, count in entries:
        write_i64_be(to, position)
        count = min(count, MAX_COUNT)
        to.append(count >> 8)
        to.append(count & 0xFF)
    return to.getvalue()


def mark_group(doubted: int, ended: bool) -> bytes:
    """Return a group with a record about the whole journal. Releases that do not know it ignore it.

    doubted: copies at lower positions may have been delivered without a record. ended: the journal was closed in order,
    if nothing follows.
    """
    data = returned([(MARKS + doubted, int(ended))])
    return group(data) + data


def delayed(entries: list[tuple[int, int]]) -> bytes:
    """Return a record of delayed copies. entries: (position, due time) of each; milliseconds since 1970."""
    numbers: array[int] = array("Q")
    for entry in entries:
        numbers.extend(entry)
    return LIST_HEAD.pack(DELAYED, len(entries)) + _swapped(numbers).tobytes()


def took(holder_id: int, sequence: int, expires_ms: int, key: bytes) -> bytes:
    """Return a record of an id; see `MessageIdRecord`."""
    return ID_HEAD.pack(ID, len(key)) + ENTRY.pack(holder_id, sequence, expires_ms, 0, ID_INDEX) + key


def is_id(data: bytes, entry: int) -> bool:
    """Return whether the entry at data[entry:] belongs to an id record."""
    return data[entry + INDEX_AT] == 0xFF and data[entry + INDEX_AT + 1] == 0xFF


def id_record(data: bytes, entry: int) -> bytes:
    """Return the id record with the entry at data[entry:]. Raises DamagedError if it is cut off."""
    start = entry - ID_BYTES
    _, size = ID_HEAD.unpack_from(data, start)
    end = entry + ENTRY_BYTES + int(size)
    if end > len(data):
        raise DamagedError(start, "an id record is cut off")
    return data[start:end]


def damage(data: bytes, offset: int, end: int) -> str | None:
    """Return the reason why data[offset:end] are not whole groups with correct checksums; None if they are."""
    view = memoryview(data)
    while offset < end:
        if end - offset < GROUP_HEAD.size:
            return f"at offset {offset} a group's header is cut off"
        size, checksum = GROUP_HEAD.unpack_from(data, offset)
        start = offset + GROUP_HEAD.size
        stop = start + size
        if stop > end:
            return f"at offset {offset} a group is longer than its batch"
        if crc32(view[start:stop]) != checksum:
            return f"at offset {offset} a group's checksum is wrong"
        offset = stop
    return None


def first_group(data: bytes) -> int:
    """Return the size in bytes of the first group. Raises DamagedError if its header is incomplete."""
    if len(data) < GROUP_HEAD.size:
        raise DamagedError(0, "a group's header is cut off")
    size: int = GROUP_HEAD.unpack_from(data)[0]
    return GROUP_HEAD.size + size


def groups_end(data: bytes) -> int:
    """Return the end of the last whole group in `data`; 0 if there is none."""
    offset = 0
    while len(data) - offset >= GROUP_HEAD.size:
        end = offset + GROUP_HEAD.size + GROUP_HEAD.unpack_from(data, offset)[0]
        if end > len(data):
            break
        offset = end
    return offset


def payloads(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of each group's payload in a batch's groups, after their checksums. Raises DamagedError."""
    wrong = damage(data, 0, len(data))
    if wrong is not None:
        raise DamagedError(0, wrong)
    offset = 0
    while offset < len(data):
        start = offset + GROUP_HEAD.size
        offset = start + GROUP_HEAD.unpack_from(data, offset)[0]
        yield start, offset


def visit_payload(data: bytes, offset: int, end: int, visitor: Visitor) -> None:
    """Call the visitor for each record of one group. Raises DamagedError."""
    start = offset
    try:
        while start < end:
            start = _visit_record(data, start, visitor)
    except (struct.error, IndexError):
        start = -1
    if start != end:
        raise DamagedError(offset, "a group's records do not fill it")


def visit(data: bytes, offset: int, end: int, visitor: Visitor) -> None:
    """Call the visitor for each record of the groups in data[offset:end], which have been checked.

    Raises DamagedError for inconsistent records with a correct checksum.
    """
    publish_head = PUBLISH_HEAD.unpack_from
    while offset < end:
        start = offset + GROUP_HEAD.size
        stop = start + GROUP_HEAD.unpack_from(data, offset)[0]
        # Most groups are one message in one queue: these are handled here, without the calls that other groups need.
        if stop - start >= _SMALLEST and data[start] == PUBLISH[0]:
            _, flags, priority, extra, _, count, address, frames, size = publish_head(data, start)
            if count == 1 and not extra and start + _SMALLEST + address + frames == stop:
                entry = start + PUBLISH_HEAD.size
                queue_id, sequence, deadline, delivery_count, _ = ENTRY.unpack_from(data, entry)
                if not priority and _lacks_priority(data, stop - frames, frames):
                    priority = -1
                delivered = flags & DELIVERED != 0
                visitor.entered(
                    entry, queue_id, sequence, deadline, delivery_count, size, stop - start, priority, delivered
                )
                offset = stop
                continue
        visit_payload(data, start, stop, visitor)
        offset = stop


def _visit_record(data: bytes, offset: int, visitor: Visitor) -> int:
    """Read one record; return the start of the next."""
    kind = data[offset]
    if kind == PUBLISH[0]:
        _, flags, priority, extra, _, count, address, frames, size = PUBLISH_HEAD.unpack_from(data, offset)
        offset += PUBLISH_HEAD.size
        delivered = flags & DELIVERED != 0
        part_bytes = (PUBLISH_HEAD.size + count * ENTRY.size + address + frames) // (count or 1)
        frames_at = _end(data, offset + count * ENTRY.size + address, extra)
        if not priority and _lacks_priority(data, frames_at, frames):
            priority = -1
        for _ in range(count):
            queue_id, sequence, deadline_ms, delivery_count, _ = ENTRY.unpack_from(data, offset)
            visitor.entered(
                offset, queue_id, sequence, deadline_ms, delivery_count, size, part_bytes, priority, delivered
            )
            offset += ENTRY.size
        return frames_at + int(frames)
    if kind == ID[0]:
        _, size = ID_HEAD.unpack_from(data, offset)
        offset += ID_BYTES
        holder_id, sequence, expires_ms, _, _ = ENTRY.unpack_from(data, offset)
        end = offset + ENTRY_BYTES + int(size)
        if end > len(data):
            return -1
        visitor.took(offset, holder_id, sequence, expires_ms, data[offset + ENTRY_BYTES : end])
        return end
    _, count = LIST_HEAD.unpack_from(data, offset)
    offset += LIST_HEAD.size
    if kind == SETTLE[0]:
        end = offset + 8 * int(count)
        if end > len(data):
            return -1
        for position in _swapped(array("Q", data[offset:end])):
            visitor.settled(position)
        return end
    if kind == RETURNED[0]:
        for _ in range(count):
            visitor.returned_copy(*RETURN.unpack_from(data, offset))
            offset += RETURN.size
        return offset
    if kind == DELAYED[0]:
        for _ in range(count):
            visitor.delayed_copy(*DELAY.unpack_from(data, offset))
            offset += DELAY.size
        return offset
    return -1


def _lacks_priority(data: bytes, frames_at: int, frames: int) -> bool:
    """Return whether frames of `frames` bytes have properties without a priority."""
    return frames > PROPERTY_FLAGS_AT and not data[frames_at + PROPERTY_FLAGS_AT] & _HAS_PRIORITY


def _end(data: bytes, offset: int, keys: int) -> int:
    """Return the end of `keys` shortstrs that begin at `offset`."""
    for _ in range(keys):
        offset += 1 + data[offset]
    return offset


def excerpt(data: bytes, offset: int, entries: list[int]) -> tuple[bytes, list[int]]:
    """Return the publish record at data[offset:], reduced to its entries at the first of `entries`, and these entries.

    Raises DamagedError.
    """
    _, _, _, extra, _, count, address, frames, _ = PUBLISH_HEAD.unpack_from(data, offset)
    rest = offset + PUBLISH_HEAD.size + count * ENTRY.size
    kept = entries[: bisect_left(entries, rest)]
    if len(kept) == count:
        return data[offset : _end(data, rest + address, extra) + frames], kept
    return publish(content(data, offset), [ENTRY.unpack_from(data, entry)[:4] for entry in kept]), kept


def publish_end(data: bytes, offset: int) -> int:
    """Return the end of the publish record at data[offset:], which is complete."""
    _, _, _, extra, _, count, address, frames, _ = PUBLISH_HEAD.unpack_from(data, offset)
    end: int = _end(data, offset + PUBLISH_HEAD.size + count * ENTRY.size + address, extra) + frames
    return end


def entries_end(data: bytes, offset: int) -> int:
    """Return the end of the entries of the publish record at data[offset:]."""
    count: int = PUBLISH_HEAD.unpack_from(data, offset)[5]
    return offset + PUBLISH_HEAD.size + count * ENTRY.size


def publish_size(data: bytes, offset: int) -> int:
    """Return the publish record's maximum size, computed from its head: up to 255 bytes too much for each key."""
    _, _, _, extra, _, count, address, frames, _ = PUBLISH_HEAD.unpack_from(data, offset)
    size: int = PUBLISH_HEAD.size + count * ENTRY.size + address + extra * 256 + frames
    return size


def deadline_ms(data: bytes, entry: int) -> int:
    """Return the deadline of the entry at data[entry:]."""
    deadline: int = ENTRY.unpack_from(data, entry)[2]
    return deadline


def back(data: bytes, entry: int) -> int:
    """Return the distance from the start of the publish record to its entry at data[entry:]."""
    index: int = ENTRY.unpack_from(data, entry)[4]
    return index * ENTRY.size + PUBLISH_HEAD.size


def content(data: bytes, offset: int = 0) -> Content:
    """Return the message of the publish record at data[offset:]. Raises DamagedError if it is cut off or invalid."""
    try:
        kind, flags, priority, extra, cc_keys, count, address_size, frames_size, size = PUBLISH_HEAD.unpack_from(
            data, offset
        )
        offset += PUBLISH_HEAD.size + count * ENTRY.size
        address = data[offset : offset + address_size]
        offset += address_size
        keys = []
        for _ in range(extra):
            keys.append(data[offset + 1 : offset + 1 + data[offset]])
            offset += 1 + data[offset]
        frames = data[offset : offset + frames_size]
    except (struct.error, IndexError):
        raise DamagedError(0, "a publish record is cut off") from None
    if kind != PUBLISH or len(frames) != frames_size:
        raise DamagedError(0, "no publish record")
    if flags & PIECES:
        whole, cc_keys = from_pieces(keys)
        return Content(address, frames, size, priority, whole, cc_keys, flags & ~PIECES)
    return Content(address, frames, size, priority, tuple(keys), cc_keys, flags)
