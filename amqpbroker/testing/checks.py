"""Checks of arguments: an error names the argument, its value and the accepted values."""

from typing import Any

#: Units of spans of time.
UNITS = ("days", "hours", "minutes", "seconds", "milliseconds")

#: The longest timeout in seconds: operating systems count milliseconds in 31 bits.
LONGEST_TIMEOUT_S = 2_000_000

#: The longest restart in seconds.
LONGEST_DOWN_S = 60


def at_least(name: str, value: Any, least: int) -> None:
    """Raises ValueError for a value that is not a whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} = {value!r}: this must be a whole number from {least} on")


def check_text(name: str, value: Any, optional: bool = False) -> None:
    """Raises ValueError for a value that is not text. optional: None is accepted, too."""
    if not isinstance(value, str) and not (optional and value is None):
        raise ValueError(f"{name} = {value!r}: this must be text, such as {name}='orders'")


def check_body(body: Any) -> None:
    """Raises ValueError for a body that is neither bytes nor None."""
    if body is not None and not isinstance(body, bytes):
        example = body.encode() if isinstance(body, str) else b"42"
        raise ValueError(f"body = {body!r}: this must be bytes, such as body={example!r}")


def check_timeout(timeout_s: Any) -> None:
    """Raises ValueError for a timeout that is not a number of seconds."""
    is_number = isinstance(timeout_s, int | float) and not isinstance(timeout_s, bool)
    if not is_number or not 0 <= timeout_s <= LONGEST_TIMEOUT_S:  # false for nan
        raise ValueError(
            f"timeout = {timeout_s!r}: this must be a number of seconds from 0 to {LONGEST_TIMEOUT_S:,}, such as 5"
        )


def limited_s(timeout_s: Any) -> float:
    """Return a valid timeout, or 0 for an invalid one, which `check_timeout` reports on the broker's thread."""
    try:
        check_timeout(timeout_s)
    except ValueError:
        return 0
    return float(timeout_s)


def check_down(down: Any) -> None:
    """Raises ValueError for an invalid time between the stop and the start of a restart."""
    if not isinstance(down, int | float) or isinstance(down, bool) or not 0 <= down <= LONGEST_DOWN_S:
        raise ValueError(f"down = {down!r}: this must be a number of seconds from 0 to {LONGEST_DOWN_S}")
