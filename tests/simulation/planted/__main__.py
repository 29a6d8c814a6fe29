"""Finds planted faults: python -m tests.simulation.planted.

usage: python -m tests.simulation.planted [NAME ...] [--seconds N] [--jobs N] [--at-once N] [--first SEED] [--list]

Plants each fault, or those with a name that contains NAME, into a copy of the broker, and runs the simulator on the
copy until a seed fails. Prints a line for each fault as it is found, then a table of all of them, with the time, the
seed and the first line of the failure. Ends with status 1 if any fault is not found.
"""

import argparse
import os
import sys

from tests.simulation.planted import PLANTED
from tests.simulation.planted.finding import Finding, Found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=float, default=600.0, help="time for each fault")
    parser.add_argument("--jobs", type=int, default=1, help="processes for each fault")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="number of faults at a time")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--list", action="store_true", help="only print the names")
    given = parser.parse_args()
    faults = [fault for fault in PLANTED if not given.names or any(name in fault.name for name in given.names)]
    if not faults:
        parser.error(f"no fault has a name that contains any of {given.names}; --list prints all names")
    if given.list:
        print("\n".join(fault.name for fault in faults))
        return 0
    finding = Finding(given.seconds, given.jobs, given.first)
    results = finding.find_all(faults, given.at_once, _report)
    found = [result for result in results if result.seed is not None]
    print("\n" + "\n".join(map(str, results)))
    print(f"{len(found)} of {len(results)} found")
    return 0 if len(found) == len(results) else 1


def _report(result: Found) -> None:
    print(result, flush=True)


if __name__ == "__main__":
    sys.exit(main())
