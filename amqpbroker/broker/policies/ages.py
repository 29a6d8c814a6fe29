"""Ages such as 7D or 12h, as in x-max-age (rabbit_amqqueue:check_max_age/1)."""

import re
from collections.abc import Mapping
from typing import Final

_AGE: Final = re.compile("([0-9]+)([YMDhms])", re.ASCII)
_SECONDS: Final[Mapping[str, int]] = {
    "Y": 365 * 24 * 3600,
    "M": 30 * 24 * 3600,
    "D": 24 * 3600,
    "h": 3600,
    "m": 60,
    "s": 1,
}


def age_ms(age: str) -> int:
    """Return the milliseconds of an age, -1 if it is not one. 0 is not one either."""
    found = _AGE.fullmatch(age)
    return (int(found[1]) * _SECONDS[found[2]] * 1000 or -1) if found else -1
