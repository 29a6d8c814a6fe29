"""Figures of streams beside RabbitMQ's, and of a large stream, as a part of docs/performance.md."""

from tests.bench.brokers import OURS
from tests.bench.large_stream import GB, MESSAGE_BYTES, READERS, LargeStream
from tests.bench.page import table
from tests.bench.report import MB, Pair, Row, Shown, compared, met, rates

#: Targets that are not a ratio of rates.
TAIL_P99_MS = 5.0
MEMORY_MB = 150.0
READY_S = 2.0


def text(
    conditions: str, rows: list[Row], latencies_ms: dict[str, Pair], large: LargeStream | None, lavinmq: bool = False
) -> str:
    """Return the text for the page, with a table for each kind of figures that was measured.

    conditions: the day, the machine, the versions, the load and how it was measured, for a sentence. latencies_ms: by
    names that end with the percentile. lavinmq: with columns for LavinMQ.
    """
    parts = [f"{conditions}.\n"]
    if rows:
        parts += [
            "**Rates.** The messages are persistent. `app-...` have those of an application, the others repeat one"
            f" message. The rate of {READERS} readers is that of all of them together.\n",
            rates(rows, lavinmq),
        ]
    if latencies_ms:
        parts += ["**A reader at the end.**\n", compared(map(latency, latencies_ms, latencies_ms.values()))]
    if large:
        parts += [
            f"**A large stream.** Equal messages of {MESSAGE_BYTES / 1000:g} kB are published with confirms, while"
            f" {READERS} readers are at different places. The broker is killed and started again. One run.\n",
            large_stream(large),
        ]
    return "\n".join(parts)


def latency(name: str, pair: Pair) -> tuple[str, Pair, Shown, str, str]:
    """Return the row of a percentile; p99 has a target."""
    judged = name.endswith("p99")
    wanted = f"under {TAIL_P99_MS:g} ms" if judged else ""
    return name, pair, lambda value: f"{value:.2f} ms", wanted, met(pair.ours < TAIL_P99_MS) if judged else ""


def large_stream(found: LargeStream) -> str:
    """Return the table of a large stream."""
    memory, ready = found.largest_bytes < MEMORY_MB * MB, found.ready_s <= READY_S
    return table(
        ("figure", OURS, "target", "met"),
        [
            ("size of the stream", f"{found.size_bytes / GB:g} GB", "", ""),
            ("published", f"{found.size_bytes / found.took_s / MB:.0f} MB/s", "", ""),
            (
                "largest resident memory meanwhile",
                f"{found.largest_bytes / MB:.0f} MB",
                f"under {MEMORY_MB:g} MB",
                met(memory),
            ),
            ("start to the first client logged in", f"{found.ready_s:.2f} s", f"at most {READY_S:g} s", met(ready)),
            ("resident memory then", f"{found.ready_bytes / MB:.0f} MB", "", ""),
        ],
    )
