"""A connection that consumes, on one or more channels."""

import math
import time
from collections.abc import Sequence

from amqpbroker.cli.perf.consuming_channel import ConsumingChannel
from amqpbroker.cli.perf.deliveries import Deliveries
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.plan import Consuming
from amqpbroker.cli.perf.role import Role
from amqpbroker.wire.methods import BY_NAME

_CANCEL = BY_NAME["basic.cancel"].ids.to_bytes(4, "big")


class Consumer(Role):
    """Consumes on the channels from 1 on, each of which has one consumer; queues: from which, for each of them."""

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
        octets = self._deliveries.octets
        return {"consumed": consumed, "consumed_octets": round(octets * consumed / come) if come else 0}

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
