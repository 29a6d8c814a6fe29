"""What the queues do to stored messages, gathered and written a batch at a time.

The domain says `enqueue`, `settle` and `returned` as it goes; `sync`, at the end of a loop turn, makes batches of what
was gathered, mostly one, unless some are being written. Bytes and files are the store's business
(docs/store-format.md).
"""

import logging
from array import array
from collections import deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

from amqpbroker.broker.holder import Copy, Holder
from amqpbroker.broker.message import Entry, Message
from amqpbroker.broker.reading import Reader
from amqpbroker.broker.ready import Page, Pager
from amqpbroker.broker.spill import Spill
from amqpbroker.broker.stored import content_of, frames_of, record_flags
from amqpbroker.clock import Clock, Timer
from amqpbroker.store import record
from amqpbroker.store.committer import Committer
from amqpbroker.store.compaction import Compaction, Moved
from amqpbroker.store.groups import Groups
from amqpbroker.store.journal import Batch, Journal, StoreError, UnwrittenError
from amqpbroker.store.moves import Moves
from amqpbroker.store.position import OFFSET_BITS
from amqpbroker.store.recovery import Recovered
from amqpbroker.store.store import Store

log = logging.getLogger(__name__)

#: How long a batch waits that the disk did not take.
RETRY_MS: Final = 1000
#: How long changed definitions wait for a batch, to be synced with it.
DEFINITIONS_MS: Final = 100

#: `Entry.position` of a copy that is to be written soon, and of one that is not stored at all. Lower than PENDING: it
#: is to be written with a group, and that says with which.
PENDING: Final = -1
NOT_STORED: Final = 0

#: A batch that has so many octets takes no further group.
BATCH_BYTES: Final = 64 * 1024 * 1024
#: The most octets of a group, unless a single record has more. So the last batch of a segment, however long it is,
#: begins and ends within what a position can say.
GROUP_BYTES: Final = 1 << 30

#: What a copy takes in memory before it is written, besides its content; a group takes about as much.
_COPY_OCTETS: Final = 256
#: What it takes in memory to remember that a copy came back within a group; and how many that came back by themselves
#: are remembered before it is seen to that none of them is twice.
_RETURNED_OCTETS: Final = 8
_FOLD: Final = 20_000
#: The most entries of one publish record, whose index is 16 bits wide.
_MAX_ENTRIES: Final = 60_000
#: The most positions of one settle or return record.
_MAX_POSITIONS: Final = 100_000
#: Where the entry is in a group that is one message in one queue.
_LONE_ENTRY: Final = record.GROUP_OCTETS + record.PUBLISH_OCTETS


class Group:
    """Operations that take effect together.

    swept: positions that are settled and were never in memory as objects. joined: the group that has all this now.
    """

    __slots__ = ("entered", "joined", "returned", "settled", "swept")

    def __init__(self) -> None:
        self.joined: Group | None = None
        self.entered: list[Copy] = []
        self.settled: list[int] = []
        self.swept: list[array[int]] = []
        self.returned: list[Entry] = []

    def __len__(self) -> int:
        return len(self.entered) + len(self.settled) + len(self.returned) + sum([len(part) for part in self.swept])

    def join(self, other: "Group") -> "Group":
        """Be one with it; returns which of the two that is."""
        few, many = (self, other) if len(self) < len(other) else (other, self)
        many.entered += few.entered
        many.settled += few.settled
        many.swept += few.swept
        many.returned += few.returned
        few.entered, few.settled, few.swept, few.returned = [], [], [], []
        few.joined = many
        return many


_EMPTY: Final = Group()


class Persistence(Store):
    """Gathers operations on stored messages and has them written.

    appended, synced: numbers of gatherings: everything gathered under a number is safe once `synced` has reached it.
    safe_position: what is stored before it is synced. counts: position -> delivery count of copies that were delivered
    before. on_gathered(): called when there is something to write, after there was nothing;
    `sync` is to follow soon. on_synced(): called when `synced` has grown. on_stuck(error): called when the disk has not
    taken a batch, which is tried again every second while what follows is gathered; on_stuck(None): called when it has.
    on_failure(error): called when anything else has failed; nothing is confirmed from then on. reader: reads stored
    messages back. unsafe_pages: those that wait for their copies to be safe. spill: where copies go that are not
    stored, when memory is short; None for nowhere.
    """

    def __init__(
        self,
        journal: Journal,
        committer: Committer,
        on_failure: Callable[[Exception], None],
        clock: Clock,
        waits: bool = True,
        batch_bytes: int = BATCH_BYTES,
        group_bytes: int = GROUP_BYTES,
    ) -> None:
        """waits: nothing counts as safe before it is written; else everything does at the end of its turn.

        What is gathered is written in several batches if it has more than batch_bytes. A group of more than group_bytes
        is several as well: of these, the machine's end can leave the first alone.
        """
        self.journal = journal
        self.safe_position: int = 0
        self.counts: dict[int, int] = {}
        self.on_gathered: Callable[[], None] = _nothing
        self.on_synced: Callable[[], None] = _nothing
        self.on_stuck: Callable[[OSError | None], None] = _ignore
        self._clock = clock
        self._committer = committer
        self._on_failure = on_failure
        self._waits = waits
        self._moves = Moves()
        self.reader = Reader(journal, self._moves)
        self.unsafe_pages: list[tuple[Pager, Page]] = []
        self.spill: Spill | None = None
        self._compaction = Compaction(journal, self._moves, self.counts)
        self._number: int = 1
        self._gathering: bool = False
        #: What was gathered last, in batches: the first is under way.
        self._writings: deque[_Writing] = deque()
        self._batch_bytes: int = batch_bytes
        self._group_bytes: int = group_bytes
        self._retry: Timer | None = None
        self._definitions: Timer | None = None
        self._syncing: bool = False
        self._failed: bool = False
        self._closed: bool = False
        self._loose = Group()
        self._groups: list[Group] = []
        self._open: Group = self._loose
        self._folds_at: int = _FOLD
        self._pending: int = PENDING
        self._depth: int = 0

    # --- what the domain says ---------------------------------------------------------------------------------------

    def enqueue(self, entry: Copy) -> None:
        """A copy is to be stored. Copies of one message that are enqueued one after the other are one group."""
        entry.position = self._pending
        self._open.entered.append(entry)
        self.waiting_octets += entry.message.size + _COPY_OCTETS
        self.appended = self._number
        if not self._gathering:
            self._gather()

    def settle(self, entry: Copy) -> None:
        """A copy lives no more. One that was not written yet never will be."""
        if entry.position > 0:
            self._open.settled.append(entry.position)
            self.appended = self._number
            if not self._gathering:
                self._gather()
        elif entry.position < PENDING and self._depth:
            self._join(PENDING - 1 - entry.position)
        entry.position = NOT_STORED

    def settle_positions(self, positions: "array[int]") -> None:
        """`settle` for many copies that are not in memory."""
        self._open.swept.append(positions)
        self.appended = self._number
        if not self._gathering:
            self._gather()

    def returned(self, entry: Entry) -> None:
        """A stored copy was delivered or came back: from then on it is redelivered, `delivery_count` times."""
        self._open.returned.append(entry)
        if self._depth:
            self.waiting_octets += _RETURNED_OCTETS
        elif len(self._loose.returned) >= self._folds_at:
            self._fold()
        if not self._gathering:
            self._gather()

    def _fold(self) -> None:
        """While the disk is stuck the same copies may come and go any number of times: each is needed once."""
        loose = self._loose
        loose.returned = list(dict.fromkeys([entry for entry in loose.returned if entry.position]))
        self._folds_at = max(_FOLD, 2 * len(loose.returned))

    def begin(self) -> None:
        """What follows, up to the matching `end`, takes effect as a whole or not at all."""
        self._depth += 1
        if self._depth == 1:
            self._open = Group()
            self._pending = PENDING - 1 - len(self._groups)
            self._groups.append(self._open)
            self.waiting_octets += _COPY_OCTETS

    def end(self) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._open = self._loose
            self._pending = PENDING

    def _join(self, index: int) -> None:
        """The open group takes the place of a copy that entered with that one, which will not be written.

        So that other one, which says what the copy has taken the place of, must not be safe without this one.
        """
        group = self._groups[index]
        while group.joined is not None:
            group = group.joined
        if group is not self._open:
            self._open = self._open.join(group)

    def is_safe(self, entry: Copy) -> bool:
        """Whether the copy can be read back, whatever happens."""
        return 0 < entry.position < self.safe_position

    def _gather(self) -> None:
        self._gathering = True
        self.on_gathered()

    # --- writing ----------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        if not self._waits and not self._failed:
            self.synced = self._number
        if self._writings or self._syncing or self._failed or not self._gathering:
            return
        try:
            self._next()
        except Exception as error:
            # What was gathered is neither written nor to be gathered again, so nothing after it may be confirmed.
            self._fail(error)
            return
        if not self._writings:
            self.synced = self._number - 1
            self.tidy()
            self.on_synced()
            return
        self._start(self._writings[0])

    def definitions_changed(self) -> None:
        """Have the definitions synced soon: with the next batch, or alone."""
        if self._definitions is None:
            self._definitions = self._clock.after(DEFINITIONS_MS, self._sync_definitions)

    def _sync_definitions(self) -> None:
        self._definitions = None
        if self._failed or self._closed:
            return
        if self._writings or self._syncing:
            # What is under way may have begun before the change.
            self.definitions_changed()
            return
        self._syncing = True
        self._committer.start(None, self._definitions_done)

    def _definitions_done(self, error: OSError | None) -> None:
        if self._closed:
            return
        self._syncing = False
        if error is not None:
            self._fail(error)
            return
        self.sync()

    def _next(self) -> None:
        """Have what was gathered be written, if there is anything of it left to say."""
        self._gathering = False
        self.waiting_octets = 0
        count = self._count_gathered()
        self._encode()
        if self._writings:
            # Before the last, what was gathered is safe in part, and nothing of it is confirmed.
            self._writings[-1].number = self._number
            self._writings[-1].count = count
        self._number += 1

    def _count_gathered(self) -> int:
        return len(self._loose) + sum([len(group) for group in self._groups])

    def tidy(self) -> None:
        """Give back the space that nothing lives in, now or soon. Only when everything is written."""
        self._free()
        if self._compaction.is_due() and not self._gathering:
            self._gather()

    def _free(self) -> None:
        if self.journal.free():
            self._committer.remove_freed()

    def _start(self, writing: "_Writing") -> None:
        self._retry = None
        if self._definitions is not None:
            self._definitions.cancel()
            self._definitions = None
        self._committer.start(writing.batch, partial(self._done, writing))

    def _done(self, writing: "_Writing", error: OSError | None) -> None:
        if self._closed:
            return
        if isinstance(error, UnwrittenError):
            self._wait(writing, error)
            return
        self._writings.popleft()
        if error is not None:
            self._fail(error)
            return
        if writing.is_stuck:
            log.warning("%s: the disk takes data again", self.journal.directory)
            self.on_stuck(None)
        self._written(writing)
        if self._writings:
            # Nobody who waits for the disk may go on before it has all: then more would come than it takes.
            self._start(self._writings[0])
            return
        self._free()
        if not self._gathering:
            self.waiting_octets = 0
        if self._compaction.is_due():
            self._gathering = True
        self.sync()
        self.on_synced()

    def _fail(self, error: Exception) -> None:
        self._failed = True
        self._on_failure(error)

    def _wait(self, writing: "_Writing", error: OSError) -> None:
        """Try again later. What is gathered meanwhile stays gathered."""
        if not writing.is_stuck:
            writing.is_stuck = True
            log.error("%s; nothing is confirmed until that can be written, which is tried every second", error)
            self.on_stuck(error)
        self._retry = self._clock.after(RETRY_MS, partial(self._start, writing))

    def _written(self, writing: "_Writing") -> None:
        self.synced = writing.number
        self.safe_position = writing.end
        # Only from now on can a copy be read at its new place; the old one is there until `free`.
        for copy in writing.moved:
            self._moves.move(copy.old, copy.new)
        self._let_go()

    def close(self) -> None:
        """Write what is gathered, and end.

        Raises StoreError if that failed; the log says how much was lost. Nothing of it was confirmed.
        """
        error = self._committer.close()
        self._closed = True
        again = self._retry is not None or isinstance(error, UnwrittenError)
        for timer in (self._retry, self._definitions):
            if timer is not None:
                timer.cancel()
        try:
            if not self._failed:
                self._finish(None if again else error, again)
        finally:
            self.journal.close()

    def _finish(self, error: OSError | None, again: bool) -> None:
        """error: that of the batch under way. again: it is to be tried once more."""
        try:
            if error is not None:
                raise error
            if self._writings and not again:
                self._written(self._writings.popleft())
            self._commit()
            if self._gathering:
                self._next()
                self._commit()
            self.journal.free()
            self.journal.remove_freed()
        except (OSError, record.DamagedError) as failure:
            lost = self._count_gathered() + sum([writing.count for writing in self._writings])
            log.error("%s: %d operations, not confirmed, are lost", self.journal.directory, lost)  # noqa: TRY400
            raise StoreError(f"the broker ended without writing everything: {failure}") from failure

    def _commit(self) -> None:
        """Write here and now what is to be written."""
        while self._writings:
            self._committer.commit(self._writings[0].batch)
            self._written(self._writings.popleft())

    def _encode(self) -> None:
        """Make batches of the gathered groups, whose entries get their positions, and of what is moved with them."""
        loose, self._loose = self._loose, Group()
        self._folds_at = _FOLD
        groups, self._groups = self._groups, []
        if self._depth == 0:
            self._open = self._loose
        to = Groups(self.journal.next_position())
        segment = to.start >> OFFSET_BITS
        self.stored += len(loose.entered) + sum([len(group.entered) for group in groups])
        self._add_loose(to, loose.entered)
        for group in groups:
            self._add(to, _by_message(group.entered), group)
        self._add(to, [], loose)
        left = to.octets + sum([writing.octets for writing in self._writings])
        # Only what was written before this can be looked into.
        while self._compaction.is_due() and min(self.journal.segments) < segment:
            self._end_batch(to, self._compact(to, min(left, self._batch_bytes)))
            left -= self._batch_bytes
            if left <= 0:
                break
        self._end_batch(to, [])

    def _end_batch(self, to: Groups, moved: list[Moved]) -> None:
        """What was added is a batch; what is added from now on goes into another."""
        if to.octets:
            batch = self.journal.batch(to.take())
            self._writings.append(_Writing(self._number - 1, batch, self.journal.end_position(), moved, to.octets))
            to.restart(self.journal.next_position())

    def _settled(self, positions: list[int]) -> bytes:
        """The record that says so, by where the copies stand by now; nothing else is known of them any more."""
        if self.counts:
            for position in positions:
                self.counts.pop(position, None)
        if self._moves:
            positions = [self._moves.settle(position) for position in positions]
        self.journal.living.settle(positions)
        return record.settle(positions)

    def _compact(self, to: Groups, written: int) -> list[Moved]:
        groups, moved = self._compaction.step(to.position, written)
        to.extend(groups)
        living = self.journal.living
        living.settle([copy.old for copy in moved])
        living.add([copy.new for copy in moved], [copy.octets for copy in moved])
        return moved

    def _add_loose(self, to: Groups, entered: list[Copy]) -> None:
        """`_add` for each message; those in one queue, as most are, take less."""
        places: list[int] = []
        sizes: list[int] = []
        pending = [copy for copy in entered if copy.position == PENDING]
        count = len(pending)
        index = 0
        while index < count:
            copy = pending[index]
            message = copy.message
            stop = index + 1
            while stop < count and pending[stop].message is message and stop - index < _MAX_ENTRIES:
                stop += 1
            if stop > index + 1 or message.extra_keys:
                self.journal.living.add(places, sizes)
                places, sizes = [], []
                self._add(to, [pending[index:stop]], _EMPTY)
            else:
                copy.position = place = to.position + _LONE_ENTRY
                places.append(place)
                sizes.append(
                    to.add_lone(
                        message.address,
                        frames_of(message),
                        message.size,
                        message.priority,
                        0 if message.persistent and message.deaths is None else record_flags(message),
                        copy.holder_id,
                        copy.sequence,
                        copy.deadline_ms,
                        min(copy.delivery_count, record.MAX_COUNT) if copy.delivery_count else 0,
                    )
                )
                if to.octets >= self._batch_bytes:
                    self.journal.living.add(places, sizes)
                    places, sizes = [], []
                    self._end_batch(to, [])
            index = stop
        self.journal.living.add(places, sizes)

    def _add(self, to: Groups, publishes: list[list[Copy]], group: Group) -> None:
        """Append one group, unless nothing of it is left to say: these publishes, and what it settles and returns.

        Of one that is too large what enters comes first: so nothing is ever settled without what takes its place.
        """
        payload: list[bytes] = []
        at = to.position + record.GROUP_OCTETS
        for copies in publishes:
            data = _publish_record(copies)
            at = self._place(to, payload, at, len(data))
            octets = len(data) // len(copies)
            for i, copy in enumerate(copies):
                copy.position = at + record.PUBLISH_OCTETS + i * record.ENTRY_OCTETS
            self.journal.living.add([copy.position for copy in copies], [octets] * len(copies))
            payload.append(data)
            at += len(data)
        for start in range(0, len(group.settled), _MAX_POSITIONS):
            data = self._settled(group.settled[start : start + _MAX_POSITIONS])
            at = self._place(to, payload, at, len(data))
            payload.append(data)
            at += len(data)
        for positions in group.swept:
            for start in range(0, len(positions), _MAX_POSITIONS):
                data = self._settled(list(positions[start : start + _MAX_POSITIONS]))
                at = self._place(to, payload, at, len(data))
                payload.append(data)
                at += len(data)
        back = [(entry.position, entry.delivery_count) for entry in group.returned if entry.position > 0]
        if back:
            self.counts.update(back)
            if self._moves:
                back = [(self._moves.present(position), count) for position, count in back]
        for start in range(0, len(back), _MAX_POSITIONS):
            data = record.returned(back[start : start + _MAX_POSITIONS])
            at = self._place(to, payload, at, len(data))
            payload.append(data)
            at += len(data)
        if payload:
            self._end_group(to, payload)

    def _place(self, to: Groups, payload: list[bytes], at: int, octets: int) -> int:
        """Where a record of so many octets goes: `at`, behind those of `payload`, unless that makes them too many."""
        if payload and at + octets - to.position > self._group_bytes:
            self._end_group(to, payload)
            payload.clear()
            return to.position + record.GROUP_OCTETS
        return at

    def _end_group(self, to: Groups, payload: list[bytes]) -> None:
        to.add(payload[0] if len(payload) == 1 else b"".join(payload))
        if to.octets >= self._batch_bytes:
            self._end_batch(to, [])

    def _let_go(self) -> None:
        """More is safe: pages that waited for it may leave memory."""
        waiting, self.unsafe_pages = self.unsafe_pages, []
        self.unsafe_pages += [(pager, page) for pager, page in waiting if not pager.let_go(page)]

    # --- reading ----------------------------------------------------------------------------------------------------

    def load(self, position: int) -> tuple[Message, int]:
        """The message whose copy stands there, and the copy's deadline in ms. Raises OSError, DamagedError."""
        reading = self.reader.start([position])
        return reading.message(position), reading.deadline_ms


class _Writing:
    """A batch to be written. number: of the gathering that is safe with it. end: the position behind it.

    octets: those of its groups. count: of a gathering's last batch, how many operations it had.
    """

    __slots__ = ("batch", "count", "end", "is_stuck", "moved", "number", "octets")

    def __init__(self, number: int, batch: Batch, end: int, moved: list[Moved], octets: int) -> None:
        self.number = number
        self.batch = batch
        self.end = end
        self.moved = moved
        self.octets = octets
        self.count: int = 0
        self.is_stuck: bool = False


def _nothing() -> None:
    pass


def _ignore(error: OSError | None) -> None:
    pass


def _by_message(entered: list[Copy]) -> list[list[Copy]]:
    """Entries that are still to be written, those of one message together."""
    runs: list[list[Copy]] = []
    last: Message | None = None
    for entry in entered:
        if entry.position >= NOT_STORED:
            continue
        if entry.message is last and len(runs[-1]) < _MAX_ENTRIES:
            runs[-1].append(entry)
        else:
            last = entry.message
            runs.append([entry])
    return runs


def _publish_record(copies: list[Copy]) -> bytes:
    return record.publish(
        content_of(copies[0].message),
        [
            (copy.holder_id, copy.sequence, copy.deadline_ms, min(copy.delivery_count, record.MAX_COUNT))
            for copy in copies
        ],
    )


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
