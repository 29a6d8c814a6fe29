"""Publisher confirms of one channel: coalesced for messages that reached a queue, immediate for all others."""

import struct
from collections import deque
from typing import Final, final

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.store.store import Store
from amqpbroker.wire.frames import FRAME_HEAD, METHOD

_CONFIRM = struct.Struct(">IQB")
_ACK: Final = 60 << 16 | 80
_NACK: Final = 60 << 16 | 120
_MULTIPLE: Final = 1
#: The bit `requeue` of basic.nack has no meaning for a publisher, but RabbitMQ sets it.
_REQUEUE: Final = 2
#: Memory that a refused publish takes until it is answered.
_REFUSED_BYTES: Final = 64


@final
class Confirms:
    """Numbers the publishes of a channel and determines which confirms are due.

    `published` is the number of the last publish, from 1, and `refused` counts the publishes answered with a nack. All
    publishes up to `confirmed` are answered, and so are the runs in `ahead`, pairs of a first and a last number. A
    publish is due once the store has synced everything appended up to the end of its event loop iteration. A publish
    that reached no queue is due immediately, even if earlier publishes still wait
    (rabbit_channel:process_routing_confirm).
    """

    def __init__(self, channel: int, store: Store, most_ahead: int = BOUNDS.confirms_ahead) -> None:
        """most_ahead: number of runs of publishes confirmed ahead. Further publishes are confirmed in order."""
        self.published: int = 0
        self.confirmed: int = 0
        self.refused: int = 0
        self._store = store
        self._head: bytes = FRAME_HEAD.pack(METHOD, channel, 13)
        self._refused: list[int] = []
        self._iterations: deque[tuple[int, int]] = deque()
        self.ahead: deque[tuple[int, int]] = deque()
        self._count_ahead: int = 0
        self._most_ahead: int = most_ahead

    def number(self, accepted: bool) -> None:
        """Number a publish that was routed to queues. accepted: False if one of them refused it."""
        self.published += 1
        if not accepted:
            self.refuse()

    def refuse(self) -> None:
        """Mark the publish just numbered as refused by a queue: it is answered with basic.nack, in order.

        While it has to wait for the disk, its memory counts as waiting.
        """
        self._refused.append(self.published)
        store = self._store
        if store.appended > store.synced:
            store.count_answer(_REFUSED_BYTES)

    def confirm_next(self) -> bytes:
        """Number a publish that reached no queue, and return its basic.ack, to be written after its basic.return.

        Return nothing if the limit of runs confirmed ahead is reached: then the publish is confirmed in order.
        """
        self.published += 1
        number = self.published
        if number - self.confirmed == 1:
            self.confirmed = number
        elif self.ahead and self.ahead[-1][1] == number - 1:
            self.ahead[-1] = (self.ahead[-1][0], number)
            self._count_ahead += 1
        elif len(self.ahead) < self._most_ahead:
            self.ahead.append((number, number))
            self._count_ahead += 1
        else:
            return b""
        return self._frame(_ACK, number, 0)

    @property
    def outstanding(self) -> bool:
        """Return whether any publish still waits for its confirm."""
        return self.confirmed < self.published

    @property
    def unconfirmed(self) -> int:
        """Number of publishes that wait for their confirm."""
        return self.published - self.confirmed - self._count_ahead

    @property
    def acked(self) -> int:
        """Number of publishes that were answered with an ack."""
        return self.confirmed + self._count_ahead - self.refused

    def flush(self) -> bytes:
        """Return the frames of all confirms that are due by now, in order."""
        due = self.confirmed
        store = self._store
        if store.appended <= store.synced:
            self._iterations.clear()
            due = self.published
        else:
            # Iterations that wait for the same position in the store are merged.
            if self._iterations and self._iterations[-1][1] == store.appended:
                self._iterations.pop()
            self._iterations.append((self.published, store.appended))
            while self._iterations and self._iterations[0][1] <= store.synced:
                due = self._iterations.popleft()[0]
        if due <= self.confirmed:
            return b""
        if self._refused or self.ahead:
            return self._sort_out(due)
        frame = self._frame(_ACK, due, _MULTIPLE if due - self.confirmed > 1 else 0)
        self.confirmed = due
        return frame

    def _sort_out(self, due: int) -> bytes:
        """Return the frames up to publish `due` if some publishes were refused or are already confirmed.

        Nacks without acks between them are combined, as in RabbitMQ.
        """
        refused = [number for number in self._refused if number <= due]
        self._refused = self._refused[len(refused) :]
        self.refused += len(refused)
        acks = []
        for number in refused:
            acks.append(self._acks(number - 1))
            self.confirmed = number
        acks.append(self._acks(due))
        # The next publishes may already have been confirmed ahead.
        while self.ahead and self.ahead[0][0] == self.confirmed + 1:
            self._confirm_run()
        if refused and not any(acks):
            return self._frame(_NACK, refused[-1], _MULTIPLE | _REQUEUE)
        frames = [acks[0]]
        for number, following in zip(refused, acks[1:], strict=True):
            frames += [self._frame(_NACK, number, _REQUEUE), following]
        return b"".join(frames)

    def _acks(self, last: int) -> bytes:
        """Confirm all publishes up to `last`, and return the ack for those that are not confirmed yet."""
        count = 0
        latest = 0
        while self.ahead and self.ahead[0][0] <= last:
            first = self.ahead[0][0]
            if first - 1 > self.confirmed:
                count += first - 1 - self.confirmed
                latest = first - 1
            self._confirm_run()
        if last > self.confirmed:
            count += last - self.confirmed
            latest = last
            self.confirmed = last
        if not count:
            return b""
        return self._frame(_ACK, latest, _MULTIPLE if count > 1 else 0)

    def _confirm_run(self) -> None:
        """Confirm all publishes up to the end of the first run that was confirmed ahead."""
        first, self.confirmed = self.ahead.popleft()
        self._count_ahead -= self.confirmed - first + 1

    def _frame(self, method: int, tag: int, bits: int) -> bytes:
        return self._head + _CONFIRM.pack(method, tag, bits) + b"\xce"
