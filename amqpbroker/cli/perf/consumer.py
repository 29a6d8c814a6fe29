"""A consumer: as fast as it can, or at a rate; acknowledging each, many at once, or nothing."""

import math
import time

from amqpbroker.cli.perf.acknowledgements import SingleAcks, back_up_to, cancelling, up_to
from amqpbroker.cli.perf.deliveries import Deliveries
from amqpbroker.cli.perf.lane import Lane
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.plan import Consuming
from amqpbroker.cli.perf.role import Role

#: A consumer with a rate looks this often, and stops reading when so much has come before its time.
LEAST_WAIT_S = 0.001
AHEAD = 1000


class Consumer(Role):
    """Consumes on a channel that has no other consumer."""

    def __init__(self, link: Link | Lane, work: Consuming, deliveries: Deliveries, channel: int = 1) -> None:
        super().__init__(link)
        self._deliveries = deliveries
        self._channel = channel
        self._limit = math.inf if work.limit is None else work.limit
        self._rate = work.rate
        self._auto_ack = work.auto_ack
        self._ack_every = work.ack_every
        self._single = SingleAcks(channel) if not work.auto_ack and not work.ack_every else None
        self._consumed = 0
        self._acked = 0
        self._given_back = 0
        self._started = 0.0
        self._stamped = bool(work.mark)
        self._latencies = Latencies()

    @property
    def writes(self) -> bool:
        return not self.link.is_idle

    def counts(self) -> dict[str, int]:
        return {"consumed": self._consumed}

    def latencies(self) -> dict[str, Latencies]:
        if not self._stamped:
            return {}
        taken, self._latencies = self._latencies, Latencies()
        return {"message": taken}

    def begin(self, now: float) -> None:
        self._started = now
        self._account(now)

    def readable(self) -> None:
        deliveries = self._deliveries
        size = self.link.receive_into(deliveries.space())
        if not size:
            return
        for channel, payload in deliveries.advance(size):
            self.control(channel, payload)
        if deliveries.ages_ns:
            self._latencies.add(deliveries.ages_ns)
            deliveries.ages_ns.clear()
        self._account(time.monotonic())

    def due(self, now: float) -> None:
        self.link.flush()
        self._account(now)

    def finish(self, timeout_s: float) -> bool:
        if not self._auto_ack and self._consumed > self._acked:
            self.link.queue(up_to(self._consumed, self._channel))
        return self.link.finish(timeout_s, self._deliveries.rest())

    def _account(self, now: float) -> None:
        """Take what may be taken now of what has come, and acknowledge it."""
        come = self._deliveries.count
        self.wake = math.inf
        if self._rate is not None:
            allowed = int((now - self._started) * self._rate) if self._started else 0
            if allowed < come:
                self.wake = max(self._started + (allowed + 1) / self._rate, now + LEAST_WAIT_S)
            self.reads = come - allowed < AHEAD
            come = min(come, allowed)
        if come != self._consumed:
            self.last = now
        self._consumed = int(min(come, self._limit))
        was_done, self.done = self.done, self._consumed >= self._limit
        self._acknowledge()
        if self.done:
            if not was_done:
                self.link.queue(cancelling("perf", self._channel))
            self._give_back()

    def _acknowledge(self) -> None:
        if self._auto_ack or self._consumed == self._acked:
            return
        if self._single is not None:
            self.link.queue(self._single.between(self._acked + 1, self._consumed))
            self._acked = self._consumed
        elif self._consumed - self._acked >= self._ack_every or self.done:
            self._acked = self._consumed
            self.link.queue(up_to(self._acked, self._channel))

    def _give_back(self) -> None:
        """What comes beyond the limit is for others, though the channel stays open."""
        come = self._deliveries.count
        if not self._auto_ack and come > max(self._consumed, self._given_back):
            self._given_back = come
            self.link.queue(back_up_to(come, self._channel))
