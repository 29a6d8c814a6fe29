"""One value for one key, and where it comes from."""

from dataclasses import dataclass
from enum import Enum

from amqpbroker.config.setting import ConfigError


class Kind(Enum):
    """What a value comes from, from the weakest to the strongest."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Origin:
    """`name` is the file, the variable or the flag; `line` is that in the file, else 0."""

    kind: Kind
    name: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.line}" if self.line else self.name or self.kind.value

    def error(self, text: str) -> ConfigError:
        """What is wrong there. A flag's error needs no place: what was typed is in front of whoever typed it."""
        return ConfigError(text if self.kind in (Kind.DEFAULT, Kind.FLAG) else f"{self}: {text}")


@dataclass(frozen=True, slots=True)
class Assignment:
    """`text` is to be the value of `key`."""

    key: str
    text: str
    origin: Origin
