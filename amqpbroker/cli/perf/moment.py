"""How a run goes at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from amqpbroker.cli.perf.latencies import Latencies


@dataclass(frozen=True)
class Moment:
    """elapsed_s: since the start. totals, rates: by what is counted; rates are by second, since the moment before."""

    elapsed_s: float
    totals: Mapping[str, int] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    #: Those since the moment before.
    latencies: Mapping[str, Latencies] = field(default_factory=dict)
    #: Why the broker blocks publishers; empty: it does not.
    blocked: str = ""

    def __str__(self) -> str:
        """Such as "published 412,345/s  consumed 410,002/s  message latency p50 0.21 ms, p99 0.90 ms"."""
        parts = [f"{name} {total:,}" for name, total in self.totals.items()]
        parts += [f"{name} {rate:,.0f}/s" for name, rate in self.rates.items()]
        for name, some in self.latencies.items():
            if some.count:
                median, high = some.percentile_ns(50) / 1e6, some.percentile_ns(99) / 1e6
                parts.append(f"{name} latency p50 {median:.2f} ms, p99 {high:.2f} ms")
        parts += [f"blocked: {self.blocked}"] if self.blocked else []
        return "  ".join(parts)
