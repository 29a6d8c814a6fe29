"""The registry of cases, and the requirements of each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from conformance import cases
from conformance.lab import Lab

Script = Callable[[Lab], None]
MANAGEMENT = "management"


@dataclass(frozen=True, slots=True)
class Case:
    """One behaviour. `area`: its module. `requires`: features that a target may lack ("management")."""

    area: str
    name: str
    script: Script
    about: str
    requires: tuple[str, ...]

    @property
    def id(self) -> str:
        """The id `area/name`."""
        return f"{self.area}/{self.name}"


_CASES: dict[str, Case] = {}


def _register(script: Callable[..., None], name: str, requires: tuple[str, ...], *values: Any) -> None:
    area = script.__module__.rpartition(".")[2]
    about = (script.__doc__ or "").strip()
    added = Case(area, name, partial(_call, script, values), about, requires)
    if added.id in _CASES:
        raise ValueError(f"two cases are called {added.id}")
    _CASES[added.id] = added


def _call(script: Callable[..., None], values: tuple[Any, ...], lab: Lab) -> None:
    script(lab, *values)


def case(*, requires: Iterable[str] = ()) -> Callable[[Script], Script]:
    """Register a function as one case, called like the function."""

    def register(script: Script) -> Script:
        _register(script, script.__name__, tuple(requires))
        return script

    return register


def family(rows: dict[str, tuple[Any, ...]], *, requires: Iterable[str] = ()) -> Callable[[Any], Any]:
    """Register a function once per row, as `<function>_<key>`, with the row's values as further arguments."""

    def register(script: Callable[..., None]) -> Callable[..., None]:
        for key, values in rows.items():
            _register(script, f"{script.__name__}_{key}", tuple(requires), *values)
        return script

    return register


def load() -> list[Case]:
    """Return every case, sorted by id."""
    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"{cases.__name__}.{module.name}")
    return [_CASES[key] for key in sorted(_CASES)]


def select(wanted: Iterable[str]) -> list[Case]:
    """Return cases by area, by `area/name` or by a prefix ending in `*`; all without names. Raises LookupError."""
    every = load()
    chosen: dict[str, Case] = {}
    for name in wanted:
        if name.endswith("*"):
            found = [one for one in every if one.id.startswith(name[:-1])]
        else:
            found = [one for one in every if name in (one.area, one.id)]
        if not found:
            raise LookupError(f"no area and no case is called {name!r}")
        chosen.update((one.id, one) for one in found)
    return [chosen[key] for key in sorted(chosen)] if chosen else every
