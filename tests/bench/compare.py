#!/usr/bin/env python3
"""Compare two checkouts of this project: CPU per message of the core, in alternating runs.

usage: tests/bench/compare.py REF [REF2] [--shapes a,b] [--pairs N] [-n MESSAGES] [--compiled]

REF and REF2 are commits; without REF2 it is this checkout, including uncommitted changes. Each is checked out into its
own directory, which is removed at the end. Each run is a process with the bench and the code of its checkout; the order
alternates with every pair. Prints the median of each, the median of the ratios of pairs (below 1: the second is faster)
and the range of the latter with at least 95 % confidence for any distribution; if 1 is in the range, the difference is
within the noise.
"""

import argparse
import contextlib
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
#: Shapes that every checkout has, and shapes for `--shapes` if both checkouts have them.
REPEATED = ("transient", "single-ack", "multiple-ack", "confirm", "priority", "fanout10", "ready", "backlog")
STORED = ("stored", "stored-publish", "stored-backlog")
APPLICATION = ("app", "app-topic", "app-headers", "app-delayed", "app-reply", "app-expired", "app-rejected")
GROUPS = ("groups-1", "groups-1000", "groups-1000000")
SHAPES = (*REPEATED, *STORED, *APPLICATION, "app-expired-keys", "app-rejected-keys", *GROUPS)
CONFIDENCE = 0.95
RUN_WITHIN_S = 120.0
#: The bounds of glibc that a broker sets (server/allocator.py), for benches of commits that do not set them. With its
#: own bounds, glibc may or may not release and reallocate the end of the heap by chance, which takes half of a
#: message's time.
MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024),
    "MALLOC_MMAP_THRESHOLD_": str(8 * 1024 * 1024),
}


@dataclass
class Shape:
    """CPU per message of one shape, run by run, of the first checkout and of the second."""

    first: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return sorted(after / before for before, after in zip(self.first, self.second, strict=True))


def confident_range(ordered: list[float]) -> tuple[float, float] | None:
    """Return the range of the median with CONFIDENCE; None if there are too few values."""
    pairs = len(ordered)
    cut, outside = -1, 0.0
    while True:
        outside += 2 * math.comb(pairs, cut + 1) / 2**pairs
        if outside > 1 - CONFIDENCE or cut + 1 >= pairs / 2:
            break
        cut += 1
    return (ordered[cut], ordered[-1 - cut]) if cut >= 0 else None


def verdict(ordered: list[float]) -> str:
    """Describe the ratios of pairs."""
    found = confident_range(ordered)
    if found is None:
        return "too few pairs for a result"
    least, most = found
    ranged = f"{least:.3f} to {most:.3f}"
    if least <= 1 <= most:
        return f"{ranged}  within the noise"
    return f"{ranged}  {'faster' if most < 1 else 'SLOWER'}"


def line(name: str, shape: Shape) -> str:
    first, second, ratios = statistics.median(shape.first), statistics.median(shape.second), shape.ratios
    return f"{name:13s} {first:7.3f} us {second:7.3f} us  x{statistics.median(ratios):.3f}  {verdict(ratios)}"


@contextlib.contextmanager
def checkout(ref: str | None, compiled: bool) -> Iterator[Path]:
    """Yield a directory with that commit; this checkout without a ref."""
    if ref is None:
        if compiled:
            build(ROOT)
        yield ROOT
        return
    with tempfile.TemporaryDirectory(prefix="compare-") as folder:
        path = Path(folder) / "checkout"
        git("worktree", "add", "--quiet", "--detach", str(path), ref)
        try:
            if compiled:
                build(path)
            yield path
        finally:
            git("worktree", "remove", "--force", str(path))


def git(*arguments: str) -> None:
    """Run git. Raises SystemExit with git's output."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), *arguments], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"git {arguments[0]}: {done.stderr.strip()}")


def check(*refs: str | None) -> None:
    """Check commits before anything is compiled. Raises SystemExit if git does not know one."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "--end-of-options"]
    for ref in filter(None, refs):
        commit = f"{ref}^{{commit}}"
        if subprocess.run([*asked, commit], check=False, stdin=subprocess.DEVNULL, capture_output=True).returncode:
            raise SystemExit(f"git knows no commit {ref}")


def build(path: Path) -> None:
    """Compile the hot path of a checkout, into its build/compiled."""
    if not (path / "setup.py").exists():
        raise SystemExit(f"{path} has no setup.py: it cannot be compiled")
    environment = os.environ | {"AMQPBROKER_COMPILE": "1"}
    done = subprocess.run([str(ROOT / "tools" / "compiled"), str(path)], env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{path} cannot be compiled")


def python() -> str:
    """Return the project's own interpreter, which has its dependencies."""
    own = ROOT / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def run(path: Path, shape: str, messages: int, compiled: bool = False) -> float | None:
    """Return CPU microseconds per message; None if that checkout does not have the shape."""
    command = [python(), "-m", "tests.bench", shape, "-n", str(messages), "--rounds", "1"]
    # The code is found here first, and not in the current directory.
    where = [str(path / "build" / "compiled"), str(path)] if compiled else [str(path)]
    environment = os.environ | MALLOC | {"PYTHONPATH": os.pathsep.join(where), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        command, cwd=path, env=environment, capture_output=True, text=True, timeout=RUN_WITHIN_S, check=False
    )
    if done.returncode:
        print(f"{shape}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return parsed(done.stdout, shape)


def parsed(output: str, shape: str) -> float:
    """Parse a line such as `transient 1.27 us/message`."""
    words = next(words for words in map(str.split, output.splitlines()) if words and words[0] == shape)
    return float(words[1])


def measured(first: Path, second: Path, name: str, given: argparse.Namespace) -> Shape | None:
    """Run the requested number of pairs; None if one of the two cannot run it."""
    shape = Shape()
    sides = [(first, shape.first), (second, shape.second)]
    for _ in range(given.pairs):
        for path, times in sides:
            taken = run(path, name, given.n, given.compiled)
            if taken is None:
                return None
            times.append(taken)
        sides.reverse()
    return shape


def within(low: float, high: float) -> Callable[[str], float]:
    """Return the argparse type of a number with these bounds; an integer if both are."""
    kind = int if isinstance(low, int) and isinstance(high, int) else float

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {low:,} to {high:,}")
        return value

    return parse


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ref")
    parser.add_argument("ref2", nargs="?")
    parser.add_argument("--shapes", type=lambda text: text.split(","), default=list(REPEATED), metavar="A,B")
    parser.add_argument("--pairs", type=within(1, 1000), default=9, help="at least six are needed for a result")
    parser.add_argument("-n", type=within(1, 100_000_000), default=50_000, metavar="MESSAGES")
    parser.add_argument(
        "--compiled", action="store_true", help="compile the hot path of both first, which takes a minute each"
    )
    given = parser.parse_args(arguments)
    if unknown := set(given.shapes) - set(SHAPES):
        parser.error(f"no such shape: {', '.join(sorted(unknown))}; there are {', '.join(SHAPES)}")
    return given


def main() -> None:
    given = options()
    check(given.ref, given.ref2)
    # The program still removes its checkouts if it is ended by a signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with checkout(given.ref, given.compiled) as first, checkout(given.ref2, given.compiled) as second:
        how = "compiled" if given.compiled else "interpreted"
        print(f"CPU per message, {how}: {given.ref}, then {given.ref2 or 'this checkout'}; {given.pairs} pairs of runs")
        for name in given.shapes:
            shape = measured(first, second, name, given)
            print(line(name, shape) if shape else f"{name:13s} cannot be run by both", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
