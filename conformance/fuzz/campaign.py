"""Runs the scripts of many seeds on two brokers and compares what each of them gives."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from conformance import transcript
from conformance.fuzz.generator import generate
from conformance.fuzz.player import Pace, Player
from conformance.fuzz.shrink import shrink
from conformance.fuzz.step import Outcome, Script, listing
from conformance.target import Target

#: Our broker answers at once, so its second look sees what the first saw.
OURS = Pace(quiet_s=0.002)
OURS_CAREFUL = Pace(quiet_s=0.05)
QUICK = Pace(quiet_s=0.25)
STEADY = Pace(quiet_s=0.3, matched_s=0.02)
CAREFUL = Pace(quiet_s=1.0, matched_s=0.06)


@dataclass(frozen=True, slots=True)
class Difference:
    """A step whose outcome RabbitMQ gave `expected` for, each time, and the other broker `got`."""

    step: int
    expected: Outcome
    got: Outcome


@dataclass(frozen=True, slots=True)
class Found:
    """The result of one seed. `difference` is that of `script`, the shortest script that shows one.

    unsteady: RabbitMQ's results vary. fickle: only the other broker's results vary. hasty: the first difference does
    not occur when both have more time.
    """

    seed: int
    operations: int
    frames: int
    script: Script = ()
    difference: Difference | None = None
    unsteady: bool = False
    fickle: bool = False
    hasty: bool = False

    def shown(self) -> str:
        """The difference, for people."""
        if self.difference is None:
            return f"seed {self.seed}: no difference"
        at = self.difference.step
        where = self.script[at].shown() if at < len(self.script) else "what is left in the end"
        return "\n".join(
            [
                f"seed {self.seed}: a difference after {len(self.script)} steps, at: {where}",
                "",
                listing(self.script),
                *(["", "RabbitMQ does the same each time, this broker does not."] if self.fickle else []),
                "",
                "- RabbitMQ",
                "+ this broker",
                transcript.difference(self.difference.expected, self.difference.got),
            ]
        )


class SideBySide:
    """Two brokers, the first of which is the judge."""

    def __init__(self, judge: Target, other: Target) -> None:
        self._judge, self._other = judge, other
        self._http = judge.management_url is not None and other.management_url is not None
        self.judge_version, self._judge_cluster = judge.identity()
        self.other_version, self._other_cluster = other.identity()

    def compare(self, script: Script, pace: Pace = QUICK) -> tuple[Difference | None, int]:
        """The first difference, and how many frames were compared."""
        expected, got, frames = self._played(script, pace, OURS)
        return _first_difference(expected, got), frames

    def _played(self, script: Script, pace: Pace, ours: Pace) -> tuple[list[Outcome], list[Outcome], int]:
        """Return the outcomes of RabbitMQ and of the other broker, and the number of frames."""
        got = Player(self._other, ours, self._other_cluster).play(script)
        player = Player(self._judge, pace, self._judge_cluster)
        return player.play(script, got), got, player.frames

    def _differs(self, script: Script) -> bool:
        """Return whether there is a difference that also occurs in a second run."""
        return all(self.compare(script, STEADY)[0] is not None for _ in range(2))

    def look_again(self, seed: int, operations: int, frames: int, script: Script) -> Found:
        """Return the result of three more runs, with more time, of a script that differed."""
        runs = [self._played(script, CAREFUL, OURS_CAREFUL)[:2] for _ in range(3)]
        if any(expected != runs[0][0] for expected, _ in runs):
            return Found(seed, operations, frames, unsteady=True)
        differences = [_first_difference(expected, got) for expected, got in runs]
        sure = next(filter(None, differences), None)
        if sure is None:
            return Found(seed, operations, frames, hasty=True)
        fickle = any(difference != sure for difference in differences)
        return Found(seed, operations, frames, script, sure, fickle=fickle)

    def script(self, seed: int) -> Script:
        """Return the script of this seed, with HTTP requests if both brokers have a management API."""
        return generate(seed, self._http)

    def explore(self, seed: int) -> Found:
        """Run the script of a seed, and on a difference look for the shortest that shows one."""
        script = self.script(seed)
        difference, frames = self.compare(script)
        if difference is None:
            return Found(seed, len(script), frames)
        found = self.look_again(seed, len(script), frames, script)
        if found.difference is None or found.fickle:
            return found
        shortest = shrink(script[: difference.step + 1], self._differs)
        shorter = self.look_again(seed, len(script), frames, shortest)
        return found if shorter.difference is None else shorter


def _first_difference(expected: list[Outcome], got: list[Outcome]) -> Difference | None:
    for at, outcome in enumerate(expected):
        if outcome != got[at]:
            return Difference(at, outcome, got[at])
    return None


def campaign(explore: Callable[[int], Found], first_seed: int, seconds: float, workers: int) -> Iterator[Found]:
    """Yield the results of seeds from `first_seed` on, in the order of their completion, until the time is over."""
    deadline = time.monotonic() + seconds
    seeds = itertools.count(first_seed)
    with ThreadPoolExecutor(workers) as pool:
        running: set[Future[Found]] = set()
        while True:
            while len(running) < workers and time.monotonic() < deadline:
                running.add(pool.submit(explore, next(seeds)))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
