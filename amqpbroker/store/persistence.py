"""The store of durable queues: operations on their messages are gathered, and written a batch at a time.

Queues call `enqueue`, `settle` and `returned`. At the end of an event loop iteration, `sync` encodes the gathered
operations as batches, mostly one, unless earlier batches are still being written. docs/store-format.md describes the
bytes and files.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import Copy
from amqpbroker.store import record
from amqpbroker.store.batches import Encoder, Writing
from amqpbroker.store.committer import Committer
from amqpbroker.store.compaction import Compaction
from amqpbroker.store.log import Log, StoreError
from amqpbroker.store.message_id_record import IdKeeper
from amqpbroker.store.pending_writes import PendingWrites
from amqpbroker.store.reading import LogReading, Reader
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.relocations import Relocations
from amqpbroker.store.store import DOUBTED, NO_KEEPERS, Holder
from amqpbroker.store.streams.stream_log import StreamLog
from amqpbroker.store.streams.streams import Streams, streams_in_memory
from amqpbroker.store.writer import Writer

logger = logging.getLogger(__name__)

#: Pause of compaction after a part of the log could not be read.
COMPACTION_RETRY_MS: Final = 10_000

#: Most bytes of a batch that may be written while earlier ones are. Larger ones gather more meanwhile.
OVERLAP_BYTES: Final = 65_536


class Persistence(PendingWrites):
    """Gathers operations on stored messages and writes them.

    appended, synced: numbers of gatherings: everything gathered under a number is safe once `synced` has reached it.
    writer: writes and retries; once it has failed, nothing is confirmed any more.
    """

    def __init__(
        self,
        log: Log,
        committer: Committer,
        on_failure: Callable[[Exception], None],
        clock: Clock,
        waits: bool = True,
        bounds: Bounds = BOUNDS,
        streams: Streams | None = None,
        gathers_definitions: bool = False,
    ) -> None:
        """on_failure(error): called when nothing can be written any more.

        waits: an operation counts as safe only once it is written; otherwise at the end of its event loop iteration.
        gathers_definitions: changed definitions are in memory until the committer writes them before a batch.
        bounds: of batches, groups, records, returned copies and compaction. streams: the committer writes them before
        each batch; None for streams in memory.
        """
        super().__init__(bounds.returns)
        self.log = log
        #: Position before which all copies can be read; position -> delivery count, of copies whose record lacks it;
        #: position -> due time, of copies that were delayed.
        self._safe_position: int = 0
        self._counts: dict[int, int] = {}
        self._dues: dict[int, int] = {}
        #: Copies at lower positions may have been delivered before the start without a record.
        self._doubted: int = 0
        self._on_synced: Callable[[], None] = _nothing
        self._clock = clock
        clock.watch()
        self._waits = waits
        self._relocations = Relocations()
        self._reader = Reader(log, self._relocations)
        self.writer = Writer(
            log.name, committer, clock, self._written, self._gathering_written, self.sync, on_failure, log.concurrency
        )
        self._committer = committer
        #: Several batches may be written at the same time.
        self._concurrent: bool = log.concurrency > 1
        #: Callbacks that wait for more data to be safe.
        self._unsafe: list[Callable[[], bool]] = []
        self._compaction = Compaction(log, self._relocations, self._counts, self._dues, bounds.compaction_bytes)
        self._compaction_retry: Timer | None = None
        if streams is None:
            streams = streams_in_memory(bounds.stream_cache_bytes)
        streams.drive(self.count_streamed, self._remove_freed_segments)
        self.streams: Streams = streams
        self._streams_written: bool = True
        self._gathers_definitions: bool = gathers_definitions
        #: Definitions were changed that must be written even if there is no batch.
        self._definitions_due: bool = False
        self._encoder = Encoder(log, self._relocations, self._counts, self._dues, self._compaction, bounds)

    # --- streams ------------------------------------------------------------------------------------------------------

    def open_stream(self, number: int, segment_bytes: int, clock: Clock, bounds: Bounds) -> StreamLog:
        return self.streams.open(number, segment_bytes, clock, bounds)

    def remove_stream(self, stream: StreamLog) -> None:
        self.streams.remove(stream)

    def _remove_freed_segments(self) -> None:
        if not self.writer.has_failed:
            self._committer.remove(self.streams.remove_freed)

    # --- notifications
    # --------------------------------------------------------------------------------------------------

    def watch(self, on_synced: Callable[[], None]) -> None:
        self._on_synced = on_synced

    def watch_disk(self, on_stuck: Callable[[OSError | None], None]) -> None:
        self.writer.watch(on_stuck)

    def is_safe(self, copy: Copy) -> bool:
        return 0 < copy.position < self._safe_position

    def when_safe(self, try_again: Callable[[], bool]) -> None:
        self._unsafe.append(try_again)

    # --- reading back -----------------------------------------------------------------------------------------------

    def load(self, positions: Sequence[int]) -> LogReading:
        return self._reader.start(positions)

    def expect(self, positions: Sequence[int]) -> None:
        self._reader.expect(positions)

    def delivery_count(self, position: int) -> int:
        unknown = DOUBTED if position < self._doubted else -1
        return self._counts.get(position, unknown) if self._counts else unknown

    def count_loaded(self, count: int) -> None:
        self.loaded += count

    # --- writing ----------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        writer = self.writer
        if not self._waits and not writer.has_failed:
            self.synced = self._number
        if not self._is_due or writer.has_failed:
            return
        overlaps = writer.is_busy
        if overlaps and not (self._concurrent and self._may_overlap()):
            return
        try:
            writings = self._batches()
        except Exception as error:
            # The gathered operations are lost, so nothing after them may be confirmed.
            writer.fail(error)
            return
        if writings:
            writer.write(writings)
            if overlaps:
                # Waiters tell the operations of this gathering from those of the next.
                self._on_synced()
            return
        if overlaps:
            unneeded = self._taken.pop()
            self._taken[-1].join(unneeded)
            return
        self._end_taken()
        self._try_again()
        self.tidy()
        self._on_synced()

    def _may_overlap(self) -> bool:
        """Return whether the gathered operations may be written while the writer is busy."""
        return self.writer.has_room and self.waiting_bytes <= OVERLAP_BYTES and self._is_lone_batch()

    def _is_lone_batch(self) -> bool:
        """Return whether a batch of the gathered operations needs nothing else to be written or read before it.

        Segments are freed, and copies moved, while nothing is being written.
        """
        log = self.log
        return (
            not self.streamed
            and not self._definitions_due
            and not log.is_next_alone
            and not log.has_free
            and not self._compaction.is_due()
        )

    def _batches(self) -> list[Writing]:
        """Return the gathered operations as batches; none if all operations have become unnecessary."""
        is_lone = self._concurrent and self._is_lone_batch()
        gathered = self.take()
        self.stored += gathered.copies
        writings = self._encoder.batches(gathered, self._clock.ahead_ms)
        if self.streamed:
            self.streamed = False
            self._streams_written = False
            self.streams.gather()
            writings = writings or [Writing(None, [], 0)]
        if self._definitions_due:
            self._definitions_due = False
            writings = writings or [Writing(None, [], 0)]
        if writings:
            last = writings[-1]
            is_lone = is_lone and len(writings) == 1 and not last.moved
            last.end_gathering(is_lone and last.size_bytes <= OVERLAP_BYTES)
        if self._compaction.failure is not None:
            self._pause_compaction(self._compaction.failure)
        return writings

    def _written(self, writing: Writing) -> None:
        """Handle the end of a batch's write. Operations are confirmed only after the last batch of their gathering."""
        self._safe_position = self.log.durable
        # Only now can a copy be read at its new position; the old one remains readable until `tidy`.
        for copy in writing.moved:
            self._relocations.move(copy.old, copy.new)
        if self._unsafe:
            self._try_again()

    def _try_again(self) -> None:
        """Call the callbacks that wait for more data to be safe."""
        waiting, self._unsafe = self._unsafe, []
        self._unsafe += [try_again for try_again in waiting if not try_again()]

    def _gathering_written(self) -> None:
        """Handle the end of the write of all batches of a gathering."""
        self._end_taken()
        if not self._streams_written:
            self._streams_written = True
            self.streams.written()
        if not (self._concurrent and self.writer.is_busy) and self.log.free():
            self._committer.remove(self.log.remove_freed)
        if self._compaction.is_due():
            self._is_due = True
        if self._is_due or not self._waits:
            self.sync()
        self._on_synced()

    def tidy(self) -> None:
        """Free segments without live entries, and continue compaction. Called only when everything is written."""
        if self.log.free():
            self._committer.remove(self.log.remove_freed)
        if self._compaction.is_due() and not self._is_due:
            self._gather()

    def _pause_compaction(self, error: OSError) -> None:
        """Retry compaction later: a temporarily unreadable part of the log must not stop the broker."""
        if self._compaction_retry is None:
            logger.error(
                "%s: the oldest segment cannot be read for compaction: %s; retrying later",
                self.log.name,
                error,
            )
            self._compaction_retry = self._clock.after(COMPACTION_RETRY_MS, self._resume_compaction)

    def _resume_compaction(self) -> None:
        self._compaction_retry = None
        self._compaction.resume()
        if not self.writer.is_busy and not self.writer.has_failed:
            self.tidy()

    # --- start and end
    # --------------------------------------------------------------------------------------------------

    def restore(
        self,
        found: Recovered,
        holders: Mapping[int, Holder],
        lost: Collection[int] = (),
        keepers: Mapping[int, IdKeeper] = NO_KEEPERS,
    ) -> int:
        self._counts.update(found.returned)
        self._dues.update(found.delayed)
        self._doubted = found.doubted
        self._compaction.doubt(found.doubted)
        self._safe_position = self.log.durable
        try:
            count = self._return_to_holders(found, holders, lost, keepers)
        except (OSError, record.DamagedError) as error:
            raise StoreError(f"{self.log.name}: {error}") from error
        self.tidy()
        return count

    def _return_to_holders(
        self,
        found: Recovered,
        holders: Mapping[int, Holder],
        lost: Collection[int],
        keepers: Mapping[int, IdKeeper],
    ) -> int:
        """Return recovered copies and ids to their holders. Raises OSError, DamagedError."""
        count = 0
        for holder_id, copies in found.copies.items():
            holder = holders.get(holder_id)
            if holder is not None:
                copies.set_lead(self._clock.ahead_ms)
                holder.recover(copies)
                count += len(copies.positions)
            elif holder_id not in lost:
                self.log.living.settle(list(copies.positions))
                for position in copies.positions:
                    self._counts.pop(position, None)
                    self._dues.pop(position, None)
        for holder_id, ids in found.ids.items():
            taken = ids.taken(holder_id)
            keeper = keepers.get(holder_id)
            unneeded = taken if keeper is None else keeper.recover_ids(taken)
            if holder_id in lost:
                continue
            for each in unneeded:
                if keeper is None or each.expires_ms:
                    self.log.living.settle([each.position])
                else:
                    # A later message may have the same sequence, and would be taken for the one that has this id.
                    self.remove_id(each)
        self.streams.remove_others(lost)
        for holder in holders.values():
            holder.recovered()
        return count

    def definitions_changed(self) -> None:
        if not self._gathers_definitions:
            self.writer.definitions_changed()
            return
        self._definitions_due = True
        self.defined = self.appended = self._number
        if not self._is_due:
            self._gather()

    def abandon(self) -> None:
        self.writer.abandon()

    def close(self) -> None:
        if self._compaction_retry is not None:
            self._compaction_retry.cancel()
        try:
            self.writer.close()
            self._taken.clear()
            if not self.writer.has_failed:
                if self._is_due:
                    self.writer.commit(self._batches())
                self._mark_end()
                self.log.free()
                self.log.remove_freed()
                self.streams.remove_freed()
        except (OSError, record.DamagedError) as failure:
            lost = sum([taken.count for taken in self._taken]) + self.take().count
            logger.error("%s: %d operations, not confirmed, are lost", self.log.name, lost)  # noqa: TRY400
            raise StoreError(f"the broker stopped before everything was written: {failure}") from failure
        finally:
            self.take()
            self._unsafe.clear()
            self.streams.close()
            self.log.close()

    def _mark_end(self) -> None:
        """Note in the log that it was closed in order: then the next start knows which messages were delivered."""
        try:
            self.log.end(self._doubted)
        except OSError as error:
            logger.warning("%s: %s; after the next start, all messages count as redelivered", self.log.name, error)


def _nothing() -> None:
    pass
