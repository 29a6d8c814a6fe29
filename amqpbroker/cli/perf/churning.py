"""`amqpbroker perf connection-churn`, `channel-churn` and `queue-churn`."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from amqpbroker.cli.perf import arguments
from amqpbroker.cli.perf.churn import ChannelChurn, Churn, ConnectionChurn, QueueChurn
from amqpbroker.cli.perf.conduct import conduct, nobody
from amqpbroker.cli.perf.crew import Crew, Interrupt
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.options import HELP, POSITIVE, SECONDS, access, duration, pairs, valid, with_access
from amqpbroker.cli.perf.progress import progress
from amqpbroker.cli.perf.summary import show_json, show_tables, title

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("-x", "--parallel", type=POSITIVE, default=1, show_default=True, help="Processes that do it at once."),
    click.option("-z", "--time", "seconds", type=SECONDS, help="Seconds; 0: until Ctrl-C.  [default: 10, or until -C]"),
    click.option("-C", "--count", type=POSITIVE, help="How often each process does it."),
)


def _with_churn(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return with_access(command)


@click.command(context_settings=HELP)
@_with_churn
def connection_churn(**given: Any) -> None:
    """Open and close connections."""
    where, seconds, count = access(given), duration(given["seconds"], bool(given["count"])), given["count"]
    _run("connection-churn", [ConnectionChurn(where, seconds, count) for _ in range(given["parallel"])], given)


@click.command(context_settings=HELP)
@_with_churn
def channel_churn(**given: Any) -> None:
    """Open and close channels."""
    where, seconds, count = access(given), duration(given["seconds"], bool(given["count"])), given["count"]
    _run("channel-churn", [ChannelChurn(where, seconds, count) for _ in range(given["parallel"])], given)


@click.command(context_settings=HELP)
@_with_churn
@click.option("--durable", is_flag=True, help="Durable queues, in place of exclusive ones.")
@click.option(
    "--queue-args", metavar="KEY=VALUE,...", callback=pairs, help="Arguments of the queues, or a JSON object."
)
def queue_churn(durable: bool, queue_args: dict[str, Any], **given: Any) -> None:
    """Declare and delete queues."""
    where, seconds, count = access(given), duration(given["seconds"], bool(given["count"])), given["count"]
    table = valid("--queue-args", arguments.table, queue_args)
    jobs = [QueueChurn(where, seconds, count, durable, table) for _ in range(given["parallel"])]
    _run("queue-churn", jobs, given)


def _run(command: str, jobs: Sequence[Churn], given: dict[str, Any]) -> None:
    interrupt = Interrupt()
    seconds = jobs[0].seconds
    try:
        with interrupt.heeded(), Crew(jobs, interrupt) as crew, progress(seconds, given["as_json"]) as shown:
            if not interrupt.came:
                conduct(crew, interrupt, shown, ["operations"], nobody)
    except PerfError as error:
        raise click.ClickException(str(error)) from error
    took = crew.took(crew.workers)
    operations = crew.counts()["operations"]
    latencies = crew.latencies.get("operation")
    result: dict[str, Any] = {
        "command": command,
        "uri": str(jobs[0].access.uri),
        "broker": crew.product,
        "interrupted": interrupt.came,
        "seconds": round(took, 3),
        "parallel": len(jobs),
        "operations": operations,
        "operations_per_s": round(operations / took, 1) if took else 0.0,
        "latency_ms": latencies.summary_ms() if latencies else None,
    }
    if given["as_json"]:
        show_json(result)
    else:
        rows = {"done": f"{operations:,}", "  a second": f"{result['operations_per_s']:,.1f}"}
        show_tables(title(result), rows, {"operation": result["latency_ms"]})
