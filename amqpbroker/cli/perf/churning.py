"""`amqpbroker perf connection-churn`, `channel-churn`, `queue-churn`, `bind-churn` and `consumer-churn`."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import click

from amqpbroker.cli.number import COUNT, Number
from amqpbroker.cli.perf import arguments
from amqpbroker.cli.perf.attaching import BindingChurn, ConsumerChurn
from amqpbroker.cli.perf.churn import ChannelChurn, Churn, ConnectionChurn, QueueChurn
from amqpbroker.cli.perf.client import Access
from amqpbroker.cli.perf.conduct import conduct, nobody
from amqpbroker.cli.perf.crew import Crew
from amqpbroker.cli.perf.declaration import Declaration
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.interrupt import Interrupt
from amqpbroker.cli.perf.options import (
    access,
    duration,
    manner,
    measurement,
    time_option,
    valid,
    with_access,
    with_queue,
)
from amqpbroker.cli.perf.progress import progress
from amqpbroker.cli.perf.summary import show_json, show_tables, title
from amqpbroker.cli.perf.topology import Topology, made_up_name

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "-x",
        "--parallel",
        metavar="N",
        type=Number(1, 1000),
        default=1,
        show_default=True,
        help="Processes that do it at once.",
    ),
    time_option("How long", "-C"),
    click.option("-C", "--count", metavar="N", type=COUNT, help="How often each process does it."),
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
    table = valid("--queue-args", arguments.table, queue_args)
    jobs = [QueueChurn(*common, durable, table) for _ in range(given["parallel"])]
    _run("queue-churn", jobs, given)


@measurement()
@_with_churn
@click.option(
    "-e", "--exchange", metavar="NAME", default="amq.direct", show_default=True, help="The exchange, which is there."
)
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
    """Begin and end to consume from a queue."""
    common = _common(given)
    topology = _topology(given)
    own = topology.left_to_users
    jobs = [ConsumerChurn(*common, queue, own) for queue in topology.queues]
    _run("consumer-churn", jobs, given, topology)


def _common(given: dict[str, Any]) -> tuple[Access, float | None, int | None]:
    """What all of them are told: where, for how long, how often."""
    return access(given), duration(given["seconds"], bool(given["count"])), given["count"]


def _topology(given: dict[str, Any]) -> Topology:
    """A queue for each process."""
    table = valid("--queue-args", arguments.table, given["queue_args"])
    queues = tuple(made_up_name() for _ in range(given["parallel"]))
    return Topology(queues, Declaration(arguments=table, exclusive=not given["durable"]))


def _run(command: str, jobs: Sequence[Churn], given: dict[str, Any], topology: Topology | None = None) -> None:
    interrupt = Interrupt()
    where, seconds = jobs[0].access, jobs[0].seconds
    how = manner(given)
    around = nullcontext() if topology is None else topology.standing(where)
    try:
        with interrupt.heeded(), around, Crew(jobs, interrupt) as crew, progress(seconds, how) as shown:
            if not interrupt.came:
                conduct(crew, interrupt, shown, ["operations"], nobody, interval_s=how.interval_s)
    except PerfError as error:
        raise click.ClickException(str(error)) from error
    took = crew.took(crew.workers)
    operations = crew.counts()["operations"]
    latencies = crew.latencies.get("operation")
    result: dict[str, Any] = {
        "command": command,
        "uri": str(where.uri),
        "broker": crew.product,
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
