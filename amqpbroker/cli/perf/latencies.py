"""Histogram of latencies with a limited size."""

from collections.abc import Iterable

PERCENTILES = (50.0, 75.0, 95.0, 99.0, 99.9)

#: A bucket is 1/128 of its value wide: percentiles are exact to less than 1 %.
_BITS = 8


class Latencies:
    """Durations in ns, by bucket. The longest and the shortest one are exact."""

    __slots__ = ("buckets", "count", "longest_ns", "shortest_ns", "total_ns")

    def __init__(self) -> None:
        self.buckets: dict[int, int] = {}
        self.count = 0
        self.total_ns = 0
        self.longest_ns = 0
        self.shortest_ns = 0

    def add(self, values_ns: Iterable[int]) -> None:
        values = list(values_ns)
        if not values:
            return
        buckets = self.buckets
        for value in values:
            shift = value.bit_length() - _BITS
            key = value >> shift << shift if shift > 0 else value
            buckets[key] = buckets.get(key, 0) + 1
        shortest = min(values)
        self.shortest_ns = min(shortest, self.shortest_ns) if self.count else shortest
        self.longest_ns = max(self.longest_ns, *values)
        self.total_ns += sum(values)
        self.count += len(values)

    def merge(self, other: "Latencies") -> None:
        if not other.count:
            return
        for key, count in other.buckets.items():
            self.buckets[key] = self.buckets.get(key, 0) + count
        self.shortest_ns = min(other.shortest_ns, self.shortest_ns) if self.count else other.shortest_ns
        self.longest_ns = max(self.longest_ns, other.longest_ns)
        self.total_ns += other.total_ns
        self.count += other.count

    def percentile_ns(self, percent: float) -> int:
        """Return a duration that `percent` of all do not exceed; 0 if there are none."""
        rank = max(1, -(-self.count * round(percent * 1000) // 100_000))
        seen = 0
        for key in sorted(self.buckets):
            seen += self.buckets[key]
            if seen >= rank:
                shift = max(0, key.bit_length() - _BITS)
                return min(key + (1 << shift) - 1, self.longest_ns)
        return 0

    def summary_ms(self) -> dict[str, float] | None:
        """Return min, mean, p50, p75, p95, p99, p99.9 and max; None if there are no durations."""
        if not self.count:
            return None
        named = {"min": self.shortest_ns, "mean": self.total_ns / self.count}
        named |= {f"p{percent:g}": self.percentile_ns(percent) for percent in PERCENTILES}
        named["max"] = self.longest_ns
        return {name: round(value / 1e6, 4) for name, value in named.items()}
