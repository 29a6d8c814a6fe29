"""What the comparison with RabbitMQ found, as a part of docs/performance.md."""

from dataclasses import dataclass

from tests.bench.crew import Measured
from tests.bench.page import table

MB = 1_000_000
#: The targets that are not a ratio of rates.
START_TIMES_QUICKER = 10.0
REST_MB = 60.0
TRANSIENT_CPU_US = 0.8


@dataclass(frozen=True)
class Pair:
    """One figure of both brokers."""

    theirs: float
    ours: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs if self.theirs else 0.0


@dataclass(frozen=True)
class Row:
    """A shape, or a half of one: what was measured, and the ratio that is wanted."""

    name: str
    what: str
    theirs: Measured
    ours: Measured
    target: float | None = None

    @property
    def ratio(self) -> float:
        return Pair(self.theirs.rate, self.ours.rate).ratio


def rates(rows: list[Row]) -> str:
    head = ("shape", "RabbitMQ", "CPU", "memory", "amqpbroker", "CPU", "memory", "ratio", "target", "met")
    return table(
        head,
        [
            (
                f"{row.name}: {row.what}",
                *_figures(row.theirs),
                *_figures(row.ours),
                times(row.ratio),
                "" if row.target is None else f"{row.target:g}",
                "" if row.target is None else met(row.ratio >= row.target),
            )
            for row in rows
        ],
    )


def _figures(measured: Measured) -> tuple[str, str, str]:
    return f"{measured.rate:,.0f}/s", cpu(measured.cpu_us), f"{measured.memory_bytes / MB:.0f} MB"


def cpu(microseconds: float) -> str:
    return f"{microseconds:.2f} us" if microseconds < 10 else f"{microseconds:,.1f} us"


def times(ratio: float) -> str:
    """With two places where they can decide whether a target is met."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}"


def met(yes: bool) -> str:
    return "yes" if yes else "**no**"


def others(start_s: Pair, rest_bytes: Pair, latencies_ms: dict[str, Pair], transient_cpu_us: Pair | None) -> str:
    """latencies_ms: by names such as "lat p99"."""
    rows = [
        (
            "start to ready",
            f"{start_s.theirs:.2f} s",
            f"{start_s.ours:.2f} s",
            f"{START_TIMES_QUICKER:g} times quicker",
            met(start_s.ours * START_TIMES_QUICKER <= start_s.theirs),
        ),
        (
            "memory at rest",
            f"{rest_bytes.theirs / MB:.0f} MB",
            f"{rest_bytes.ours / MB:.0f} MB",
            f"under {REST_MB:g} MB",
            met(rest_bytes.ours < REST_MB * MB),
        ),
    ]
    if transient_cpu_us:
        mine = transient_cpu_us.ours
        pair = (cpu(transient_cpu_us.theirs), cpu(mine))
        rows.append(("CPU per message, transient", *pair, f"under {TRANSIENT_CPU_US} us", met(mine < TRANSIENT_CPU_US)))
    for name, pair in latencies_ms.items():
        wanted = "" if name.endswith("p99.9") else "below RabbitMQ's"
        verdict = met(pair.ours < pair.theirs) if wanted else ""
        rows.append((name, f"{pair.theirs:.2f} ms", f"{pair.ours:.2f} ms", wanted, verdict))
    return table(("", "RabbitMQ", "amqpbroker", "target", "met"), rows)
