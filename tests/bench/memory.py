"""Resident memory of backlogs, and the rate at which they are consumed, as a Markdown table.

usage: python -m tests.bench.memory [--small N] [--large N]

Starts a new broker for each row: persistent messages of 100 bytes, and of 1 MB, published without waiting for confirms.
`peak` is the largest resident memory while they are published.
"""

import argparse
import tempfile
import time
from pathlib import Path

from tests.load.client import LoadClient
from tests.load.memory import MB, forget_peak, peak_bytes, resident_bytes
from tests.load.test_backlog import drain, fill, settle
from tests.process import BrokerProcess


def row(count: int, size: int, prefetch: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with BrokerProcess(directory, "--data-dir", str(directory / "data")) as broker:
            pid = broker.process.pid
            with LoadClient(broker.port) as client:
                client.declare("q", durable=True)
                before = resident_bytes(pid)
                forget_peak(pid)
                start = time.monotonic()
                fill(client, "q", count, size, delivery_mode=2)
                published_s = time.monotonic() - start
                grown, peak = settle(pid) - before, peak_bytes(pid) - before
            start = time.monotonic()
            drain(broker.port, "q", count, prefetch)
            consumed_s = time.monotonic() - start
            after = settle(pid) - before
    rates = f"{count / published_s:,.0f}/s | {count / consumed_s:,.0f}/s"
    what = f"{count:,} of {size:,} bytes"
    print(f"| {what} | {grown / MB:.0f} MB | {peak / MB:.0f} MB | {after / MB:.0f} MB | {rates} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=2_000_000)
    parser.add_argument("--large", type=int, default=1_000)
    options = parser.parse_args()
    print("| backlog | memory | peak | after it is taken | published | consumed |\n|---|--:|--:|--:|--:|--:|")
    row(options.small, 100, 1_000)
    row(options.large, MB, 4)


if __name__ == "__main__":
    main()
