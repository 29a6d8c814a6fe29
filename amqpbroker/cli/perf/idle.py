"""Idle connections and queues: `amqpbroker perf connection-count` and `queue-count`."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from amqpbroker.cli.number import Number
from amqpbroker.cli.perf.client import CHANNEL_MAX, Access, Client, SoleClient
from amqpbroker.cli.perf.connection import Link, ReadBuffer
from amqpbroker.cli.perf.event_loop import EventLoop, LoadConnection
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.options import (
    CONNECTIONS,
    QUEUES,
    access,
    duration,
    manner,
    measurement,
    table_of,
    time_option,
    valid,
    with_access,
    with_queue,
)
from amqpbroker.cli.perf.processes import INTERVAL_S, Control, Job, Processes, Report, nobody, supervise
from amqpbroker.cli.perf.progress import Manner, progress
from amqpbroker.cli.perf.results import show_json, show_tables, title
from amqpbroker.cli.perf.template import now_ns
from amqpbroker.cli.perf.topology import Declaration, Topology, made_up_name
from amqpbroker.cli.signals import Interrupt
from amqpbroker.wire import frames

#: Size of the buffer of a connection. It receives methods without content only, and there may be many connections.
_BUFFER_BYTES = 2048


#: Time limit for closing all connections in order. Many connections may take longer.
_CLOSE_S = 5.0


class IdleConnection(LoadConnection):
    """An idle connection: heartbeats, and methods of the broker."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self._read_buffer = ReadBuffer(_BUFFER_BYTES)

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
        read_buffer = self._read_buffer
        read_buffer.came(self.link.receive_into(read_buffer.space()))
        for kind, channel, at, length in read_buffer.frames():
            if kind == frames.METHOD:
                self.control(channel, bytes(read_buffer.view[at : at + length]))

    def finish(self, timeout_s: float) -> bool:
        return self.link.finish(timeout_s, self._read_buffer.rest())


class Holding(Job):
    """Creates `count` objects, one after the other, and holds them for `seconds`; None: until it is stopped."""

    #: Names in reports: of what is held, and of the time that it takes to make one.
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
    def connections(self) -> Sequence[IdleConnection]:
        """Return the connections to keep alive. Nothing is created after that."""

    def run(self, control: Control) -> Report:
        started = time.monotonic()
        next_report = started + INTERVAL_S
        stopped = False
        while self._made < self._count and not stopped:
            self._make()
            if time.monotonic() >= next_report:
                next_report = time.monotonic() + INTERVAL_S
                control.report(self._report())
                stopped = control.is_stopped()
        made = time.monotonic()
        control.report(self._report())
        connections = self.connections()
        if not stopped:
            with EventLoop(
                connections, control.fileno(), control.is_stopped, lambda: control.report(self._report())
            ) as loop:
                loop.run(made, self._seconds)
        report = self._report()
        report.ended = made
        deadline = time.monotonic() + _CLOSE_S
        for connection in connections:
            connection.finish(max(0.01, deadline - time.monotonic()))
        return report

    def _make(self) -> None:
        before = now_ns()
        try:
            self.make(self._made)
        except PerfError as error:
            raise PerfError(f"{error}, with {self._made:,} {self.things} open") from None
        self._latencies.add([now_ns() - before])
        self._made += 1

    def _report(self) -> Report:
        taken, self._latencies = self._latencies, Latencies()
        return Report({self.things: self._made}, {self.making: taken})


class ConnectionHolding(Holding):
    """Connections with the given number of channels each."""

    things = "connections"
    making = "opening"

    def __init__(self, access: Access, count: int, seconds: float | None, channels: int) -> None:
        super().__init__(access, count, seconds)
        self._channels = channels
        self._connections: list[IdleConnection] = []

    def set_up(self) -> str:
        client = Client(self.access, "perf")
        client.close()
        return client.product

    def make(self, number: int) -> None:
        client = Client(self.access, f"perf {number}")
        for channel in range(1, self._channels + 1):
            client.open_channel(channel)
        self._connections.append(IdleConnection(Link(client)))

    def connections(self) -> Sequence[IdleConnection]:
        return self._connections

    def abandon(self) -> None:
        for connection in self._connections:
            connection.link.client.drop()


class QueueHolding(Holding):
    """Empty queues, all declared on one channel."""

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

    def connections(self) -> Sequence[IdleConnection]:
        return [IdleConnection(Link(self._sole.client))]

    def abandon(self) -> None:
        self._sole.abandon()


_TIME = time_option("How long to hold them, once all are there")


@measurement()
@click.option(
    "-x",
    "--count",
    metavar="N",
    type=Number(1, CONNECTIONS),
    default=100,
    show_default=True,
    help="Number of connections.",
)
@click.option(
    "--channels",
    metavar="N",
    type=Number(0, CHANNEL_MAX),
    default=1,
    show_default=True,
    help="Channels of each connection.",
)
@_TIME
@with_access
def connection_count(count: int, channels: int, seconds: float | None, **given: Any) -> None:
    """Open connections and hold them."""
    how = manner(given)
    job = ConnectionHolding(access(given), count, duration(seconds, has_limit=False), channels)
    result = _run("connection-count", job, nullcontext(), how)
    result["channels"] = result["connections"] * channels
    _show(result, job, "opened", how)


@measurement()
@click.option("-x", "--count", metavar="N", type=QUEUES, default=100, show_default=True, help="Number of queues.")
@with_queue
@_TIME
@with_access
def queue_count(count: int, durable: bool, queue_args: dict[str, Any], seconds: float | None, **given: Any) -> None:
    """Declare queues and hold them."""
    name = made_up_name()
    table = valid("--queue-args", table_of, queue_args)
    topology = Topology(
        tuple(f"{name}-{number}" for number in range(1, count + 1)), Declaration(arguments=table, exclusive=not durable)
    )
    where, how = access(given), manner(given)
    job = QueueHolding(where, topology.queues, duration(seconds, has_limit=False), topology.declaration)
    _show(_run("queue-count", job, topology.cleared(where), how), job, "declared", how)


def _run(command: str, job: Holding, around: AbstractContextManager[None], how: Manner) -> dict[str, Any]:
    """Return the document that --json prints."""
    interrupt = Interrupt()
    try:
        with interrupt.heeded(), around, Processes([job], interrupt) as processes, progress(None, how) as shown:
            if not interrupt.came:
                supervise(processes, interrupt, shown, [], nobody, [job.things], how.interval_s)
    except PerfError as error:
        raise click.ClickException(str(error)) from error
    took = processes.duration(processes.workers)
    made = processes.counts()[job.things]
    latencies = processes.latencies.get(job.making)
    return {
        "command": command,
        "uri": str(job.access.uri),
        "broker": processes.product,
        "interrupted": interrupt.came,
        "seconds": round(took, 3),
        job.things: made,
        f"{job.things}_per_s": round(made / took, 1) if took else 0.0,
        "latency_ms": latencies.summary_ms() if latencies else None,
    }


def _show(result: dict[str, Any], job: Holding, done: str, how: Manner) -> None:
    if how.as_json:
        show_json(result)
        return
    rows = {job.things: (f"{result[job.things]:,}", f"{result[f'{job.things}_per_s']:,.1f}")}
    show_tables(title(result), (done, "a second"), rows, {job.making: result["latency_ms"]})
