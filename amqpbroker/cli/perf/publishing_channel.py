"""One channel's publisher: as fast as it can, or at a rate, or with so many unconfirmed."""

import math
import random
import time

from amqpbroker.cli.perf.outstanding import Outstanding
from amqpbroker.cli.perf.plan import Publishing
from amqpbroker.cli.perf.stamp import now_ns
from amqpbroker.cli.perf.templates import Templates

#: With a rate, publishes that are due within this time go out together.
LEAST_WAIT_S = 0.0002
#: A message that goes out later than this counts from when it was due, else from when it went out.
LATE_NS = 1_000_000


class PublishingChannel:
    """Says what may go out on the channel of its templates, which is in confirm mode if there is a window."""

    def __init__(self, work: Publishing, templates: Templates, stamped: bool) -> None:
        #: How many were given out, and how many octets their bodies have.
        self.begun = 0
        self.octets = 0
        #: What they were made of last.
        self.template = templates.at(0.0)
        #: Whether there is nothing to send now, and when to look again, by the monotonic clock.
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

    def take(self) -> memoryview | None:
        """What may go out now, in whole messages; it stays as it is until the next call.

        None: nothing; `wake` and `done` tell why.
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
        chunk = template.take_stamped(count, self._stamps(count)) if self._stamped else template.take(count)
        self.begun += count
        self.octets += template.taken_octets
        return chunk

    def hold(self) -> None:
        """Nothing may go out now."""
        self.waits, self.wake = True, math.inf

    @property
    def done(self) -> bool:
        """Whether all is published, and settled if there are confirms."""
        return self.begun == self._limit and not self._unconfirmed()

    def end(self) -> None:
        """Give out nothing more, so that it is done once what was given out is settled."""
        self._limit = self.begun

    def _unconfirmed(self) -> int:
        return 0 if self._window is None else self.begun - self.outstanding.settled

    def _allowed(self, most: int, now: float) -> int:
        """How many of `most` may go out now; 0 sets when to look again, unless input changes it first."""
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
        """From when the next ones count: one time for all, or one for each."""
        now = now_ns()
        stamps = [now]
        if self._pace is not None:
            due = [int((self._started + time_s) * 1e9) for time_s in self._pace.times(self.begun, count)]
            if now - due[0] > LATE_NS:
                stamps = [one if now - one > LATE_NS else now for one in due]
        if self._window is not None:
            self.outstanding.published(self.begun + 1, stamps * count if len(stamps) == 1 else stamps)
        return stamps
