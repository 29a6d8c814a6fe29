"""One channel's consumer: as fast as it can, or at a rate; acknowledging each, many at once, or nothing."""

import math

from amqpbroker.cli.perf.acknowledgements import SingleAcks, back_up_to, cancelling, up_to
from amqpbroker.cli.perf.plan import Consuming

#: A consumer with a rate looks this often, and stops reading when so much has come before its time.
LEAST_WAIT_S = 0.001
AHEAD = 1000


class ConsumingChannel:
    """Says what is to be sent for what came on a channel that has no other consumer."""

    def __init__(self, work: Consuming, number: int = 1) -> None:
        self.number = number
        self.consumed = 0
        #: When to account again, by the monotonic clock; whether to read on; whether the limit is reached.
        self.wake = math.inf
        self.reads = True
        self.done = False
        #: When it last had something to do.
        self.last = 0.0
        self._limit = math.inf if work.limit is None else work.limit
        self._rate = work.rate
        self._auto_ack = work.auto_ack
        self._ack_every = work.ack_every
        self._single = SingleAcks(number) if not work.auto_ack and not work.ack_every else None
        self._taken = 0
        self._free_at = 0.0  # when it is done with what it has taken
        self._idle_since = 0.0
        self._is_idle = True
        self._acked = 0
        self._given_back = 0

    def begin(self, now: float) -> None:
        self._free_at = self._idle_since = now

    def account(self, come: int, now: float) -> bytes:
        """Take what may be taken now of the `come` that came so far. Returns the frames that answer it."""
        if self._rate is None:
            self._taken = come
        else:
            self._take_at(self._rate, come, now)
        consumed = int(min(self._taken, self._limit))
        if consumed != self.consumed:
            self.consumed, self.last = consumed, now
        was_done, self.done = self.done, self.consumed >= self._limit
        answer = self._acknowledgement()
        if self.done:
            if not was_done:
                answer += cancelling("perf", self.number)
            answer += self._giving_back(come)
        return answer

    def finish(self) -> bytes:
        """The frames that acknowledge what is not yet."""
        return up_to(self.consumed, self.number) if not self._auto_ack and self.consumed > self._acked else b""

    def _take_at(self, rate: float, come: int, now: float) -> None:
        """Time in which nothing was there is lost; that by which this is called too late is made up for."""
        waiting = come - self._taken
        if not waiting:
            return
        if self._is_idle:
            self._free_at += now - self._idle_since
        taken = min(waiting, int((now - self._free_at) * rate))
        self._taken += taken
        self._free_at += taken / rate
        self._is_idle, self._idle_since = taken == waiting, now
        self.wake = math.inf if self._is_idle else max(self._free_at + 1 / rate, now + LEAST_WAIT_S)
        self.reads = waiting - taken < AHEAD

    def _acknowledgement(self) -> bytes:
        if self._auto_ack or self.consumed == self._acked:
            return b""
        if self._single is not None:
            first, self._acked = self._acked + 1, self.consumed
            return self._single.between(first, self.consumed)
        if self.consumed - self._acked >= self._ack_every or self.done:
            self._acked = self.consumed
            return up_to(self.consumed, self.number)
        return b""

    def _giving_back(self, come: int) -> bytes:
        """What comes beyond the limit is for others, though the channel stays open."""
        if self._auto_ack or come <= max(self.consumed, self._given_back):
            return b""
        self._given_back = come
        return back_up_to(come, self.number)
