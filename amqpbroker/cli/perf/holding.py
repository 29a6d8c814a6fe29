"""Many things at once that nobody uses: connections, queues."""

import time
from abc import abstractmethod
from collections.abc import Sequence

from amqpbroker.cli.perf.client import Access, Client
from amqpbroker.cli.perf.declaration import Declaration
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.holder import Holder
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.pump import Pump
from amqpbroker.cli.perf.report import INTERVAL_S, Report
from amqpbroker.cli.perf.sole_client import SoleClient
from amqpbroker.cli.perf.stamp import now_ns
from amqpbroker.cli.perf.worker import Control, Job

#: Of many connections, closing each in order takes too long.
_CLOSE_S = 5.0


class Holding(Job):
    """Makes `count` of something, one after the other, and holds them for `seconds`; None is until it is stopped."""

    #: What they are called in reports, as is how long it takes to make one.
    things: str
    making: str

    def __init__(self, access: Access, count: int, seconds: float | None) -> None:
        self.access = access
        self._count = count
        self._seconds = seconds
        self._latencies = Latencies()
        self._made = 0

    @abstractmethod
    def make(self, number: int) -> None:
        """One more, the first of which has the number 0. Raises PerfError."""

    @abstractmethod
    def holders(self) -> Sequence[Holder]:
        """What keeps the connections alive. Nothing is made after that."""

    def run(self, control: Control) -> Report:
        started = time.monotonic()
        next_report = started + INTERVAL_S
        stopped = False
        while self._made < self._count and not stopped:
            self._make()
            if time.monotonic() >= next_report:
                next_report = time.monotonic() + INTERVAL_S
                control.tell(self._report())
                stopped = control.is_stopped()
        made = time.monotonic()
        control.tell(self._report())
        holders = self.holders()
        if not stopped:
            with Pump(holders, control.fileno(), control.is_stopped, lambda: control.tell(self._report())) as pump:
                pump.run(made, self._seconds)
        report = self._report()
        report.ended = made
        deadline = time.monotonic() + _CLOSE_S
        for holder in holders:
            holder.finish(max(0.01, deadline - time.monotonic()))
        return report

    def _make(self) -> None:
        before = now_ns()
        try:
            self.make(self._made)
        except PerfError as error:
            raise PerfError(f"{error}, with {self._made:,} {self.things} there") from None
        self._latencies.add([now_ns() - before])
        self._made += 1

    def _report(self) -> Report:
        taken, self._latencies = self._latencies, Latencies()
        return Report({self.things: self._made}, {self.making: taken})


class ConnectionHolding(Holding):
    """Connections with so many channels each."""

    things = "connections"
    making = "opening"

    def __init__(self, access: Access, count: int, seconds: float | None, channels: int) -> None:
        super().__init__(access, count, seconds)
        self._channels = channels
        self._holders: list[Holder] = []

    def set_up(self) -> str:
        client = Client(self.access, "perf")
        client.close()
        return client.product

    def make(self, number: int) -> None:
        client = Client(self.access, f"perf {number}")
        for channel in range(1, self._channels + 1):
            client.open_channel(channel)
        self._holders.append(Holder(Link(client)))

    def holders(self) -> Sequence[Holder]:
        return self._holders

    def abandon(self) -> None:
        for holder in self._holders:
            holder.link.client.drop()


class QueueHolding(Holding):
    """Queues that are empty, all declared on one channel."""

    things = "queues"
    making = "declaring"

    def __init__(
        self, access: Access, queues: tuple[str, ...], seconds: float | None, declaration: Declaration
    ) -> None:
        super().__init__(access, len(queues), seconds)
        self._queues = queues
        self._declaration = declaration
        self._sole = SoleClient(access)

    def set_up(self) -> str:
        return self._sole.open()

    def make(self, number: int) -> None:
        self._declaration.declare(self._sole.client, self._queues[number])

    def holders(self) -> Sequence[Holder]:
        return [Holder(Link(self._sole.client))]

    def abandon(self) -> None:
        self._sole.abandon()
