"""The messages that a delayed exchange holds back."""

import heapq
import logging
from array import array
from collections import deque
from collections.abc import Callable
from typing import Final

from mypy_extensions import mypyc_attr

from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.broker.exchanges.delay import held_until_ms, is_delivery_time, released
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.tracking.copy_tracker import DELETED, NO_TRACKER, UNROUTABLE, CopyTracker
from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import NOT_STORED, Copy, Message
from amqpbroker.store.record import DamagedError
from amqpbroker.store.recovered import Copies
from amqpbroker.store.store import UNSTORED, Reading, Store

log = logging.getLogger(__name__)

#: Time until the next check whether the disk has caught up.
_BUSY_MS: Final = 10
#: Time after which a message that cannot be read is read again. If failures exceed successes by
#: `Bounds.failed_reads`, all messages that must be read wait that long.
_REREAD_MS: Final = 1000
#: Minimum time between two log messages about such failures.
_TELL_MS: Final = 60_000
#: Size of a message without its body (see `Bounds.unswept_bytes`), and the time until memory is searched again for
#: messages that were not stored yet.
_MESSAGE_BYTES: Final = 1024
_SWEEP_AGAIN_MS: Final = 1000

_BITS: Final = 64
_MASK = (1 << _BITS) - 1
#: Flag in the position of a stored message that waits for a time of the wall clock.
_TIMED = 1 << _BITS - 1


# Acyclic: a copy has a message and numbers only. It refers to the exchange by id.
@mypyc_attr(acyclic=True)
class HeldCopy(Copy):
    """A message that is held back, as the store sees it.

    deadline_ms: time at which it is due, by the clock's `now_ms`. timed: it waits for a time of the wall clock, whose
    steps move it; otherwise for the end of a delay. position: 0 unless the message is stored.
    """

    __slots__ = ("timed",)

    def __init__(
        self, message: Message, holder_id: int, sequence: int, due_ms: int, position: int = 0, timed: bool = False
    ) -> None:
        super().__init__(message, holder_id, sequence, due_ms)
        self.position = position
        self.timed: bool = timed

    def move(self, delta_ms: int) -> None:
        """Move the time at which it is due."""
        self.deadline_ms += delta_ms

    def __hash__(self) -> int:
        """Hash by identity: a compiled class that defines an order has no hash of its own."""
        return id(self)

    def __lt__(self, other: object) -> bool:
        """Return whether this message is due earlier than `other`, or at the same time but published before it."""
        assert isinstance(other, HeldCopy)
        due_ms = other.deadline_ms
        return self.deadline_ms < due_ms or (self.deadline_ms == due_ms and self.sequence < other.sequence)


def _key(copy: HeldCopy) -> int:
    """Return the due time and the sequence number as one number."""
    return copy.deadline_ms << _BITS | copy.sequence


def _item(key: int, position: int, timed: bool) -> int:
    """Return a stored message as one number. key: see `_key`."""
    return key << _BITS | position | (_TIMED if timed else 0)


def _position(item: int) -> int:
    """Return the position of a stored message."""
    return item & _MASK & ~_TIMED


class HeldMessages(Destination):
    """The messages of one exchange that are not due yet. One timer waits for the earliest.

    Persistent messages are stored if the store supports it, and leave memory some time later. The release of a message
    is atomic to the store: the message leaves the exchange and enters its queues.
    """

    def __init__(
        self,
        clock: Clock,
        release: Callable[[Message], None],
        store: Store = UNSTORED,
        bounds: Bounds = BOUNDS,
        extensions: bool = True,
    ) -> None:
        """extensions: see `held_until_ms`."""
        super().__init__("")
        self.id: int = 0
        self._tracker: CopyTracker = NO_TRACKER
        self._deferred_free: DeferredFree = DeferredFree(clock, bounds.deferred_free, bounds.departures)
        self._bounds = bounds
        self._clock = clock
        self._release = release
        self._store = store
        self._stores = store.keeps
        self._extensions = extensions
        # Two heaps, ordered by due time and sequence number. In the second, both are one number, followed by the
        # position, and nothing else of the message is in memory: about 60 bytes.
        self._recent: list[HeldCopy] = []
        self._stored: list[int] = []
        #: Items of the second heap that wait to be read again.
        self._unread: list[int] = []
        self._reread_timer: Timer | None = None
        self._sequence = 0
        self._recent_bytes = 0
        self._new_bytes = 0
        self._timer: Timer | None = None
        self._sweeps_again = False
        self._failures = 0
        self._tells_at_ms = 0

    def report_to(self, tracker: CopyTracker, deferred_free: DeferredFree) -> None:
        """Report the fates of the messages from now on. deferred_free: removes the messages of a deleted exchange."""
        self._tracker = tracker
        self._deferred_free = deferred_free

    @property
    def count(self) -> int:
        return len(self._recent) + len(self._stored) + len(self._unread)

    def recent(self) -> list[HeldCopy]:
        """Return the copies in memory by due time. Only stored copies may be missing from it."""
        return sorted(self._recent)

    # --- publishing ---------------------------------------------------------------------------------------------------

    def holds(self, message: Message) -> bool:
        """Return whether a message that is published now is not due yet."""
        now_ms = self._clock.now_ms() + self._clock.ahead_ms
        return held_until_ms(message.properties, now_ms, self._extensions) > now_ms

    def publish(self, message: Message) -> bool:
        ahead_ms = self._clock.ahead_ms
        until_ms = held_until_ms(message.properties, self._clock.now_ms() + ahead_ms, self._extensions)
        timed = self._extensions and is_delivery_time(message.properties, until_ms)
        self.hold(message, until_ms - ahead_ms, timed)
        return True

    def hold(self, message: Message, due_ms: int, timed: bool = False) -> None:
        """Hold the message until the due time.

        due_ms: a time of the clock's `now_ms`; a message whose due time is past is due at once. timed: see `HeldCopy`.
        """
        self._sequence += 1
        copy = HeldCopy(message, self.id, self._sequence, due_ms, 0, timed)
        if self._stores and message.persistent:
            self._enqueue(copy)
        if self._tracker.active:
            self._tracker.entered(copy, "")
        heapq.heappush(self._recent, copy)
        size = message.size + _MESSAGE_BYTES
        self._recent_bytes += size
        self._new_bytes += size
        if self._stores and self._new_bytes > max(self._bounds.unswept_bytes, self._recent_bytes // 2):
            self._sweep()
        if self._timer is None or due_ms < self._timer.due_ms:
            self._arm()

    def _enqueue(self, copy: HeldCopy) -> None:
        """Store a message. The record of a delay tells after a restart that it waits for a time of the wall clock."""
        if not copy.timed:
            self._store.enqueue(copy)
            return
        self._store.begin()
        try:
            self._store.enqueue(copy)
            self._store.delayed(copy, copy.deadline_ms + self._clock.ahead_ms)
        finally:
            self._store.end()

    def _sweep(self) -> None:
        """Release the memory of messages that are stored by now."""
        self._new_bytes = 0
        rest: list[HeldCopy] = []
        pending = False
        for copy in self._recent:
            if self._store.is_safe(copy):
                heapq.heappush(self._stored, _item(_key(copy), copy.position, copy.timed))
                self._recent_bytes -= copy.message.size + _MESSAGE_BYTES
            else:
                rest.append(copy)
                pending = pending or copy.position != NOT_STORED
        heapq.heapify(rest)
        self._recent = rest
        if pending and not self._sweeps_again:
            self._sweeps_again = True
            self._clock.after(_SWEEP_AGAIN_MS, self._sweep_again)

    def _sweep_again(self) -> None:
        self._sweeps_again = False
        self._sweep()

    def recover(self, copies: Copies) -> None:
        self._sequence = copies.sequences[-1]
        timed = copies.dues_ms or array("Q", bytes(8 * len(copies.positions)))
        found = zip(copies.deadlines_ms, copies.sequences, copies.positions, timed, strict=True)
        self._stored = [
            _item(due_ms << _BITS | sequence, position, at_ms != 0) for due_ms, sequence, position, at_ms in found
        ]
        heapq.heapify(self._stored)

    def recovered(self) -> None:
        self._arm()

    # --- release ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Discard all messages; many of them are recorded as gone later."""
        recent, self._recent = deque(self._recent), []
        stored, self._stored = deque(self._stored + self._unread), []
        self._discard_unread()
        self._recent_bytes = self._new_bytes = 0
        self._arm()
        deferred_free = self._deferred_free
        most = deferred_free.few if self._tracker.active else deferred_free.most
        deferred_free.record(recent, self._discard_recent, most)
        deferred_free.record(stored, self._discard_stored, most)

    def _discard_recent(self, copies: list[HeldCopy]) -> None:
        """Discard messages that are in memory."""
        for copy in copies:
            self._store.begin()
            try:
                if self._tracker.active:
                    self._tracker.failed(copy, "", DELETED)
                self._store.settle(copy)
            finally:
                self._store.end()

    def _discard_stored(self, items: list[int]) -> None:
        """Discard messages that are on the disk only. They are read for their fates, if they can be."""
        positions = sorted([_position(item) for item in items])
        self._store.begin()
        try:
            if self._tracker.active:
                reading = self._store.load(positions)
                try:
                    for position in positions:
                        self._tracker.failed(HeldCopy(reading.message(position), self.id, 0, 0, position), "", DELETED)
                except (OSError, DamagedError) as error:
                    log.error("delayed messages of a deleted exchange cannot be read: %s", error)  # noqa: TRY400
            self._store.settle_positions(array("Q", positions))
        finally:
            self._store.end()

    def discard(self) -> None:
        self._recent, self._stored = [], []
        self._discard_unread()
        self._recent_bytes = self._new_bytes = 0
        self._arm()

    def _due_ms(self) -> int | None:
        """Time when the earliest message can be released; None if there is no message."""
        if self._is_stored_next():
            return self._stored[0] >> 2 * _BITS
        return self._recent[0].deadline_ms if self._recent else None

    def _is_stored_next(self) -> bool:
        """Return whether the earliest message is stored only, and not in memory."""
        stored, recent = self._stored, self._recent
        if not stored or not recent:
            return bool(stored)
        return stored[0] >> _BITS < _key(recent[0])

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due_ms = self._due_ms()
        if due_ms is None and not self._unread:
            self._clock.unfollow(self._stepped)
        elif self._timer is None:
            self._clock.follow(self._stepped)
        self._timer = None if due_ms is None else self._clock.at(due_ms, self._release_due)

    def _stepped(self, moved_ms: int) -> None:
        """Move the messages that wait for a time of the wall clock."""
        moved = moved_ms << 2 * _BITS
        for copy in self._recent:
            if copy.timed:
                copy.move(-moved_ms)
        heapq.heapify(self._recent)
        self._stored = [item - moved if item & _TIMED else item for item in self._stored]
        heapq.heapify(self._stored)
        self._unread = [item - moved if item & _TIMED else item for item in self._unread]
        self._arm()

    def _release_due(self) -> None:
        """Release messages that are due, up to a bounded number, so that timers and connections run in between.

        Release no more messages than the disk can accept: a released stored message is in memory and must be written
        again.
        """
        self._timer = None
        now_ms = self._clock.now_ms()
        store = self._store
        # One reading for all of them: messages with the same delay are next to each other.
        reading = store.load(())
        try:
            for _ in range(self._bounds.releases):
                due_ms = self._due_ms()
                if due_ms is None or due_ms > now_ms:
                    break
                if store.waiting_bytes > self._bounds.unwritten_bytes:
                    break
                copy = self._pop(reading)
                if copy is not None:
                    self._let_go(copy)
        finally:
            if store.waiting_bytes > self._bounds.unwritten_bytes:
                self._timer = self._clock.after(_BUSY_MS, self._release_due)
            else:
                self._arm()

    def _pop(self, reading: Reading) -> HeldCopy | None:
        """Remove and return the earliest message. If it cannot be read, postpone it and return None."""
        if not self._is_stored_next():
            copy = heapq.heappop(self._recent)
            self._recent_bytes -= copy.message.size + _MESSAGE_BYTES
            return copy
        item = self._stored[0]
        try:
            message = reading.message(_position(item))
        except (OSError, DamagedError) as error:
            self._postpone(error)
            return None
        self._failures = max(self._failures - 1, 0)
        heapq.heappop(self._stored)
        return HeldCopy(message, self.id, item >> _BITS & _MASK, item >> 2 * _BITS, _position(item), item & _TIMED != 0)

    def _postpone(self, error: Exception) -> None:
        """Postpone the earliest message, which cannot be read; after many failures postpone all stored messages."""
        if not self._unread:
            self._reread_timer = self._clock.after(_REREAD_MS, self._read_again)
        self._unread.append(heapq.heappop(self._stored))
        self._failures += 1
        if self._failures >= self._bounds.failed_reads:
            self._failures = 0
            self._unread += self._stored
            self._stored = []
        now_ms = self._clock.now_ms()
        if now_ms >= self._tells_at_ms:
            self._tells_at_ms = now_ms + _TELL_MS
            log.error("delayed messages that are due cannot be read: %s; each is tried again every second", error)

    def _discard_unread(self) -> None:
        """Discard the list of postponed messages."""
        self._unread = []
        if self._reread_timer is not None:
            self._reread_timer.cancel()

    def _read_again(self) -> None:
        """Add the postponed messages again."""
        self._stored += self._unread
        self._unread = []
        heapq.heapify(self._stored)
        self._arm()

    def _let_go(self, copy: HeldCopy) -> None:
        message = released(copy.message)
        followed = self._tracker.active
        self._store.begin()
        try:
            if followed:
                self._tracker.begin_move(copy, "")
            self._release(message)
            self._store.settle(copy)
            if followed:
                self._tracker.end_move(UNROUTABLE)
        finally:
            self._store.end()
