"""Automatic markers of tests, and the failure of a test that starts a process without one."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, stateful
from hypothesis import strategies as st

from tests import markers, process
from tests.markers import TESTS, Guard, guard, mark, names_in, starts_process
from tests.process import BrokerProcess


def runs_a_command():
    return subprocess.run([sys.executable, "--version"], capture_output=True, check=True)


class Started:
    def enter(self):
        return BrokerProcess


class Inherited(Started):
    pass


def in_a_function_within():
    def within():
        return [runs_a_command() for _ in range(2)]

    return within


def through_a_module():
    return process.BrokerProcess


def with_multiprocessing():
    return multiprocessing.get_context("spawn")


def names_nothing():
    return tempfile.gettempdir()


def takes_a_number_from_there():
    return process.PATIENCE_S


@pytest.mark.parametrize(
    "code",
    [runs_a_command, Started, Inherited, in_a_function_within, through_a_module, with_multiprocessing, BrokerProcess],
)
def test_code_that_starts_a_process_is_recognised(code):
    assert starts_process(code)


@pytest.mark.parametrize("code", [names_nothing, takes_a_number_from_there, names_in, len, None])
def test_code_that_starts_no_process_is_recognised(code):
    assert not starts_process(code)


def has(request, name):
    return request.node.get_closest_marker(name) is not None


def test_test_that_neither_explores_nor_starts_a_process_has_no_marker(request):
    assert not has(request, "explore")
    assert not has(request, "process")


def test_a_test_whose_helper_starts_a_process_has_the_marker(request):
    assert runs_a_command().returncode == 0
    assert has(request, "process")


def test_a_test_whose_fixture_starts_a_process_has_the_marker(request, broker):
    assert has(request, "process")


@given(st.integers())
def generated(number):
    assert number == int(str(number))


class Machine(stateful.RuleBasedStateMachine):
    @stateful.rule()
    def step(self):
        pass


class Item:
    """A collected test with the attributes that markers need."""

    def __init__(self, obj, path=__file__):
        self.obj = obj
        self.path = Path(path)
        self.marked = []

    def add_marker(self, marker):
        self.marked.append(marker.name)


@pytest.mark.parametrize(
    ("item", "marked"),
    [
        (Item(generated), ["explore"]),
        (Item(Machine.TestCase("runTest").runTest), ["explore"]),
        (Item(names_nothing, TESTS / "fuzz" / "test_it.py"), ["explore"]),
        (Item(runs_a_command, TESTS / "crash" / "test_it.py"), ["explore", "process"]),
        (Item(Inherited, TESTS / "wire" / "test_it.py"), ["process"]),
        (Item(names_nothing, "test_elsewhere.py"), []),
    ],
)
def test_exploring_tests_get_the_marker(item, marked):
    mark(item)
    assert item.marked == marked


@pytest.mark.parametrize(
    "start",
    [
        lambda: os.system("true"),
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
        lambda: multiprocessing.get_context("spawn").Process(target=names_nothing).start(),
        lambda: vars(markers)["subprocess"].Popen(["true"]),
    ],
    ids=["system", "posix_spawn", "multiprocessing", "Popen"],
)
def test_a_process_that_is_started_without_the_marker_is_a_failure(request, start):
    with guard.during(request.node), pytest.raises(AssertionError, match=r"mark it with @pytest\.mark\.process"):
        start()


def test_a_process_started_with_the_marker_is_no_failure(request):
    guard = Guard()
    with guard.during(request.node), pytest.raises(AssertionError):
        guard.look("fork")
    request.node.add_marker("process")
    with guard.during(request.node):
        guard.look("fork")
    guard.look("fork")
