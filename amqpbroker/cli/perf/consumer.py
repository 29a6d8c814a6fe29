"""A connection that consumes, on one or more channels."""

import math
import time
from collections.abc import Sequence

from amqpbroker.cli.perf.connection import Link
from amqpbroker.cli.perf.deliveries import Deliveries
from amqpbroker.cli.perf.event_loop import LoadConnection
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.plan import Consuming
from amqpbroker.wire import frames, methods
from amqpbroker.wire.methods import BY_NAME

_BLOCK = 256
_METHOD = methods.encode("basic.ack")
_EACH = len(_METHOD) + frames.OVERHEAD
_TAG_AT = 11


#: A consumer with a rate checks at this interval, and stops reading when this many deliveries have come too early.
LEAST_WAIT_S = 0.001
AHEAD = 1000
_CANCEL = BY_NAME["basic.cancel"].ids.to_bytes(4, "big")


def up_to(tag: int, channel: int = 1) -> bytes:
    """Return a basic.ack of all deliveries up to the tag."""
    return frames.frame(frames.METHOD, channel, methods.encode("basic.ack", delivery_tag=tag, multiple=True))


def back_up_to(tag: int, channel: int = 1) -> bytes:
    """Return a basic.nack that requeues all unacknowledged deliveries up to the tag."""
    nack = methods.encode("basic.nack", delivery_tag=tag, multiple=True, requeue=True)
    return frames.frame(frames.METHOD, channel, nack)


def cancelling(consumer_tag: str, channel: int = 1) -> bytes:
    """Return a basic.cancel; deliveries that are under way still arrive."""
    cancel = methods.encode("basic.cancel", consumer_tag=consumer_tag, nowait=True)
    return frames.frame(frames.METHOD, channel, cancel)


class SingleAcks:
    """One basic.ack for each of a run of delivery tags."""

    def __init__(self, channel: int = 1) -> None:
        #: Frames of the tags that differ only in their last byte.
        self._table = bytearray(frames.frame(frames.METHOD, channel, _METHOD) * _BLOCK)
        self._table[_TAG_AT + 7 :: _EACH] = bytes(range(_BLOCK))
        self._block = 0

    def between(self, first: int, last: int) -> bytes:
        """Return acknowledgements of the delivery tags from first to last, both included."""
        parts = []
        while first <= last:
            self._turn_to(first >> 8)
            stop = min(last, first | 0xFF)
            parts.append(self._table[(first & 0xFF) * _EACH : ((stop & 0xFF) + 1) * _EACH])
            first = stop + 1
        return b"".join(parts)

    def _turn_to(self, block: int) -> None:
        if block == self._block:
            return
        before, after = self._block.to_bytes(7, "big"), block.to_bytes(7, "big")
        for place in range(7):
            if before[place] != after[place]:
                self._table[_TAG_AT + place :: _EACH] = bytes((after[place],)) * _BLOCK
        self._block = block


class ConsumingChannel:
    """Decides on the answers to the deliveries of a channel with one consumer."""

    def __init__(self, work: Consuming, number: int = 1) -> None:
        self.number = number
        self.consumed = 0
        #: Time of the next accounting, by the monotonic clock; whether to read on; whether the limit is reached.
        self.wake = math.inf
        self.reads = True
        self.done = False
        #: Time of the last work.
        self.last = 0.0
        self._limit = math.inf if work.limit is None else work.limit
        self._rate = work.rate
        self._auto_ack = work.auto_ack
        self._ack_every = work.ack_every
        self._single = SingleAcks(number) if not work.auto_ack and not work.ack_every else None
        self._begun = 0
        self._free_at = 0.0  # end of the work on these deliveries
        self._idle_since = 0.0
        self._is_idle = True
        self._acked = 0
        self._requeued = 0

    def begin(self, now: float) -> None:
        self._free_at = self._idle_since = now

    def account(self, come: int, now: float) -> bytes:
        """Consume as many of the `come` deliveries so far as the rate allows. Return the frames that answer them."""
        if self._rate is None:
            self._begun = come
        else:
            self._consume_at(self._rate, come, now)
        consumed = int(min(self._begun, self._limit))
        if consumed != self.consumed:
            self.consumed, self.last = consumed, now
        was_done, self.done = self.done, self.consumed >= self._limit
        answer = self._acknowledgement()
        if self.done:
            if not was_done:
                answer += cancelling("perf", self.number)
            answer += self._requeueing(come)
        return answer

    def finish(self) -> bytes:
        """Return the frames that acknowledge the rest."""
        return up_to(self.consumed, self.number) if not self._auto_ack and self.consumed > self._acked else b""

    def _consume_at(self, rate: float, come: int, now: float) -> None:
        """Consume at a rate. Time without deliveries is lost; the time of a late call is made up for."""
        waiting = come - self._begun
        if not waiting:
            return
        if self._is_idle:
            self._free_at += now - self._idle_since
        count = min(waiting, int((now - self._free_at) * rate))
        self._begun += count
        self._free_at += count / rate
        self._is_idle, self._idle_since = count == waiting, now
        self.wake = math.inf if self._is_idle else max(self._free_at + 1 / rate, now + LEAST_WAIT_S)
        self.reads = waiting - count < AHEAD

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

    def _requeueing(self, come: int) -> bytes:
        """Return frames that requeue the deliveries beyond the limit, which are for other consumers."""
        if self._auto_ack or come <= max(self.consumed, self._requeued):
            return b""
        self._requeued = come
        return back_up_to(come, self.number)


class Consumer(LoadConnection):
    """Consumes on the channels from 1 on, each with one consumer. queues: the queue of each channel."""

    def __init__(self, link: Link, work: Consuming, queues: Sequence[str]) -> None:
        super().__init__(link)
        self._queues = queues
        self._deliveries = Deliveries(work.mark, work.channels)
        self._channels = [ConsumingChannel(work, number) for number in range(1, work.channels + 1)]
        self._stamped = bool(work.mark)
        self._latencies = Latencies()

    @property
    def writes(self) -> bool:
        return not self.link.is_idle

    def counts(self) -> dict[str, int]:
        consumed = sum(channel.consumed for channel in self._channels)
        come = sum(self._deliveries.come)
        body_bytes = self._deliveries.body_bytes
        return {"consumed": consumed, "consumed_bytes": round(body_bytes * consumed / come) if come else 0}

    def latencies(self) -> dict[str, Latencies]:
        if not self._stamped:
            return {}
        taken, self._latencies = self._latencies, Latencies()
        return {"message": taken}

    def begin(self, now: float) -> None:
        for channel in self._channels:
            channel.begin(now)
        self._account(now)

    def readable(self) -> None:
        deliveries = self._deliveries
        size = self.link.receive_into(deliveries.space())
        if not size:
            return
        for channel, payload in deliveries.advance(size):
            if payload.startswith(_CANCEL):
                address, queue = self.link.client.access.uri.address, self._queues[channel - 1]
                raise PerfError(f"{address}: the broker cancelled the consumer of {queue}; was that deleted?")
            self.control(channel, payload)
        if deliveries.ages_ns:
            self._latencies.add(deliveries.ages_ns)
            deliveries.ages_ns.clear()
        self._account(time.monotonic())

    def due(self, now: float) -> None:
        self.link.flush()
        self._account(now)

    def finish(self, timeout_s: float) -> bool:
        self._answer(b"".join([channel.finish() for channel in self._channels]))
        return self.link.finish(timeout_s, self._deliveries.rest())

    def _account(self, now: float) -> None:
        answers = []
        self.wake = math.inf
        self.reads = self.done = True
        for channel in self._channels:
            answers.append(channel.account(self._deliveries.come[channel.number], now))
            self.last = max(self.last, channel.last)
            self.wake = min(self.wake, channel.wake)
            self.reads = self.reads and channel.reads
            self.done = self.done and channel.done
        self._answer(b"".join(answers))

    def _answer(self, data: bytes) -> None:
        if data:
            self.link.queue(data)
