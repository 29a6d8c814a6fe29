"""A connection that publishes, on one or more channels."""

import math
import struct
import time
from collections.abc import Sequence

from amqpbroker.cli.perf.inflow import Inflow
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.plan import Publishing
from amqpbroker.cli.perf.publishing_channel import PublishingChannel
from amqpbroker.cli.perf.role import Role
from amqpbroker.cli.perf.stamp import now_ns
from amqpbroker.cli.perf.templates import Templates
from amqpbroker.wire import frames
from amqpbroker.wire.methods import BY_NAME

#: So many writes of each channel, then what comes is looked at.
WRITES_A_TURN = 8

#: ids, delivery tag, multiple (and requeue): what is read of basic.ack and basic.nack.
_SETTLING = struct.Struct(">IQB")
_SETTLING_BYTES = 13
_ACK = BY_NAME["basic.ack"].ids
_NACK = BY_NAME["basic.nack"].ids
_RETURN = BY_NAME["basic.return"].ids.to_bytes(4, "big")


class Publisher(Role):
    """Publishes on the channels from 1 on, by turns; templates: what, for each of them."""

    def __init__(self, link: Link, work: Publishing, templates: Sequence[Templates], stamped: bool) -> None:
        super().__init__(link)
        self._channels = [PublishingChannel(work, some, stamped) for some in templates]
        self._confirms = work.window is not None
        self._stamped = stamped
        self._confirm_latencies = Latencies()
        self._inflow = Inflow()
        self._first = 0
        self._sent = self._channels[0]  # what was sent last is its
        self._returned = 0
        self._waits = False
        self._is_ending = False

    @property
    def writes(self) -> bool:
        return not self.link.is_idle or not self._waits

    def counts(self) -> dict[str, int]:
        unsent, unsent_octets = self._sent.template.unsent(self.link.unsent)  # a part of one may be sent
        counts = {
            "published": sum(channel.begun for channel in self._channels) - unsent,
            "published_octets": sum(channel.octets for channel in self._channels) - unsent_octets,
            "returned": self._returned,
        }
        if self._confirms:
            settled = sum(channel.outstanding.settled for channel in self._channels)
            refused = sum(channel.outstanding.refused for channel in self._channels)
            counts |= {"confirmed": settled - refused, "refused": refused}
        return counts

    def latencies(self) -> dict[str, Latencies]:
        if not self._stamped or not self._confirms:
            return {}
        taken, self._confirm_latencies = self._confirm_latencies, Latencies()
        return {"confirm": taken}

    def begin(self, now: float) -> None:
        for channel in self._channels:
            channel.begin(now)
        self.due(now)

    def due(self, now: float) -> None:
        """Send what may go out, beginning with another channel each time."""
        self.wake = math.inf
        self._waits = False
        if not self.link.flush():
            return
        channels = self._channels
        first = self._first
        self._first = (first + 1) % len(channels)
        for number in (*range(first, len(channels)), *range(first)):
            if self.blocked or number + 1 in self.stopped:
                channels[number].hold()
            elif not self._publish(channels[number]):
                return
        self._waits = self.done = True
        for channel in channels:
            self._waits = self._waits and channel.waits
            self.wake = min(self.wake, channel.wake)
            self.done = self.done and channel.done
        if self.blocked and self._is_ending:  # what the broker reads no more it does not confirm
            self.done = True

    def readable(self) -> None:
        inflow = self._inflow
        size = self.link.receive_into(inflow.space())
        if not size:
            return
        inflow.came(size)
        self._read(now_ns() if self._stamped else 0)
        if self._waits:
            self.due(time.monotonic())

    def wind_up(self, now: float) -> None:
        self._is_ending = True
        for channel in self._channels:
            channel.end()
        self.done = not self._confirms
        if self._confirms:
            self.due(now)

    def finish(self, timeout_s: float) -> bool:
        in_time = self.link.finish(timeout_s, self._inflow.rest())
        self._returned += self.link.client.passed_over["basic.return"]
        return in_time

    def _publish(self, channel: PublishingChannel) -> bool:
        """Whether the socket took all that it was given."""
        for _ in range(WRITES_A_TURN):
            chunk = channel.take()
            if chunk is None:
                return True
            self._sent = channel
            if not self.link.send(chunk):
                return False
        return True

    def _read(self, now: int) -> None:
        inflow = self._inflow
        for kind, channel, at, length in inflow.frames():
            if kind != frames.METHOD:
                continue
            if length in (_SETTLING_BYTES, _SETTLING_BYTES + 1) and self._settle(channel, at, now):
                continue
            if inflow.buffer[at : at + 4] == _RETURN:
                self._returned += 1
            else:
                self.control(channel, bytes(inflow.view[at : at + length]))

    def _settle(self, channel: int, at: int, now: int) -> bool:
        ids, tag, bits = _SETTLING.unpack_from(self._inflow.view, at)
        if ids not in (_ACK, _NACK):
            return False
        published = self._channels[channel - 1].outstanding.settle(tag, bool(bits & 1), ids == _NACK)
        if published:
            self._confirm_latencies.add([now - one for one in published])
        return True
