"""Several channels of one connection, each with a role of its own."""

import math
from collections.abc import Sequence

from amqpbroker.cli.perf.failure import too_large
from amqpbroker.cli.perf.lane import Lane
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.role import Role, counted, measured
from amqpbroker.wire import frames

BUFFER_BYTES = 1 << 18


class Trunk(Role):
    """Hands what comes to the lanes, that of channel 1 first, and lets the roles on them send by turns."""

    def __init__(self, link: Link, lanes: Sequence[Lane], roles: Sequence[Role]) -> None:
        super().__init__(link)
        self._lanes = lanes
        self._roles = roles
        self._first = 0
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._kept = 0

    @property
    def writes(self) -> bool:
        return not self.link.is_idle or any(role.writes for role in self._roles)

    @property
    def blocked_s(self) -> float:
        return self._roles[0].blocked_s

    def counts(self) -> dict[str, int]:
        counts = counted(self._roles)
        counts["returned"] += self.link.client.passed_over["basic.return"]
        return counts

    def latencies(self) -> dict[str, Latencies]:
        return measured(self._roles)

    def begin(self, now: float) -> None:
        for role in self._roles:
            role.begin(now)
        self._sum_up()

    def due(self, now: float) -> None:
        first = self._first = (self._first + 1) % len(self._roles)
        for role in (*self._roles[first:], *self._roles[:first]):
            if role.writes or role.wake <= now:
                role.due(now)
        self._sum_up()

    def readable(self) -> None:
        size = self.link.receive_into(self._view[self._kept :])
        if not size:
            return
        self._hand_out(self._kept + size)
        for lane, role in zip(self._lanes, self._roles, strict=True):
            while lane.has_more:
                role.readable()
        self._sum_up()

    def finish(self, timeout_s: float) -> bool:
        for role in self._roles:
            role.finish(timeout_s)
        return self.link.finish(timeout_s, bytes(self._view[: self._kept]))

    def _hand_out(self, end: int) -> None:
        """Runs of whole frames of one channel go to its lane, those of the connection to all."""
        view, at = self._view, 0
        begun_at = of = 0
        while end - at >= frames.OVERHEAD:
            _, channel, length = frames.FRAME_HEAD.unpack_from(view, at)
            stop = at + length + frames.OVERHEAD
            if stop > end:
                if stop - at > len(view):
                    raise too_large(length)
                break
            if channel != of:
                self._give(of, view[begun_at:at])
                begun_at, of = at, channel
            at = stop
        self._give(of, view[begun_at:at])
        self._kept = end - at
        if at and self._kept:
            view[: self._kept] = view[at:end]

    def _give(self, channel: int, run: memoryview) -> None:
        for lane in self._lanes[channel - 1 : channel] if channel else self._lanes:
            lane.incoming += run

    def _sum_up(self) -> None:
        """What the loop asks of a role."""
        self.wake = math.inf
        self.done = self.reads = True
        for role in self._roles:
            self.wake = min(self.wake, role.wake)
            self.last = max(self.last, role.last)
            self.done = self.done and role.done
            self.reads = self.reads and role.reads
        self.blocked = self._roles[0].blocked
