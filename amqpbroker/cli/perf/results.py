"""Results of a run: a JSON document, or tables."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from amqpbroker.cli.perf.plan import Plan
from amqpbroker.cli.perf.processes import Processes

if TYPE_CHECKING:
    from rich.table import Table


def title(result: Mapping[str, Any]) -> str:
    """Identity of a run, and its duration."""
    name = f"{result['id']}: " if result.get("id") else ""
    ended = ", ended by an error" if result.get("error") else ", interrupted" if result["interrupted"] else ""
    return f"{name}{result['broker'] or 'the broker'} at {result['uri']}, {result['seconds']:.1f} s{ended}"


def show_json(result: Mapping[str, Any]) -> None:
    click.echo(json.dumps(result, indent=2))


def show_tables(
    head: str,
    columns: Sequence[str],
    rows: Mapping[str, Sequence[str]],
    latencies: Mapping[str, Mapping[str, float] | None],
    notes: Sequence[str] = (),
) -> None:
    """Print tables. rows: name -> values of all columns or of the first ones. latencies: name -> values in ms."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    console.print(Text(head, style="bold"), soft_wrap=True)
    console.print(_table("", columns, rows))
    measured = {name: some for name, some in latencies.items() if some}
    if measured:
        names = list(next(iter(measured.values())))
        values = {name: [_short(value) for value in some.values()] for name, some in measured.items()}
        console.print()
        console.print(_table("latency, ms", names, values))
    for note in notes:
        console.print()
        console.print(Text(note), soft_wrap=True)


def _short(value: float) -> str:
    """Return a number that is short enough for a table of 80 columns."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.3f}"


def _table(heading: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(heading, box=None, header_style="bold", show_edge=False, padding=(0, 1))
    for name in columns:
        table.add_column(name, justify="right")
    for name, values in rows.items():
        table.add_row(Text(name), *values)
    return table


def result_of(
    command: str,
    given: dict[str, Any],
    plan: Plan,
    processes: Processes,
    publishing: int,
    interrupted: bool,
    error: str | None = None,
) -> dict[str, Any]:
    """The document that --json prints; its keys are documented.

    publishing: so many of the processes publish. error: what ended the run; what was told until then counts.
    """
    counts = processes.counts()
    sides = {"published": processes.workers[:publishing], "consumed": processes.workers[publishing:]}
    seconds = {name: processes.duration(workers) for name, workers in sides.items()}
    cpu_us = {
        name: round(sum(worker.last.cpu_s for worker in workers) / counts[name] * 1e6, 3) if counts[name] else None
        for name, workers in sides.items()
    }
    latencies = {name: some.summary_ms() for name, some in processes.latencies.items()}
    confirms = bool(given["confirm"])
    return {
        "command": command,
        "id": given["id"],
        "uri": str(plan.access.uri),
        "broker": processes.product,
        "interrupted": interrupted,
        "error": error,
        "seconds": round(max(seconds.values()), 3),
        "producers": given["producers"],
        "consumers": given["consumers"],
        "producer_channel_count": given["producer_channel_count"],
        "consumer_channel_count": given["consumer_channel_count"],
        "size": given["size"] if publishing else None,
        "random_body_size": given["random_body_size"],
        "random_properties": given["random_properties"],
        "unique_keys": given["unique_keys"],
        "seed": given["seed"],
        "published": counts["published"],
        "published_per_s": _a_second(counts["published"], seconds["published"]),
        "published_mb_per_s": _a_second(counts["published_bytes"] / 1e6, seconds["published"], digits=3),
        "all_read": error is None and all(worker.last.is_read for worker in processes.workers),
        "confirmed": counts["confirmed"] if confirms else None,
        "confirmed_per_s": _a_second(counts["confirmed"], seconds["published"]) if confirms else None,
        "refused": counts["refused"] if confirms else None,
        "returned": counts["returned"],
        "consumed": counts["consumed"],
        "consumed_per_s": _a_second(counts["consumed"], seconds["consumed"]),
        "consumed_mb_per_s": _a_second(counts["consumed_bytes"] / 1e6, seconds["consumed"], digits=3),
        "blocked_s": round(max((worker.last.blocked_s for worker in processes.workers), default=0.0), 3),
        "latency_ms": latencies.get("message"),
        "confirm_latency_ms": latencies.get("confirm"),
        "cpu_us_per_published": cpu_us["published"],
        "cpu_us_per_consumed": cpu_us["consumed"],
    }


def show(result: dict[str, Any]) -> None:
    rows = {}
    if result["producers"]:
        rows["published"] = _row(result, "published")
    if result["confirmed"] is not None:
        rows["confirmed"] = _row(result, "confirmed")
    for name in ("refused", "returned"):
        if result[name]:
            rows[name] = (f"{result[name]:,}",)
    if result["consumers"]:
        rows["consumed"] = _row(result, "consumed")
    blocked = [f"publishers were blocked by the broker for {result['blocked_s']:.1f} s"] if result["blocked_s"] else []
    latencies = {"message": result["latency_ms"], "confirm": result["confirm_latency_ms"]}
    show_tables(title(result), ("messages", "a second", "MB a second"), rows, latencies, blocked)


def _a_second(count: float, seconds: float, digits: int = 1) -> float:
    return round(count / seconds, digits) if seconds else 0.0


def _row(result: dict[str, Any], name: str) -> tuple[str, ...]:
    rate = result[f"{name}_per_s"]
    row = f"{result[name]:,}", f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"
    megabytes = result.get(f"{name}_mb_per_s")
    return row if megabytes is None else (*row, f"{megabytes:,.1f}" if megabytes >= 1 else f"{megabytes:.3f}")
