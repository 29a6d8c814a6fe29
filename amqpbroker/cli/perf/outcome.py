"""What a load came to, as JSON and as tables."""

from typing import Any

from amqpbroker.cli.perf.crew import Crew
from amqpbroker.cli.perf.plan import Plan
from amqpbroker.cli.perf.summary import show_tables, title


def result_of(
    command: str, given: dict[str, Any], plan: Plan, crew: Crew, publishing: int, interrupted: bool
) -> dict[str, Any]:
    """The document that --json prints; its keys are documented."""
    counts = crew.counts()
    sides = {"published": crew.workers[:publishing], "consumed": crew.workers[publishing:]}
    seconds = {name: crew.took(workers) for name, workers in sides.items()}
    rates = {name: round(counts[name] / seconds[name], 1) if seconds[name] else 0.0 for name in sides}
    cpu_us = {
        name: round(sum(worker.last.cpu_s for worker in workers) / counts[name] * 1e6, 3) if counts[name] else None
        for name, workers in sides.items()
    }
    latencies = {name: some.summary_ms() for name, some in crew.latencies.items()}
    confirms = bool(given["confirm"])
    return {
        "command": command,
        "uri": str(plan.access.uri),
        "broker": crew.product,
        "interrupted": interrupted,
        "seconds": round(max(seconds.values()), 3),
        "producers": given["producers"],
        "consumers": given["consumers"],
        "producer_channel_count": given["producer_channel_count"],
        "consumer_channel_count": given["consumer_channel_count"],
        "size": given["size"],
        "published": counts["published"],
        "published_per_s": rates["published"],
        "confirmed": counts["confirmed"] if confirms else None,
        "refused": counts["refused"] if confirms else None,
        "returned": counts["returned"],
        "consumed": counts["consumed"],
        "consumed_per_s": rates["consumed"],
        "blocked_s": round(max((worker.last.blocked_s for worker in crew.workers), default=0.0), 3),
        "latency_ms": latencies.get("message"),
        "confirm_latency_ms": latencies.get("confirm"),
        "cpu_us_per_published": cpu_us["published"],
        "cpu_us_per_consumed": cpu_us["consumed"],
    }


def show(result: dict[str, Any]) -> None:
    size = result["size"]
    rows = {}
    if result["producers"]:
        rows["published"] = f"{result['published']:,}"
        rows["  a second"] = _rate(result["published_per_s"], size)
    if result["confirmed"] is not None:
        rows["confirmed"] = f"{result['confirmed']:,}"
    for name in ("refused", "returned"):
        if result[name]:
            rows[name] = f"{result[name]:,}"
    if result["consumers"]:
        rows["consumed"] = f"{result['consumed']:,}"
        rows["  a second "] = _rate(result["consumed_per_s"], size)
    if result["blocked_s"]:
        rows["blocked by the broker"] = f"{result['blocked_s']:.1f} s"
    show_tables(title(result), rows, {"message": result["latency_ms"], "confirm": result["confirm_latency_ms"]})


def _rate(rate: float, size: int | None) -> str:
    return f"{rate:,.0f}" if size is None else f"{rate:,.0f} ({rate * size / 1e6:,.1f} MB)"
