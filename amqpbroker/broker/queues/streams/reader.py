"""A consumer's place in a stream."""

from typing import Final, final

from mypy_extensions import i64

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.outstanding import Outstanding
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.streams.filter import StreamFilter
from amqpbroker.message.message import Message
from amqpbroker.store.streams.block_cache import BlockKey
from amqpbroker.store.streams.chunk import Block, stored_message
from amqpbroker.store.streams.stream_log import StreamLog

#: Stands for a message that stays in its stream. A settlement needs only the offset, so a delivery that waits for it
#: does not keep the message in memory.
_STORED: Final = Message(b"\0\0", b"\0\0", b"")


@final
class StreamReader:
    """Reads a stream for one consumer.

    offset: of the next message that is read. unsettled: if the offset of the consumer is tracked, offsets of delivered
    messages are added to it. skips, skipped_bytes: maximum number of messages, and of bytes of their bodies, that one
    call of `deliver` passes over because of the filter; the last one may exceed the bytes.
    """

    def __init__(
        self,
        consumer: Consumer,
        log: StreamLog,
        offset: int,
        wanted: StreamFilter | None,
        skips: int,
        skipped_bytes: int,
        unsettled: dict[int, None] | None,
    ) -> None:
        self.consumer: Consumer = consumer
        self.offset: int = offset
        self._log: StreamLog = log
        self._filter: StreamFilter | None = wanted
        self._skips: int = skips
        self._skipped_bytes: int = skipped_bytes
        self._unsettled: dict[int, None] | None = unsettled
        self._key: BlockKey | None = None
        #: A message that is behind others in its chunk, and its position there.
        self._placed: int = -1
        self._at: i64 = 0
        #: The address of the last message: a consumer repeats the bytes of a delivery with the same object.
        self._address: bytes = b""

    @property
    def is_beyond(self) -> bool:
        """Return whether messages are still to be published before the one that is read next."""
        return self.offset > self._log.next

    def deliver(self, queue: Queue, outstanding: Outstanding, now_ms: int) -> bool:
        """Deliver as many messages as the consumer can take; return whether it could take more that are there.

        The entries have the content of their messages only during `Consumer.deliver`; `StreamQueue.ready_entry` reads
        it again. Raises OSError, DamagedError.
        """
        log, consumer, wanted, unsettled = self._log, self.consumer, self._filter, self._unsettled
        left, left_bytes = self._skips, self._skipped_bytes
        while self.offset < log.safe and consumer.can_take():
            block = self._block()
            end = block.first + block.count
            at = self._at if self._placed == self.offset > block.first else block.find(self.offset)
            while self.offset < end and consumer.can_take():
                offset = self.offset
                address, frames, size, at = block.read(at)
                self.offset = self._placed = offset + 1
                self._at = at
                if wanted is not None and not wanted.accepts(stored_message(address, frames, size)):
                    left -= 1
                    left_bytes -= size
                    if not left or left_bytes <= 0:
                        return self.offset < log.safe
                    continue
                if unsettled is not None:
                    unsettled[offset] = None
                if address == self._address:
                    address = self._address
                else:
                    self._address = address
                entry = Entry(_STORED, queue, offset, 0)
                outstanding.add(entry, consumer, now_ms)
                if not consumer.deliver_frames(entry, address, frames, size):
                    entry.replace_message(stored_message(address, frames, size))
                    consumer.deliver(entry)
                    entry.replace_message(_STORED)
        return False

    def _block(self) -> Block:
        """Return the chunk with the next message; the oldest one if the next message was removed."""
        log, key = self._log, self._key
        if self.offset < log.first:
            self.offset = log.first
            key = None
        if key is None or not log.has(key):
            key = log.place(self.offset)
        block = log.block(key)
        while self.offset >= block.first + block.count:
            key = log.following(key, block)
            block = log.block(key)
        self._key = key
        return block
