"""Ranges of numbers on the command line. Commands that click does not parse use them without loading click."""

from typing import Any, Final, final

#: Longest time in seconds: operating systems count milliseconds in 31 bits.
LONGEST_S: Final = 2_000_000.0
#: Largest count: delivery tags have 64 bits.
MOST: Final = 2**63 - 1


@final
class NumberRange:
    """The numbers from `low` to `high`, both included; the whole numbers if both are."""

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


def _written(value: float) -> str:
    """Return a number in full, such as 2,000,000 and 0.000001."""
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}"
    return f"{value:f}".rstrip("0")


PORTS = NumberRange(1, 65_535)
SECONDS = NumberRange(0.0, LONGEST_S)
COUNTS = NumberRange(1, MOST)
