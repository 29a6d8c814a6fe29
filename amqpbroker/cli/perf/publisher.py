"""A connection that publishes, on one or more channels."""

import math
import random
import struct
import time
from collections.abc import Sequence

from amqpbroker.cli.perf.connection import Link, ReadBuffer
from amqpbroker.cli.perf.event_loop import LoadConnection
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.plan import Publishing
from amqpbroker.cli.perf.template import Templates, now_ns
from amqpbroker.wire import frames
from amqpbroker.wire.methods import BY_NAME

#: Publishes at a rate are sent together if they are due within this time in seconds.
LEAST_WAIT_S = 0.0002
#: A message that is sent later than this counts from the time at which it was due, else from that of sending.
LATE_NS = 1_000_000
#: Number of writes of each channel before input is checked.
WRITES_A_TURN = 8
#: Layout of basic.ack and basic.nack: ids, delivery tag, multiple (and requeue).
_CONFIRM = struct.Struct(">IQB")
_CONFIRM_BYTES = 13
_ACK = BY_NAME["basic.ack"].ids
_NACK = BY_NAME["basic.nack"].ids
_RETURN = BY_NAME["basic.return"].ids.to_bytes(4, "big")


class Outstanding:
    """Publishes that are confirmed or not, by their numbers 1, 2, 3..., in whatever order their confirms come.

    timed: the time of each publish is recorded, to measure how long its confirm took.
    """

    def __init__(self, timed: bool = False) -> None:
        #: Number of confirms, of which `refused` are nacks.
        self.answered = 0
        self.refused = 0
        self._low = 0  # everything up to here is confirmed
        self._ahead: set[int] = set()  # confirmed ones beyond
        self._published_ns: dict[int, int] | None = {} if timed else None

    def published(self, first: int, stamps_ns: list[int]) -> None:
        if self._published_ns is not None:
            self._published_ns.update(enumerate(stamps_ns, first))

    def confirmed(self, tag: int, multiple: bool, refused: bool) -> list[int]:
        """Count a basic.ack or basic.nack. Return the times of its publishes, if times are recorded."""
        tags: Sequence[int] = range(self._low + 1, tag + 1)
        if multiple:
            if self._ahead:
                tags = [one for one in tags if one not in self._ahead]
                self._ahead = {one for one in self._ahead if one > tag}
            self._low = max(self._low, tag)
        elif tag <= self._low or tag in self._ahead:
            return []
        else:
            tags = range(tag, tag + 1)
            self._ahead.add(tag)
        while self._low + 1 in self._ahead:
            self._low += 1
            self._ahead.remove(self._low)
        self.answered += len(tags)
        self.refused += len(tags) * refused
        times = self._published_ns
        return [] if times is None else [times.pop(one) for one in tags if one in times]


class PublishingChannel:
    """Publishes of one channel, at its rate and within its window. With a window, the channel is in confirm mode."""

    def __init__(self, work: Publishing, templates: Templates, stamped: bool) -> None:
        #: Number of published messages, and of the bytes of their bodies.
        self.begun = 0
        self.body_bytes = 0
        #: Template of the last messages.
        self.template = templates.at(0.0)
        #: True if nothing can be sent now, and the time of the next check, by the monotonic clock.
        self.waits = False
        self.wake = math.inf
        self.outstanding = Outstanding(timed=stamped)
        self._templates = templates
        self._limit = work.limit
        self._pace = work.pace
        self._window = work.window
        self._start_delay_s = work.start_delay_s
        self._stamped = stamped
        self._started = 0.0

    def begin(self, now: float) -> None:
        self._started = now + random.uniform(0, self._start_delay_s)

    def next_publishes(self) -> memoryview | None:
        """Return whole messages that can be sent now. The next call overwrites them.

        None: nothing; `wake` and `done` have the reason.
        """
        now = time.monotonic()
        if now < self._started:
            self.waits, self.wake = True, self._started
            return None
        template = self._templates.at(now - self._started)
        self.wake = math.inf
        count = self._allowed(template.most, now)
        self.waits = not count
        if not count:
            return None
        self.template = template
        chunk = template.next_stamped(count, self._stamps(count)) if self._stamped else template.next_publishes(count)
        self.begun += count
        self.body_bytes += template.last_bytes
        return chunk

    def hold(self) -> None:
        """Send nothing until input changes that."""
        self.waits, self.wake = True, math.inf

    @property
    def done(self) -> bool:
        """Return whether all is published, and confirmed if there are confirms."""
        return self.begun == self._limit and not self._unconfirmed()

    def end(self) -> None:
        """Publish nothing more, so that the channel is done once all is confirmed."""
        self._limit = self.begun

    def _unconfirmed(self) -> int:
        return 0 if self._window is None else self.begun - self.outstanding.answered

    def _allowed(self, most: int, now: float) -> int:
        """Return how many of `most` can be sent now. With 0, set the time of the next check."""
        count = most if self._limit is None else min(most, self._limit - self.begun)
        if self._window is not None:
            room = self._window - self._unconfirmed()
            if room < min(count, max(1, self._window // 4)):  # else a write for each confirm
                return 0
            count = min(count, room)
        if count and self._pace is not None:
            due = self._pace.due(now - self._started) - self.begun
            if due <= 0:
                self.wake = max(self._started + self._pace.when(self.begun), now + LEAST_WAIT_S)
                return 0
            count = min(count, due)
        return count

    def _stamps(self, count: int) -> list[int]:
        """Return the times from which the next messages count: one time for all, or one for each."""
        now = now_ns()
        stamps = [now]
        if self._pace is not None:
            due = [int((self._started + time_s) * 1e9) for time_s in self._pace.times(self.begun, count)]
            if now - due[0] > LATE_NS:
                stamps = [one if now - one > LATE_NS else now for one in due]
        if self._window is not None:
            self.outstanding.published(self.begun + 1, stamps * count if len(stamps) == 1 else stamps)
        return stamps


class Publisher(LoadConnection):
    """Publishes on the channels from 1 on, in rotation. templates: the messages of each channel."""

    def __init__(self, link: Link, work: Publishing, templates: Sequence[Templates], stamped: bool) -> None:
        super().__init__(link)
        self._channels = [PublishingChannel(work, some, stamped) for some in templates]
        self._confirms = work.window is not None
        self._stamped = stamped
        self._confirm_latencies = Latencies()
        self._read_buffer = ReadBuffer()
        self._first = 0
        self._sent = self._channels[0]  # the channel of the last write
        self._returned = 0
        self._waits = False
        self._is_ending = False

    @property
    def writes(self) -> bool:
        return not self.link.is_idle or not self._waits

    def counts(self) -> dict[str, int]:
        unsent, unsent_bytes = self._sent.template.unsent(self.link.unsent)  # the last one may be sent in part
        counts = {
            "published": sum(channel.begun for channel in self._channels) - unsent,
            "published_bytes": sum(channel.body_bytes for channel in self._channels) - unsent_bytes,
            "returned": self._returned,
        }
        if self._confirms:
            answered = sum(channel.outstanding.answered for channel in self._channels)
            refused = sum(channel.outstanding.refused for channel in self._channels)
            counts |= {"confirmed": answered - refused, "refused": refused}
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
        """Send messages that are due, beginning with another channel each time."""
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
        if self.blocked and self._is_ending:  # the broker does not read, so it does not confirm
            self.done = True

    def readable(self) -> None:
        read_buffer = self._read_buffer
        size = self.link.receive_into(read_buffer.space())
        if not size:
            return
        read_buffer.came(size)
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
        in_time = self.link.finish(timeout_s, self._read_buffer.rest())
        self._returned += self.link.client.passed_over["basic.return"]
        return in_time

    def _publish(self, channel: PublishingChannel) -> bool:
        """Return whether the socket has accepted all data."""
        for _ in range(WRITES_A_TURN):
            chunk = channel.next_publishes()
            if chunk is None:
                return True
            self._sent = channel
            if not self.link.send(chunk):
                return False
        return True

    def _read(self, now: int) -> None:
        read_buffer = self._read_buffer
        for kind, channel, at, length in read_buffer.frames():
            if kind != frames.METHOD:
                continue
            if length in (_CONFIRM_BYTES, _CONFIRM_BYTES + 1) and self._confirmed(channel, at, now):
                continue
            if read_buffer.buffer[at : at + 4] == _RETURN:
                self._returned += 1
            else:
                self.control(channel, bytes(read_buffer.view[at : at + length]))

    def _confirmed(self, channel: int, at: int, now: int) -> bool:
        ids, tag, bits = _CONFIRM.unpack_from(self._read_buffer.view, at)
        if ids not in (_ACK, _NACK):
            return False
        published = self._channels[channel - 1].outstanding.confirmed(tag, bool(bits & 1), ids == _NACK)
        if published:
            self._confirm_latencies.add([now - one for one in published])
        return True
