"""The publishers or consumers of one process, with their connections and channels."""

import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from amqpbroker.cli.perf.client import ABANDON_S, Access, Client
from amqpbroker.cli.perf.connection import Link
from amqpbroker.cli.perf.consumer import Consumer
from amqpbroker.cli.perf.event_loop import EventLoop, LoadConnection, counted, measured
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.plan import Consuming, Plan, Publishing
from amqpbroker.cli.perf.pool import Pool, pool_size
from amqpbroker.cli.perf.processes import Control, Job, Report
from amqpbroker.cli.perf.publisher import Publisher
from amqpbroker.cli.perf.template import CHUNK_BYTES, EncodedPublishes, Kind, Template, Templates
from amqpbroker.wire import frames, methods

Thing = TypeVar("Thing")

#: Limits in bytes of unread data in the operating system, of all publishers and of one. It counts as published.
SENDING_BYTES = 1 << 22
MOST_SENDING_BYTES = 1 << 20
LEAST_SENDING_BYTES = 1 << 15
#: Bytes of one write: the channels of a connection share CHUNK_BYTES, and those of all connections share this.
CHUNKS_BYTES = 1 << 24
LEAST_CHUNK_BYTES = 1 << 14


#: Time limit in seconds for the last confirms, and for the broker to read all data, at the end.
FINISH_S = 5.0
#: The same if the broker blocks publishers, and therefore does not read.
BLOCKED_S = 0.1


def connected(access: Access, work: Publishing | Consuming, number: int) -> LoadConnection:
    """Return the publisher or consumer with a number, connected and set up. Raises PerfError."""
    if isinstance(work, Publishing):
        client = Client(access, f"perf publisher {number}")
        share_bytes = SENDING_BYTES // work.producers
        sending_bytes = min(max(share_bytes, LEAST_SENDING_BYTES), MOST_SENDING_BYTES)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sending_bytes)
    else:
        client = Client(access, f"perf consumer {number}")
    channels = range(1, work.channels + 1)
    if client.channel_max < work.channels:
        client.close()
        raise PerfError(f"the broker allows {client.channel_max} channels in a connection; use no more than that")
    for channel in channels:
        _open(client, work, channel)
    if isinstance(work, Consuming):
        queues = [_mine(work.queues, work, channel, number) for channel in channels]
        if work.declaration is not None:
            for queue in queues:
                work.declaration.declare(client, queue)
        for channel, queue in zip(channels, queues, strict=True):
            _consume(client, work, channel, queue)
        return Consumer(Link(client), work, queues)
    stamped = any(kind.mark for kind in work.kinds)
    return Publisher(Link(client), work, [_templates(client, work, channel, number) for channel in channels], stamped)


def _mine(what: Sequence[Thing], work: Publishing | Consuming, channel: int, number: int) -> Thing:
    """Return the kind or queue of a channel: the channels use them in rotation."""
    return what[(number * work.channels + channel - 1) % len(what)]


def _open(client: Client, work: Publishing | Consuming, channel: int) -> None:
    client.open_channel(channel)
    if isinstance(work, Publishing):
        if work.window is not None:
            client.call("confirm.select", channel)
    elif work.prefetch:
        client.call("basic.qos", channel, prefetch_count=work.prefetch)


def _consume(client: Client, work: Consuming, channel: int, queue: str) -> None:
    arguments: dict[str, Any] = {
        "queue": queue,
        "consumer_tag": "perf",
        "no_ack": work.auto_ack,
        "arguments": work.arguments,
    }
    if work.channels == 1:
        client.call("basic.consume", **arguments)
    else:  # waiting for the answer would skip deliveries of earlier channels
        client.send(frames.frame(frames.METHOD, channel, methods.encode("basic.consume", nowait=True, **arguments)))


def _templates(client: Client, work: Publishing, channel: int, number: int) -> Templates:
    kind = _mine(work.kinds, work, channel, number)
    share_bytes = min(CHUNK_BYTES, CHUNKS_BYTES // work.producers) // work.channels
    chunk_bytes = max(share_bytes, LEAST_CHUNK_BYTES)
    kinds = [replace(kind, size=int(step.value)) for step in work.sizes] or [kind]
    pools = work.producers * work.channels * len(kinds)
    first = (number * work.channels + channel - 1) * len(kinds)

    def encoded(kind: Kind, pool: int) -> EncodedPublishes:
        if kind.variety is None:
            return Template(kind, client.frame_max, chunk_bytes, channel)
        return Pool(kind, kind.variety, pool_size(kind, pools), client.frame_max, chunk_bytes, channel, pool)

    return Templates([encoded(kind, pool) for pool, kind in enumerate(kinds, first)], work.sizes)


class Workload(Job):
    """The publishers or consumers with these numbers."""

    def __init__(self, plan: Plan, work: Publishing | Consuming, numbers: range) -> None:
        self._plan = plan
        self._work = work
        self._numbers = numbers
        self._connections: list[LoadConnection] = []

    def set_up(self) -> str:
        for number in self._numbers:
            self._connections.append(connected(self._plan.access, self._work, number))
        return self._connections[0].link.client.product

    def run(self, control: Control) -> Report:
        started = time.monotonic()
        with EventLoop(
            self._connections, control.fileno(), control.is_stopped, lambda: control.report(self._report())
        ) as loop:
            loop.run(started, self._plan.seconds)
            ended = time.monotonic()
            if isinstance(self._work, Publishing):
                loop.wind_up(FINISH_S)
        report = self._published(ended) if isinstance(self._work, Publishing) else self._consumed(started, ended)
        report.blocked_s = min(report.blocked_s, (report.ended or ended) - started)
        return report

    def _published(self, ended: float) -> Report:
        """Return the last report of publishers. Data in the operating system counts as published, so the time ends
        when the broker has read it."""
        is_read = self._finish()
        report = self._report()
        report.is_read = is_read
        report.ended = time.monotonic() if is_read else ended
        return report

    def _consumed(self, started: float, ended: float) -> Report:
        report = self._report()
        seconds = self._plan.seconds
        timed_out = seconds is not None and ended >= started + seconds
        report.ended = ended if timed_out else max(connection.last for connection in self._connections) or ended
        self._finish()
        return report

    def abandon(self) -> None:
        for connection in self._connections:
            connection.link.client.close(ABANDON_S)

    def _finish(self) -> bool:
        """Close all connections. Return whether the broker answered each of them in time."""
        deadline = time.monotonic() + FINISH_S
        in_time = True
        for connection in self._connections:
            left_s = BLOCKED_S if connection.blocked else deadline - time.monotonic()
            in_time = connection.finish(max(BLOCKED_S, left_s)) and in_time
        return in_time

    def _report(self) -> Report:
        return Report(
            dict(counted(self._connections)),
            measured(self._connections),
            blocked=next((connection.blocked for connection in self._connections if connection.blocked), ""),
            blocked_s=max(connection.blocked_s for connection in self._connections),
        )
