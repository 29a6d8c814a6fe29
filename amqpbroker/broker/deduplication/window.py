"""Ids that a queue or an exchange has accepted, each remembered for a time."""

import heapq
from collections import deque
from collections.abc import Iterator
from typing import Final

from amqpbroker.broker.deduplication.foreseen_ids import AcceptedIds
from amqpbroker.broker.deduplication.message_key import message_key, message_ttl_ms
from amqpbroker.broker.deduplication.options import Deduplication
from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS
from amqpbroker.clock import Clock, Timer
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import Message
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.store import Store

#: Shortest time between two removals of expired ids without a message. An expired id is not recognised, removed or not.
SWEEP_MS: Final = 1000


class Window(AcceptedIds):
    """The ids that one queue or exchange has accepted in its window.

    At most `most` ids are remembered; beyond that, the oldest one is forgotten.
    """

    def __init__(self, options: Deduplication, clock: Clock, store: Store, bounds: Bounds = BOUNDS) -> None:
        self._header: bytes | None = options.header
        self._ttl_ms: int = options.ttl_ms
        self._most: int = options.size or bounds.deduplication_ids
        self._most_expired: int = bounds.expired_ids
        self._stored: bool = options.stored
        self._clock: Clock = clock
        clock.watch()
        self._store: Store = store
        self._sequence: int = 0
        #: From the oldest to the newest.
        self._ids: dict[bytes, MessageIdRecord] = {}
        #: Expiry, sequence and key of the ids that expire; some of them are forgotten already.
        self._expiring: list[tuple[int, int, bytes]] = []
        self._timer: Timer | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def stored_count(self) -> int:
        """Return the number of ids in the store."""
        return sum([taken.position != 0 for taken in self._ids.values()])

    def key(self, message: Message) -> bytes | None:
        """Return the id of the message, None if it has none."""
        return message_key(message, self._header)

    def has(self, key: bytes) -> bool:
        taken = self._ids.get(key)
        return taken is not None and not taken.is_over(self._clock.now_ms())

    def spare(self) -> int | None:
        return self._most - len(self._ids)

    def oldest(self) -> Iterator[bytes]:
        return iter(self._ids)

    def remember(self, key: bytes, message: Message, holder_id: int, stored: bool) -> None:
        """Remember the id of a message that was accepted, in the group of the store that the message is in.

        holder_id: of the queue or exchange in the store. stored: the message is stored.
        """
        ttl_ms = message_ttl_ms(message) or self._ttl_ms
        now_ms, ahead_ms = self._clock.now_ms(), self._clock.ahead_ms
        expires_ms = now_ms + ahead_ms + min(ttl_ms, MAX_EXPIRY_MS) if ttl_ms else 0
        self._expire(now_ms)
        self._remove(key)
        self._sequence += 1
        taken = MessageIdRecord(key, holder_id, self._sequence, expires_ms, stored and self._stored)
        taken.set_time(expires_ms, ahead_ms)
        self._add(taken)
        if taken.stored:
            self._store.add_id(taken)
        while len(self._ids) > self._most:
            self._remove(next(iter(self._ids)))

    def recover_ids(self, ids: list[MessageIdRecord]) -> list[MessageIdRecord]:
        """See `IdKeeper`."""
        now_ms, ahead_ms = self._clock.now_ms(), self._clock.ahead_ms
        unneeded: list[MessageIdRecord] = []
        for taken in ids:
            self._sequence = taken.sequence
            taken.set_time(taken.expires_ms, ahead_ms)
            if taken.is_over(now_ms):
                unneeded.append(taken)
                continue
            earlier = self._ids.pop(taken.key, None)
            if earlier is not None:
                unneeded.append(earlier)
            self._add(taken)
        while len(self._ids) > self._most:
            unneeded.append(self._ids.pop(next(iter(self._ids))))
        return unneeded

    def inherit(self, other: "Window", holder_id: int) -> None:
        """Remember the ids that `other` would have stored, of a broker in memory that has ended."""
        for taken in other._ids.values():
            if taken.stored:
                self._sequence += 1
                again = MessageIdRecord(taken.key, holder_id, self._sequence, taken.expires_ms, True)
                again.set_time(taken.expires_ms, taken.ahead_ms)
                self._add(again)

    def close(self, deferred_free: DeferredFree) -> None:
        """Forget all ids, because the queue or exchange is deleted; many are removed from the store later."""
        ids, expiring = self._ids, self._expiring
        self._ids, self._expiring = {}, []
        deferred_free.record(deque(ids.values()), self._store.remove_ids, deferred_free.most)
        deferred_free.add(ids)
        deferred_free.add(expiring)
        self.discard()

    def discard(self) -> None:
        """Discard all ids from memory, without changing the store, after the broker has ended."""
        self._ids.clear()
        self._expiring.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _add(self, taken: MessageIdRecord) -> None:
        self._ids[taken.key] = taken
        if taken.expires_ms:
            heapq.heappush(self._expiring, (taken.expires_ms - taken.ahead_ms, taken.sequence, taken.key))
            if self._timer is None:
                self._wait()

    def _remove(self, key: bytes) -> None:
        taken = self._ids.pop(key, None)
        if taken is not None:
            self._store.remove_id(taken)
            if len(self._expiring) > 2 * len(self._ids) + self._most_expired:
                self._expiring = [
                    (each.expires_ms - each.ahead_ms, each.sequence, each.key)
                    for each in self._ids.values()
                    if each.expires_ms
                ]
                heapq.heapify(self._expiring)

    def _wait(self) -> None:
        due_ms = max(self._expiring[0][0], self._clock.now_ms() + SWEEP_MS)
        self._timer = self._clock.at(due_ms, self._sweep)

    def _sweep(self) -> None:
        """Forget expired ids, also if no message comes any more."""
        self._timer = None
        if self._expire(self._clock.now_ms()):
            self._timer = self._clock.after(0, self._sweep)
        elif self._expiring:
            self._wait()

    def _expire(self, now_ms: int) -> bool:
        """Forget some expired ids; return whether there may be more."""
        expiring = self._expiring
        left = self._most_expired
        while expiring and expiring[0][0] <= now_ms:
            if not left:
                return True
            left -= 1
            _, sequence, key = heapq.heappop(expiring)
            taken = self._ids.get(key)
            if taken is not None and taken.sequence == sequence:
                del self._ids[key]
                self._store.remove_id(taken)
        return False
