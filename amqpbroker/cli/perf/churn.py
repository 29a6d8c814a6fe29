"""Opening and closing the same thing again and again: connections, channels, queues."""

import time
from abc import abstractmethod

from amqpbroker.cli.perf.client import Access, Client
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.report import INTERVAL_S, Report
from amqpbroker.cli.perf.sole_client import SoleClient
from amqpbroker.cli.perf.stamp import now_ns
from amqpbroker.cli.perf.topology import made_up_name
from amqpbroker.cli.perf.worker import Control, Job
from amqpbroker.wire.values import Table


class Churn(Job):
    """Does `once` until the time is over, or so often. None is no limit."""

    def __init__(self, access: Access, seconds: float | None, limit: int | None) -> None:
        self.access = access
        self.seconds = seconds
        self._limit = limit
        self._latencies = Latencies()
        self.count = 0
        self._sole = SoleClient(access)

    def set_up(self) -> str:
        return self._sole.open()

    @property
    def client(self) -> Client:
        """The connection that there is during the whole run."""
        return self._sole.client

    @abstractmethod
    def once(self) -> None: ...

    def run(self, control: Control) -> Report:
        started = time.monotonic()
        end = float("inf") if self.seconds is None else started + self.seconds
        next_report = started + INTERVAL_S
        while (now := time.monotonic()) < end and self.count != self._limit:
            if now >= next_report:
                next_report = now + INTERVAL_S
                control.tell(self._report())
                if control.is_stopped():
                    break
            before = now_ns()
            self.once()
            self._latencies.add([now_ns() - before])
            self.count += 1
        report = self._report()
        report.ended = time.monotonic()
        self.client.close()
        return report

    def abandon(self) -> None:
        self._sole.abandon()

    def _report(self) -> Report:
        taken, self._latencies = self._latencies, Latencies()
        return Report({"operations": self.count}, {"operation": taken})


class ConnectionChurn(Churn):
    """A connection with a channel, logged in and closed."""

    def set_up(self) -> str:
        product = super().set_up()
        self.client.close()  # it would go silent, and the broker may count it as gone
        return product

    def once(self) -> None:
        client = Client(self.access, "perf")
        client.open_channel()
        client.close()


class ChannelChurn(Churn):
    """A channel of one connection."""

    def once(self) -> None:
        self.client.call("channel.open", 2)
        self.client.call("channel.close", 2, reply_code=200, reply_text="done")


class QueueChurn(Churn):
    """A queue, declared and deleted on one channel: exclusive to it, or durable."""

    def __init__(
        self, access: Access, seconds: float | None, limit: int | None, durable: bool, arguments: Table
    ) -> None:
        super().__init__(access, seconds, limit)
        self._durable = durable
        self._arguments = arguments

    def once(self) -> None:
        name = made_up_name()
        self.client.call(
            "queue.declare", queue=name, durable=self._durable, exclusive=not self._durable, arguments=self._arguments
        )
        self.client.call("queue.delete", queue=name)
