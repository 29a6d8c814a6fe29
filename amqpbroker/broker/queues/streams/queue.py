"""A stream: messages stay in it when they are delivered, and each consumer reads it from an offset of its own."""

from collections.abc import Iterable, Sequence
from typing import Final

from amqpbroker import errors
from amqpbroker.broker.infos import ConsumerInfo, QueueInfo
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.consumers import StreamConsumers
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.host import Host
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.queues.lines.read_retry import ReadRetry
from amqpbroker.broker.queues.outstanding import Outstanding
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.streams.filter import filter_of
from amqpbroker.broker.queues.streams.offset import Start, start_of
from amqpbroker.broker.queues.streams.reader import StreamReader
from amqpbroker.broker.queues.streams.tracking import StreamTracking, is_tracked
from amqpbroker.message.message import Message
from amqpbroker.store.definitions.definitions import StreamOffsetDefinition
from amqpbroker.store.record import DamagedError
from amqpbroker.store.recovered import Copies
from amqpbroker.store.streams.chunk import stored_message
from amqpbroker.store.streams.stream_log import StreamLog
from amqpbroker.wire.values import Table

#: Memory of a stream without messages.
_STREAM_BYTES: Final = 4600


class StreamQueue(Queue):
    """A stream on this node.

    log: of its messages; it exists from `open_stored` on. published, delivered, acknowledged: numbers of messages.
    """

    def __init__(
        self,
        kind: Kind,
        vhost: Host,
        name: str,
        settings: QueueSettings,
        durable: bool = True,
        auto_delete: bool = False,
        owner: object | None = None,
        arguments: Table | None = None,
    ) -> None:
        super().__init__(kind, name, settings, durable, auto_delete, owner, arguments)
        self.vhost: Host = vhost
        self.published: int = 0
        self.delivered: int = 0
        self.acknowledged: int = 0
        self.outstanding = Outstanding()
        self._opened: StreamLog | None = None
        self._consumers = StreamConsumers(name, vhost.name)
        self._readers: dict[Consumer, StreamReader] = {}
        #: Consumers whose filters have passed over many messages; they go on in the next event loop iteration.
        self._passing: dict[Consumer, None] = {}
        self._read_retry: ReadRetry | None = None
        #: Offset of the last message that a consumer could not read; -1 if none has failed in this attempt.
        self._unread: int = -1
        #: Exists from the first consumer on whose offset is tracked.
        self._tracking: StreamTracking | None = None
        #: Offset of a message that was the oldest one, and when that was stored.
        self._first_known: int = -1
        self._first_written_ms: int = 0

    def open_stored(self) -> None:
        host = self.vhost
        log = host.store.open_stream(self.id, self.segment_bytes, host.clock, host.config.bounds)
        log.watch(self._more_to_read)
        self._opened = log
        # Files that were removed may still be there after a crash.
        self._limit()

    @property
    def log(self) -> StreamLog:
        assert self._opened is not None
        return self._opened

    # --- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> bool:
        self.log.append(message)
        self.published += 1
        return True

    def refuses(self, count: int, size: int) -> bool:
        return self.closed

    # --- reading ------------------------------------------------------------------------------------------------------

    def add_consumer(self, consumer: Consumer, held: Sequence[Entry] = ()) -> None:
        log, host = self.log, self.vhost
        extensions = host.config.compat.extensions
        tracked = extensions and is_tracked(consumer, self.name, host.name)
        start = start_of(consumer.arguments)
        try:
            known = self.tracking().offset_of(consumer.tag) if tracked else None
            # A failure of the machine may have removed the messages before a remembered offset.
            offset = start.offset_in(log, host.clock, extensions) if known is None else min(known, log.next)
        except (OSError, DamagedError) as error:
            raise errors.stream_unreadable(self.name, host.name, str(error)) from error
        if held:
            if self._tracking is not None:
                self._tracking.returned(held)
            # Settling the messages of a cancelled consumer allows deliveries to the next one with its tag.
            self.outstanding.move(held, consumer, counted=False)
        bounds = host.config.bounds
        skips, skipped_bytes = bounds.stream_skips, bounds.stream_read_bytes
        unsettled: dict[int, None] | None = {} if tracked else None
        wanted = filter_of(consumer.arguments)
        reader = StreamReader(consumer, log, offset, wanted, skips, skipped_bytes, unsettled)
        self._readers[consumer] = reader
        self._consumers.add(consumer)
        if unsettled is not None:
            self.tracking().start(consumer, reader, unsettled)
        log.follow(True)
        if host.config.compat.streams_show_consumers:
            host.events.consumer_created(consumer)

    def remove_consumer(self, consumer: Consumer, gives_back: bool = False) -> None:
        if not consumer.registered:
            return
        self._unregister(consumer)
        if self._tracking is not None:
            self._tracking.stop(consumer)
        self.log.follow(bool(self._consumers.all))

    def _unregister(self, consumer: Consumer) -> None:
        del self._readers[consumer]
        self._consumers.remove(consumer)
        self._passing.pop(consumer, None)
        self.vhost.events.consumer_deleted(consumer)

    def offer(self, consumer: Consumer) -> None:
        reader = self._readers.get(consumer)
        if reader is None or consumer in self._passing or reader.offset >= self.log.safe:
            return
        outstanding = self.outstanding
        before = outstanding.count
        try:
            goes_on = reader.deliver(self, outstanding, self.vhost.clock.turn_ms)
        except (OSError, DamagedError) as error:
            goes_on = False
            self._unreadable(reader.offset, error)
        self.delivered += outstanding.count - before
        if self._tracking is not None:
            self._tracking.moved()
        if goes_on:
            if not self._passing:
                self.vhost.clock.after(0, self._go_on)
            self._passing[consumer] = None

    def _go_on(self) -> None:
        """Continue for the consumers whose filters have passed over many messages."""
        passing, self._passing = self._passing, {}
        for consumer in passing:
            self.offer(consumer)

    def _more_to_read(self) -> None:
        for consumer in list(self._consumers.all):
            self.offer(consumer)

    def _unreadable(self, offset: int, error: Exception) -> None:
        self._unread = offset
        if self._read_retry is None:
            self._read_retry = ReadRetry(self.vhost.clock, self.name, self.vhost.name)
        self._read_retry.failed(error, self._read_again)

    def _read_again(self) -> bool:
        """Offer messages to all consumers. Return whether the message that could not be read now can be, or is gone."""
        offset, self._unread = self._unread, -1
        self._more_to_read()
        if self._unread >= 0:
            return False
        # A consumer that waited for the message may have been cancelled, or may take no message now.
        try:
            self.ready_following(offset, 1)
        except UnreadableError:
            return False
        return True

    def get(self, no_ack: bool) -> Entry | None:
        raise errors.stream_refuses("basic.get", self.name, self.vhost.name)

    def purge(self) -> int:
        raise errors.stream_refuses("queue.purge", self.name, self.vhost.name)

    # --- offsets ------------------------------------------------------------------------------------------------------

    def tracking(self) -> StreamTracking:
        """Return the offsets that are remembered for consumers."""
        if self._tracking is None:
            host = self.vhost
            limit = host.config.bounds.stream_offsets
            self._tracking = StreamTracking(host.name, self.name, host.clock, host.definitions, limit)
        return self._tracking

    def stored_offsets(self) -> list[StreamOffsetDefinition]:
        return [] if self._tracking is None else self._tracking.definitions()

    # --- settlement ---------------------------------------------------------------------------------------------------
    #
    # Every way to settle a delivery only allows another one.

    def ack(self, entry: Entry) -> None:
        self.acknowledged += 1
        if self._tracking is not None:
            self._tracking.processed((entry,))
        consumer = self.outstanding.settle(entry)
        if consumer is not None:
            self.offer(consumer)

    def ack_all(self, entries: list[Entry]) -> None:
        self.acknowledged += len(entries)
        if self._tracking is not None:
            self._tracking.processed(entries)
        for consumer in self.outstanding.settle_all(entries):
            self.offer(consumer)

    def reject(self, entries: list[Entry]) -> None:
        if self._tracking is not None:
            self._tracking.processed(entries)
        self._return(entries)

    def requeue(self, entries: list[Entry], failed: bool = True) -> None:
        if self._tracking is not None:
            self._tracking.returned(entries)
        self._return(entries)

    def _return(self, entries: list[Entry]) -> None:
        for consumer in self.outstanding.settle_returned(entries):
            self.offer(consumer)

    # --- observation --------------------------------------------------------------------------------------------------

    @property
    def ready_count(self) -> int:
        return self.log.count if self._opened is not None else 0

    @property
    def unacked_count(self) -> int:
        return 0

    @property
    def newest(self) -> int:
        return self.log.next

    @property
    def consumer_list(self) -> list[Consumer]:
        return self._consumers.all

    @property
    def reported_consumer_count(self) -> int:
        return 0

    def consumer_info(self, consumer: Consumer) -> ConsumerInfo:
        return consumer.info(self.vhost.config.compat.streams_show_consumers, "up")

    def counters(self) -> tuple[int, ...]:
        return (
            self.published - self.letters,
            self.delivered,
            0,
            0,
            0,
            0,
            self.redelivered,
            self.acknowledged,
            0,
            0,  # RabbitMQ counts no disk writes of streams
            self.log.count,
            0,
        )

    def info(self) -> QueueInfo:
        log, sample, compat = self.log, self.sample, self.vhost.config.compat
        count, last = log.count, log.next - 1
        return QueueInfo(
            consumers=len(self._consumers.all),
            consumer_capacity=0.0 if sample is None else sample.capacity,
            messages=count,
            messages_ready=count,
            messages_persistent=count,
            memory=_STREAM_BYTES,
            idle_since=None if sample is None else sample.idle_since,
            segments=log.segment_count,
            stored_bytes=log.size,
            first_timestamp=self._first_ms() if compat.streams_have_timestamps else None,
            first_offset=log.first if compat.extensions else None,
            last_offset=last if compat.extensions and count else None,
            last_chunk=log.last_chunk if compat.extensions and count else None,
            offset_lag=self._lag(),
        )

    def _lag(self) -> int | None:
        end = self.log.next
        return max([max(end - reader.offset, 0) for reader in self._readers.values()], default=None)

    def _first_ms(self) -> int | None:
        """Return when the oldest message was stored; None if there is none, or if it cannot be read now."""
        log = self.log
        if log.first >= log.safe:
            return None
        if log.first != self._first_known:
            try:
                self._first_written_ms = log.first_ms()
            except (OSError, DamagedError):
                return None
            self._first_known = log.first
        return self._first_written_ms

    def ready_following(self, place: int, count: int) -> list[tuple[int, Entry]]:
        """Return up to `count` messages behind a place, which is the offset of the next one.

        Their bodies have at most `Bounds.stream_read_bytes`, except for the last one.
        """
        log, left = self.log, self.vhost.config.bounds.stream_read_bytes
        offset = max(place, log.first)
        found: list[tuple[int, Entry]] = []
        try:
            key = log.place(offset) if offset < log.safe else None
            while key is not None and len(found) < count and offset < log.safe and left > 0:
                block = log.block(key)
                end = block.first + block.count
                at = block.find(offset)
                while offset < end and len(found) < count and left > 0:
                    address, frames, size, at = block.read(at)
                    found.append((offset + 1, Entry(stored_message(address, frames, size), self, offset, 0)))
                    left -= size
                    offset += 1
                if offset < log.safe:
                    key = log.following(key, block)
        except (OSError, DamagedError) as error:
            raise UnreadableError(f"messages of stream '{self.name}' cannot be read: {error}") from error
        return found

    def offset_from(self, start: Start) -> int:
        log = self.log
        try:
            return start.offset_in(log, self.vhost.clock, counts_back=True)
        except (OSError, DamagedError) as error:
            raise UnreadableError(f"messages of stream '{self.name}' cannot be read: {error}") from error

    def ready_entries(self) -> Iterable[Entry]:
        place = 0
        while found := self.ready_following(place, 1000):
            for _, entry in found:
                yield entry
            place = found[-1][0]

    def ready_entry(self, sequence: int) -> Entry | None:
        if not self.log.first <= sequence < self.log.safe:
            return None
        return self.ready_following(sequence, 1)[0][1]

    # --- settings and deletion ----------------------------------------------------------------------------------------

    def apply_settings(self, settings: QueueSettings) -> None:
        before = self.settings
        super().apply_settings(settings)
        if (settings.max_length_bytes, settings.max_age_ms) != (before.max_length_bytes, before.max_age_ms):
            self._limit()

    def declare_again(self, arguments: Table, settings: QueueSettings) -> None:
        super().declare_again(arguments, settings)
        self.log.resize(self.segment_bytes)

    def _limit(self) -> None:
        self.log.limit(self.settings.max_length_bytes, self.settings.max_age_ms)

    def move(self, destination: Queue, count: int, size: int) -> int:
        return 0

    def recover(self, copies: Copies) -> None:
        """Streams have no copies in the journal."""

    def inherit(self, entries: list[Entry], delayed: Sequence[tuple[int, Entry]] = ()) -> None:
        """Streams have no entries: see `inherit_log`."""

    def inherit_log(self, before: "StreamQueue") -> None:
        """Take over the messages of the stream that this one replaces, with their offsets."""
        self.log.inherit(before.log)

    def close(self) -> list[Consumer]:
        self.closed = True
        consumers = list(self._consumers.all)
        for consumer in consumers:
            self._unregister(consumer)
        self.vhost.store.remove_stream(self.log)
        self._stop()
        return consumers

    def discard(self) -> None:
        self.closed = True
        self._stop()

    def _stop(self) -> None:
        self._readers.clear()
        self._passing.clear()
        self.outstanding.discard()
        if self._tracking is not None:
            self._tracking.close()
        if self._read_retry is not None:
            self._read_retry.stop()
        self.incoming.clear()
