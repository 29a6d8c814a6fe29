"""`python -m tests.fuzz.http --seconds 600 [--seed N]`: send random HTTP requests to a broker, and report failures."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.http.campaign import Campaign
from tests.process import BrokerProcess


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.http", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--seed", type=int, default=None, help="the same requests as a run that had this one")
    arguments = parser.parse_args()
    seed = random.randrange(2**32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    with (
        tempfile.TemporaryDirectory() as directory,
        BrokerProcess(Path(directory), *Campaign.ARGUMENTS, in_order=False) as broker,
    ):
        end = time.monotonic() + arguments.seconds
        report = Campaign(broker, seed).run(lambda: time.monotonic() < end)
    print(report)
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
