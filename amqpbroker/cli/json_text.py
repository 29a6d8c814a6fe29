"""JSON on the command line, and in files that are named there."""

import json
import math
from typing import Any, Final

#: Most digits of an integer that is below 1.8e308, the limit of the management API.
_DIGITS: Final = 309
_SHOWN: Final = 10


def decoded(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError with a reason; JSONDecodeError if the text is not JSON."""
    return json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_no_number)


def _integer(digits: str) -> int:
    if len(digits.removeprefix("-")) > _DIGITS:
        raise _too_large(digits)
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _too_large(digits)
    return value


def _too_large(digits: str) -> ValueError:
    shown = digits if len(digits) <= _SHOWN else f"{digits[:_SHOWN]}..."
    return ValueError(f"the number {shown} is too large: write one between -1.8e308 and 1.8e308")


def _no_number(name: str) -> None:
    """Raise ValueError for NaN and Infinity, which only Python's JSON has."""
    raise ValueError(f"{name} is not a number")
