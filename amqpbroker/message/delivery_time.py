"""Headers with the time from which on a message may be delivered."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from amqpbroker.wire.raw_headers import header
from amqpbroker.wire.values import INTEGER_KINDS, Field

#: Header with a time, and header with a delay from the publish on, in milliseconds (the names of AMQP 1.0 annotations).
DELIVERY_TIME: Final = b"x-opt-delivery-time"
DELIVERY_DELAY: Final = b"x-opt-delivery-delay"

#: The latest time that is accepted, in the year 9999.
_MAX_MS: Final = 253_402_300_799_000
_DIGITS = re.compile(rb"[0-9]{1,15}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def delivery_time_ms(properties: bytes, name: bytes) -> int:
    """Return the time in the header with the name, in milliseconds since the epoch; 0 if there is no such time."""
    field = header(properties, name)
    return 0 if field is None else time_ms(field)


def time_ms(field: Field) -> int:
    """Return the time that a value names, in milliseconds since the epoch; 0 if it names none.

    Accepts milliseconds since the epoch as a number or as text, a timestamp, and a time in ISO 8601, which is in UTC if
    it has no zone (Celery's header `eta`).
    """
    kind, value = field
    if kind in INTEGER_KINDS or kind in "fd":
        return int(max(0, min(_MAX_MS, value)))
    if kind == "T":
        return int(min(_MAX_MS, value * 1000))
    if kind == "S":
        if _DIGITS.fullmatch(value):
            return min(int(value), _MAX_MS)
        return _iso_ms(value)
    return 0


def _iso_ms(value: bytes) -> int:
    try:
        at = datetime.fromisoformat(value.decode("ascii"))
        since = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH
        # Rounded up: a consumer gets no message before its time.
        return max(0, -(-since // _MS))
    except (ValueError, OverflowError):
        return 0
