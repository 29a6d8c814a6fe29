"""Definitions that change continuously: disk space of their database and its write-ahead log.

One client repeatedly declares a new durable queue and deletes it.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.brokers import Running, amqpbroker
from tests.bench.processes import cpu_s, resident_bytes
from tests.load.client import LoadClient, request

#: Interval between two checks of the log, whose size changes within seconds.
LOOK_EVERY_S = 0.05
#: Maximum number of queues that are declared and deleted in one write.
BATCH = 50


@dataclass(frozen=True)
class Churned:
    """A sample. log_bytes is the maximum since the previous sample.

    declared: number of queues declared and deleted so far.
    """

    after_s: float
    declared: int
    log_bytes: int
    database_bytes: int
    memory_bytes: int
    cpu_s: float


def churned(seconds: float, rate: float, every_s: float) -> Iterator[Churned]:
    """Yield samples at the given interval, of a broker whose client declares queues at the given rate."""
    with amqpbroker() as broker:
        directory = Path(broker.directory)
        with LoadClient(broker.port) as client:
            yield from _churned(broker, directory / "definitions.sqlite", client, seconds, rate, every_s)
            client.close()


def _churned(
    broker: Running, database: Path, client: LoadClient, seconds: float, rate: float, every_s: float
) -> Iterator[Churned]:
    log = database.with_name(f"{database.name}-wal")
    before_cpu_s = cpu_s(broker.pids)
    began = time.monotonic()
    declared = most_bytes = 0
    due_s = every_s
    while True:
        after_s = time.monotonic() - began
        most_bytes = max(most_bytes, log.stat().st_size)
        if after_s >= due_s:
            spent_s = cpu_s(broker.pids) - before_cpu_s
            yield Churned(after_s, declared, most_bytes, database.stat().st_size, resident_bytes(broker.pids), spent_s)
            if after_s >= seconds:
                return
            most_bytes = 0
            due_s = min(due_s + every_s, seconds)
        wanted = min(int(after_s * rate) - declared, BATCH)
        if wanted > 0:
            _declare(client, range(declared, declared + wanted))
            declared += wanted
        if wanted < BATCH:
            time.sleep(LOOK_EVERY_S)


def _declare(client: LoadClient, numbers: range) -> None:
    names = [f"churn.{number}" for number in numbers]
    client.send(
        b"".join(
            [request("queue.declare", queue=name, durable=True) + request("queue.delete", queue=name) for name in names]
        )
    )
    for _ in names:
        client.expect("queue.declare-ok")
        client.expect("queue.delete-ok")
