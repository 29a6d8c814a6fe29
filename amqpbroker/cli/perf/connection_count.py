"""`amqpbroker perf connection-count`: many connections at once."""

from typing import Any

import click

from amqpbroker.cli.perf.conduct import conduct, nobody
from amqpbroker.cli.perf.crew import Crew, Interrupt
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.holding import Holding
from amqpbroker.cli.perf.options import COUNT, HELP, POSITIVE, SECONDS, access, duration, with_access
from amqpbroker.cli.perf.progress import progress
from amqpbroker.cli.perf.summary import show_json, show_tables, title


@click.command(context_settings=HELP)
@click.option("-x", "--count", type=POSITIVE, default=100, show_default=True, help="How many connections.")
@click.option("--channels", type=COUNT, default=1, show_default=True, help="Channels of each.")
@click.option(
    "-z",
    "--time",
    "seconds",
    type=SECONDS,
    help="Seconds to hold them, once all are open; 0: until Ctrl-C.  [default: 10]",
)
@with_access
def connection_count(count: int, channels: int, seconds: float | None, as_json: bool, **given: Any) -> None:
    """Open connections and hold them."""
    held_s = duration(seconds, has_limit=False)
    job = Holding(access(given), count, channels, held_s)
    interrupt = Interrupt()
    try:
        with interrupt.heeded(), Crew([job], interrupt) as crew, progress(None, as_json) as shown:
            if not interrupt.came:
                conduct(crew, interrupt, shown, [], nobody, totals=["connections"])
    except PerfError as error:
        raise click.ClickException(str(error)) from error
    took = crew.took(crew.workers)
    opened = crew.counts()["connections"]
    latencies = crew.latencies.get("opening")
    result: dict[str, Any] = {
        "command": "connection-count",
        "uri": str(job.access.uri),
        "broker": crew.product,
        "interrupted": interrupt.came,
        "seconds": round(took, 3),
        "connections": opened,
        "channels": opened * channels,
        "connections_per_s": round(opened / took, 1) if took else 0.0,
        "latency_ms": latencies.summary_ms() if latencies else None,
    }
    if as_json:
        show_json(result)
    else:
        rows = {"connections": f"{opened:,}", "  opened a second": f"{result['connections_per_s']:,.1f}"}
        show_tables(title(result), rows, {"opening": result["latency_ms"]})
