"""The assignment of a value to a key, and its source."""

from enum import Enum
from typing import NamedTuple

from amqpbroker.config.setting import ConfigError


class Kind(Enum):
    """The kinds of sources, from the weakest to the strongest."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


class Origin(NamedTuple):
    """The source of an assignment. name: the file, the variable or the flag. line: the line of a file, else 0."""

    kind: Kind
    name: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.line}" if self.line else self.name or self.kind.value

    def error(self, text: str) -> ConfigError:
        """Return an error with the source. For a flag it is left out, because the user has just typed it."""
        return ConfigError(text if self.kind in (Kind.DEFAULT, Kind.FLAG) else f"{self}: {text}")


class Assignment(NamedTuple):
    """The assignment of `text` to `key`."""

    key: str
    text: str
    origin: Origin
