"""The publishers or consumers of one process."""

import socket
import time
from collections import Counter

from amqpbroker.cli.perf.client import ABANDON_S, Client
from amqpbroker.cli.perf.consumer import Consumer
from amqpbroker.cli.perf.deliveries import Deliveries
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.plan import Consuming, Plan, Publishing
from amqpbroker.cli.perf.publisher import Publisher
from amqpbroker.cli.perf.pump import Pump
from amqpbroker.cli.perf.report import Report
from amqpbroker.cli.perf.role import Role
from amqpbroker.cli.perf.template import Template
from amqpbroker.cli.perf.worker import Control, Job

#: How long the broker may take to read what it was sent, at the end.
FINISH_S = 5.0
#: And if it blocks publishers, when it reads nothing more.
BLOCKED_S = 0.1

#: What the operating system may hold of all publishers together, and of one. It counts as published, unread as it is.
SENDING_BYTES = 1 << 22
MOST_SENDING_BYTES = 1 << 20
LEAST_SENDING_BYTES = 1 << 15


class Share(Job):
    """Those of these numbers."""

    def __init__(self, plan: Plan, work: Publishing | Consuming, numbers: range) -> None:
        self._plan = plan
        self._work = work
        self._numbers = numbers
        self._roles: list[Role] = []

    def set_up(self) -> str:
        for number in self._numbers:
            if isinstance(self._work, Publishing):
                self._roles.append(self._publisher(self._work, number))
            else:
                self._roles.append(self._consumer(self._work, number))
        return self._roles[0].link.client.product

    def run(self, control: Control) -> Report:
        pump = Pump(self._roles, control.fileno(), control.is_stopped, lambda: control.tell(self._report()))
        started = time.monotonic()
        pump.run(started, self._plan.seconds)
        if isinstance(self._work, Publishing):
            ended = time.monotonic()
            # What is with the operating system counts as published, so the time ends when the broker has read it.
            is_read = self._finish()
            report = self._report()
            report.is_read = is_read
            report.ended = time.monotonic() if is_read else ended
            return report
        report = self._report()
        now, seconds = time.monotonic(), self._plan.seconds
        timed_out = seconds is not None and now >= started + seconds
        report.ended = now if timed_out else max(role.last for role in self._roles) or now
        self._finish()
        return report

    def abandon(self) -> None:
        for role in self._roles:
            role.link.client.close(ABANDON_S)

    def _finish(self) -> bool:
        """Close everything. Returns whether the broker answered each in time."""
        deadline = time.monotonic() + FINISH_S
        in_time = True
        for role in self._roles:
            left_s = BLOCKED_S if role.blocked else deadline - time.monotonic()
            in_time = role.finish(max(BLOCKED_S, left_s)) and in_time
        return in_time

    def _report(self) -> Report:
        counts: Counter[str] = Counter()
        latencies: dict[str, Latencies] = {}
        for role in self._roles:
            counts.update(role.counts())
            for name, some in role.latencies().items():
                latencies.setdefault(name, Latencies()).merge(some)
        return Report(
            dict(counts),
            latencies,
            blocked=next((role.blocked for role in self._roles if role.blocked), ""),
            blocked_s=max(role.blocked_s for role in self._roles),
        )

    def _publisher(self, work: Publishing, number: int) -> Publisher:
        client = Client(self._plan.access, f"perf publisher {number}")
        share_bytes = SENDING_BYTES // work.producers
        sending_bytes = min(max(share_bytes, LEAST_SENDING_BYTES), MOST_SENDING_BYTES)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sending_bytes)
        client.open_channel()
        if work.window is not None:
            client.call("confirm.select")
        kind = work.kinds[number % len(work.kinds)]
        return Publisher(Link(client), work, Template(kind, client.frame_max), stamped=bool(kind.mark))

    def _consumer(self, work: Consuming, number: int) -> Consumer:
        client = Client(self._plan.access, f"perf consumer {number}")
        client.open_channel()
        if work.prefetch:
            client.call("basic.qos", prefetch_count=work.prefetch)
        queue = work.queues[number % len(work.queues)]
        client.call("basic.consume", queue=queue, consumer_tag="perf", no_ack=work.auto_ack, arguments=work.arguments)
        return Consumer(Link(client), work, Deliveries(work.mark))
