r"""The format of rabbitmq.conf, as cuttlefish reads it: `KEY = VALUE` lines, `#` comments, `include FILE`.

A value ends at a `#` or at the end of its line, without surrounding blanks. In single quotes it may contain all of
these, even several lines; there are no escapes. Double quotes are part of the value. In a key, `\.` is a dot that does
not end a word.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from amqpbroker.config.setting import ConfigError


class Entry(NamedTuple):
    """One directive. An `include` has an empty key, and the file or pattern as its value."""

    key: str
    value: str
    line: int


NOT_READ = "these are Erlang terms, which are not supported; write them as KEY = VALUE lines"

_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_INCLUDE = re.compile(r"[ \t]*include[ \t]+([^\n#]*[^\s#])[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_KEY = re.compile(r"[ \t]*((?:\\\.|[A-Za-z0-9_-])+(?:\.(?:\\\.|[A-Za-z0-9_-])+)*)[ \t]*=[ \t]*")
_QUOTED = re.compile(r"'([^']*)'")
_PLAIN = re.compile(r"([^\n#]*)(?:#[^\n]*)?(?:\n|\Z)")
_ERLANG = re.compile(r"(?:\s|%[^\n]*\n)*\[")


def parse(text: str, name: str) -> Iterator[Entry]:
    """Return the directives of a file's text. Raises ConfigError, which names the file and the line but no value."""
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    if _ERLANG.match(text):
        raise ConfigError(f"{name}: {NOT_READ}")
    at, line = 0, 1
    while at < len(text):
        if match := _BLANK.match(text, at):
            pass
        elif match := _INCLUDE.match(text, at):
            yield Entry("", match[1], line)
        elif match := _KEY.match(text, at):
            key = match[1]
            if quoted := _QUOTED.match(text, match.end()):
                value, match = quoted[1], _BLANK.match(text, quoted.end())
            else:
                match = _PLAIN.match(text, match.end())
                value = match[1].strip() if match is not None else ""
                if not value:
                    raise ConfigError(f"{name}:{line}: {key} has no value; write '' for an empty value")
            if match is None:
                raise ConfigError(f"{name}:{line}: unexpected text after the quoted value of {key}")
            yield Entry(key, value, line)
        else:
            raise ConfigError(f"{name}:{line}: the line is neither KEY = VALUE nor a comment that begins with #")
        line += text.count("\n", at, match.end())
        at = match.end()
