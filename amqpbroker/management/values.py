"""Values out of bodies, as strict and as lenient as RabbitMQ is with them."""

import re
from collections.abc import Mapping
from typing import Any

from amqpbroker.management import failure

_WHOLE = re.compile("[+-]?[0-9]{1,1000}")

#: Maximum length of a name or a routing key in bytes.
MAX_NAME_BYTES = 255


def whole_number(text: str) -> int:
    """Parse a number in a path or a query as Erlang does: an optional sign and digits only. Raises ValueError."""
    if _WHOLE.fullmatch(text) is None:
        raise ValueError(f"no whole number: {text[:100]}")
    return int(text)


def boolean(body: Mapping[str, Any], key: str) -> bool:
    """False if it is not there. Raises ApiError 400."""
    value = body.get(key, False)
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise failure.bad_request(["not_boolean", value])


def integer(value: Any) -> int:
    """Return a JSON value as an integer. A string may only have an optional sign and digits. Raises ApiError 400."""
    try:
        if not isinstance(value, bool) and not (isinstance(value, str) and not _WHOLE.fullmatch(value)):
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise failure.bad_request(["not_integer", value])


def string(body: Mapping[str, Any], key: str) -> str:
    """Empty if it is not there; a number is taken as it is written. Raises ApiError 400 for others, and if too long."""
    value = body.get(key, "")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise failure.bad_request(["not_string", key])
    check_name(key, str(value))
    return str(value)


def check_name(what: str, name: str) -> None:
    """Raises ApiError 400 if it is longer than AMQP allows."""
    size = len(name.encode("utf-8", "surrogateescape"))
    if size > MAX_NAME_BYTES:
        raise failure.bad_request(f"{what} should be less than 255 bytes, actually was {size}\n")
