"""The tests, interpreted and compiled: the implementation of `make test`, `make test-all` and `make check`.

usage: python -m tests.passes [--interpreted | --compiled] [--all | --rest] [PYTEST'S ARGUMENTS ...]

The interpreted pass imports the checkout. The compiled one imports build/compiled, in the test process and in the
brokers that tests start.

By default the quick tests are run, which take less than two minutes: all without the markers `explore`, `process` and
`alone`, and those marked `smoke`. The compiled pass has only the folders of the compiled modules, QUICK_COMPILED.

--all then runs the rest: those that compiled modules can affect compiled, RUN_COMPILED, and all others interpreted,
except the long tests in ONCE. The tests left out of the compiled pass are about tools, texts and pages. --rest runs
only the rest, and adds the results of the quick tests, which were run before, to its summary.

--interpreted runs no compiled pass. --compiled runs only that pass, and adds the results of the quick tests that were
run before with --interpreted, which can be done while the core is compiled.

Quick tests are run in parts (PARTS), two at a time, each by a process that collects only the folders of its part. The
others wait for other processes and are distributed to several processes of xdist, each of which has to collect all of
them. Tests marked `alone` measure time, memory or CPU. They are run afterwards, one after another, and once: compiled,
as shipped, if that pass has them. With arguments, both passes run the tests that these select, whatever their markers,
in one process.
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

#: Long tests of the compiled modules: random and cut input, models, loads, crashes, and replays of recordings in other
#: ways. Only the last pass has them; both have the quick tests of these places.
ONCE = (
    "tests/amqp",
    "tests/broker",
    "tests/conformance/test_replay.py",
    "tests/crash",
    "tests/failover",
    "tests/fuzz",
    "tests/load",
    "tests/simulation/test_failures.py",
    "tests/store",
    "tests/wire",
)

#: Tests that are run for every change, by their markers.
QUICK = "smoke or not (explore or process or alone)"
LONG = "not smoke and (explore or process) and not alone"

#: Folders with the slowest quick tests: a part each, the slowest first. All other folders are one part, the first.
PARTS = (
    ("tests/conformance",),
    ("tests/broker",),
    ("tests/management",),
    ("tests/amqp",),
    ("tests/store", "tests/wire", "tests/message"),
)

#: Quick tests keep a processor busy; many of the others wait for other processes.
QUICK_PROCESSES = 2
LONG_PROCESSES = 3

#: A test that takes longer than this, while nothing else runs, should be made faster or marked.
SHOW_SLOW = ("--durations=5", "--durations-min=1")

#: Counts of the last quick run, for --rest.
QUICK_OUTCOME = ROOT / "build" / "quick-tests.json"

ALONE = ("-m", "alone and not smoke")

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
    """Tests that are run with one kind of hot path; no paths mean all."""

    name: str
    #: Paths of its quick tests, and of all its tests.
    quick: tuple[str, ...]
    paths: tuple[str, ...]
    environment: dict[str, str]
    options: list[str] = field(default_factory=list)


# PYTHONSAFEPATH: otherwise `python -m` searches its working directory first, which is the checkout.
INTERPRETED = Pass("interpreted", (), (), {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(ROOT)})

AS_COMPILED = Pass(
    "compiled",
    QUICK_COMPILED,
    RUN_COMPILED,
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
            raise SystemExit("There is no outcome of quick tests to add the rest to: run `make test` before it.")
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
    environment = os.environ | kind.environment | {"AMQPBROKER_TESTED": kind.name}
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
        why = reason.read_text().strip() if reason.exists() else "build/compiled is not there; `make test` makes it"
        if os.environ.get("AMQPBROKER_COMPILE") == "1":
            raise SystemExit(f"The tests cannot be run compiled: {why}.")
        print(f"The compiled pass is left out: {why}.", flush=True)
        return [INTERPRETED]
    return [INTERPRETED, AS_COMPILED]


def files_of_alone(kinds: list[Pass]) -> list[tuple[Pass, list[str]]]:
    """Return the files that have such tests, each for the last pass that has it: collecting all takes seconds."""
    marked = [path for path in (ROOT / "tests").rglob("test_*.py") if "pytest.mark.alone" in path.read_text()]
    left = sorted(str(path.relative_to(ROOT)) for path in marked)
    found = []
    for kind in reversed(kinds):
        files = [name for name in left if not kind.paths or name.startswith(kind.paths)]
        left = [name for name in left if name not in files]
        found.append((kind, files))
    return found[::-1]


def parts(paths: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Split paths of tests, or all for none, into parts, each with a name."""
    paths = list(paths) or collected()
    found = [(part[0], [path for path in paths if path.startswith(part)]) for part in PARTS]
    rest = [path for path in paths if not path.startswith(tuple(name for part in PARTS for name in part))]
    return [(name, part) for name, part in [("all others", rest), *found] if part]


def collected() -> list[str]:
    """Return the folders and files in which pytest looks for tests."""
    below = sorted((ROOT / "tests").iterdir())
    return [f"tests/{path.name}" for path in below if path.match("test_*.py") or next(path.rglob("test_*.py"), None)]


def run_parts(runs: Iterable[tuple[Pass, Iterable[str], str]], outcome: Outcome) -> None:
    """Run quick tests, given as pass, paths and name, as many parts at a time as there are processors."""
    jobs = [
        (kind, ["-m", QUICK, *SHOW_SLOW, *part], outcome, f"{kind.name}, {what}: {name}", False)
        for kind, paths, what in runs
        for name, part in parts(paths)
    ]
    with ThreadPoolExecutor(QUICK_PROCESSES) as pool:
        for done in [pool.submit(pytest, *job) for job in jobs]:
            done.result()


def run_quick(kinds: list[Pass], outcome: Outcome) -> None:
    run_parts([(kind, kind.quick, "quick") for kind in kinds], outcome)


def run_rest(kinds: list[Pass], outcome: Outcome) -> None:
    """Run all tests that run_quick leaves out."""
    left = [(kind, [path for path in kind.paths if path not in kind.quick]) for kind in kinds]
    run_parts([(kind, paths, "other folders") for kind, paths in left if paths], outcome)
    for kind in kinds:
        left_out = [f"--ignore={path}" for path in ONCE if kind is not kinds[-1]]
        pytest(
            kind, [*together(LONG_PROCESSES, LONG), *SHOW_SLOW, *left_out, *kind.paths], outcome, f"{kind.name}, long"
        )
    for kind, files in files_of_alone(kinds):
        pytest(kind, [*ALONE, *files], outcome, f"{kind.name}, one after another")


def main(arguments: list[str]) -> int:
    started = time.monotonic()
    taken = {"--interpreted", "--compiled", "--all", "--rest"}.intersection(arguments)
    arguments = [argument for argument in arguments if argument not in taken]
    kinds = [INTERPRETED] if "--interpreted" in taken else passes()
    if "--compiled" in taken:
        kinds = [kind for kind in kinds if kind is AS_COMPILED]
    adds = "--rest" in taken or ("--compiled" in taken and not arguments)
    outcome = Outcome.take(QUICK_OUTCOME) if adds else Outcome()
    if arguments:
        for kind in kinds:
            pytest(kind, arguments, outcome, kind.name)
    else:
        if "--rest" not in taken:
            run_quick(kinds, outcome)
        if {"--all", "--rest"} & taken:
            run_rest(kinds, outcome)
        else:
            outcome.save(QUICK_OUTCOME)
    if not outcome.counts.get("passed"):
        outcome.failed.append("nothing was run")
    for what in outcome.failed:
        print(f"FAILED: {what}")
    print(outcome.summary(time.monotonic() - started))
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
