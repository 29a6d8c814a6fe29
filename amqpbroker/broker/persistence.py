"""The store of durable queues: what they do to their messages is gathered, and written a batch at a time.

The domain says `enqueue`, `settle` and `returned` as it goes; `sync`, at the end of a loop turn, makes batches of what
was gathered, mostly one, unless some are being written. Bytes and files are the store's business
(docs/store-format.md).
"""

import logging
from array import array
from collections.abc import Callable, Collection, Mapping
from typing import Final

from amqpbroker.broker.batches import Encoder, Writing
from amqpbroker.broker.entry import Entry
from amqpbroker.broker.gathering import Gathering
from amqpbroker.broker.reading import Reader
from amqpbroker.broker.ready import Page, Pager
from amqpbroker.broker.spill import Spill
from amqpbroker.broker.writer import Writer
from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import NOT_STORED, PENDING, Copy
from amqpbroker.store import record
from amqpbroker.store.committer import Committer
from amqpbroker.store.compaction import Compaction
from amqpbroker.store.journal import Journal, StoreError
from amqpbroker.store.moves import Moves
from amqpbroker.store.recovery import Recovered
from amqpbroker.store.store import Holder, Store

log = logging.getLogger(__name__)

#: Pause of compaction after a part of the journal could not be read.
COMPACTION_RETRY_MS: Final = 10_000


class Persistence(Store):
    """Gathers operations on stored messages and has them written.

    appended, synced: numbers of gatherings: everything gathered under a number is safe once `synced` has reached it.
    safe_position: what is stored before it is synced. counts: position -> delivery count of copies that were delivered
    before. on_gathered(): called when there is something to write, after there was nothing; `sync` is to follow soon.
    on_synced(): called when `synced` has grown. writer: writes, and tries again; once it has failed, nothing is
    confirmed any more. reader: reads stored messages back. unsafe_pages: those that wait for their copies to be safe.
    spill: where copies go that are not stored, when memory is short; None for nowhere.
    """

    def __init__(
        self,
        journal: Journal,
        committer: Committer,
        on_failure: Callable[[Exception], None],
        clock: Clock,
        waits: bool = True,
        bounds: Bounds = BOUNDS,
    ) -> None:
        """on_failure(error): called when nothing can be written any more.

        waits: an operation counts as safe only once it is written; otherwise at the end of its event loop iteration.
        bounds: of batches, groups, records and returned copies.
        """
        self.journal = journal
        self.safe_position: int = 0
        self.counts: dict[int, int] = {}
        self.on_gathered: Callable[[], None] = _nothing
        self.on_synced: Callable[[], None] = _nothing
        self._clock = clock
        self._waits = waits
        self._moves = Moves()
        self.reader = Reader(journal, self._moves)
        self.writer = Writer(
            journal.directory, committer, clock, self._written, self._all_written, self.sync, on_failure
        )
        self._committer = committer
        self.unsafe_pages: list[tuple[Pager, Page]] = []
        self.spill: Spill | None = None
        self._compaction = Compaction(journal, self._moves, self.counts)
        self._compaction_retry: Timer | None = None
        self._encoder = Encoder(journal, self._moves, self.counts, self._compaction, bounds)
        self._returns: int = bounds.returns
        self._gathering = Gathering(bounds.returns)
        self._number: int = 1
        #: Whether there is something to write that is not under way; how many operations are.
        self._is_due: bool = False
        self._under_way: int = 0
        #: Bytes of answers that wait for the gathered operations, and for the operations being written.
        self._answers: int = 0
        self._answers_under_way: int = 0

    # --- what the domain says ---------------------------------------------------------------------------------------

    def enqueue(self, entry: Copy) -> None:
        """A copy is to be stored. Copies of one message that are enqueued one after the other are one group."""
        self._gathering.enter(entry)
        self.appended = self._number
        if not self._is_due:
            self._gather()

    def settle(self, entry: Copy) -> None:
        """A copy lives no more. One that was not written yet never will be."""
        if entry.position > 0:
            self._gathering.settle(entry.position)
            self.appended = self._number
            if not self._is_due:
                self._gather()
        elif entry.position < PENDING:
            self._gathering.replace(entry.position)
        entry.position = NOT_STORED

    def settle_positions(self, positions: "array[int]") -> None:
        """`settle` for many copies that are not in memory."""
        self._gathering.settle_all(positions)
        self.appended = self._number
        if not self._is_due:
            self._gather()

    def returned(self, entry: Entry) -> None:
        """A stored copy was delivered or came back: from then on it is redelivered, `delivery_count` times."""
        self._gathering.returned(entry)
        if not self._is_due:
            self._gather()

    def begin(self) -> None:
        """What follows, up to the matching `end`, takes effect as a whole or not at all."""
        self._gathering.begin()

    def end(self) -> None:
        self._gathering.end()

    @property
    def waiting_bytes(self) -> int:
        return self._gathering.waiting_bytes + self._answers + self._answers_under_way

    def count_answer(self, size: int) -> None:
        if self._is_due:
            self._answers += size
        elif self.appended > self.synced:
            self._answers_under_way += size

    def _gather(self) -> None:
        self._is_due = True
        self.on_gathered()

    # --- writing ----------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        writer = self.writer
        if not self._waits and not writer.has_failed:
            self.synced = self._number
        if not self._is_due or writer.is_busy or writer.has_failed:
            return
        try:
            writings = self._take()
        except Exception as error:
            # What was gathered is neither written nor to be gathered again, so nothing after it may be confirmed.
            writer.fail(error)
            return
        if writings:
            writer.write(writings)
            return
        self._under_way = 0
        self._answers_under_way = 0
        self.synced = self._number - 1
        self._let_pages_go()
        self.tidy()
        self.on_synced()

    def _take(self) -> list[Writing]:
        """What was gathered, to be written, if there is anything of it left to say."""
        gathering, self._gathering = self._gathering, Gathering(self._returns)
        self._is_due = False
        self._answers_under_way, self._answers = self._answers, 0
        self._under_way = len(gathering)
        self.stored += gathering.copies
        writings = self._encoder.batches(gathering)
        if self._compaction.failure is not None:
            self._pause_compaction(self._compaction.failure)
        self._number += 1
        return writings

    def _written(self, writing: Writing) -> None:
        """A batch is safe. Before the last, what was gathered is so in part, and nothing of it is confirmed."""
        self.safe_position = writing.end
        # Only from now on can a copy be read at its new place; the old one is there until `tidy`.
        for copy in writing.moved:
            self._moves.move(copy.old, copy.new)
        self._let_pages_go()

    def _let_pages_go(self) -> None:
        """Drop pages from memory that are safe now, or of which nothing is stored any more."""
        waiting, self.unsafe_pages = self.unsafe_pages, []
        self.unsafe_pages += [(pager, page) for pager, page in waiting if not pager.let_go(page)]

    def _all_written(self) -> None:
        """All is safe that was under way."""
        self._under_way = 0
        self.synced = self._number - 1
        self._answers_under_way = 0
        self._free()
        if self._compaction.is_due():
            self._is_due = True
        self.sync()
        self.on_synced()

    def tidy(self) -> None:
        """Give back the space that nothing lives in, now or soon. Only when everything is written."""
        self._free()
        if self._compaction.is_due() and not self._is_due:
            self._gather()

    def _pause_compaction(self, error: OSError) -> None:
        """Retry compaction later: a temporarily unreadable part of the journal must not stop the broker."""
        if self._compaction_retry is None:
            log.error(
                "%s: the oldest segment cannot be read to be tidied: %s; it is tried again",
                self.journal.directory,
                error,
            )
            self._compaction_retry = self._clock.after(COMPACTION_RETRY_MS, self._resume_compaction)

    def _resume_compaction(self) -> None:
        self._compaction_retry = None
        self._compaction.failure = None
        if not self.writer.is_busy and not self.writer.has_failed:
            self.tidy()

    def _free(self) -> None:
        if self.journal.free():
            self._committer.remove_freed()

    def is_safe(self, entry: Copy) -> bool:
        """Whether the copy can be read back, whatever happens."""
        return 0 < entry.position < self.safe_position

    def close(self) -> None:
        """Write what is gathered, and end.

        Raises StoreError if that failed; the log says how much was lost. Nothing of it was confirmed.
        """
        if self._compaction_retry is not None:
            self._compaction_retry.cancel()
        try:
            self.writer.close()
            if not self.writer.has_failed:
                if self._is_due:
                    self.writer.commit(self._take())
                self.journal.free()
                self.journal.remove_freed()
        except (OSError, record.DamagedError) as failure:
            lost = self._under_way + len(self._gathering)
            log.error("%s: %d operations, not confirmed, are lost", self.journal.directory, lost)  # noqa: TRY400
            raise StoreError(f"the broker ended without writing everything: {failure}") from failure
        finally:
            self._gathering = Gathering()
            self.unsafe_pages.clear()
            self.journal.close()


def _nothing() -> None:
    pass


def restore_messages(
    log: Persistence, found: Recovered, holders: Mapping[int, Holder], lost: Collection[int] = ()
) -> int:
    """Give recovered copies back to their holders, which are there already, by their ids; returns how many.

    Copies of holders that are gone are dropped; those of holders in `lost`, which are but could not be restored, are
    kept. Raises OSError, DamagedError.
    """
    count = 0
    log.counts.update(found.returned)
    log.safe_position = log.journal.next_position()
    for holder_id, copies in found.copies.items():
        holder = holders.get(holder_id)
        if holder is not None:
            holder.recover(copies)
            count += len(copies.positions)
        elif holder_id not in lost:
            log.journal.living.settle(list(copies.positions))
    for holder in holders.values():
        holder.recovered()
    log.tidy()
    return count
