"""Faults planted into a copy of the broker, one at a time, that the simulator has to find.

usage: python -m tests.simulation.planted [NAME ...] [--seconds N]

Prints for each how long it took until a seed failed, and at the end how many were found.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = "amqpbroker"


class Planted(NamedTuple):
    """One fault: in the file of that name, which the package has once, `new` stands instead of `old`."""

    name: str
    file: str
    old: str
    new: str


PLANTED = [
    Planted(
        "a sync not waited for",
        "journal.py",
        "self.files.sync(segment.descriptor)\n        self.durable",
        "pass\n        self.durable",
    ),
    Planted("a directory not synced", "journal.py", "self.files.sync_directory(self.directory)", "pass"),
    Planted("definitions not synced with a batch", "committer.py", "self._before()\n        if", "if"),
    Planted(
        "definitions never synced alone",
        "writer.py",
        "self._committer.start(None, self._definitions_done)",
        "self._syncing = False",
    ),
    Planted(
        "a confirm before its sync",
        "confirms.py",
        "if store.appended <= store.synced:\n            self._turns.clear()",
        "if True:\n            self._turns.clear()",
    ),
    Planted(
        "synced too far",
        "persistence.py",
        'is safe that was under way."""\n        self.synced = self._number - 1',
        'is safe that was under way."""\n        self.synced = self._number',
    ),
    Planted(
        "a settling not stored",
        "gathering.py",
        "            self._open.settled.append(copy.position)\n",
        "            pass\n",
    ),
    Planted(
        "a failed write is taken as done",
        "writer.py",
        "if isinstance(error, UnwrittenError):\n            self._wait(error)\n            return",
        "if isinstance(error, UnwrittenError):\n            error = None",
    ),
    Planted(
        "a failed write is not tried again",
        "writer.py",
        "self._retry = self._clock.after(RETRY_MS, self._start)",
        "pass",
    ),
    Planted(
        "a torn write is not cut off",
        "journal.py",
        "            self.files.truncate(segment.descriptor, batch.position & OFFSET_MASK)\n"
        "            self._check_size(segment, batch.position & OFFSET_MASK)\n",
        "            pass\n",
    ),
    Planted(
        "nothing written behind a batch",
        "writer.py",
        "if self._writings:\n            # Nobody",
        "if False:\n            # Nobody",
    ),
    Planted(
        "a lost wake-up of the gathering",
        "gathering.py",
        "self._is_due = True\n        self._on_gathered()",
        "self._is_due = True",
    ),
    Planted(
        "a group left open",
        "gathering.py",
        "            self._open = self.loose\n            self._pending = PENDING\n",
        "            pass\n",
    ),
    Planted(
        "a transaction not as one group",
        "gathering.py",
        "self._depth += 1\n        if self._depth > 1:\n            return",
        "self._depth += 1\n        return",
    ),
    Planted(
        "a freed segment that lives",
        "log.py",
        "if first == last or self.living.of(first).count:",
        "if first == last:",
    ),
    Planted(
        "an acknowledgement not counted",
        "outstanding.py",
        "consumer.unacked -= 1\n        if self._counts_holders",
        "if self._counts_holders",
    ),
    Planted(
        "a return not counted",
        "outstanding.py",
        "            else:\n                consumer.unacked -= 1\n                consumers[consumer] = None",
        "            else:\n                consumers[consumer] = None",
    ),
    Planted("a requeued message at the end", "fifo_line.py", "merge(self.line, entries)", "self.line.extend(entries)"),
    Planted(
        "an off-by-one in a page",
        "fifo_line.py",
        "pages.append(Page([], positions[start:stop], sequences[start:stop]))",
        "pages.append(Page([], positions[start : stop - 1], sequences[start : stop - 1]))",
    ),
    Planted(
        "a page dropped before it is read",
        "fifo_line.py",
        "if page.is_empty:\n            self._pages.popleft()",
        "if True:\n            self._pages.popleft()",
    ),
    Planted(
        "a tail before its pages",
        "fifo_line.py",
        "if self.line or self._pages:\n                self._page_tail(self._pager)\n            else:",
        "if True:\n                self._page_in()\n            else:",
    ),
    Planted(
        "nobody offered what came back",
        "returns.py",
        "self._limit.trim()\n        self._offering.share(consumers)",
        "self._limit.trim()",
    ),
    Planted(
        "a lost wake-up of a consumer",
        "local_queue.py",
        "                self.offering.offer(consumer)\n            elif not consumer.ringed:\n"
        "                self.consumers.settled(consumer)\n\n    def ack_all",
        "                pass\n\n    def ack_all",
    ),
    Planted("a TTL too short", "expiry.py", "<= now", "<= now + 500"),
    Planted("a delay too short", "held.py", "+ delay_ms(message.properties))", "+ delay_ms(message.properties) // 2)"),
    Planted(
        "room never made again", "output.py", "        self.room = ROOM\n        return parts", "        return parts"
    ),
    Planted(
        "output left when the socket was full",
        "output.py",
        "        if writable:\n            self.mark_dirty()",
        "        pass",
    ),
    Planted(
        "a commit that forgets the last message",
        "transaction.py",
        "publishes, self._publishes = self._publishes, []\n        settled",
        "publishes, self._publishes = self._publishes[:-1] or self._publishes, []\n        settled",
    ),
    Planted("a rollback that keeps", "transaction.py", "        self._publishes = []\n        back", "        back"),
    Planted(
        "an iteration without an end",
        "tick.py",
        "        for one in asked:\n            one.end_turn()",
        "        pass",
    ),
]


def copy_with(fault: Planted, directory: Path) -> None:
    """Copy the package into the directory, with the fault in it. Raises ValueError if its place is not found."""
    shutil.copytree(ROOT / PACKAGE, directory / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    files = [path for path in (directory / PACKAGE).rglob(fault.file) if fault.old in path.read_text()]
    if len(files) != 1:
        raise ValueError(f"{fault.name}: {fault.file} is to have, once, {fault.old!r}")
    files[0].write_text(files[0].read_text().replace(fault.old, fault.new, 1))


def seconds_until_found(fault: Planted, most_s: float, jobs: int, first: int) -> float | None:
    """Return how long the simulator took to find the fault, None if it did not within `most_s` seconds."""
    with tempfile.TemporaryDirectory(prefix="planted-") as name:
        copy_with(fault, Path(name))
        environment = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join([name, str(ROOT)])}
        command = [sys.executable, "-m", "tests.simulation", "--seconds", str(most_s), "--jobs", str(jobs)]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--first", str(first), "--as-found"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return time.monotonic() - began if done.returncode else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.planted", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--first", type=int, default=1)
    given = parser.parse_args()
    chosen = [fault for fault in PLANTED if not given.names or fault.name in given.names]
    found = 0
    for fault in chosen:
        try:
            took_s = seconds_until_found(fault, given.seconds, given.jobs, given.first)
        except ValueError as error:
            print(error, flush=True)
            continue
        found += took_s is not None
        print(f"{fault.name:45s} {'NOT FOUND' if took_s is None else f'{took_s:6.1f} s'}", flush=True)
    print(f"{found} of {len(chosen)} found")
    return 0 if found == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
