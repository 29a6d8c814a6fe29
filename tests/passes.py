"""The tests, interpreted and compiled: the implementation of `make test`, `make test-all`, `make check` and .ci/run.

usage: python -m tests.passes [--interpreted | --compiled] [--all | --first | --rest | --alone] [PYTEST'S ARGUMENTS ...]

The interpreted pass imports the checkout. The compiled one imports build/compiled, in the test process and in the
brokers that tests start.

By default the quick tests are run: all without the markers `explore`, `process` and `alone`, and those marked `smoke`.
--interpreted runs them interpreted, which needs no compiled core. --compiled runs those of the
folders of the compiled modules, QUICK_COMPILED, compiled, and adds the results of the interpreted ones.

--all runs all tests. Tests of the places in RUN_COMPILED, which compiled modules can affect, are run compiled, as
shipped, and all others interpreted. Only the quick tests of the compiled modules are run both ways. Without a compiled
core, or with --interpreted, all tests are run interpreted. --first, --rest and --alone are stages that run each test
once: the interpreted tests, which can be run while the core is compiled; the compiled ones; and the tests marked
`alone`, which measure time, memory or CPU. Each stage adds the results of the stages before it to its summary.

Quick tests are run in parts (PARTS), several at a time, each by a process that collects only the paths of its part. The
others wait for other processes and are distributed to several processes of xdist, each of which has to collect all of
them. Arguments that are all folders select the quick tests of these folders. With any other arguments, pytest runs what
these select, whatever their markers, in one process.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILED = ROOT / "build" / "compiled"

#: The compiled modules, everything that uses them, and tests that check which modules are run.
RUN_COMPILED = (
    "tests/wire",
    "tests/message",
    "tests/store",
    "tests/broker",
    "tests/amqp",
    "tests/fuzz",
    "tests/cluster",
    "tests/server",
    "tests/security",
    "tests/management",
    "tests/metrics",
    "tests/load",
    "tests/crash",
    "tests/failover",
    "tests/client",
    "tests/conformance/test_replay.py",
    "tests/shovel",
    "tests/simulation/test_digests.py",
    "tests/simulation/test_failures.py",
    "tests/simulation/test_simulation.py",
    "tests/testing",
    "tests/cli/test_serve.py",
    "tests/cli/test_store.py",
    "tests/test_clock.py",
    "tests/test_compat.py",
    "tests/test_compiled.py",
    "tests/test_patterns.py",
    "tests/test_readme.py",
    "tests/test_setup.py",
)

#: Only the compiled modules, and tests that check which modules are run.
QUICK_COMPILED = (
    "tests/wire",
    "tests/message",
    "tests/store",
    "tests/broker",
    "tests/amqp",
    "tests/conformance/test_replay.py",
    "tests/test_clock.py",
    "tests/test_compiled.py",
    "tests/test_patterns.py",
)

#: Tests that are run for every change, by their markers.
QUICK = "smoke or not (explore or process or alone)"
LONG = "not smoke and (explore or process) and not alone"

#: Quick tests by place, a part each; a test belongs to the longest place that contains it. The part that waits most of
#: its time is first, and then come the slowest. All other folders are one part, the third.
PARTS = (
    ("tests/server", "tests/testing", "tests/shovel"),
    ("tests/conformance",),
    ("tests/broker",),
    ("tests/management", "tests/cluster", "tests/security", "tests/metrics"),
    ("tests/store", "tests/wire", "tests/message"),
    ("tests/simulation",),
    ("tests/amqp",),
)

#: Two of the quick parts keep the processors of a small machine busy, while a third one waits. Many of the others wait
#: for other processes.
QUICK_PROCESSES = 3
LONG_PROCESSES = 8

#: The files with tests that the quick pass left out. The pass of the long tests collects no others.
DESELECTED = ROOT / "build" / "deselected.txt"

#: A test that takes longer than this, while nothing else runs, should be made faster or marked.
SHOW_SLOW = ("--durations=5", "--durations-min=1")

#: Counts of the earlier stages.
OUTCOME = ROOT / "build" / "tests.json"

ALONE = ("-m", "alone and not smoke")

STAGES = ("--first", "--rest", "--alone")

NONE_COLLECTED = 5

#: pytest's words for the results of tests, in its order.
ENDS = ("failed", "passed", "skipped", "xfailed", "xpassed", "error", "errors", "warning", "warnings")


def together(processes: int, marked: str) -> tuple[str, ...]:
    """Return pytest's arguments for several processes.

    A process that crashes ends its pass; tests/conftest.py has the order.
    """
    shared = ("-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder", "--max-worker-restart=0")
    return (*shared, "-m", marked)


@dataclass
class Pass:
    """A kind of hot path that tests are run with."""

    name: str
    environment: dict[str, str]
    options: list[str] = field(default_factory=list)


# PYTHONSAFEPATH: otherwise `python -m` searches its working directory first, which is the checkout.
INTERPRETED = Pass("interpreted", {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(ROOT)})

AS_COMPILED = Pass(
    "compiled",
    {"PYTHONSAFEPATH": "1", "PYTHONPATH": f"{COMPILED}{os.pathsep}{ROOT}"},
    ["-o", f"pythonpath='{COMPILED}' ."],
)


@dataclass
class Outcome:
    """The sum of the results of several runs of pytest."""

    counts: dict[str, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def add(self, what: str, status: int, output: str) -> None:
        for end, number in counted(output).items():
            self.counts[end] = self.counts.get(end, 0) + number
        if status not in (0, NONE_COLLECTED):
            self.failed.append(what)

    def save(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"counts": self.counts, "failed": self.failed}))

    @classmethod
    def take(cls, path: Path) -> "Outcome":
        """Read a saved outcome and remove it, so that it is added once."""
        if not path.exists():
            raise SystemExit("There is no outcome of earlier tests to add these to: run the stages in their order.")
        outcome = cls(**json.loads(path.read_text()))
        path.unlink()
        return outcome

    def summary(self, seconds: float) -> str:
        """Return the summary in the format of pytest's last line."""
        ends = [f"{self.counts[end]} {end}" for end in ENDS if self.counts.get(end)]
        return f"{', '.join(ends) or 'no tests ran'} in {seconds:.2f}s"


def counted(output: str) -> dict[str, int]:
    """Parse pytest's last line, such as `1 failed, 20 passed in 3.21s`."""
    last = output.strip().rpartition("\n")[2]
    return {end: int(number) for number, end in re.findall(r"(\d+) ([a-z]+)", last.rpartition(" in ")[0])}


def pytest(kind: Pass, arguments: list[str], outcome: Outcome, what: str, live: bool = True) -> None:
    """Run pytest, show its output, and add its results to the outcome.

    live: show the output immediately, not at the end.
    """
    if live:
        print(f"--- {what}", flush=True)
    environment = os.environ | kind.environment | {"AMQPBROKER_TESTED": kind.name, "RECORD_DESELECTED": str(DESELECTED)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode, each process would compile all tests again
    command = [sys.executable, "-m", "pytest", *kind.options, *arguments]
    output = []
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            output.append(line)
            if live:
                print(line, end="", flush=True)
    if not live:
        print(f"--- {what}\n{''.join(output)}", end="", flush=True)
    outcome.add(what, running.returncode, "".join(output))


def passes() -> list[Pass]:
    """Return the passes; the compiled one only if there is a compiled build."""
    reason = COMPILED / "amqpbroker" / "interpreted.txt"
    if reason.exists() or not (COMPILED / "amqpbroker").exists():
        why = reason.read_text().strip() if reason.exists() else "run `make compiled` before it"
        if os.environ.get("AMQPBROKER_COMPILE") == "1":
            raise SystemExit(f"The tests cannot be run compiled: {why}.")
        print(f"The compiled pass is left out: {why}.", flush=True)
        return [INTERPRETED]
    return [INTERPRETED, AS_COMPILED]


def files_of_alone() -> list[str]:
    """Return the files that have such tests: collecting all takes seconds."""
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.alone" in path.read_text()]
    return sorted(str(path.relative_to(ROOT)) for path in marked)


def is_within(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def collected(folder: str = "tests") -> list[str]:
    """Return the folders and files in which pytest looks for tests, and which no part or pass divides further."""
    places = (*RUN_COMPILED, *(place for part in PARTS for place in part))
    if not any(place != folder and is_within(place, folder) for place in places):
        return [folder]
    below = sorted((ROOT / folder).iterdir())
    tested = [path for path in below if path.match("test_*.py") or next(path.rglob("test_*.py"), None)]
    return [each for path in tested for each in collected(f"{folder}/{path.name}")]


def within(paths: Iterable[str], places: tuple[str, ...]) -> list[str]:
    return [path for path in paths if any(is_within(path, place) for place in places)]


def parts(paths: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Split paths of tests into parts, each with a name."""
    found: dict[str, list[str]] = {part[0]: [] for part in PARTS}
    names = {place: part[0] for part in PARTS for place in part}
    rest: list[str] = []
    for path in paths:
        places = [place for place in names if is_within(path, place)]
        (found[names[max(places, key=len)]] if places else rest).append(path)
    ordered = list(found.items())
    ordered.insert(2, ("all others", rest))
    return [(name, part) for name, part in ordered if part]


def shares(folders: list[str]) -> list[list[str]]:
    """Split the test files of folders into two lists that take about as long: larger files have more tests."""
    files = {path: path.stat().st_size for folder in folders for path in (ROOT / folder).rglob("test_*.py")}
    found: list[list[str]] = [[], []]
    sizes = [0, 0]
    for path in sorted(files, key=files.__getitem__, reverse=True):
        smaller = sizes.index(min(sizes))
        found[smaller].append(str(path.relative_to(ROOT)))
        sizes[smaller] += files[path]
    return [sorted(share) for share in found if share]


def run_parts(runs: Iterable[tuple[Pass, list[tuple[str, list[str]]]]], outcome: Outcome) -> None:
    """Run the quick tests of parts, several at a time."""
    jobs = [
        (kind, ["-m", QUICK, *SHOW_SLOW, *part], outcome, f"{kind.name}, quick: {name}", False)
        for kind, named in runs
        for name, part in named
    ]
    with ThreadPoolExecutor(QUICK_PROCESSES) as pool:
        for done in [pool.submit(pytest, *job) for job in jobs]:
            done.result()


def run_both(kind: Pass, paths: list[str], outcome: Outcome) -> None:
    """Run the quick tests of paths, and then the long ones."""
    DESELECTED.write_text("")
    run_parts([(kind, parts(paths))], outcome)
    if files := sorted(set(DESELECTED.read_text().splitlines())):
        pytest(kind, [*together(LONG_PROCESSES, LONG), *SHOW_SLOW, *files], outcome, f"{kind.name}, long")


def run_stage(stage: str, kinds: list[Pass], outcome: Outcome) -> None:
    """Run one of STAGES; the last kind of pass has the tests that compiled modules can affect."""
    paths, last = collected(), kinds[-1]
    affected = within(paths, RUN_COMPILED) if last is AS_COMPILED else []
    if stage == "--first":
        run_both(INTERPRETED, [path for path in paths if path not in affected], outcome)
    elif stage == "--rest" and affected:
        run_both(last, affected, outcome)
    elif stage == "--alone":
        files = files_of_alone()
        for kind in kinds:
            own = [name for name in files if bool(within([name], RUN_COMPILED)) is (kind is AS_COMPILED)]
            pytest(kind, [*ALONE, *(own if last is AS_COMPILED else files)], outcome, f"{kind.name}, one after another")


def select(arguments: list[str], kinds: list[Pass], outcome: Outcome) -> None:
    """Run what the arguments select: the quick tests of folders, or anything else that pytest accepts."""
    if all((ROOT / argument).is_dir() for argument in arguments):
        halves = [(f"{' '.join(arguments)}, {number}", share) for number, share in enumerate(shares(arguments), 1)]
        run_parts([(kind, halves) for kind in kinds], outcome)
    else:
        for kind in kinds:
            pytest(kind, arguments, outcome, kind.name)


def run_quick(kinds: list[Pass], outcome: Outcome) -> None:
    paths = collected()
    core = within(paths, QUICK_COMPILED)
    run_parts([(kind, parts(core if kind is AS_COMPILED else paths)) for kind in kinds], outcome)


def main(arguments: list[str]) -> int:
    started = time.monotonic()
    DESELECTED.parent.mkdir(exist_ok=True)  # every run writes to it, and a new checkout has no build/
    taken = {"--interpreted", "--compiled", "--all", *STAGES}.intersection(arguments)
    arguments = [argument for argument in arguments if argument not in taken]
    if "--first" in taken:  # the core may still be being compiled
        kinds = [INTERPRETED, AS_COMPILED]
    elif "--interpreted" in taken:
        kinds = [INTERPRETED]
    else:
        kinds = passes()
    if "--compiled" in taken:
        kinds = [kind for kind in kinds if kind is AS_COMPILED]
    stages = STAGES if "--all" in taken else tuple(stage for stage in STAGES if stage in taken)
    adds = stages[:1] in (("--rest",), ("--alone",)) or ("--compiled" in taken and not arguments)
    outcome = Outcome.take(OUTCOME) if adds else Outcome()
    if arguments:
        select(arguments, kinds, outcome)
    elif stages:
        if "--all" in taken and AS_COMPILED in kinds:
            run_parts([(INTERPRETED, parts(within(collected(), QUICK_COMPILED)))], outcome)
        for stage in stages:
            run_stage(stage, kinds, outcome)
    else:
        run_quick(kinds, outcome)
    if not arguments:
        outcome.save(OUTCOME)
    if not outcome.counts.get("passed"):
        outcome.failed.append("nothing was run")
    for what in outcome.failed:
        print(f"FAILED: {what}")
    print(outcome.summary(time.monotonic() - started))
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
