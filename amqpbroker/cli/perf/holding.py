"""Many connections that are open and do nothing."""

import time
from collections.abc import Sequence

from amqpbroker.cli.perf.client import Access, Client
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.pump import Pump
from amqpbroker.cli.perf.report import INTERVAL_S, Report
from amqpbroker.cli.perf.role import Role
from amqpbroker.cli.perf.stamp import now_ns
from amqpbroker.cli.perf.worker import Control, Job
from amqpbroker.wire import frames

_READ_BYTES = 4096
#: Of so many connections, closing each in order takes too long.
_CLOSE_S = 5.0


class Holder(Role):
    """An idle connection: heartbeats, and what the broker has to say."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._data = b""

    @property
    def writes(self) -> bool:
        return not self.link.is_idle

    def counts(self) -> dict[str, int]:
        return {}

    def latencies(self) -> dict[str, Latencies]:
        return {}

    def begin(self, now: float) -> None:
        return

    def due(self, now: float) -> None:
        self.link.flush()

    def readable(self) -> None:
        space = bytearray(_READ_BYTES)
        data = self._data + space[: self.link.receive_into(memoryview(space))]
        while len(data) >= frames.OVERHEAD:
            kind, channel, length = frames.FRAME_HEAD.unpack_from(data)
            stop = length + frames.OVERHEAD
            if stop > len(data):
                break
            if kind == frames.METHOD:
                self.control(channel, data[7 : stop - 1])
            data = data[stop:]
        self._data = bytes(data)

    def finish(self, timeout_s: float) -> bool:
        return self.link.finish(timeout_s, self._data)


class Holding(Job):
    """Opens `count` connections with so many channels each, one after the other, and holds them for `seconds`."""

    def __init__(self, access: Access, count: int, channels: int, seconds: float | None) -> None:
        self.access = access
        self._count = count
        self._channels = channels
        self._seconds = seconds
        self._latencies = Latencies()
        self._roles: list[Holder] = []

    def set_up(self) -> str:
        client = Client(self.access, "perf")
        client.close()
        return client.product

    def run(self, control: Control) -> Report:
        started = time.monotonic()
        next_report = started + INTERVAL_S
        stopped = False
        while len(self._roles) < self._count and not stopped:
            self._open()
            if time.monotonic() >= next_report:
                next_report = time.monotonic() + INTERVAL_S
                control.tell(self._report())
                stopped = control.is_stopped()
        opened = time.monotonic()
        control.tell(self._report())
        if not stopped:
            pump = Pump(self._roles, control.fileno(), control.is_stopped, lambda: control.tell(self._report()))
            pump.run(opened, self._seconds)
        report = self._report()
        report.ended = opened
        self._finish(self._roles)
        return report

    def abandon(self) -> None:
        for role in self._roles:
            role.link.client.drop()

    def _open(self) -> None:
        before = now_ns()
        number = len(self._roles)
        try:
            client = Client(self.access, f"perf {number}")
            for channel in range(1, self._channels + 1):
                client.open_channel(channel)
        except PerfError as error:
            raise PerfError(f"{error}, with {number:,} connections open") from None
        self._latencies.add([now_ns() - before])
        self._roles.append(Holder(Link(client)))

    def _finish(self, roles: Sequence[Holder]) -> None:
        deadline = time.monotonic() + _CLOSE_S
        for role in roles:
            role.finish(max(0.01, deadline - time.monotonic()))

    def _report(self) -> Report:
        taken, self._latencies = self._latencies, Latencies()
        return Report({"connections": len(self._roles)}, {"opening": taken})
