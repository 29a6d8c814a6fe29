"""Publisher confirms of one channel, coalesced: one basic.ack a loop turn where nothing was refused."""

import struct
from collections import deque
from typing import Final

from amqpbroker.store.store import Store
from amqpbroker.wire.frames import FRAME_HEAD, METHOD

_CONFIRM = struct.Struct(">IQB")
_ACK: Final = 60 << 16 | 80
_NACK: Final = 60 << 16 | 120
_MULTIPLE: Final = 1
#: Means nothing to a publisher, but RabbitMQ sets it.
_REQUEUE: Final = 2
#: What it takes to remember a publish that was refused.
_REFUSED_BYTES: Final = 64


class Confirms:
    """Numbers the publishes of a channel and says which are due.

    `published` is the number of the last publish, from 1, and `refused` how many were answered with a nack. A publish
    is due once the store has synced what was appended up to the end of its turn.
    """

    def __init__(self, channel: int, store: Store) -> None:
        self.published: int = 0
        self.settled: int = 0
        self.refused: int = 0
        self._store = store
        self._head: bytes = FRAME_HEAD.pack(METHOD, channel, 13)
        self._refused: list[int] = []
        self._turns: deque[tuple[int, int]] = deque()

    def refuse(self) -> None:
        """The publish just numbered was refused by a queue: it gets a basic.nack, in its turn.

        So while that has to wait for the disk, refused ones count among what waits.
        """
        self._refused.append(self.published)
        store = self._store
        if store.appended > store.synced:
            store.count_answer(_REFUSED_BYTES)

    @property
    def outstanding(self) -> bool:
        """Whether any publish still waits for its confirm."""
        return self.settled < self.published

    def flush(self) -> bytes:
        """The frames for everything that is due by now, in order."""
        due = self.settled
        store = self._store
        if store.appended <= store.synced:
            self._turns.clear()
            due = self.published
        else:
            # Turns that wait for the same thing are one.
            if self._turns and self._turns[-1][1] == store.appended:
                self._turns.pop()
            self._turns.append((self.published, store.appended))
            while self._turns and self._turns[0][1] <= store.synced:
                due = self._turns.popleft()[0]
        if due == self.settled:
            return b""
        frames = b""
        if self._refused:
            frames, self._refused = self._nacks(due)
        if due > self.settled:
            frames += self._frame(_ACK, due, _MULTIPLE if due - self.settled > 1 else 0)
            self.settled = due
        return frames

    def _nacks(self, due: int) -> tuple[bytes, list[int]]:
        """Frames up to the last refused publish that is due: acks between runs of nacks. And the refused ones left."""
        parts = []
        refused = [number for number in self._refused if number <= due]
        for number in refused:
            if number - 1 > self.settled:
                parts.append(self._frame(_ACK, number - 1, _MULTIPLE if number - 1 - self.settled > 1 else 0))
            parts.append(self._frame(_NACK, number, _MULTIPLE | _REQUEUE))
            self.settled = number
        self.refused += len(refused)
        return b"".join(parts), self._refused[len(refused) :]

    def _frame(self, method: int, tag: int, bits: int) -> bytes:
        return self._head + _CONFIRM.pack(method, tag, bits) + b"\xce"
