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
    return _compared(rows)


def _compared(rows: Iterable[tuple[str, Pair, Shown, str, str]]) -> str:
    rows = list(rows)
    lavinmq = any(pair.lavinmq is not None for _, pair, *_ in rows)
    head = ("", "RabbitMQ", "amqpbroker", "target", "met", *(("LavinMQ",) if lavinmq else ()))
    lines = []
    for name, pair, shown, wanted, verdict in rows:
        further = ("" if pair.lavinmq is None else shown(pair.lavinmq),) if lavinmq else ()
        lines.append((name, shown(pair.theirs), shown(pair.ours), wanted, verdict, *further))
    return table(head, lines)
