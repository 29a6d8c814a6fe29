"""Ages such as 7D or 12h, as in x-max-age (rabbit_amqqueue:check_max_age/1)."""

import re
from collections.abc import Mapping
from typing import Final

#: Digits without leading zeros, and the unit.
_AGE: Final = re.compile("0*([0-9]+)([YMDhms])", re.ASCII)
#: A longer number is cut to this many digits, which are more than a billion years already.
_DIGITS: Final = 18
_SECONDS: Final[Mapping[str, int]] = {
    "Y": 365 * 24 * 3600,
    "M": 30 * 24 * 3600,
    "D": 24 * 3600,
    "h": 3600,
    "m": 60,
    "s": 1,
}


def age_ms(age: str) -> int:
    """Return the milliseconds of an age, -1 if it is not one. 0 is not one either. A number has any length."""
    found = _AGE.fullmatch(age)
    return (int(found[1][:_DIGITS]) * _SECONDS[found[2]] * 1000 or -1) if found else -1
