"""Repeated opening and closing: `amqpbroker perf connection-churn`, `queue-churn` and others."""

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import click

from amqpbroker.cli.number import COUNT, Number
from amqpbroker.cli.perf.client import Access, Client, SoleClient
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.latencies import Latencies
from amqpbroker.cli.perf.options import (
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
from amqpbroker.cli.perf.progress import progress
from amqpbroker.cli.perf.results import show_json, show_tables, title
from amqpbroker.cli.perf.template import now_ns
from amqpbroker.cli.perf.topology import Declaration, Topology, made_up_name
from amqpbroker.cli.signals import Interrupt
from amqpbroker.wire.values import Table

Command = TypeVar("Command", bound=Callable[..., Any])


class Churn(Job):
    """Calls `once` until the time is over, or a number of times. None is no limit."""

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
        """The connection that is open during the whole run."""
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
                control.report(self._report())
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
        self.client.close()  # without heartbeats the broker may close it
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


class Attaching(Churn):
    """The queue of a churn. declaration: made by the connection that uses the queue; None: the queue exists."""

    def __init__(
        self, access: Access, seconds: float | None, limit: int | None, queue: str, declaration: Declaration | None
    ) -> None:
        super().__init__(access, seconds, limit)
        self._queue = queue
        self._declaration = declaration

    def set_up(self) -> str:
        product = super().set_up()
        if self._declaration is not None:
            self._declaration.declare(self.client, self._queue)
        return product


class BindingChurn(Attaching):
    """A binding to an existing exchange, with another routing key each time."""

    def __init__(
        self,
        access: Access,
        seconds: float | None,
        limit: int | None,
        queue: str,
        declaration: Declaration | None,
        exchange: str,
    ) -> None:
        super().__init__(access, seconds, limit, queue, declaration)
        self._exchange = exchange

    def once(self) -> None:
        binding: dict[str, Any] = {
            "queue": self._queue,
            "exchange": self._exchange,
            "routing_key": f"{self._queue}.{self.count}",
        }
        self.client.call("queue.bind", **binding)
        self.client.call("queue.unbind", **binding)


class ConsumerChurn(Attaching):
    """A consumer, on one channel."""

    def once(self) -> None:
        self.client.call("basic.consume", queue=self._queue, consumer_tag="perf")
        self.client.call("basic.cancel", consumer_tag="perf")


_OPTIONS = (
    click.option(
        "-x",
        "--parallel",
        metavar="N",
        type=Number(1, 1000),
        default=1,
        show_default=True,
        help="Number of parallel processes.",
    ),
    time_option("How long", "-C"),
    click.option("-C", "--count", metavar="N", type=COUNT, help="Number of repetitions of each process."),
)


def _with_churn(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return with_access(command)


@measurement()
@_with_churn
def connection_churn(**given: Any) -> None:
    """Open and close connections."""
    common = _common(given)
    _run("connection-churn", [ConnectionChurn(*common) for _ in range(given["parallel"])], given)


@measurement()
@_with_churn
def channel_churn(**given: Any) -> None:
    """Open and close channels."""
    common = _common(given)
    _run("channel-churn", [ChannelChurn(*common) for _ in range(given["parallel"])], given)


@measurement()
@_with_churn
@with_queue
def queue_churn(durable: bool, queue_args: dict[str, Any], **given: Any) -> None:
    """Declare and delete queues."""
    common = _common(given)
    table = valid("--queue-args", table_of, queue_args)
    jobs = [QueueChurn(*common, durable, table) for _ in range(given["parallel"])]
    _run("queue-churn", jobs, given)


@measurement()
@_with_churn
@click.option("-e", "--exchange", metavar="NAME", default="amq.direct", show_default=True, help="An existing exchange.")
@with_queue
def bind_churn(exchange: str, **given: Any) -> None:
    """Bind a queue to an exchange and unbind it."""
    common = _common(given)
    topology = _topology(given)
    own = topology.left_to_users
    jobs = [BindingChurn(*common, queue, own, exchange) for queue in topology.queues]
    _run("bind-churn", jobs, given, topology)


@measurement()
@_with_churn
@with_queue
def consumer_churn(**given: Any) -> None:
    """Start and cancel consumers of a queue."""
    common = _common(given)
    topology = _topology(given)
    own = topology.left_to_users
    jobs = [ConsumerChurn(*common, queue, own) for queue in topology.queues]
    _run("consumer-churn", jobs, given, topology)


def _common(given: dict[str, Any]) -> tuple[Access, float | None, int | None]:
    """Return the address, the time in seconds and the number of repetitions. None is no limit."""
    return access(given), duration(given["seconds"], bool(given["count"])), given["count"]


def _topology(given: dict[str, Any]) -> Topology:
    """A queue for each process."""
    table = valid("--queue-args", table_of, given["queue_args"])
    queues = tuple(made_up_name() for _ in range(given["parallel"]))
    return Topology(queues, Declaration(arguments=table, exclusive=not given["durable"]))


def _run(command: str, jobs: Sequence[Churn], given: dict[str, Any], topology: Topology | None = None) -> None:
    interrupt = Interrupt()
    where, seconds = jobs[0].access, jobs[0].seconds
    how = manner(given)
    around = nullcontext() if topology is None else topology.standing(where)
    try:
        with interrupt.heeded(), around, Processes(jobs, interrupt) as processes, progress(seconds, how) as shown:
            if not interrupt.came:
                supervise(processes, interrupt, shown, ["operations"], nobody, interval_s=how.interval_s)
    except PerfError as error:
        raise click.ClickException(str(error)) from error
    took = processes.duration(processes.workers)
    operations = processes.counts()["operations"]
    latencies = processes.latencies.get("operation")
    result: dict[str, Any] = {
        "command": command,
        "uri": str(where.uri),
        "broker": processes.product,
        "interrupted": interrupt.came,
        "seconds": round(took, 3),
        "parallel": len(jobs),
        "operations": operations,
        "operations_per_s": round(operations / took, 1) if took else 0.0,
        "latency_ms": latencies.summary_ms() if latencies else None,
    }
    if how.as_json:
        show_json(result)
    else:
        rows = {"done": (f"{operations:,}", f"{result['operations_per_s']:,.1f}")}
        show_tables(title(result), ("times", "a second"), rows, {"operation": result["latency_ms"]})
