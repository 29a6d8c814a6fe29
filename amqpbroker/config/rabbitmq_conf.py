r"""The format of rabbitmq.conf, as cuttlefish reads it: `KEY = VALUE` lines, `#` comments, `include FILE`.

A value ends at a `#` or at the end of its line, without the blanks around it. Within single quotes it may have all of
that, even several lines; nothing is an escape in there. Double quotes are part of the value. In a key `\.` is a dot
that does not end a word.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from amqpbroker.config.setting import ConfigError


class Entry(NamedTuple):
    """One directive. The key of an `include` is empty, and its value the file or the pattern that it names."""

    key: str
    value: str
    line: int


NOT_READ = "these are Erlang terms, which are not read; write them as KEY = VALUE lines"

_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_INCLUDE = re.compile(r"[ \t]*include[ \t]+([^\n#]*[^\s#])[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_KEY = re.compile(r"[ \t]*((?:\\\.|[A-Za-z0-9_-])+(?:\.(?:\\\.|[A-Za-z0-9_-])+)*)[ \t]*=[ \t]*")
_QUOTED = re.compile(r"'([^']*)'")
_PLAIN = re.compile(r"([^\n#]*)(?:#[^\n]*)?(?:\n|\Z)")
_ERLANG = re.compile(r"(?:\s|%[^\n]*\n)*\[")


def parse(text: str, name: str) -> Iterator[Entry]:
    """The directives of a file's text. Raises ConfigError, which names the file and the line but no value."""
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
                    raise ConfigError(f"{name}:{line}: {key} has no value; an empty one is written ''")
            if match is None:
                raise ConfigError(f"{name}:{line}: there is more behind the quotes that end the value of {key}")
            yield Entry(key, value, line)
        else:
            raise ConfigError(f"{name}:{line}: this line is not KEY = VALUE, nor a comment that begins with #")
        line += text.count("\n", at, match.end())
        at = match.end()
