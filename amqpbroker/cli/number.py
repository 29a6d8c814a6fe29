"""Numbers on the command line, with limits."""

from typing import Any, Final, final

import click

#: Longest time in seconds: operating systems count milliseconds in 31 bits.
LONGEST_S: Final = 2_000_000.0
#: Largest count: delivery tags have 64 bits.
MOST: Final = 2**63 - 1


@final
class Number(click.ParamType):  # type: ignore[type-arg]
    """A number from `low` to `high`, both included; a whole number if both are. All commands use it for numbers."""

    name = "number"

    def __init__(self, low: float, high: float) -> None:
        self.low = low
        self.high = high
        self._kind = int if isinstance(low, int) and isinstance(high, int) else float

    def parse(self, text: str) -> Any:
        """Return an int or a float. Raises ValueError, whose text has the accepted range."""
        try:
            value = self._kind(text)
        except ValueError:
            value = None
        if value is None or not self.low <= value <= self.high:  # false for nan
            shown = text if len(text) <= 30 else f"{text[:30]}..."
            what = "a whole number" if self._kind is int else "a number"
            raise ValueError(f"{shown!r} is not {what} from {_written(self.low)} to {_written(self.high)}")
        return value

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _written(value: float) -> str:
    """Return a number in full, such as 2,000,000 and 0.000001."""
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}"
    return f"{value:f}".rstrip("0")


PORT = Number(1, 65_535)
#: 0 takes a free one.
LISTENING_PORT = Number(0, 65_535)
SECONDS = Number(0.0, LONGEST_S)
COUNT = Number(1, MOST)
