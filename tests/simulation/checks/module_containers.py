"""Containers of modules and of classes, which outlive every broker: none of them grows, except caches with a bound."""

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

# Otherwise imported for the first HTTP client of a process.
import amqpbroker.server.http_protocol  # noqa: F401
from amqpbroker.broker.publishing.inspection import _KNOWN_COUNT
from tests.soak.census import attributes

if TYPE_CHECKING:
    from tests.simulation.world import World

PACKAGE = "amqpbroker"

#: Bounds of caches that brokers fill. Their sizes before a world mean nothing, because other worlds of the process have
#: filled them as well. Caches of functools that have a maximum need no row.
BOUNDS = {
    # A function without arguments.
    "amqpbroker.compiled.is_compiled": 1,
    # Properties that contain only delivery mode and priority.
    "amqpbroker.broker.publishing.inspection.KNOWN": _KNOWN_COUNT,
    # Tuples of names of counters, each for one kind of counted object.
    "amqpbroker.broker.counters.rates._zeros": 8,
    "amqpbroker.broker.counters.stats._groups_among": 8,
}

#: Types of containers that may be entries of others.
_GROWING = {dict, list, set, deque}

#: Sizes of containers by their names, by the modules that refer to them.
Sizes = dict[str, dict[str, int]]

#: Types with a length that never changes, and, to save time, the most frequent types without one.
_FIXED = (str, bytes, tuple, frozenset, range, memoryview, Enum)
_FREQUENT = {str, bytes, tuple, int, float, bool, FunctionType, BuiltinFunctionType, ModuleType, TypeVar}


def sizes() -> Sizes:
    """Return the sizes of all containers of the package's modules."""
    found: Sizes = {}
    seen: set[int] = set()
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == PACKAGE:
            found[name] = {path: size_of(each) for path, each in _containers(name, name, vars(module), seen)}
    return found


def check(world: "World") -> None:
    """Compare the sizes with those before the world, in all modules that were loaded then. Raises BrokenError."""
    bounds = {id(container_of(name)): bound for name, bound in BOUNDS.items()}
    seen: set[int] = set()
    for name, before in world.sizes_before.items():
        for path, each in _containers(name, name, vars(sys.modules[name]), seen):
            size, former = size_of(each), before.get(path, 0)
            bound = bounds.get(id(each))
            if bound is None and size != former:
                _shorten(each, former)
                raise world.broken(f"{path} had {former} entries before this world, and has {size}")
            if bound is not None and size > bound:
                raise world.broken(f"{path} has {size} entries, more than its bound of {bound}")


def _shorten(container: Any, size: int) -> None:
    """Remove new entries, so that the same world fails again in this process, also in shortened scenarios."""
    if hasattr(container, "cache_clear"):
        container.cache_clear()
    elif type(container) in (dict, list, deque):
        remove = container.popitem if type(container) is dict else container.pop
        while len(container) > size:
            remove()


def container_of(name: str) -> object:
    """Return the container of a row of `BOUNDS`. Raises KeyError if there is none."""
    module, _, attribute = name.rpartition(".")
    return vars(sys.modules[module])[attribute]


def size_of(container: object) -> int:
    """Return the number of entries, with those of the containers among its entries."""
    if hasattr(container, "cache_info"):
        size: int = container.cache_info().currsize
        return size
    entries = container.values() if type(container) is dict else container if type(container) is list else ()
    return len(container) + sum([len(each) for each in entries if type(each) in _GROWING])  # type: ignore[arg-type]


def _containers(module: str, prefix: str, names: Mapping[str, object], seen: set[int]) -> Iterator[tuple[str, object]]:
    """Yield the containers among the names of a module or class, of the module's classes, and of shared objects.

    seen: ids of objects that are left out, because another module has them too.
    """
    for name, value in list(names.items()):
        if type(value) in _FREQUENT or name.startswith("__") or id(value) in seen:
            continue
        seen.add(id(value))
        path = f"{prefix}.{name}"
        if isinstance(value, type):
            if value.__module__ == module and value.__qualname__.rpartition(".")[2] == name:
                yield from _containers(module, path, vars(value), seen)
            else:
                seen.remove(id(value))
        elif _is_container(value):
            yield path, value
        elif type(value).__module__.startswith(f"{PACKAGE}.") and not isinstance(value, Enum):
            yield from ((f"{path}.{key}", each) for key, each in attributes(value) if _is_container(each))


def _is_container(value: object) -> bool:
    if hasattr(type(value), "cache_info"):
        is_unlimited: bool = value.cache_info().maxsize is None  # type: ignore[attr-defined]
        return is_unlimited
    return hasattr(type(value), "__len__") and not isinstance(value, _FIXED)
