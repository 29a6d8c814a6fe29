"""Hints in errors: the name that was probably meant, and the arguments that a call accepts."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Least similarity, from 0 to 1, of a name that is suggested for another.
LIKENESS = 0.6


def nearest(name: object, names: Iterable[str]) -> str | None:
    """Return the name that is most like `name`, apart from case and separators; None if none is like it."""
    by_form: dict[str, str] = {}
    for each in names:
        by_form.setdefault(_form(each), each)
    found = difflib.get_close_matches(_form(str(name)), by_form, 1, LIKENESS)
    return by_form[found[0]] if found else None


def did_you_mean(name: object, names: Iterable[str], ending: str = "", quoted: bool = False) -> str:
    """Return "; did you mean NAME?", empty if no name is like it. ending: what follows the name, such as "=" """
    found = nearest(name, names)
    if found is None:
        return ""
    return f"; did you mean {repr(found) if quoted else found}{ending}?"


def choices(name: object, names: Iterable[str], ending: str = "") -> str:
    """Return `did_you_mean` and all accepted names: "; did you mean nack? Accepted: drop, nack, reset"."""
    accepted = list(names)
    hint = did_you_mean(name, accepted, ending)
    return f"{hint} Accepted: {', '.join(accepted)}" if hint else f"; accepted: {', '.join(accepted) or 'none'}"


def checked_arguments(method: Callable[P, T]) -> Callable[P, T]:
    """Decorate a method so that an unknown or unnamed argument raises a TypeError that names the accepted ones."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    names = [each.name for each in parameters]
    positional = 1 + sum(each.kind is not inspect.Parameter.KEYWORD_ONLY for each in parameters)

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        __tracebackhide__ = True
        for name in kwargs:
            if name not in names:
                raise TypeError(f"{method.__name__}() has no argument {name!r}{choices(name, names, '=')}")
        if len(args) > positional:
            value = args[positional]
            raise TypeError(
                f"{method.__name__}({value!r}): name the argument; {method.__name__}() takes "
                f"{', '.join(f'{each}=' for each in names[positional - 1 :]) or 'no more arguments'}"
            )
        return method(*args, **kwargs)

    return call


class Hinted:
    """Base of classes whose AttributeError suggests the public name that was probably meant.

    _parts: names of attributes whose own public names are suggested too, such as `clock`.
    """

    _parts: ClassVar[tuple[str, ...]] = ()

    if not TYPE_CHECKING:  # a type checker must still report unknown attributes

        def __getattr__(self, name: str) -> Any:
            hint = ""
            if not name.startswith("_") and name not in self._parts:
                hint = did_you_mean(name, public_names(self)) or self._in_parts(name)
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def _in_parts(self, name: str) -> str:
        paths = {each: f"{part}.{each}" for part in self._parts for each in public_names(getattr(self, part))}
        found = nearest(name, paths)
        return "" if found is None else f"; did you mean {paths[found]}?"


def public_names(thing: object) -> list[str]:
    """Return the names of the public attributes of an object."""
    return [each for each in dir(thing) if not each.startswith("_")]


def _form(name: str) -> str:
    """Return a name without differences of case and separators: basic_publish and basicPublish are basic.publish."""
    return "".join(each for each in name.casefold() if each not in "._- ")
