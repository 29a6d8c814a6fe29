"""Tables and properties on the command line: key=value,key=value, or JSON."""

import json
import math
import re
from datetime import datetime
from typing import Any

from amqpbroker.wire.properties import PROPERTIES
from amqpbroker.wire.values import Field, Table, longstr

#: AMQP's names of properties that the encoder has other names for.
_NAMES = {"type": "message_type"}


def parsed(text: str) -> dict[str, Any]:
    """Raises ValueError. Values that look like numbers or true and false are such."""
    if text.lstrip().startswith("{"):
        try:
            found: dict[str, Any] = json.loads(text, parse_constant=_no_number)
        except ValueError as error:
            raise ValueError(f"this is no JSON: {error}") from None
        return found
    pairs = {}
    for part in filter(None, text.split(",")):
        key, separator, value = part.partition("=")
        if not separator or not key.strip():
            raise ValueError(f"{part} is not of the form KEY=VALUE; or write a JSON object")
        pairs[key.strip()] = _scalar(value.strip())
    return pairs


def table(values: dict[str, Any]) -> Table:
    """As a field table. Raises ValueError for what cannot be in one."""
    return {key: _field(key, value) for key, value in values.items()}


def properties(values: dict[str, Any]) -> dict[str, Any]:
    """Message properties for the wire: what AMQP has no property for is a header. Raises ValueError.

    content-type, content_type and contentType are the same. A timestamp is in seconds since 1970, or as in ISO 8601.
    """
    found: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    kinds = {name: kind for name, _, kind in PROPERTIES}
    for key, value in values.items():
        name = re.sub("-|(?<=[a-z])(?=[A-Z])", "_", key).lower()
        name = _NAMES.get(name, name)
        if name == "headers" and isinstance(value, dict):
            headers |= value
        elif name not in kinds or name == "headers":
            headers[key] = value
        elif kinds[name] == "shortstr":
            raw = str(value).encode()
            if len(raw) > 255:
                raise ValueError(f"{key} is longer than 255 octets")
            found[name] = raw
        elif name == "timestamp" and isinstance(value, str):
            found[name] = _timestamp(key, value)
        else:
            most = 255 if kinds[name] == "octet" else (1 << 64) - 1
            if not isinstance(value, int) or not 0 <= value <= most:
                raise ValueError(f"{key} must be a whole number from 0 to {most}")
            found[name] = value
    if headers:
        found["headers"] = table(headers)
    return found


def _timestamp(key: str, text: str) -> int:
    try:
        seconds = int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        seconds = -1
    if seconds < 0:
        raise ValueError(f"{key} must be seconds since 1970, or of the form 2007-12-03T10:15:30+01:00")
    return seconds


def _no_number(name: str) -> None:
    """NaN and Infinity are of Python's JSON alone."""
    raise ValueError(f"{name} is no number")


def _scalar(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def _field(key: str, value: Any) -> Field:
    if value is None:
        return Field("V", None)
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"{key} is too large a number")
        return Field("I", value) if -(1 << 31) <= value < 1 << 31 else Field("l", value)
    if isinstance(value, float):
        return Field("d", value)
    if isinstance(value, dict):
        return Field("F", table(value))
    if isinstance(value, list):
        return Field("A", [_field(key, one) for one in value])
    return longstr(str(value))
