"""Rows of tests/covered.txt whose test does not run their source: `python -m tests.mirror [PART...]`.

Runs the test file of each row whose name has one of the parts (by default all rows) in a process of its own, and
records which functions of the package are called there. Prints each row with the number of called functions and of all
functions of the source; fails if any row has none. Calls in processes started by a test are not seen. It takes some
minutes, so it is not part of `make test`.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tests.test_mirror import COVERED, PACKAGE, TESTS

#: Environment variable with the output file of a run of pytest, which loads this module as a plugin.
OUTPUT = "AMQPBROKER_MIRROR"
TIMEOUT_S = 900
#: Rows with a smaller share of called functions are marked.
FEW = 0.3


def functions(path: Path) -> set[str]:
    """Return the qualified names of the functions of a source that are not empty."""
    return set(_functions(ast.parse(path.read_text()), ""))


def _functions(tree: ast.AST, prefix: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not _is_empty(node):
                yield f"{prefix}{node.name}"
        else:
            yield from _functions(node, prefix)


def _is_empty(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether the body is only a docstring, `...` or `pass`."""
    return all(
        isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in function.body
    )


def called(test: str) -> dict[str, set[str]]:
    """Run a test file. Return the functions of the package that were called: source -> qualified names."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory) / "calls.json"
        environment = os.environ | {OUTPUT: str(output), "PYTHONPATH": str(TESTS.parent), "PYTHONSAFEPATH": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.mirror", "-m", "not alone", str(TESTS / test)]
        try:
            ended = subprocess.run(
                command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired:
            print(f"{test} takes more than {TIMEOUT_S} s", flush=True)
            return {}
        if ended.returncode:
            print(f"{test} fails:", *ended.stdout.splitlines()[-5:], sep="\n    ", flush=True)
        if not output.exists():
            return {}
        return {source: set(names) for source, names in json.loads(output.read_text()).items()}


# --- the plugin -------------------------------------------------------------------------------------------------------

_codes: set[CodeType] = set()


def _record(frame: FrameType, event: str, _: object) -> None:
    if event == "call":
        _codes.add(frame.f_code)


def pytest_runtest_setup() -> None:
    """Record calls, even if the previous test has set another profile function."""
    if OUTPUT in os.environ:
        sys.setprofile(_record)
        threading.setprofile(_record)


def pytest_sessionfinish() -> None:
    """Write the names of the called functions."""
    if OUTPUT not in os.environ:
        return
    sys.setprofile(None)
    found: dict[str, list[str]] = {}
    for code in _codes:
        path = Path(code.co_filename)
        if path.is_relative_to(PACKAGE):
            found.setdefault(str(path.relative_to(PACKAGE)), []).append(code.co_qualname)
    Path(os.environ[OUTPUT]).write_text(json.dumps(found))


# --- the tool ---------------------------------------------------------------------------------------------------------


def main() -> int:
    parts = sys.argv[1:]
    rows = {source: test for source, test in COVERED.items() if not parts or any(part in source for part in parts)}
    calls: dict[str, dict[str, set[str]]] = {}
    missed: list[tuple[Any, ...]] = []
    for source, test in rows.items():
        if not (known := functions(PACKAGE / source)):
            continue
        if test not in calls:
            calls[test] = called(test)
        count = len(known & calls[test].get(source, set()))
        mark = " <-- none" if not count else " <-- few" if count < FEW * len(known) else ""
        print(f"{count:3} of {len(known):3}  {source} {test}{mark}", flush=True)
        if not count:
            missed.append((source, test))
    print(f"{len(missed)} of {len(rows)} rows name a test that does not run their source")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
