"""Census of a running broker: the lengths of its containers and the values of its integers, by owner.

The census starts at an object and follows every attribute, container and callback to objects of this project and of the
HTTP server. A new counter, cache or list is therefore included automatically.
"""

import sys
from array import array
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import Any

PACKAGE = "amqpbroker"
#: Packages whose objects refer to objects of the project.
BETWEEN = ("starlette", "uvicorn")
CONTAINERS = (dict, list, set, frozenset, tuple, deque, bytearray, array)


def census(root: object) -> dict[str, int]:
    """Return the sum of lengths and of integers by `Class.attribute`, and by `module.name` for modules' own.

    Names of containers end in `[]`. The number of objects of each class is under the class's name.
    """
    counts: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: list[object] = [root]
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == PACKAGE:
            for attribute, value in list(vars(module).items()):
                if not attribute.startswith("__") and (isinstance(value, CONTAINERS) or hasattr(value, "cache_info")):
                    _count(counts, f"{name}.{attribute}", value)
                    waiting.append(value)
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, type):
            continue
        owner = type(found)
        if owner.__module__.split(".")[0] in (PACKAGE, *BETWEEN):
            counts[owner.__qualname__] += 1
            for attribute, value in attributes(found):
                _count(counts, f"{owner.__qualname__}.{attribute}", value)
                waiting.append(value)
        else:
            waiting += _parts(found)
    return dict(counts)


def _count(counts: Counter[str], name: str, value: object) -> None:
    if isinstance(value, CONTAINERS):
        counts[name + "[]"] += len(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        counts[name] += value
    elif hasattr(value, "cache_info"):
        counts[name + "[]"] += value.cache_info().currsize


def attributes(found: object) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an object that it has itself, also if its class has slots or is compiled."""
    names: set[str] = set(getattr(found, "__dict__", ()))
    for base in type(found).__mro__:
        names.update(getattr(base, "__mypyc_attrs__", ()))
        slots = getattr(base, "__slots__", ())
        names.update([slots] if isinstance(slots, str) else slots)
    for name in names - {"__dict__", "__weakref__", "__mypyc_env__"}:
        try:
            yield name, getattr(found, name)
        except AttributeError:
            continue


def _parts(found: object) -> list[object]:
    if isinstance(found, Mapping):
        return [*found.keys(), *found.values()]
    if isinstance(found, (list, set, frozenset, tuple, deque)):
        return list(found)
    if isinstance(found, MethodType):
        return [found.__self__]
    if isinstance(found, partial):
        return [found.func, *found.args, *found.keywords.values()]
    if isinstance(found, FunctionType):
        return [cell.cell_contents for cell in found.__closure__ or () if _is_filled(cell)]
    return []


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True
