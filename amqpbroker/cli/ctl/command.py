"""A command of ctl: its words, options and function."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple, final

from amqpbroker.cli.ctl.api import Api
from amqpbroker.cli.ctl.failure import UsageError


@final
class Rows(NamedTuple):
    """A table. columns: names, which are also the keys of the JSON. rows: a value for each column."""

    columns: list[str]
    rows: list[list[Any]]


@final
class Call:
    """One command line: the words after the command's name, and its options. find: finds the broker."""

    def __init__(
        self, find: Callable[[], Api], words: list[str], options: dict[str, str], vhost: str, timeout_s: float
    ) -> None:
        self.find = find
        self.words = words
        self.options = options
        self.vhost = vhost
        self.timeout_s = timeout_s

    @cached_property
    def api(self) -> Api:
        """The API of the broker. Raises CtlError if none is found."""
        return self.find()


#: Returns the result to show: Rows, text, JSON (dict or list), or None for nothing.
Run = Callable[[Call], Any]
#: Line that announces the command, unless --quiet.
Banner = str | Callable[[Call], str]


#: Options of a command that has none of its own.
_NO_OPTIONS: Mapping[str, bool] = {}


@final
class Command(NamedTuple):
    """A command of ctl.

    words: its arguments as its usage shows them: `<one>` is required, `[<one>]` is optional, and `...` at the end
    accepts any number. options: its own options, with True for those that have a value. columns, default_columns: of a
    list, the names of all columns, and of those that are shown if none is named.
    """

    name: str
    group: str
    about: str
    words: str
    run: Run
    banner: Banner = ""
    options: Mapping[str, bool] = _NO_OPTIONS
    columns: tuple[str, ...] = ()
    default_columns: tuple[str, ...] = ()

    @property
    def usage(self) -> str:
        options = " ".join(f"[--{name}{' <value>' if valued else ''}]" for name, valued in self.options.items())
        return " ".join(part for part in ("amqpbroker ctl [OPTIONS]", self.name, self.words, options) if part)

    def check(self, words: list[str]) -> None:
        """Raises UsageError if there are too few or too many words."""
        parts = self.words.split()
        needed = sum(part.startswith("<") for part in parts)
        if len(words) < needed:
            raise UsageError("not enough arguments.")
        if not self.words.endswith("...]") and len(words) > len(parts):
            raise UsageError("too many arguments.")
