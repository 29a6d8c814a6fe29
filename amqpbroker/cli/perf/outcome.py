"""What a load came to, as JSON and as tables."""

from typing import Any

from amqpbroker.cli.perf.crew import Crew
from amqpbroker.cli.perf.plan import Plan
from amqpbroker.cli.perf.summary import show_tables, title


def result_of(
    command: str,
    given: dict[str, Any],
    plan: Plan,
    crew: Crew,
    publishing: int,
    interrupted: bool,
    error: str | None = None,
) -> dict[str, Any]:
    """The document that --json prints; its keys are documented.

    publishing: so many of the processes publish. error: what ended the run; what was told until then counts.
    """
    counts = crew.counts()
    sides = {"published": crew.workers[:publishing], "consumed": crew.workers[publishing:]}
    seconds = {name: crew.took(workers) for name, workers in sides.items()}
    cpu_us = {
        name: round(sum(worker.last.cpu_s for worker in workers) / counts[name] * 1e6, 3) if counts[name] else None
        for name, workers in sides.items()
    }
    latencies = {name: some.summary_ms() for name, some in crew.latencies.items()}
    confirms = bool(given["confirm"])
    return {
        "command": command,
        "id": given["id"],
        "uri": str(plan.access.uri),
        "broker": crew.product,
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
        "published_mb_per_s": _a_second(counts["published_octets"] / 1e6, seconds["published"], digits=3),
        "all_read": error is None and all(worker.last.is_read for worker in crew.workers),
        "confirmed": counts["confirmed"] if confirms else None,
        "confirmed_per_s": _a_second(counts["confirmed"], seconds["published"]) if confirms else None,
        "refused": counts["refused"] if confirms else None,
        "returned": counts["returned"],
        "consumed": counts["consumed"],
        "consumed_per_s": _a_second(counts["consumed"], seconds["consumed"]),
        "consumed_mb_per_s": _a_second(counts["consumed_octets"] / 1e6, seconds["consumed"], digits=3),
        "blocked_s": round(max((worker.last.blocked_s for worker in crew.workers), default=0.0), 3),
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
