"""Inspection of a data directory, for `amqpbroker store check`. It changes nothing, and continues after damage."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from amqpbroker.store import record
from amqpbroker.store.checksum import crc32
from amqpbroker.store.directory import lock
from amqpbroker.store.directory.ownership import VERSION
from amqpbroker.store.files import Files
from amqpbroker.store.journal.journal import segment_name
from amqpbroker.store.record import OFFSET_BITS, OFFSET_MASK
from amqpbroker.store.recovered import Recovered
from amqpbroker.wire.frames import BASIC_CLASS, BODY, CONTENT_HEAD, END, FRAME_HEAD, HEADER, OVERHEAD

_SUFFIX = ".seg"
_FRAME_END = bytes((END,))

#: The distance between entries is at least one grain (16 bytes); the value of a grain gives the entry's offset in it.
_GRAIN_BITS = 4
_IN_GRAIN = (1 << _GRAIN_BITS) - 1
_ENTERED, _SETTLED = 0x10, 0x20


class Finding(NamedTuple):
    """A finding about a file for the operator. Without `damage`, no confirmed data is at risk."""

    path: Path
    offset: int
    text: str
    damage: bool

    def __str__(self) -> str:
        return f"{self.path}: at offset {self.offset}: {self.text}"


class Group(NamedTuple):
    """A group with a correct checksum: data[start:stop], where `data` is a whole segment."""

    segment: int
    batch: int
    data: bytes
    start: int
    stop: int


def shown(position: int) -> str:
    """Return a position in readable form: the number of the segment as in its file name, and the offset."""
    return f"{position >> OFFSET_BITS:x}:{position & OFFSET_MASK}"


def is_owned(directory: Path) -> bool:
    """Return whether a running broker uses the data directory."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        return lock.is_held(descriptor)
    finally:
        os.close(descriptor)


def other_format(directory: Path) -> str | None:
    """Return the reason why the directory is not a data directory of a format that we read; None if it is."""
    try:
        version = (directory / "version").read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return None if (directory / "journal").exists() else f"{directory} is not a data directory: it has no journal"
    if version.isdecimal() and 0 < int(version) <= VERSION:
        return None
    return f"{directory} has format {version}; this amqpbroker reads up to format {VERSION}"


class JournalReader:
    """Reads the segments of a journal in order.

    `owned`: a running broker uses the journal, so that its oldest segments may be removed during the inspection.
    findings: problems in the part read so far. segments, batches, groups: numbers of these in that part, not counting
    damaged batches and groups. size_bytes: of these segments. damaged: numbers of segments with unreadable parts.
    """

    def __init__(self, directory: Path, files: Files, owned: bool = False) -> None:
        self.directory = directory
        self.findings: list[Finding] = []
        self.damaged: set[int] = set()
        self.segments: int = 0
        self.batches: int = 0
        self.groups: int = 0
        self.size_bytes: int = 0
        self._files = files
        self._owned = owned
        self._last_batch: int = 0

    def read(self) -> Iterator[Group]:
        """Yield every readable group. Raises OSError."""
        numbers = []
        for name in self._files.names(self.directory):
            if name.endswith(_SUFFIX):
                number = _number(name)
                if number is None:
                    self.report(self.directory / name, 0, "not the name of a segment")
                else:
                    numbers.append(number)
        numbers.sort()
        for i, number in enumerate(numbers):
            missing = number - numbers[i - 1] - 1 if i else 0
            if missing:
                more = f" and {missing - 1} more are" if missing > 1 else " is"
                self.report(self.path(numbers[i - 1] + 1), 0, f"this segment{more} missing")
                self._last_batch = 0
            yield from self._segment(number, last=number == numbers[-1])

    def path(self, segment: int) -> Path:
        return self.directory / segment_name(segment)

    def report(self, path: Path, offset: int, text: str, damage: bool = True) -> None:
        self.findings.append(Finding(path, offset, text, damage))

    def _segment(self, number: int, last: bool) -> Iterator[Group]:
        path = self.path(number)
        try:
            descriptor = self._files.open(path)
        except FileNotFoundError:
            if not self._owned or self.segments:
                raise
            return
        try:
            data = self._files.read(descriptor, 0, self._files.size(descriptor))
        finally:
            self._files.close(descriptor)
        self.segments += 1
        self.size_bytes += len(data)
        head = record.SEGMENT_HEAD.size
        mark = record.read_mark(data, number)
        if mark is None and last and len(data) <= head:
            self._torn(path, 0, len(data), "a segment's header is cut off or was never synced")
            return
        if mark is None and last and data.count(0) == len(data):
            self._torn(path, 0, len(data), "a file of zeros")
            return
        if mark is None:
            self.report(path, 0, "not a journal segment's header, or one of another version")
            self.damaged.add(number)
            # The first batch begins with the same mark.
            mark = data[head : head + record.MARK_BYTES]
        yield from self._read_batches(number, data, mark, last)

    def _read_batches(self, number: int, data: bytes, mark: bytes, last: bool) -> Iterator[Group]:
        path = self.path(number)
        offset = record.SEGMENT_HEAD.size
        while offset < len(data):
            wrong: list[tuple[int, str]] = []
            groups: list[tuple[int, int]] = []
            batch = record.read_batch(data, offset, mark)
            after = offset + 1
            if batch is None:
                wrong.append((offset, "no whole batch header"))
            else:
                end = offset + record.BATCH_HEAD.size + batch[1]
                if end > len(data):
                    wrong.append((offset, f"batch {batch[0]} is cut off"))
                else:
                    groups, wrong = _groups(data, offset + record.BATCH_HEAD.size, end)
                    after = end
            if wrong:
                behind = record.find_batch(data, after, mark, self._last_batch + 1 if batch is None else batch[0])
                if behind < 0:
                    behind = len(data)
                if last and behind == len(data):
                    self._torn(path, offset, len(data) - offset, wrong[0][1])
                    return
                self.damaged.add(number)
                if after == offset + 1:
                    self.report(path, offset, f"{wrong[0][1]}: {behind - offset} bytes cannot be read")
                    self._last_batch = 0
                    offset = behind
                    continue
                for place, text in wrong:
                    self.report(path, place, text)
            assert batch is not None
            if self._last_batch and batch[0] != self._last_batch + 1:
                self.report(path, offset, f"batch {batch[0]} follows batch {self._last_batch}")
                self.damaged.add(number)
            self._last_batch = batch[0]
            self.batches += not wrong
            self.groups += len(groups)
            for start, stop in groups:
                yield Group(number, batch[0], data, start, stop)
            offset = after

    def _torn(self, path: Path, offset: int, size: int, text: str) -> None:
        what = "being written" if self._owned else "nothing in it was confirmed, and the next start cuts it off"
        self.report(path, offset, f"a torn end of {size} bytes ({text}): {what}", damage=False)


def _groups(data: bytes, offset: int, end: int) -> tuple[list[tuple[int, int]], list[tuple[int, str]]]:
    """Return (start, stop) of the groups with a correct checksum, including headers; (offset, problem) of the others.

    After a damaged length the next groups of the batch cannot be found.
    """
    groups: list[tuple[int, int]] = []
    wrong: list[tuple[int, str]] = []
    certain = 0
    view = memoryview(data)
    while offset < end:
        stop = end + 1
        if end - offset >= record.GROUP_HEAD.size:
            size, checksum = record.GROUP_HEAD.unpack_from(data, offset)
            start = offset + record.GROUP_HEAD.size
            stop = start + size
        if stop > end:
            # Lengths of damaged groups may be wrong: the unreadable part begins at the first group after the last whole
            # one.
            place, text = [*wrong, (offset, "a group's length is wrong")][certain]
            return groups, [*wrong[:certain], (place, f"{text}: {end - place} bytes cannot be read")]
        if crc32(view[start:stop]) == checksum:
            groups.append((offset, stop))
            certain = len(wrong)
        else:
            wrong.append((offset, "a group's checksum is wrong"))
        offset = stop
    return groups, wrong


def _number(name: str) -> int | None:
    """Return the segment number of the file name; None if it is not the name of a segment."""
    try:
        number = int(name.removesuffix(_SUFFIX), 16)
    except ValueError:
        return None
    return number if segment_name(number) == name else None


class Inspection(Recovered):
    """Reads the whole journal, and checks the records for consistency.

    publishes: number of publish records. entries, settles, returns, delays: number of copies that entered, were
    settled, were returned, and were delayed. taken: number of ids of accepted messages.
    """

    def __init__(self, reader: JournalReader) -> None:
        """Read the journal. Raises OSError."""
        super().__init__()
        self.publishes: int = 0
        self.entries: int = 0
        self.settles: int = 0
        self.returns: int = 0
        self.delays: int = 0
        self.taken: int = 0
        self._reader = reader
        self._seen: dict[int, bytearray] = {}
        self._group = Group(0, 0, b"", 0, 0)
        self._record: int = 0
        for group in reader.read():
            self._handle(group)
        self.finish()
        self._seen = {}

    def _handle(self, group: Group) -> None:
        if group.segment != self._group.segment:
            self.start_segment(group.segment, len(group.data))
            self._seen[group.segment] = bytearray((len(group.data) >> _GRAIN_BITS) + 1)
        self._group = group
        try:
            record.visit(group.data, group.start, group.stop, self)
        except record.DamagedError as error:
            self._report(error.reason)

    def _report(self, text: str) -> None:
        group = self._group
        self._reader.report(self._reader.path(group.segment), group.start, text)

    # --- callbacks for records
    # ------------------------------------------------------------------------------------------

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
        super().entered(offset, queue_id, sequence, deadline_ms, delivery_count, size, part_bytes, priority, delivered)
        self.entries += 1
        self.returns += delivered
        data = self._group.data
        back = record.back(data, offset)
        if offset - back != self._record:
            self._record = offset - back
            self.publishes += 1
            wrong = "an entry in the wrong place" if back != record.PUBLISH_HEAD.size else _nonsense(data, self._record)
            if wrong is not None:
                self._report(wrong)
        self._seen[self._group.segment][offset >> _GRAIN_BITS] = _ENTERED | offset & _IN_GRAIN

    def took(self, offset: int, holder_id: int, sequence: int, expires_ms: int, key: bytes) -> None:
        super().took(offset, holder_id, sequence, expires_ms, key)
        self.taken += 1
        self._seen[self._group.segment][offset >> _GRAIN_BITS] = _ENTERED | offset & _IN_GRAIN

    def settled(self, position: int) -> None:
        self.settles += 1
        seen = self._find(position, "settles")
        if seen is not None:
            grains, grain = seen
            if grains[grain] & _SETTLED:
                self._report(f"settles {shown(position)}, which is settled already")
            grains[grain] |= _SETTLED
            super().settled(position)

    def returned_copy(self, position: int, delivery_count: int) -> None:
        if position >= record.MARKS:
            super().returned_copy(position, delivery_count)
            return
        self.returns += 1
        if self._find(position, "returns") is not None:
            super().returned_copy(position, delivery_count)

    def delayed_copy(self, position: int, due_ms: int) -> None:
        self.delays += 1
        if self._find(position, "delays") is not None:
            super().delayed_copy(position, due_ms)

    def _find(self, position: int, verb: str) -> tuple[bytearray, int] | None:
        """Return the grains of the copy's segment, and the index of its entry's grain.

        None if the entry was not read.
        """
        segment, offset = position >> OFFSET_BITS, position & OFFSET_MASK
        grains = self._seen.get(segment, b"")
        grain = offset >> _GRAIN_BITS
        if isinstance(grains, bytearray) and grain < len(grains):
            state = grains[grain]
            if state & _ENTERED and state & _IN_GRAIN == offset & _IN_GRAIN:
                return grains, grain
        # The contents of a removed segment, or of the damaged part of a segment, are unknown.
        if segment > self._group.segment or (grains and segment not in self._reader.damaged):
            self._report(f"{verb} {shown(position)}, where there is no entry")
        return None


def _nonsense(data: bytes, offset: int) -> str | None:
    """Return the reason why the publish record at `offset` is not a message; its lengths have been checked.

    None if it is.
    """
    content = record.content(data, offset)
    if content.cc_keys > len(content.extra_keys):
        return "a message has more CC keys than keys"
    if not is_address(content.address):
        return "a message's address is not an exchange and a routing key"
    return (
        None if are_frames(content.frames, content.size) else "a message's frames are not a content header and a body"
    )


def is_address(address: bytes) -> bool:
    """Return whether this is an exchange and a routing key."""
    exchange_end = 1 + address[0] if address else 0
    return exchange_end < len(address) and exchange_end + 1 + address[exchange_end] == len(address)


def are_frames(frames: bytes, size: int) -> bool:
    """Return whether these are a content header frame and a body frame of `size` bytes, or no body frame for 0."""
    if len(frames) <= CONTENT_HEAD.size:
        return False
    kind, _, header_size, class_id, _, body_size = CONTENT_HEAD.unpack_from(frames)
    end = FRAME_HEAD.size + header_size
    if (kind, class_id, body_size) != (HEADER, BASIC_CLASS, size) or frames[end : end + 1] != _FRAME_END:
        return False
    body = frames[end + 1 :]
    if not size:
        return not body
    return (
        len(body) == size + OVERHEAD and FRAME_HEAD.unpack_from(body)[::2] == (BODY, size) and body.endswith(_FRAME_END)
    )
