"""Memory of a broker while a large stream is written and read at several places, and its start with it.

usage: python -m tests.bench.large_stream [--gb N] [--data-dir DIRECTORY]

Publishes N GB (20 by default) of messages of 10 kB, with confirms, to one stream, while ten readers with a prefetch of
10 are at different places. Prints the largest resident memory of the broker, the rate, and how long a broker that was
killed takes until a client has logged in again. The directory needs N GB of free space, and is removed at the end.
"""

import argparse
import tempfile
import time
from pathlib import Path

from amqpbroker.wire.values import Field, longstr
from tests.bench.client_processes import ClientProcesses
from tests.bench.clients import LAST_NS, Consuming, consume, publish
from tests.bench.processes import resident_bytes
from tests.bench.restartable import RestartableOwn
from tests.bench.sending import Repeated
from tests.bench.topology import Topology
from tests.load.client import LoadClient

SIZE = 10_000
IN_FLIGHT = 1_000
READERS = 10
PREFETCH = 10
LOOK_EVERY_S = 0.1
TOPOLOGY = Topology(durable=True, arguments={"x-queue-type": longstr("stream")})
MB = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.large_stream", description=__doc__)
    parser.add_argument("--gb", type=float, default=20.0)
    parser.add_argument("--data-dir", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=given.data_dir) as folder:
        run(RestartableOwn(Path(folder)), int(given.gb * 1e9 / SIZE))


def run(broker: RestartableOwn, count: int) -> None:
    broker.start()
    try:
        with LoadClient(broker.port) as client:
            TOPOLOGY.declare(client)
        largest, took_s = _written(broker, count)
        print(f"{count * SIZE / 1e9:.0f} GB in {took_s:.0f} s, {count * SIZE / took_s / MB:.0f} MB/s")
        print(f"largest resident memory {largest / MB:.0f} MB")
        broker.kill()
        start = time.monotonic()
        broker.start()
        with LoadClient(broker.port):
            print(f"ready {time.monotonic() - start:.2f} s after the start")
        print(f"resident memory then {resident_bytes(broker.pids) / MB:.0f} MB")
    finally:
        broker.kill()


def _written(broker: RestartableOwn, count: int) -> tuple[int, float]:
    """Publish all messages beside readers. Return the largest resident memory in bytes, and the time that it took."""
    largest = 0
    start = time.monotonic()
    with ClientProcesses(broker.port) as processes:
        load = Repeated(tuple(TOPOLOGY.names), size=SIZE, persistent=True, in_flight=IN_FLIGHT, count=count)
        publisher = processes.add(publish, load)
        readers = 0
        while not publisher.cells[LAST_NS]:
            if readers < READERS and publisher.count >= (readers + 1) * count // (READERS + 1):
                # Each one begins at another place, the first one with the first message.
                offset = {"x-stream-offset": Field("l", readers * count // (READERS + 1))}
                what = Consuming(tuple(TOPOLOGY.names), PREFETCH, ack_every=5, arguments=offset)
                processes.add(consume, what)
                readers += 1
            largest = max(largest, resident_bytes(broker.pids))
            time.sleep(LOOK_EVERY_S)
        took_s = time.monotonic() - start
        largest = max(largest, resident_bytes(broker.pids))
    return largest, took_s


if __name__ == "__main__":
    main()
