"""A dump of the journal and of streams, record by record, for people and scripts. It changes nothing."""

from collections.abc import Iterator
from typing import NamedTuple

from amqpbroker.store import record
from amqpbroker.store.directory.inspection import Group, Inspection, JournalReader
from amqpbroker.store.directory.stream_inspection import StreamsReader
from amqpbroker.store.files import Files
from amqpbroker.store.record import OFFSET_BITS, OFFSET_MASK

#: Number of bytes of a body that are shown.
BODY_BYTES = 64


class Published(NamedTuple):
    """One queue's copy of a message. body: the first bytes of it. size: of the whole body in bytes. due_ms: the due
    time of its delay, 0 for none, if only living copies are read; otherwise delays are records of their own.
    """

    position: int
    queue_id: int
    sequence: int
    deadline_ms: int
    delivery_count: int
    exchange: bytes
    routing_key: bytes
    size: int
    body: bytes
    due_ms: int = 0


class Settled(NamedTuple):
    """A copy was settled. position: of its entry."""

    position: int


class Returned(NamedTuple):
    """A copy was delivered or returned. position: of its entry."""

    position: int
    delivery_count: int


class Delayed(NamedTuple):
    """A copy was delayed; `due_ms` is 0 at the end of its delay. position: of its entry."""

    position: int
    due_ms: int


class Taken(NamedTuple):
    """A queue or exchange took a message's id. position: of the entry. key: see `message_key`."""

    position: int
    holder_id: int
    sequence: int
    expires_ms: int
    key: bytes


class Streamed(NamedTuple):
    """A message of a stream. body: the first bytes of it. size: of the whole body in bytes."""

    stream: int
    offset: int
    written_ms: int
    exchange: bytes
    routing_key: bytes
    size: int
    body: bytes


Told = Published | Settled | Returned | Delayed | Taken | Streamed


class _Reading(record.Visitor):
    """Reads the records of one group."""

    def __init__(self, group: Group) -> None:
        self.told: list[Told] = []
        self._group = group
        record.visit(group.data, group.start, group.stop, self)

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
        data = self._group.data
        content = record.content(data, offset - record.back(data, offset))
        position = self._group.segment << OFFSET_BITS | offset
        self.told.append(_published(position, queue_id, sequence, deadline_ms, delivery_count, content))
        if delivered:
            self.told.append(Returned(position, delivery_count))

    def took(self, offset: int, holder_id: int, sequence: int, expires_ms: int, key: bytes) -> None:
        position = self._group.segment << OFFSET_BITS | offset
        self.told.append(Taken(position, holder_id, sequence, expires_ms, key))

    def settled(self, position: int) -> None:
        self.told.append(Settled(position))

    def returned_copy(self, position: int, delivery_count: int) -> None:
        if position < record.MARKS:
            self.told.append(Returned(position, delivery_count))

    def delayed_copy(self, position: int, due_ms: int) -> None:
        self.told.append(Delayed(position, due_ms))


def everything(reader: JournalReader) -> Iterator[Told]:
    """Yield all readable records, in the order in which they were written. Raises OSError."""
    for group in reader.read():
        try:
            yield from _Reading(group).told
        except record.DamagedError as error:
            reader.report(reader.path(group.segment), group.start, error.reason)


def living(reader: JournalReader, files: Files) -> Iterator[Published]:
    """Yield the copies that a broker would start with, by queue and in the queue's order. Raises OSError."""
    inspection = Inspection(reader)
    for queue_id, copies in sorted(inspection.copies.items()):
        segment, descriptor = 0, -1
        try:
            for position, sequence in zip(copies.positions, copies.sequences, strict=True):
                if position >> OFFSET_BITS != segment:
                    if descriptor >= 0:
                        files.close(descriptor)
                    segment = position >> OFFSET_BITS
                    descriptor = files.open(reader.path(segment))
                offset = position & OFFSET_MASK
                data = files.read(descriptor, offset, record.ENTRY.size)
                deadline_ms = record.deadline_ms(data, 0)
                start = offset - record.back(data, 0)
                head = files.read(descriptor, start, record.PUBLISH_HEAD.size)
                content = record.content(files.read(descriptor, start, record.publish_size(head, 0)))
                count = inspection.returned.get(position, 0)
                due_ms = inspection.delayed.get(position, 0)
                yield _published(position, queue_id, sequence, deadline_ms, count, content, due_ms)
        finally:
            if descriptor >= 0:
                files.close(descriptor)


def streamed(reader: StreamsReader) -> Iterator[Streamed]:
    """Yield the messages of all streams, by stream and offset. Raises OSError."""
    for message in reader.read():
        exchange, key = _parts(message.address)
        body = _start_of_body(message.frames, message.size)
        yield Streamed(message.stream, message.offset, message.written_ms, exchange, key, message.size, body)


def _parts(address: bytes) -> tuple[bytes, bytes]:
    """Return exchange and routing key."""
    exchange_end = 1 + address[0]
    return address[1:exchange_end], address[exchange_end + 1 :]


def _start_of_body(frames: bytes, size: int) -> bytes:
    """Return the first bytes of a body of `size` bytes."""
    body = len(frames) - 1 - size
    return frames[body : body + min(size, BODY_BYTES)]


def _published(
    position: int,
    queue_id: int,
    sequence: int,
    deadline_ms: int,
    delivery_count: int,
    content: record.Content,
    due_ms: int = 0,
) -> Published:
    exchange, key = _parts(content.address)
    return Published(
        position,
        queue_id,
        sequence,
        deadline_ms,
        delivery_count,
        exchange,
        key,
        content.size,
        _start_of_body(content.frames, content.size),
        due_ms,
    )
