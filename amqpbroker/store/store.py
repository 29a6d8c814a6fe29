"""The store seam: the interface between the domain and the storage of messages.

A position is opaque and grows: everything up to `synced` survives a crash. The domain appends operations during an
event loop iteration and calls `sync` once at its end. A confirm waits until `synced` has reached the value that
`appended` had when the confirm became due.
"""

from abc import ABCMeta, abstractmethod
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from amqpbroker.clock import Clock
from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import Copy, Message
from amqpbroker.store.message_id_record import IdKeeper, MessageIdRecord
from amqpbroker.store.recovered import Copies, Recovered
from amqpbroker.store.streams.stream_log import StreamLog
from amqpbroker.store.streams.streams import Streams, streams_in_memory

#: Delivery count of a copy that may have been delivered: the store was not closed in order after it was stored.
DOUBTED: Final = -2
NO_KEEPERS: Final[Mapping[int, IdKeeper]] = MappingProxyType({})


class Holder(Protocol):
    """A durable queue, or a durable exchange that delays messages.

    id: its id in the journal, 0 if it stores nothing.
    """

    id: int

    def recover(self, copies: Copies) -> None:
        """Add its stored copies, before any other call."""

    def recovered(self) -> None:
        """Act on overdue copies, now that all holders have their copies."""

    def discard(self) -> None:
        """Drop all copies from memory, without changing the store, after the broker has ended."""


class Reading(metaclass=ABCMeta):
    """One pass of reading stored messages. deadline_ms: of the copy that was read last."""

    deadline_ms: int = 0

    @abstractmethod
    def message(self, position: int) -> Message:
        """Return the message of the copy at `position`. Raises OSError, DamagedError."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Store(metaclass=ABCMeta):
    """Storage of copies of messages. Queues and exchanges that are not durable use one that stores nothing.

    keeps: whether an enqueued copy has a position other than 0 until it is settled, and outlives the process; otherwise
    no copy ever has a position. appended, synced: read once in an event loop iteration, for publisher confirms.
    defined: once `synced` has reached it, all changes of definitions so far outlive the process.
    waiting_bytes: memory of operations before their write begins and of answers before their sync, in bytes
    (estimated); while it is above 0, `synced` is going to grow, and if it is large, clients that add to it have to
    wait. stored, loaded: number of copies written, and of copies read back. Only the store itself writes these
    attributes.
    """

    keeps: bool = False
    appended: int = 0
    synced: int = 0
    defined: int = 0
    waiting_bytes: int = 0
    stored: int = 0
    loaded: int = 0

    # --- copies -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def enqueue(self, copy: Copy) -> None:
        """Store a copy. Consecutive copies of one message form a group."""

    @abstractmethod
    def settle(self, copy: Copy) -> None:
        """Record the end of a copy. If it was not written yet, it never will be."""

    @abstractmethod
    def settle_positions(self, positions: "array[int]") -> None:
        """Settle many copies that are not in memory."""

    @abstractmethod
    def returned(self, copy: Copy) -> None:
        """Record that a stored copy was delivered or returned: after a restart it is redelivered, with its
        `delivery_count`.

        Not needed for the first delivery of a copy whose position is still below 0: the copy is written with its
        `delivered_ms`.
        """

    @abstractmethod
    def delayed(self, copy: Copy, due_ms: int) -> None:
        """Record that a stored copy is not ready before `due_ms`, in milliseconds since the epoch of the wall clock.

        After a restart its holder gets the due time of the last call (`Copies.dues_ms`), also if it has passed. 0 ends
        the delay. The copy may be one that was never delivered; a caller that enqueues and delays a copy does both
        within a group, so that the delay is stored with it. A delay needs no confirm.
        """

    @abstractmethod
    def add_id(self, taken: MessageIdRecord) -> None:
        """Store the id of an accepted message, in one group with that message."""

    @abstractmethod
    def remove_id(self, taken: MessageIdRecord) -> None:
        """Record that an id is free again, if it is stored."""

    def remove_ids(self, ids: list[MessageIdRecord]) -> None:
        """Record that several ids are free again."""
        for taken in ids:
            self.remove_id(taken)

    @abstractmethod
    def begin(self) -> None:
        """Begin a group: the operations up to the matching `end` take effect as a whole or not at all."""

    @abstractmethod
    def end(self) -> None:
        """End the group of the matching `begin`."""

    # --- streams ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def open_stream(self, number: int, segment_bytes: int, clock: Clock, bounds: Bounds) -> StreamLog:
        """Return the log of the stream with that id, with its stored messages. Raises StoreError.

        segment_bytes: size of a segment. clock: for the times of messages. bounds: of chunks and of the index.
        """

    @abstractmethod
    def remove_stream(self, stream: StreamLog) -> None:
        """Delete a stream with its messages."""

    # --- safety -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def sync(self) -> None:
        """Make everything appended so far safe, now or soon; `synced` shows the progress."""

    @abstractmethod
    def watch(self, on_synced: Callable[[], None]) -> None:
        """Call `on_synced` whenever written operations have become safe. There is only one watcher."""

    @abstractmethod
    def is_safe(self, copy: Copy) -> bool:
        """Return whether the copy can be read back, whatever happens."""

    @abstractmethod
    def when_safe(self, try_again: Callable[[], bool]) -> None:
        """Call `try_again` each time that more data has become safe, until it returns True."""

    @abstractmethod
    def count_answer(self, size: int) -> None:
        """Count an answer of `size` bytes that waits until everything appended so far is synced."""

    # --- reading back -----------------------------------------------------------------------------------------------

    @abstractmethod
    def load(self, positions: Sequence[int]) -> Reading:
        """Start a pass over these copies, which may be none.

        In ascending order each part of the disk is read only once.
        """

    @abstractmethod
    def expect(self, positions: Sequence[int]) -> None:
        """Announce that the messages of these copies will be read soon, in this order."""

    @abstractmethod
    def delivery_count(self, position: int) -> int:
        """Return the number of known deliveries of the copy at `position`; -1 if it was never delivered.

        DOUBTED if it may have been delivered before the start.
        """

    @abstractmethod
    def count_loaded(self, count: int) -> None:
        """Count copies that were read back into a queue."""

    # --- start and end
    # --------------------------------------------------------------------------------------------------

    @abstractmethod
    def drive(self, on_gathered: Callable[[], None]) -> None:
        """Call `on_gathered` when there is something to write after there was nothing; `sync` must follow."""

    @abstractmethod
    def restore(
        self,
        found: Recovered,
        holders: Mapping[int, Holder],
        lost: Collection[int] = (),
        keepers: Mapping[int, IdKeeper] = NO_KEEPERS,
    ) -> int:
        """Return recovered copies to their holders, which exist already, by their ids; return the number of copies.

        Copies of deleted holders are dropped. Copies of holders in `lost`, which exist but could not be restored, are
        kept. keepers: the same for ids of accepted messages. Raises StoreError.
        """

    @abstractmethod
    def definitions_changed(self) -> None:
        """Sync changed definitions, with the next batch or soon without one.

        Where they outlive the process only then, `defined` grows.
        """

    @abstractmethod
    def watch_disk(self, on_stuck: Callable[[OSError | None], None]) -> None:
        """Call `on_stuck` with an error when the disk temporarily refuses writes, and with None when it accepts them
        again.

        There is only one watcher.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Write and remove nothing from now on: what is stored is removed as a whole, or another broker continues it.

        A batch that is being written may still become durable.
        """

    @abstractmethod
    def close(self) -> None:
        """Write everything that is not written yet, and end.

        Raises StoreError if that failed; the log has the number of lost operations, none of which was confirmed.
        """


class _NoReading(Reading):
    def message(self, position: int) -> Message:
        raise LookupError(f"no message is stored at position {position}: this store holds no messages")


@mypyc_attr(allow_interpreted_subclasses=True)
class MemoryStore(Store):
    """Stores nothing beyond the process: every operation counts as safe immediately."""

    def __init__(self) -> None:
        #: None until the first stream is opened.
        self._streams: Streams | None = None
        self._on_gathered: Callable[[], None] = _nothing

    def enqueue(self, copy: Copy) -> None:
        pass

    def settle(self, copy: Copy) -> None:
        pass

    def settle_positions(self, positions: "array[int]") -> None:
        pass

    def returned(self, copy: Copy) -> None:
        pass

    def delayed(self, copy: Copy, due_ms: int) -> None:
        pass

    def add_id(self, taken: MessageIdRecord) -> None:
        pass

    def remove_id(self, taken: MessageIdRecord) -> None:
        pass

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    def open_stream(self, number: int, segment_bytes: int, clock: Clock, bounds: Bounds) -> StreamLog:
        if self._streams is None:
            self._streams = streams_in_memory(bounds.stream_cache_bytes)
            self._streams.drive(self._gather, self._streams.remove_freed)
        return self._streams.open(number, segment_bytes, clock, bounds)

    def remove_stream(self, stream: StreamLog) -> None:
        assert self._streams is not None
        self._streams.remove(stream)

    def _gather(self, size: int) -> None:
        self._on_gathered()

    def sync(self) -> None:
        self.synced = self.appended
        if self._streams is not None and self._streams.gather():
            self._streams.write()
            self._streams.written()

    def watch(self, on_synced: Callable[[], None]) -> None:
        pass

    def is_safe(self, copy: Copy) -> bool:
        return False

    def when_safe(self, try_again: Callable[[], bool]) -> None:
        pass

    def count_answer(self, size: int) -> None:
        pass

    def load(self, positions: Sequence[int]) -> Reading:
        return _NoReading()

    def expect(self, positions: Sequence[int]) -> None:
        pass

    def delivery_count(self, position: int) -> int:
        return -1

    def count_loaded(self, count: int) -> None:
        pass

    def drive(self, on_gathered: Callable[[], None]) -> None:
        self._on_gathered = on_gathered

    def restore(
        self,
        found: Recovered,
        holders: Mapping[int, Holder],
        lost: Collection[int] = (),
        keepers: Mapping[int, IdKeeper] = NO_KEEPERS,
    ) -> int:
        return 0

    def definitions_changed(self) -> None:
        pass

    def watch_disk(self, on_stuck: Callable[[OSError | None], None]) -> None:
        pass

    def abandon(self) -> None:
        pass

    def close(self) -> None:
        if self._streams is not None:
            self._streams.close()


def _nothing() -> None:
    pass


#: The store of queues and exchanges that are not durable.
UNSTORED: Final = MemoryStore()
