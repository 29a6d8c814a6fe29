"""Markers that tests get automatically from the code that they use.

`explore` marks tests that search for errors (Hypothesis, the folders in EXPLORING), `process` marks tests whose code,
or the code of their fixtures, reaches a function that starts a process. `guard` fails a test that starts a process
without the marker.
"""

import inspect
import multiprocessing
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import pytest

TESTS = Path(__file__).parent

#: Folders with exploring tests only.
EXPLORING = ("crash", "fuzz")

#: Packages whose code is followed. The broker's is not: only `amqpbroker perf` starts processes in it.
FOLLOWED = ("tests", "conformance", "interop", "tools")

STARTS = (subprocess.run, subprocess.check_output, subprocess.check_call, subprocess.Popen)

#: Audit events of Python; multiprocessing raises one only when it forks.
STARTED = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}


def mark(item: pytest.Item) -> None:
    """Add the markers that the code of a test requires."""
    function = getattr(item, "obj", None)
    folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
    if folder in EXPLORING or getattr(function, "is_hypothesis_test", False):
        item.add_marker(pytest.mark.explore)
    if any(starts_process(used) for used in (function, *fixtures(item))):
        item.add_marker(pytest.mark.process)


def fixtures(item: pytest.Item) -> Iterator[Any]:
    """Yield the functions of all fixtures that a test uses, including autouse fixtures and fixtures of fixtures."""
    info = getattr(item, "_fixtureinfo", None)
    for definitions in info.name2fixturedefs.values() if info else ():
        yield definitions[-1].func


@cache
def starts_process(used: Any) -> bool:
    """Return whether code reaches a function that starts a process, through globals of its module."""
    return any(thing is subprocess or thing is multiprocessing or thing in STARTS for thing in reached(used))


def reached(used: Any) -> list[Any]:
    """Return the functions, classes and modules that code names, those that they name, and so on."""
    found: dict[int, Any] = {}
    waiting = [used]
    while waiting:
        thing = inspect.unwrap(waiting.pop())
        thing = thing.__func__ if isinstance(thing, MethodType) else thing
        if id(thing) not in found:
            found[id(thing)] = thing
            waiting += named(thing)
    return list(found.values())


def named(thing: Any) -> list[Any]:
    """Return the functions, classes and modules that the code of a function or class names."""
    if str(getattr(thing, "__module__", None)).partition(".")[0] not in FOLLOWED:
        return []
    if isinstance(thing, type):
        members = [getattr(member, "__func__", getattr(member, "fget", member)) for member in vars(thing).values()]
        return [member for member in members if isinstance(member, FunctionType)] + list(thing.__bases__)
    if not isinstance(thing, FunctionType):
        return []
    names = set(names_in(thing.__code__))
    values = [thing.__globals__.get(name) for name in names]
    values += [vars(module).get(name) for module in values if is_followed_module(module) for name in names]
    return [value for value in values if isinstance(value, FunctionType | type | ModuleType)]


def is_followed_module(value: Any) -> bool:
    return isinstance(value, ModuleType) and value.__name__.partition(".")[0] in FOLLOWED


def names_in(code: CodeType) -> Iterator[str]:
    """Yield names of globals and attributes in a function and in the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


class Guard:
    """Fails a test that starts a process without having the marker `process`."""

    def __init__(self) -> None:
        #: Name of the running test, if it must not start a process.
        self.refused = ""

    def install(self) -> None:
        """Watch this process from now on; this cannot be undone."""
        sys.addaudithook(self._on_event)
        start = BaseProcess.start

        def start_if_allowed(process: BaseProcess) -> None:
            self.look("multiprocessing")
            start(process)

        BaseProcess.start = start_if_allowed  # type: ignore[method-assign]

    @contextmanager
    def during(self, item: pytest.Item) -> Iterator[None]:
        """Watch a test while it runs, including its fixtures."""
        before, self.refused = self.refused, "" if item.get_closest_marker("process") else item.nodeid
        try:
            yield
        finally:
            self.refused = before

    def look(self, how: str) -> None:
        if self.refused:
            raise AssertionError(f"{self.refused} starts a process ({how}): mark it with @pytest.mark.process")

    def _on_event(self, event: str, _: object) -> None:
        if event in STARTED:
            self.look(event)


guard = Guard()
