"""The spilled form of a page's copies: each is a publish record of its own. See docs/store-format.md."""

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.message.message import Message
from amqpbroker.store import record
from amqpbroker.store.stored import DECODED, content_of, decode

#: Replaces a queue's id in a spilled record.
_REDELIVERED = 1


def encoded(entries: list[Entry]) -> bytes:
    """Return the records of these copies, concatenated."""
    return b"".join([_encoded(entry) for entry in entries])


def decoded(data: bytes, queue: Queue) -> list[Entry]:
    """Return the copies of these records, for that queue."""
    entries = []
    offset = 0
    while offset < len(data):
        entry, offset = _decoded(data, offset, queue)
        entries.append(entry)
    return entries


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
    """Return the entry whose record starts at `offset`, and the offset of the next record."""
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
