"""`amqpbroker perf connection-count` and `queue-count`: many things at once."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import click

from amqpbroker.cli.number import Number
from amqpbroker.cli.perf import arguments
from amqpbroker.cli.perf.client import CHANNEL_MAX
from amqpbroker.cli.perf.conduct import conduct, nobody
from amqpbroker.cli.perf.crew import Crew
from amqpbroker.cli.perf.declaration import Declaration
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.holding import ConnectionHolding, Holding, QueueHolding
from amqpbroker.cli.perf.interrupt import Interrupt
from amqpbroker.cli.perf.options import (
    CONNECTIONS,
    QUEUES,
    access,
    duration,
    manner,
    measurement,
    time_option,
    valid,
    with_access,
    with_queue,
)
from amqpbroker.cli.perf.progress import Manner, progress
from amqpbroker.cli.perf.summary import show_json, show_tables, title
from amqpbroker.cli.perf.topology import Topology, made_up_name

_TIME = time_option("How long to hold them, once all are there")


@measurement()
@click.option(
    "-x",
    "--count",
    metavar="N",
    type=Number(1, CONNECTIONS),
    default=100,
    show_default=True,
    help="How many connections.",
)
@click.option(
    "--channels", metavar="N", type=Number(0, CHANNEL_MAX), default=1, show_default=True, help="Channels of each."
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
@click.option("-x", "--count", metavar="N", type=QUEUES, default=100, show_default=True, help="How many queues.")
@with_queue
@_TIME
@with_access
def queue_count(count: int, durable: bool, queue_args: dict[str, Any], seconds: float | None, **given: Any) -> None:
    """Declare queues and hold them."""
    name = made_up_name()
    table = valid("--queue-args", arguments.table, queue_args)
    topology = Topology(
        tuple(f"{name}-{number}" for number in range(1, count + 1)), Declaration(arguments=table, exclusive=not durable)
    )
    where, how = access(given), manner(given)
    job = QueueHolding(where, topology.queues, duration(seconds, has_limit=False), topology.declaration)
    _show(_run("queue-count", job, topology.cleared(where), how), job, "declared", how)


def _run(command: str, job: Holding, around: AbstractContextManager[None], how: Manner) -> dict[str, Any]:
    """The document that --json prints."""
    interrupt = Interrupt()
    try:
        with interrupt.heeded(), around, Crew([job], interrupt) as crew, progress(None, how) as shown:
            if not interrupt.came:
                conduct(crew, interrupt, shown, [], nobody, [job.things], how.interval_s)
    except PerfError as error:
        raise click.ClickException(str(error)) from error
    took = crew.took(crew.workers)
    made = crew.counts()[job.things]
    latencies = crew.latencies.get(job.making)
    return {
        "command": command,
        "uri": str(job.access.uri),
        "broker": crew.product,
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
