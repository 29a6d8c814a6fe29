"""Containers that outlive every broker: the check finds each one that grows in a world, wherever a module has it."""

import sys
from collections import deque
from functools import cache, lru_cache
from types import ModuleType

import pytest

from amqpbroker.config import Config
from tests.simulation.checks import module_containers
from tests.simulation.checks.module_containers import BOUNDS
from tests.simulation.world import BrokenError, World

NAME = "amqpbroker.leaking"


@cache
def doubled(number):
    return 2 * number


@lru_cache(maxsize=10)
def tripled(number):
    return 3 * number


class Memo:
    """A class of the module below, with a container of its own and one in each object."""

    __module__ = NAME
    seen: list[int] = []

    class Nested:
        """A class within a class."""

        __module__ = NAME
        names: set[str] = set()

    def __init__(self):
        self.entries = {}


@pytest.fixture
def module(monkeypatch):
    """A module of the broker with containers of all sorts."""
    doubled.cache_clear()
    module = ModuleType(NAME)
    module.TABLE, module.LAST, module.COUNTS = {1: 2}, deque(), {"a": []}
    module.Memo, module.MEMO = Memo, Memo()
    module.doubled, module.tripled = doubled, tripled
    monkeypatch.setitem(sys.modules, NAME, module)
    return module


@pytest.fixture
def world(module):
    """A world that has not begun, with the sizes before it."""
    world = World(1, Config())
    world.sizes_before = module_containers.sizes()
    return world


GROWTHS = {
    "TABLE": lambda module: module.TABLE.update({3: 4}),
    "LAST": lambda module: module.LAST.append(1),
    "COUNTS": lambda module: module.COUNTS["a"].append(1),
    "Memo.seen": lambda module: module.Memo.seen.append(1),
    "Memo.Nested.names": lambda module: module.Memo.Nested.names.add("a"),
    "MEMO.entries": lambda module: module.MEMO.entries.update({1: 2}),
    "doubled": lambda module: doubled(len(module.LAST)),
    "NEW": lambda module: setattr(module, "NEW", [1]),
}


@pytest.mark.parametrize("name", GROWTHS)
def test_container_that_grows_is_found(world, module, name):
    GROWTHS[name](module)
    with pytest.raises(BrokenError, match=rf"{NAME}.{name} had \d entries before this world, and has \d"):
        module_containers.check(world)


@pytest.mark.parametrize("name", ["TABLE", "LAST", "Memo.seen", "doubled"])
def test_container_that_grows_in_each_run_of_a_world_is_found_each_time(module, name):
    for _ in range(2):
        world = World(1, Config())
        world.sizes_before = module_containers.sizes()
        GROWTHS[name](module)
        with pytest.raises(BrokenError, match=name):
            module_containers.check(world)


def test_table_that_loses_an_entry_is_found(world, module):
    module.TABLE.clear()
    with pytest.raises(BrokenError, match=f"{NAME}.TABLE had 1 entries before this world, and has 0"):
        module_containers.check(world)


def test_functions_with_a_limited_cache_and_unchanged_containers_pass(world, module):
    tripled(1)
    module.TABLE[1] = 5
    module_containers.check(world)


def test_module_loaded_by_the_world_is_not_compared(world, monkeypatch):
    other = ModuleType("amqpbroker.late")
    other.TABLE = {1: 2}
    monkeypatch.setitem(sys.modules, "amqpbroker.late", other)
    module_containers.check(world)


def test_cache_with_a_bound_may_grow_up_to_it(world, module, monkeypatch):
    monkeypatch.setitem(BOUNDS, f"{NAME}.LAST", 3)
    module.LAST.extend(range(3))
    module_containers.check(world)
    module.LAST.append(3)
    with pytest.raises(BrokenError, match=f"{NAME}.LAST has 4 entries, more than its bound of 3"):
        module_containers.check(world)


@pytest.mark.parametrize("name", BOUNDS)
def test_each_cache_with_a_bound_exists(name):
    assert module_containers.size_of(module_containers.container_of(name)) <= BOUNDS[name]
