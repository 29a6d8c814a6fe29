"""Results of the comparison with RabbitMQ, as a part of docs/performance.md."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.bench.client_processes import Measured
from tests.bench.page import table

MB = 1_000_000
#: Targets that are not a ratio of rates.
START_TIMES_QUICKER = 10.0
REST_MB = 60.0
#: Targets by name of the shape.
MOST_CPU_US = {"app-transient": 1.2, "transient": 0.8}
#: A percentile that is shown and has no target.
WITHOUT_TARGET = "p99.9"
#: Replaces the figures of a broker that does not support a shape.
CANNOT = ("cannot", "", "")
#: Rows of the results at the top of the page, by the names of their shapes.
RESULTS = {
    "app-transient": "Transient messages, one publisher, one consumer",
    "app-acks": "Transient messages, each acknowledged",
    "app-topic": "Topic exchange with 204 bindings",
    "app-headers": "Headers exchange with 1,000 bindings",
    "app-durable": "Persistent messages with confirms, each acknowledged",
    "app-quorum": "Quorum queue with confirms, each acknowledged",
    "app-reject": "Rejected messages, consumed as dead letters",
    "app-tls": "Transient messages over TLS",
    "app-1-MiB": "Messages of 1 MiB",
    "app-1-MB-confirmed": "Persistent messages of 1 MB, one at a time with confirms",
    "app-request-10": "Requests with direct reply-to, 10 clients",
}
#: Percentiles in the results, by the beginnings of their names.
RESULTS_LATENCIES = {
    "lat:": "Latency of a repeated message, 2,000/s",
    "lat-persist:": "Latency of a repeated persistent message, 500/s",
}


@dataclass(frozen=True)
class Pair:
    """One figure of RabbitMQ and of amqpbroker, and of LavinMQ if it was measured too."""

    theirs: float
    ours: float
    lavinmq: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs if self.theirs else 0.0


@dataclass(frozen=True)
class Row:
    """A shape, or half of one: the results, and the target ratio to RabbitMQ's rate.

    theirs: None if RabbitMQ does not support it.
    """

    name: str
    what: str
    theirs: Measured | None
    ours: Measured
    target: float | None = None
    lavinmq: Measured | None = None

    @property
    def ratio(self) -> float | None:
        return Pair(self.theirs.rate, self.ours.rate).ratio if self.theirs else None


def rates(rows: list[Row], lavinmq: bool = False) -> str:
    """Return the table of rates. lavinmq: with columns for LavinMQ."""
    head = ("shape", "RabbitMQ", "CPU", "memory", "amqpbroker", "CPU", "memory", "ratio", "target", "met")
    if lavinmq:
        head += ("LavinMQ", "CPU", "memory", "ratio to LavinMQ")
    return table(head, [_line(row) + (_beside(row) if lavinmq else ()) for row in rows])


def _line(row: Row) -> tuple[str, ...]:
    judged = row.ratio is not None and row.target is not None
    return (
        f"{row.name}: {row.what}",
        *_figures(row.theirs),
        *_figures(row.ours),
        "" if row.ratio is None else times(row.ratio),
        "" if row.target is None else f"{row.target:g}",
        met(row.ratio >= row.target) if judged else "",
    )


def _beside(row: Row) -> tuple[str, ...]:
    ratio = times(Pair(row.lavinmq.rate, row.ours.rate).ratio) if row.lavinmq else ""
    return (*_figures(row.lavinmq), ratio)


def _figures(measured: Measured | None) -> tuple[str, str, str]:
    if measured is None:
        return CANNOT
    return f"{measured.rate:,.0f}/s", cpu(measured.cpu_us), f"{measured.memory_bytes / MB:.0f} MB"


def cpu(microseconds: float) -> str:
    return f"{microseconds:.2f} us" if microseconds < 10 else f"{microseconds:,.1f} us"


def times(ratio: float) -> str:
    """Format a ratio, with two decimals if they determine whether a target is met."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def met(yes: bool) -> str:
    return "yes" if yes else "**no**"


Shown = Callable[[float], str]


def results(rows: list[Row], start_s: Pair, rest_bytes: Pair, latencies_ms: dict[str, Pair]) -> str:
    """Return the table of results: rates, and figures of which less is better. A ratio above 1 favours amqpbroker."""
    lines = []
    by_name = {row.name: row for row in rows}
    for name, workload in RESULTS.items():
        row = by_name.get(name)
        if row is not None and row.theirs is not None and row.ratio is not None:
            lines.append((workload, f"{row.theirs.rate:,.0f}/s", f"{row.ours.rate:,.0f}/s", times(row.ratio)))
    further: list[tuple[str, Pair, Shown]] = []
    for beginning, name in RESULTS_LATENCIES.items():
        for each, pair in latencies_ms.items():
            if each.startswith(beginning) and each.endswith("p99"):
                further.append((f"{name}, p99", pair, lambda value: f"{value:.2f} ms"))
    further.append(("Startup time", start_s, lambda value: f"{value:.2f} s"))
    further.append(("Memory without load", rest_bytes, lambda value: f"{value / MB:.0f} MB"))
    for name, pair, shown in further:
        lines.append((name, shown(pair.theirs), shown(pair.ours), times(pair.theirs / pair.ours)))
    return table(("Workload", "RabbitMQ 4.0.5", "amqpbroker", "ratio"), lines)


def others(start_s: Pair, rest_bytes: Pair, latencies_ms: dict[str, Pair], cpu_us: dict[str, Pair]) -> str:
    """Return the table of figures that are not rates.

    latencies_ms: by names such as "lat p99". cpu_us: of the measured shapes.
    """
    rows = [
        (
            "start to ready",
            start_s,
            lambda value: f"{value:.2f} s",
            f"{START_TIMES_QUICKER:g} times quicker",
            met(start_s.ours * START_TIMES_QUICKER <= start_s.theirs),
        ),
        (
            "memory at rest",
            rest_bytes,
            lambda value: f"{value / MB:.0f} MB",
            f"under {REST_MB:g} MB",
            met(rest_bytes.ours < REST_MB * MB),
        ),
    ]
    for name, most in MOST_CPU_US.items():
        if name in cpu_us:
            verdict = met(cpu_us[name].ours <= most)
            rows.append((f"CPU per message, {name}", cpu_us[name], cpu, f"at most {most} us", verdict))
    for name, pair in latencies_ms.items():
        wanted = "" if name.endswith(WITHOUT_TARGET) else "not above RabbitMQ's"
        verdict = met(pair.ours <= pair.theirs) if wanted else ""
        rows.append((name, pair, lambda value: f"{value:.2f} ms", wanted, verdict))
    return compared(rows)


def compared(rows: Iterable[tuple[str, Pair, Shown, str, str]]) -> str:
    """Return a table of figures: the name, the figures, how to show each of them, the target, and whether it is met."""
    rows = list(rows)
    lavinmq = any(pair.lavinmq is not None for _, pair, *_ in rows)
    head = ("figure", "RabbitMQ", "amqpbroker", "target", "met", *(("LavinMQ",) if lavinmq else ()))
    lines = []
    for name, pair, shown, wanted, verdict in rows:
        further = ("" if pair.lavinmq is None else shown(pair.lavinmq),) if lavinmq else ()
        lines.append((name, shown(pair.theirs), shown(pair.ours), wanted, verdict, *further))
    return table(head, lines)
