"""Memory of a broker while a large stream is written and read at several places, and its start with it.

usage: python -m tests.bench.large_stream [--gb N] [--data-dir DIRECTORY]

It is also the part `large-stream` of the group `streams` of `make bench`, which writes it into docs/performance.md
(streams_report.py).

Publishes N GB (50 by default) of messages of 10 kB, with confirms, to one stream, while ten readers with a prefetch of
10 are at different places, each N/11 GB from the next. Measures the largest resident memory of the broker, and how long
a broker that was killed takes until a client has logged in again. The directory for temporary files (TMPDIR) needs N GB
of free space and 10 GB more, 60 GB by default. The stream is removed at the end.
"""

import argparse
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from amqpbroker.wire.values import Field, longstr
from conformance.errors import SetupError
from tests.bench.client_processes import BEGIN_WITHIN_S, Client, ClientProcesses
from tests.bench.clients import LAST_NS, Consuming, consume, publish
from tests.bench.processes import resident_bytes
from tests.bench.restartable import RestartableOwn
from tests.bench.sending import Repeated
from tests.bench.topology import Topology
from tests.load.client import LoadClient

GB = 1_000_000_000
MB = 1_000_000
#: Size of the stream by default, in GB.
SIZE_GB = 50.0
#: Free space besides the stream: what the broker writes for each message, and what others write meanwhile, in GB.
SPARE_GB = 10.0
MESSAGE_BYTES = 10_000
IN_FLIGHT = 1_000
READERS = 10
PREFETCH = 10
LOOK_EVERY_S = 0.1
TOPOLOGY = Topology(durable=True, arguments={"x-queue-type": longstr("stream")})


@dataclass(frozen=True)
class LargeStream:
    """Figures of a large stream.

    size_bytes: of all bodies. took_s: time to publish them. largest_bytes: resident memory of the broker meanwhile, at
    most. ready_s: from the start of the broker with this stream until a client has logged in. ready_bytes: resident
    memory of the broker then.
    """

    size_bytes: int
    took_s: float
    largest_bytes: int
    ready_s: float
    ready_bytes: int


def missing(gb: float, directory: Path | None = None) -> str:
    """Return why a stream of this size cannot be measured, "" if it can.

    directory: for the data of the broker, by default the one for temporary files.
    """
    place = directory or Path(tempfile.gettempdir())
    free_gb = shutil.disk_usage(place).free / GB
    if free_gb >= gb + SPARE_GB:
        return ""
    return (
        f"a stream of {gb:g} GB needs {gb + SPARE_GB:g} GB of free space in {place}, which has {free_gb:.1f} GB: free"
        " some, set TMPDIR to a directory on another disk, or measure a smaller stream with --gb"
    )


def measure(gb: float, directory: Path | None = None) -> LargeStream:
    """Write a stream of this size, and restart its broker. Raises SetupError if the space does not suffice."""
    if reason := missing(gb, directory):
        raise SetupError(reason)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=directory) as folder:
        return measured(RestartableOwn(Path(folder)), int(gb * GB / MESSAGE_BYTES))


def measured(broker: RestartableOwn, count: int) -> LargeStream:
    """Measure a stream of `count` messages. The broker is started, and killed at the end."""
    broker.start()
    try:
        with LoadClient(broker.port) as client:
            TOPOLOGY.declare(client)
        took_s, largest = _written(broker, count)
        # Printed at once, so that it is not lost if the next step fails.
        print(f"large stream: {count * MESSAGE_BYTES / GB:g} GB in {took_s:.0f} s", flush=True)
        print(f"largest resident memory {largest / MB:.0f} MB", flush=True)
        broker.kill()
        start = time.monotonic()
        broker.start()
        with LoadClient(broker.port):
            ready_s = time.monotonic() - start
        return LargeStream(count * MESSAGE_BYTES, took_s, largest, ready_s, resident_bytes(broker.pids))
    finally:
        broker.kill()


def _written(broker: RestartableOwn, count: int) -> tuple[float, int]:
    """Publish all messages beside readers. Return the time that it took, and the largest resident memory in bytes."""
    largest = 0
    with ClientProcesses(broker.port) as processes:
        load = Repeated(tuple(TOPOLOGY.names), size=MESSAGE_BYTES, persistent=True, in_flight=IN_FLIGHT, count=count)
        publisher = processes.add(publish, load)
        readers: list[Client] = []
        ended = False
        while not ended:
            ended = bool(publisher.cells[LAST_NS])
            if not ended and not publisher.process.is_alive():
                raise RuntimeError(f"the publisher ended with status {publisher.process.exitcode}")
            while len(readers) < READERS and publisher.count >= (len(readers) + 1) * count // (READERS + 1):
                # Each one begins at another place, the first one with the first message.
                offset = {"x-stream-offset": Field("l", len(readers) * count // (READERS + 1))}
                what = Consuming(tuple(TOPOLOGY.names), PREFETCH, ack_every=5, arguments=offset)
                readers.append(processes.add(consume, what))
            largest = max(largest, resident_bytes(broker.pids))
            if not ended:
                time.sleep(LOOK_EVERY_S)
        for reader in readers:
            reader.wait(lambda each: each.count > 0 and each.process.is_alive(), BEGIN_WITHIN_S)
        return publisher.took_s, max(largest, resident_bytes(broker.pids))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.large_stream",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--gb", type=float, default=SIZE_GB)
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args()
    try:
        found = measure(given.gb, given.data_dir)
    except SetupError as error:
        raise SystemExit(str(error)) from error
    print(f"ready {found.ready_s:.2f} s after the start")
    print(f"resident memory then {found.ready_bytes / MB:.0f} MB")


if __name__ == "__main__":
    main()
