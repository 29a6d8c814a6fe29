"""A publisher: as fast as it can, or at a rate, or with so many unconfirmed."""

import math
import struct
import time

from amqpbroker.cli.perf.failure import too_large
from amqpbroker.cli.perf.lane import Lane
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.outstanding import Outstanding
from amqpbroker.cli.perf.plan import Publishing
from amqpbroker.cli.perf.role import Role
from amqpbroker.cli.perf.stamp import now_ns
from amqpbroker.cli.perf.templates import Templates
from amqpbroker.wire import frames
from amqpbroker.wire.methods import BY_NAME

BUFFER_BYTES = 1 << 18
#: So many writes, then what comes is looked at.
WRITES_A_TURN = 8
#: With a rate, publishes that are due within this time go out together.
LEAST_WAIT_S = 0.0002
#: A message that goes out later than this counts from when it was due, else from when it went out.
LATE_NS = 1_000_000

#: ids, delivery tag, multiple (and requeue): what is read of basic.ack and basic.nack.
_SETTLING = struct.Struct(">IQB")
_SETTLING_BYTES = 13
_ACK = BY_NAME["basic.ack"].ids
_NACK = BY_NAME["basic.nack"].ids
_RETURN = BY_NAME["basic.return"].ids.to_bytes(4, "big")


class Publisher(Role):
    """Publishes on the channel of its templates, which is in confirm mode if there is a window."""

    def __init__(self, link: Link | Lane, work: Publishing, templates: Templates, stamped: bool) -> None:
        super().__init__(link)
        self._templates = templates
        self._template = templates.at(0.0)
        self._limit = work.limit
        self._pace = work.pace
        self._window = work.window
        self._stamped = stamped
        self._outstanding = Outstanding(timed=stamped)
        self._confirm_latencies = Latencies()
        self._begun = 0
        self._returned = 0
        self._started = 0.0
        self._waits = False
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._kept = 0

    @property
    def published(self) -> int:
        """Those that are with the operating system, whole."""
        return self._begun - -(-self.link.unsent // self._template.each)

    @property
    def writes(self) -> bool:
        return not self.link.is_idle or not self._waits

    def counts(self) -> dict[str, int]:
        settled = self._outstanding
        counts = {"published": self.published, "returned": self._returned}
        if self._window is not None:
            counts |= {"confirmed": settled.settled - settled.refused, "refused": settled.refused}
        return counts

    def latencies(self) -> dict[str, Latencies]:
        if not self._stamped or self._window is None:
            return {}
        taken, self._confirm_latencies = self._confirm_latencies, Latencies()
        return {"confirm": taken}

    def begin(self, now: float) -> None:
        self._started = now
        self.due(now)

    def due(self, now: float) -> None:
        """Send what may go out."""
        link = self.link
        self.wake = math.inf
        self._waits = False
        if not link.flush():
            return
        self._template = self._templates.at(now - self._started)
        for _ in range(WRITES_A_TURN):
            count = self._allowed()
            if not count:
                self._waits = True
                self.done = self._begun == self._limit and not self._unconfirmed()
                return
            chunk = self._stamp(count) if self._stamped else self._template.take(count)
            self._begun += count
            if not link.send(chunk):
                return

    def readable(self) -> None:
        size = self.link.receive_into(self._view[self._kept :])
        if not size:
            return
        now = now_ns() if self._stamped else 0
        settled = self._read(self._kept + size, now)
        if settled or self.blocked or not self.flowing or self._waits:
            self.due(time.monotonic())

    def finish(self, timeout_s: float) -> bool:
        in_time = self.link.finish(timeout_s, bytes(self._view[: self._kept]))
        self._returned += self.link.client.passed_over["basic.return"]
        return in_time

    def _unconfirmed(self) -> int:
        return 0 if self._window is None else self._begun - self._outstanding.settled

    def _allowed(self) -> int:
        """How many may go out now; 0 sets when to look again, unless input changes it first."""
        count = self._template.most
        if self._limit is not None:
            count = min(count, self._limit - self._begun)
        if not count or self.blocked or not self.flowing:
            return 0
        if self._window is not None:
            room = self._window - self._unconfirmed()
            if room < min(count, max(1, self._window // 4)):  # else a write for each confirm
                return 0
            count = min(count, room)
        if self._pace is not None:
            now = time.monotonic()
            due = self._pace.due(now - self._started) - self._begun
            if due <= 0:
                self.wake = max(self._started + self._pace.when(self._begun), now + LEAST_WAIT_S)
                return 0
            count = min(count, due)
        return count

    def _stamp(self, count: int) -> memoryview:
        now = now_ns()
        stamps = [now]
        if self._pace is not None:
            due = [int((self._started + time_s) * 1e9) for time_s in self._pace.times(self._begun, count)]
            if now - due[0] > LATE_NS:
                stamps = [one if now - one > LATE_NS else now for one in due]
        if self._window is not None:
            self._outstanding.published(self._begun + 1, stamps * count if len(stamps) == 1 else stamps)
        return self._template.take_stamped(count, stamps)

    def _read(self, end: int, now: int) -> bool:
        """Account for the frames in the buffer. Returns whether any of them settled something."""
        view, at, settled = self._view, 0, False
        while end - at >= frames.OVERHEAD:
            kind, channel, length = frames.FRAME_HEAD.unpack_from(view, at)
            stop = at + length + frames.OVERHEAD
            if stop > end:
                if stop - at > len(view):
                    raise too_large(length)
                break
            if kind == frames.METHOD:
                if length in (_SETTLING_BYTES, _SETTLING_BYTES + 1) and self._settle(at + 7, now):
                    settled = True
                elif self._buffer[at + 7 : at + 11] == _RETURN:
                    self._returned += 1
                else:
                    self.control(channel, bytes(view[at + 7 : stop - 1]))
            at = stop
        self._kept = end - at
        if at and self._kept:
            view[: self._kept] = view[at:end]
        return settled

    def _settle(self, at: int, now: int) -> bool:
        ids, tag, bits = _SETTLING.unpack_from(self._view, at)
        if ids not in (_ACK, _NACK):
            return False
        published = self._outstanding.settle(tag, bool(bits & 1), ids == _NACK)
        if published:
            self._confirm_latencies.add([now - one for one in published])
        return True
