"""What a process tells of its work."""

import time
from dataclasses import dataclass, field

from amqpbroker.cli.perf.latencies import Latencies

#: How often it does.
INTERVAL_S = 0.25


@dataclass
class Report:
    """counts: since the start. latencies: since the report before."""

    counts: dict[str, int]
    latencies: dict[str, Latencies] = field(default_factory=dict)
    #: When this was, by the monotonic clock.
    at: float = field(default_factory=time.monotonic)
    #: Why the broker takes no publishes now; empty: it does.
    blocked: str = ""
    blocked_s: float = 0.0
    #: In the last report: the CPU time that was taken, and when the work ended, by the monotonic clock.
    cpu_s: float = 0.0
    ended: float | None = None
    #: There as well: whether the broker has read all that was published.
    is_read: bool = True


@dataclass(frozen=True)
class Ready:
    """Set up, and waiting for the start."""

    product: str


@dataclass(frozen=True)
class Failed:
    """Ended by an error, whose text this is."""

    text: str
