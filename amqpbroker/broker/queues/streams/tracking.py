"""Offsets that the broker remembers for the consumers of one stream (x-stream-automatic-offset-tracking).

An offset is remembered under the consumer tag: it is the lowest one that the consumer which was started last with the
tag has not processed.
"""

import logging
import re
from collections.abc import Iterable
from typing import Final, final

from amqpbroker import errors
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.streams.reader import StreamReader
from amqpbroker.clock import Clock, Timer
from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import Definition, Definitions, StreamOffsetDefinition
from amqpbroker.wire.erlang import erlang_string

log = logging.getLogger(__name__)

AUTOMATIC_TRACKING: Final = "x-stream-automatic-offset-tracking"

#: Tags that the broker generates, and those of pika and aio-pika.
_GENERATED: Final = re.compile(r"amq\.ctag-.*|ctag\d+\.[0-9a-f]{32}", re.DOTALL)

#: Interval at which changed offsets are stored.
STORE_MS: Final = 1000


def is_tracked(consumer: Consumer, stream: str, vhost: str) -> bool:
    """Return whether the consumer wants its offset to be remembered.

    Raises AmqpError 406 if its tag is a generated one, which no later consumer would have.
    """
    given = consumer.arguments.get(AUTOMATIC_TRACKING)
    if given is None or not given.value:
        return False
    if _GENERATED.fullmatch(consumer.tag):
        problem = erlang_string("the offset is remembered under the consumer tag: consume with a tag of your own")
        raise errors.invalid_queue_argument(AUTOMATIC_TRACKING, stream, vhost, problem)
    return True


@final
class TrackedConsumer:
    """Progress of one consumer.

    unsettled: offsets that are delivered and not settled, in their order; the reader adds to it.
    """

    def __init__(self, consumer: Consumer, reader: StreamReader, unsettled: dict[int, None]) -> None:
        self.consumer: Consumer = consumer
        self.unsettled: dict[int, None] = unsettled
        self._reader: StreamReader = reader
        self._returned: int = -1

    @property
    def waits_for_offset(self) -> bool:
        """Return whether the consumer waits for an offset beyond the end, and has got nothing yet."""
        return self._reader.is_beyond

    def processed(self, offset: int) -> None:
        self.unsettled.pop(offset, None)

    def returned(self, offset: int) -> None:
        """Note that the consumer has not processed a message, so that the next one reads it again."""
        if offset in self.unsettled:
            del self.unsettled[offset]
            if self._returned < 0 or offset < self._returned:
                self._returned = offset

    def offset(self) -> int:
        """Return the lowest offset that is not processed."""
        offset = next(iter(self.unsettled), self._reader.offset)
        return offset if self._returned < 0 else min(offset, self._returned)


@final
class StreamTracking:
    """The remembered offsets of one stream, and the progress of the consumers that change them.

    limit: maximum number of remembered offsets. Beyond it, the offset that has not changed for the longest time is
    forgotten, except those of running consumers.
    """

    def __init__(self, vhost: str, stream: str, clock: Clock, definitions: Definitions, limit: int) -> None:
        self._vhost: str = vhost
        self._stream: str = stream
        self._clock: Clock = clock
        self._definitions: Definitions = definitions
        self._limit: int = limit
        #: By consumer tag, in the order of their changes.
        self._offsets: dict[str, StreamOffsetDefinition] = {}
        self._consumers: dict[str, TrackedConsumer] = {}
        #: Changes to store.
        self._changed: dict[str, StreamOffsetDefinition] = {}
        self._forgotten: dict[str, StreamOffsetDefinition] = {}
        self._timer: Timer | None = None
        self._failed: bool = False
        self._closed: bool = False

    # --- consumers ----------------------------------------------------------------------------------------------------

    def offset_of(self, tag: str) -> int | None:
        """Return the offset at which the next consumer with the tag begins, or None if no offset is remembered."""
        tracked = self._consumers.get(tag)
        if tracked is not None and not tracked.waits_for_offset:
            return tracked.offset()
        stored = self._offsets.get(tag)
        return None if stored is None else stored.offset

    def start(self, consumer: Consumer, reader: StreamReader, unsettled: dict[int, None]) -> None:
        """Store the offset of a consumer that begins now, before it gets messages.

        From now on, earlier consumers with its tag change nothing.
        """
        self._consumers[consumer.tag] = TrackedConsumer(consumer, reader, unsettled)
        self._collect(consumer.tag)
        self._limit_count()
        if consumer.tag in self._changed:
            # After a crash, the next consumer would begin elsewhere, and miss messages.
            self.store()
        self.moved()

    def stop(self, consumer: Consumer) -> None:
        """Store the offset of a consumer that is cancelled. It may still settle messages."""
        if self._tracked(consumer) is not None:
            # Its offset changed last, and counts for the limit from now on.
            self._collect(consumer.tag)
            self._limit_count()
            self.store()

    def moved(self) -> None:
        """Note that the offsets of consumers may have changed; they are stored soon."""
        if self._consumers:
            self._store_later()

    def processed(self, entries: Iterable[Entry]) -> None:
        """Note that consumers have processed messages. Called before the entries are removed from the consumers."""
        for entry in entries:
            tracked = self._tracked(entry.consumer)
            if tracked is not None:
                tracked.processed(entry.sequence)
                self._settled(tracked)

    def returned(self, entries: Iterable[Entry]) -> None:
        """Note that consumers have not processed messages, in the same way."""
        for entry in entries:
            tracked = self._tracked(entry.consumer)
            if tracked is not None:
                tracked.returned(entry.sequence)
                self._settled(tracked)

    def _settled(self, tracked: TrackedConsumer) -> None:
        self.moved()
        if not (tracked.unsettled or tracked.consumer.registered):
            self._collect(tracked.consumer.tag)

    def _tracked(self, consumer: Consumer | None) -> TrackedConsumer | None:
        if consumer is None:
            return None
        tracked = self._consumers.get(consumer.tag)
        return tracked if tracked is not None and tracked.consumer is consumer else None

    # --- remembered offsets -------------------------------------------------------------------------------------------

    def all(self) -> list[StreamOffsetDefinition]:
        """Return the remembered offsets, those that changed last at the end."""
        self._collect_all()
        return list(self._offsets.values())

    def is_running(self, tag: str) -> bool:
        """Return whether a consumer changes the offset of the tag."""
        tracked = self._consumers.get(tag)
        return tracked is not None and tracked.consumer.registered

    def remove(self, tag: str) -> bool:
        """Remove the offset of a tag; return False if there is none. Raises AmqpError 506."""
        stored = self._offsets.get(tag)
        if stored is None:
            return False
        self._definitions.remove(stored)
        self._discard(tag)
        self._forgotten.pop(tag, None)
        return True

    def restore(self, stored: StreamOffsetDefinition) -> None:
        """Remember a stored offset."""
        self._offsets[stored.consumer] = stored
        self._limit_count()

    def definitions(self) -> list[StreamOffsetDefinition]:
        """Return all definitions that may be stored."""
        return [*self._offsets.values(), *self._forgotten.values()]

    def _collect_all(self) -> None:
        for tag in list(self._consumers):
            self._collect(tag)

    def _collect(self, tag: str) -> None:
        """Remember how far the consumer is."""
        tracked = self._consumers[tag]
        offset = tracked.offset()
        known = self._offsets.get(tag)
        if (known is None or known.offset != offset) and not tracked.waits_for_offset:
            # The last one in the order of changes.
            self._offsets.pop(tag, None)
            changed = StreamOffsetDefinition(self._vhost, self._stream, tag, offset, self._clock.wall_ms())
            self._offsets[tag] = self._changed[tag] = changed
            self._forgotten.pop(tag, None)
        if not (tracked.consumer.registered or tracked.unsettled):
            # It changes nothing any more.
            del self._consumers[tag]

    def _limit_count(self) -> None:
        while len(self._offsets) > self._limit:
            oldest = next((tag for tag in self._offsets if not self.is_running(tag)), None)
            if oldest is None:
                return
            self._forgotten[oldest] = self._offsets[oldest]
            self._discard(oldest)
            self._store_later()

    def _discard(self, tag: str) -> None:
        del self._offsets[tag]
        self._changed.pop(tag, None)
        self._consumers.pop(tag, None)

    # --- storage ------------------------------------------------------------------------------------------------------

    def store(self) -> None:
        """Store the changed offsets. If that fails, it is logged and tried again later."""
        self._collect_all()
        changed: list[Definition] = list(self._changed.values())
        forgotten: list[Definition] = list(self._forgotten.values())
        if not (changed or forgotten):
            return
        try:
            with self._definitions.transaction():
                if changed:
                    self._definitions.put(*changed)
                if forgotten:
                    self._definitions.remove(*forgotten)
        except AmqpError as error:
            if not self._failed:
                log.error(  # noqa: TRY400 - no bug of ours
                    "stream '%s' in vhost '%s': the offsets of consumers cannot be stored, and this is tried again: %s",
                    self._stream,
                    self._vhost,
                    error,
                )
            self._failed = True
            self._store_later()
            return
        self._changed.clear()
        self._forgotten.clear()
        if self._failed:
            self._failed = False
            log.warning(
                "stream '%s' in vhost '%s': the offsets of consumers are stored again", self._stream, self._vhost
            )

    def _store_later(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = self._clock.after(STORE_MS, self._due)

    def _due(self) -> None:
        self._timer = None
        self.store()

    def close(self) -> None:
        """Discard everything from memory."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._offsets.clear()
        self._consumers.clear()
        self._changed.clear()
        self._forgotten.clear()
