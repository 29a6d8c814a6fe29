"""Upper limit of message TTLs and queue expiries."""

from typing import Final

#: Ten years of 365 days (MAX_EXPIRY_TIMER in RabbitMQ's rabbit.hrl).
MAX_EXPIRY_MS: Final = 315_360_000_000


def expiry_problem(value_ms: int) -> str | None:
    """What is wrong with a time to live, as RabbitMQ prints it, or None (rabbit_misc:check_expiry/1)."""
    if value_ms < 0:
        return f"{{value_negative,{value_ms}}}"
    if value_ms > MAX_EXPIRY_MS:
        return f"{{value_too_large,{value_ms}}}"
    return None
